"""Faults of links and of datagrams, for the paths of :mod:`tests.zoo.plantedfourth`."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tests.zoo.datagram import Flow
from tests.zoo.packet import ACK, FIN, RST, SYN, Link, Passing, Segment

_Flow = tuple[bytes, bytes]


@dataclass(kw_only=True)
class FullTable(Link):
    """Loses the SYNs of new flows while a table of flows is full; an entry is free when both ends have ended.

    :param most: flows in the table.
    """

    most: int
    known: dict[_Flow, set[bool]] = field(default_factory=dict)

    def passes(self, packet: bytes, isUp: bool, now: float) -> list[tuple[float, Passing]]:
        segment = Segment.of(packet)
        if segment and segment.flags & (SYN | ACK) == SYN and segment.flow not in self.known:
            if len(self.known) >= self.most:
                return []
            self.known[segment.flow] = set()
        if segment and segment.flow in self.known:
            ended = self.known[segment.flow]
            ended |= {isUp} if segment.flags & FIN else set()
            if segment.flags & RST or len(ended) == 2:
                del self.known[segment.flow]
        return super().passes(packet, isUp, now)


@dataclass(kw_only=True)
class FlowLost(Link):
    """Loses all packets of a flow, both ways, behind a number of bytes, as a card that takes over the flow.

    :param after: bytes to the client.
    """

    after: int
    carried: dict[_Flow, int] = field(default_factory=dict)

    def passes(self, packet: bytes, isUp: bool, now: float) -> list[tuple[float, Passing]]:
        segment = Segment.of(packet)
        if segment is None:
            return super().passes(packet, isUp, now)
        if segment.flags & SYN:
            self.carried[segment.flow] = 0
        carried = self.carried.get(segment.flow, 0)
        if carried > self.after:
            return []
        self.carried[segment.flow] = carried + segment.size * (not isUp)
        return super().passes(packet, isUp, now)


@dataclass(kw_only=True, eq=False)
class LostAfterRest(Flow):
    """Loses the first datagram after some time without one, as a tunnel that must be set up again.

    :param after: seconds.
    """

    after: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._used = self.relay.loop.time()

    def there(self, data: bytes) -> None:
        before, self._used = self._used, self.relay.loop.time()
        if self._used - before <= self.after:
            super().there(data)


@dataclass(kw_only=True, eq=False)
class OneLossyLink(Flow):
    """Loses some datagrams of some clients' ports, as one bad link of several that a hash chooses from.

    :param share: the share of the ports.
    :param loss: the probability, for a datagram of theirs to the service.
    """

    share: float
    loss: float

    def there(self, data: bytes) -> None:
        isHit = random.Random(self.client[1]).random() < self.share
        if not isHit or self.relay.chance.random() >= self.loss:
            super().there(data)
