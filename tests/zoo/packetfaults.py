"""Faults of packets."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.zoo.packet import ACK, SYN, Link, Passing, Segment, resetAlong, resetFor


@dataclass(kw_only=True)
class Lossy(Link):
    """Loses packets.

    :param up: the probability for a packet to the service.
    :param down: the probability for a packet to the client.
    :param onlyAcknowledgements: packets with data, or with a SYN or FIN, pass.
    """

    up: float = 0.0
    down: float = 0.0
    onlyAcknowledgements: bool = False

    def passes(self, packet: bytes, isUp: bool, now: float) -> list[tuple[float, Passing]]:
        segment = Segment.of(packet)
        isExempt = self.onlyAcknowledgements and not (segment and segment.flags == ACK and not segment.size)
        if not isExempt and self.chance.random() < (self.up if isUp else self.down):
            return []
        return super().passes(packet, isUp, now)


@dataclass(kw_only=True)
class LosesSyn(Link):
    """Loses the first SYN of each second connection."""

    known: set[tuple[bytes, bytes]] = field(default_factory=set)

    def passes(self, packet: bytes, isUp: bool, now: float) -> list[tuple[float, Passing]]:
        segment = Segment.of(packet)
        if segment and segment.flags & SYN and isUp and segment.flow not in self.known:
            self.known.add(segment.flow)
            if len(self.known) % 2 == 0:
                return []
        return super().passes(packet, isUp, now)


@dataclass(kw_only=True)
class Reordering(Link):
    """Delays some packets, behind later ones.

    :param share: the probability.
    :param late: seconds.
    """

    share: float
    late: float

    def passes(self, packet: bytes, isUp: bool, now: float) -> list[tuple[float, Passing]]:
        late = self.late if self.chance.random() < self.share else 0.0
        return super().passes(packet, isUp, now + late)


@dataclass(kw_only=True)
class BlackHole(Link):
    """Drops large packets of one direction, without an ICMP message; or all fragments.

    :param largest: bytes of the largest packet that passes.
    :param isUp: the direction is that to the service.
    :param fragments: drop fragments, whatever their size and direction.
    """

    largest: int = 1 << 16
    isUp: bool = True
    fragments: bool = False

    def passes(self, packet: bytes, isUp: bool, now: float) -> list[tuple[float, Passing]]:
        # More fragments, or the offset of one.
        isFragment = packet[0] >> 4 == 4 and int.from_bytes(packet[6:8]) & 0x3FFF
        if (isUp == self.isUp and len(packet) > self.largest) or (self.fragments and isFragment):
            return []
        return super().passes(packet, isUp, now)


@dataclass(kw_only=True)
class Resetting(Link):
    """Resets a connection for both ends behind a number of bytes.

    :param after: bytes to the client.
    """

    after: int
    carried: dict[tuple[bytes, bytes], int] = field(default_factory=dict)

    def passes(self, packet: bytes, isUp: bool, now: float) -> list[tuple[float, Passing]]:
        segment = Segment.of(packet)
        if segment and not isUp:
            carried = self.carried[segment.flow] = self.carried.get(segment.flow, 0) + segment.size
            if segment.size and carried > self.after:
                # In place of the packet; the flow's later packets are answered by the kernels.
                return [(now, (False, resetAlong(packet))), (now, (True, resetFor(packet)))]
        return super().passes(packet, isUp, now)


@dataclass(kw_only=True)
class Forgetful(Link):
    """Forgets a flow that was idle, as a NAT does.

    :param after: seconds without a packet.
    :param resets: answer packets of a forgotten flow by a reset, rather than drop them.
    """

    after: float
    resets: bool = False
    used: dict[tuple[bytes, bytes], float] = field(default_factory=dict)

    def passes(self, packet: bytes, isUp: bool, now: float) -> list[tuple[float, Passing]]:
        segment = Segment.of(packet)
        if segment is None:
            return super().passes(packet, isUp, now)
        if segment.flags & SYN:
            self.used[segment.flow] = now
        used = self.used.get(segment.flow)
        if used is None or now - used > self.after:
            self.used.pop(segment.flow, None)
            return [(now, (not isUp, resetFor(packet)))] if self.resets else []
        self.used[segment.flow] = now
        return super().passes(packet, isUp, now)


@dataclass(kw_only=True)
class Narrow(Link):
    """Has a rate, and a queue before it that drops what does not fit, both ways.

    :param rate: bytes a second.
    :param queue: bytes.
    """

    rate: float
    queue: int
    free: dict[bool, float] = field(default_factory=dict)

    def passes(self, packet: bytes, isUp: bool, now: float) -> list[tuple[float, Passing]]:
        start = max(now, self.free.get(isUp, 0.0))
        if (start - now) * self.rate > self.queue:
            return []
        self.free[isUp] = start + len(packet) / self.rate
        return super().passes(packet, isUp, self.free[isUp])
