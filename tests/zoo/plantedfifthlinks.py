"""The fifth set's faults of packets, and its services before which TLS is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from echo_app.testing import EchoProcess
from tests.support.certificates import Authority
from tests.zoo.packet import Link, Passing
from tests.zoo.path import Place
from tests.zoo.services import at


@dataclass(kw_only=True)
class Tunnel(Link):
    """Drops what does not fit into a tunnel, both ways; the ICMP message about it is filtered.

    :param mtu: bytes of the largest packet that fits.
    """

    mtu: int

    def passes(self, packet: bytes, isUp: bool, now: float) -> list[tuple[float, Passing]]:
        return super().passes(packet, isUp, now) if len(packet) <= self.mtu else []


@dataclass(kw_only=True)
class DropsOut(Link):
    """Loses all packets, both ways, for some seconds, again and again.

    :param every: seconds from the beginning of one outage to that of the next.
    :param lasts: seconds of an outage, which ends the period.
    """

    every: float
    lasts: float
    began: float | None = None

    def passes(self, packet: bytes, isUp: bool, now: float) -> list[tuple[float, Passing]]:
        # Schedules count from the first packet of IPv4: devices speak IPv6 by themselves.
        if self.began is None and packet[0] >> 4 == 4:
            self.began = now
        into = (now - (self.began or now)) % self.every
        return super().passes(packet, isUp, now) if into < self.every - self.lasts else []


def inspected(folder: Path) -> tuple[str, str, str]:
    """Issues the certificate of a proxy that inspects TLS, by an authority that the client does not trust."""
    now = datetime.now(UTC)
    Authority(folder, "authority")
    proxy = Authority(folder, "Corporate TLS Inspection")
    certificate, key = proxy.issue("localhost", since=now - timedelta(days=1), until=now + timedelta(days=80))
    return certificate, key, str(folder / "authority.pem")


@contextmanager
def unencrypted() -> Iterator[Place]:
    """Opens a path to a service without TLS, where the client expects TLS."""
    with EchoProcess() as service:
        yield Place(at(service.address(), "tls"))
