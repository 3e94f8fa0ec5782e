"""Faults of links and of datagrams, for the paths of :mod:`tests.zoo.plantedthird`."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.zoo.bucket import TokenBucket
from tests.zoo.datagram import Flow
from tests.zoo.packet import ACK, SYN, Link, Passing, Segment


@dataclass(kw_only=True)
class BitErrors(Link):
    """Loses some of the large packets to the service, as a link whose bit errors hit long frames.

    :param loss: the probability.
    :param least: bytes of the smallest packet that may be lost.
    """

    loss: float
    least: int

    def passes(self, packet: bytes, isUp: bool, now: float) -> list[tuple[float, Passing]]:
        if isUp and len(packet) >= self.least and self.chance.random() < self.loss:
            return []
        return super().passes(packet, isUp, now)


@dataclass(kw_only=True)
class OneNarrowLink(Link):
    """Loses the large packets of some flows, both ways, as one link of several with a smaller MTU.

    :param share: the share of the flows, which a hash of their ports decides.
    :param largest: bytes of the largest packet that passes there.
    """

    share: float
    largest: int

    def passes(self, packet: bytes, isUp: bool, now: float) -> list[tuple[float, Passing]]:
        segment = Segment.of(packet)
        isLarge = segment is not None and len(packet) > self.largest
        if segment and isLarge and random.Random(b"".join(segment.flow)).random() < self.share:
            return []
        return super().passes(packet, isUp, now)


@dataclass(kw_only=True)
class SynsPoliced(Link):
    """Loses SYNs above a rate, by a token bucket.

    :param rate: SYNs a second.
    :param burst: SYNs that pass at once.
    """

    rate: float
    burst: float

    def __post_init__(self) -> None:
        self._bucket = TokenBucket(self.rate, self.burst)

    def passes(self, packet: bytes, isUp: bool, now: float) -> list[tuple[float, Passing]]:
        segment = Segment.of(packet)
        if segment and segment.flags & (SYN | ACK) == SYN and isUp:
            if self._bucket.level(now) < 1:
                return []
            self._bucket.tokens -= 1
        return super().passes(packet, isUp, now)


@dataclass(kw_only=True)
class PolicedDown(Link):
    """Loses packets to the client above a rate, by a token bucket without a queue.

    :param rate: bytes a second.
    :param burst: bytes that pass at once.
    """

    rate: float
    burst: float

    def __post_init__(self) -> None:
        self._bucket = TokenBucket(self.rate, self.burst)

    def passes(self, packet: bytes, isUp: bool, now: float) -> list[tuple[float, Passing]]:
        if not isUp:
            if self._bucket.level(now) < len(packet):
                return []
            self._bucket.tokens -= len(packet)
        return super().passes(packet, isUp, now)


@dataclass(kw_only=True, eq=False)
class SomeElsewhere(Flow):
    """Sends some answers from another port, as one of several servers whose answers pass by the NAT.

    :param share: the probability.
    """

    share: float

    def back(self, data: bytes) -> None:
        isHit = self.relay.chance.random() < self.share
        (self.relay.other if isHit else self.relay.front).sendto(data, self.client)


@dataclass(kw_only=True, eq=False)
class BytesPoliced(Flow):
    """Loses datagrams to the service above a rate of bytes, for the whole path.

    :param rate: bytes a second.
    :param burst: bytes that pass at once; the last datagram of a burst may go beyond it.
    """

    rate: float
    burst: float

    def there(self, data: bytes) -> None:
        bucket: TokenBucket = self.relay.shared.setdefault("bucket", TokenBucket(self.rate, self.burst))
        if bucket.level(self.relay.loop.time()) > 0:
            bucket.tokens -= len(data)
            super().there(data)
