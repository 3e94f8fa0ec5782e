"""Faults of links and of datagrams, for the paths of :mod:`tests.zoo.plantedsecond`."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field

from tests.zoo.datagram import Flow
from tests.zoo.packet import FIN, SYN, Link, Passing, Segment, checksum

# Kinds of TCP options.
_END, _NOTHING, _WINDOW_SCALE = 0, 1, 3


@dataclass(kw_only=True)
class LossBursts(Link):
    """Loses all packets for some time, again and again.

    :param first: seconds from the first segment to the first loss.
    :param every: seconds from one loss to the next.
    :param lasts: seconds of a loss.
    """

    first: float
    every: float
    lasts: float
    began: float | None = None

    def passes(self, packet: bytes, isUp: bool, now: float) -> list[tuple[float, Passing]]:
        if self.began is None and Segment.of(packet):
            self.began = now
        since = now - self.began - self.first if self.began is not None else -1.0
        if since >= 0 and since % self.every < self.lasts:
            return []
        return super().passes(packet, isUp, now)


@dataclass(kw_only=True)
class Unscaled(Link):
    """Takes the window scale option out of SYNs, so that a window has 64 KiB at most."""

    def passes(self, packet: bytes, isUp: bool, now: float) -> list[tuple[float, Passing]]:
        segment = Segment.of(packet)
        if segment and segment.flags & SYN:
            packet = unscaled(packet)
        return super().passes(packet, isUp, now)


def unscaled(packet: bytes) -> bytes:
    """Returns a SYN without its window scale option, with a right checksum."""
    start = (packet[0] & 15) * 4
    tcp = bytearray(packet[start:])
    at, end = 20, (tcp[12] >> 4) * 4
    while at < end and tcp[at] != _END:
        size = 1 if tcp[at] == _NOTHING else tcp[at + 1]
        if tcp[at] == _WINDOW_SCALE:
            tcp[at : at + size] = bytes([_NOTHING]) * size
        at += size
    tcp[16:18] = bytes(2)
    pseudo = packet[12:20] + struct.pack("!BBH", 0, packet[9], len(tcp))
    tcp[16:18] = checksum(pseudo + tcp + bytes(len(tcp) % 2)).to_bytes(2)
    return packet[:start] + bytes(tcp)


@dataclass(kw_only=True)
class ForgetsAtEnd(Link):
    """Forgets a flow soon after the client's FIN, and loses all later packets of it.

    :param after: seconds.
    """

    after: float
    ended: dict[tuple[bytes, bytes], float] = field(default_factory=dict)

    def passes(self, packet: bytes, isUp: bool, now: float) -> list[tuple[float, Passing]]:
        segment = Segment.of(packet)
        if segment and segment.flags & SYN:
            self.ended.pop(segment.flow, None)
        if segment and segment.flags & FIN and isUp:
            self.ended.setdefault(segment.flow, now)
        if segment and now - self.ended.get(segment.flow, now) > self.after:
            return []
        return super().passes(packet, isUp, now)


@dataclass(kw_only=True, eq=False)
class DeadFlows(Flow):
    """Loses all datagrams of some clients' ports, as one dead link of several that a hash chooses from.

    :param share: the share of the ports.
    """

    share: float

    def there(self, data: bytes) -> None:
        if random.Random(self.client[1]).random() >= self.share:
            super().there(data)


@dataclass(kw_only=True, eq=False)
class Padded(Flow):
    """Delivers small answers with zeros behind them, as a card that keeps the padding of Ethernet's frames.

    :param least: bytes of the smallest answer.
    """

    least: int

    def back(self, data: bytes) -> None:
        super().back(data.ljust(self.least, b"\0"))
