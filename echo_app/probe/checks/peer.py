"""Check ``peer``: the client's address as the service sees it, where a first line of JSON states it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from echo_app.addresses import hostPort, ipAddressOf, unmapped
from echo_app.probe.checks.check import Check, Context, Cost
from echo_app.probe.checks.evidence import Observation
from echo_app.probe.net.stream import Stream

# Seconds in which the line begins, and bytes of the longest line: it has a few addresses and names.
LINE_TIMEOUT, LONGEST_LINE = 2.0, 4096

Address = tuple[str, int]


def addressOf(text: object) -> Address | None:
    """Reads ``192.0.2.1:4711`` or ``[2001:db8::1]:4711``; returns None for other texts.

    An IPv4-mapped IPv6 address is the IPv4 address, as everywhere.
    """
    host, _, port = str(text).rpartition(":")
    try:
        return str(ipAddressOf(host.removeprefix("[").removesuffix("]"))), int(port)
    except ValueError:
        return None


@dataclass(slots=True)
class FirstLine(Observation):
    """The service's first line, if it is a JSON object with our address.

    :ivar said: the object; empty where the service does not say.
    :ivar own: our address of the connection.
    :ivar isTLS: our end uses TLS.
    """

    said: dict[str, Any] = field(default_factory=dict)
    own: Address = ("", 0)
    isTLS: bool = False

    @property
    def peer(self) -> Address | None:
        """Returns our address, as the service sees it; None where it does not say."""
        return addressOf(self.said.get("peer"))

    def __str__(self) -> str:
        peer = self.peer
        if peer is None:
            return "the service does not say"
        parts = [f"seen as {hostPort(*peer)}"]
        if peer[0] != self.own[0]:
            parts.append(f"ours is {hostPort(*self.own)}: a NAT or a proxy is between")
        elif peer[1] != self.own[1]:
            parts.append(f"our port is {self.own[1]}: a NAT or a proxy is between")
        else:
            parts.append("as we are")
        proxy = addressOf(self.said.get("proxy"))
        if proxy is not None:
            parts.append(f"by word of a proxy at {hostPort(*proxy)}")
        if bool(self.said.get("tls")) != self.isTLS:
            parts.append("TLS ends before the service" if self.isTLS else "TLS begins on the way")
        return ", ".join(parts)

    def data(self) -> Mapping[str, object]:
        """Returns both addresses, and what the service says."""
        peer = self.peer
        return {"peer": hostPort(*peer), "own": hostPort(*self.own), "said": self.said} if peer else {}


def parsed(line: bytes) -> dict[str, Any]:
    """Parses a first line; empty if it is not a whole line with a JSON object."""
    try:
        said = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        said = None
    return said if isinstance(said, dict) else {}


class Peer(Check[FirstLine]):
    """Reads the line that the service sends first, on one connection."""

    name = "peer"
    begin = FirstLine

    def reasonToSkip(self, context: Context) -> str:
        """Skips targets without addresses."""
        return "" if context.target.kind in ("tcp", "tls") else "not over TCP"

    def cost(self, context: Context) -> Cost:
        """Returns the cost of one connection."""
        return Cost(0, 1, LINE_TIMEOUT)

    async def run(self, context: Context, seen: FirstLine) -> None:
        """Connects, and reads the line."""
        async with await context.connect() as link:
            host, port, *_ = link.stream.sock.getsockname()
            seen.own = unmapped(host), port
            seen.isTLS = context.target.kind == "tls"
            seen.said = parsed(await _firstLine(link.stream))


async def _firstLine(stream: Stream) -> bytes:
    line = bytearray()
    while len(line) < LONGEST_LINE and not line.endswith(b"\n"):
        more = await stream.read(LINE_TIMEOUT, LONGEST_LINE)
        if not more:
            break
        line += more
    return bytes(line)
