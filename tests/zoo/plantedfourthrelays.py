"""Faults of TCP relays, for the paths of :mod:`tests.zoo.plantedfourth`."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from dataclasses import dataclass

from tests.zoo.bucket import TokenBucket
from tests.zoo.life import Mortal
from tests.zoo.plantedfaults import Some
from tests.zoo.stream import Connection


def repaired(data: bytes) -> bytes:
    """Replaces what is no UTF-8 by U+FFFD, as a proxy that takes each piece for text."""
    return data.decode("utf-8", "replace").encode()


@dataclass(kw_only=True, eq=False)
class PiecesCrossed(Connection):
    """Delivers some pieces of an answer to another connection that had one at nearly the same moment.

    :param within: seconds between the two pieces, at most.
    :param share: the probability.
    """

    within: float
    share: float
    isEnded: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        # Two writers of one socket would lose each other's wake-up.
        self.writing = asyncio.Lock()

    async def back(self, data: bytes) -> None:
        now, shared = self.loop.time(), self.relay.shared
        other, moment = shared.get("last", (self, 0.0))
        shared["last"] = (self, now)
        isOpen = other in self.relay.open and not other.isEnded
        isNear = other is not self and isOpen and now - moment < self.within
        if not isNear or self.relay.chance.random() >= self.share:
            await self.deliver(data)
            return
        # The other client may go meanwhile.
        with suppress(OSError):
            await other.deliver(data)

    async def deliver(self, data: bytes) -> None:
        """Sends bytes to the client of this connection."""
        async with self.writing:
            await super().back(data)

    async def backEnded(self) -> None:
        async with self.writing:
            self.isEnded = True
            await super().backEnded()


@dataclass(kw_only=True, eq=False)
class DeadServer(Some):
    """Resets a connection, when the time for the connect to a dead server is over.

    :param wait: seconds of that time.
    """

    wait: float

    async def admit(self) -> bool:
        if self.isHit:
            await asyncio.sleep(self.wait)
            self.resetNow()
        return not self.isHit


@dataclass(kw_only=True, eq=False)
class Polling(Connection):
    """Delivers what has come of the answer at the ticks of a clock, as a service that polls.

    :param interval: seconds from one tick to the next.
    """

    interval: float

    def __post_init__(self) -> None:
        super().__post_init__()
        # Pieces that wait for the tick; the bound keeps the back-pressure.
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue(64)
        self._delivered = asyncio.Event()

    async def back(self, data: bytes) -> None:
        await self._waiting.put(data)

    async def backEnded(self) -> None:
        await self._waiting.put(None)
        await self._delivered.wait()
        await super().backEnded()

    async def life(self) -> None:
        while not self._delivered.is_set():
            await asyncio.sleep(self.interval - self.loop.time() % self.interval)
            for _ in range(self._waiting.qsize()):
                data = self._waiting.get_nowait()
                if data is None:
                    self._delivered.set()
                else:
                    await super().back(data)
        await super().life()


@dataclass(kw_only=True, eq=False)
class SentAgain(Connection):
    """Delays some pieces of the answer by one time, as a loss between a proxy and its server does.

    :param share: the probability for a piece.
    :param wait: seconds until the server's kernel sends it again.
    """

    share: float
    wait: float

    async def back(self, data: bytes) -> None:
        if self.relay.chance.random() < self.share:
            await asyncio.sleep(self.wait)
        await super().back(data)


@dataclass(kw_only=True, eq=False)
class SpreadAge(Mortal):
    """Ends a connection at an age that is chosen for each one, so that not all come back at once.

    :param least: seconds of the smallest age.
    :param most: seconds of the largest one.
    """

    least: float
    most: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self.age = self.relay.chance.uniform(self.least, self.most)


@dataclass(kw_only=True, eq=False)
class Recycled(Connection):
    """Resets the connections of one of several workers, in turns.

    :param workers: the number of workers; connections go to them in turns.
    :param every: seconds from one worker's restart to the next one's.
    """

    workers: int
    every: float

    async def life(self) -> None:
        first = (self.number % self.workers + 1) * self.every
        since = self.loop.time() - (self.relay.began or 0.0)
        await asyncio.sleep((first - since) % (self.workers * self.every))
        await self.willReset()


@dataclass(kw_only=True, eq=False)
class SharedUplink(Connection):
    """Passes on what all clients send together at a rate.

    :param rate: bytes a second.
    :param burst: bytes that pass at once; it makes up for a late timer.
    """

    rate: float
    burst: float = 65_536.0

    def __post_init__(self) -> None:
        super().__post_init__()
        # Otherwise, some MiB wait in the kernel, and the rate is felt late.
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)

    async def there(self, data: bytes) -> None:
        size = int(self.rate / 100)
        bucket: TokenBucket = self.relay.shared.setdefault("bucket", TokenBucket(self.rate, self.burst))
        for start in range(0, len(data), size):
            part = data[start : start + size]
            await asyncio.sleep(bucket.owe(len(part), self.loop.time()))
            await super().there(part)


@dataclass(kw_only=True, eq=False)
class ClosesSoon(Connection):
    """Closes a connection some time after the client's end, whatever has come by then.

    :param after: seconds.
    """

    after: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._hasEnded = asyncio.Event()

    async def thereEnded(self) -> None:
        await super().thereEnded()
        self._hasEnded.set()

    async def life(self) -> None:
        await self._hasEnded.wait()
        await asyncio.sleep(self.after)


@dataclass(kw_only=True, eq=False)
class Hanging(Some):
    """Takes the client's first bytes, and never answers."""

    async def there(self, data: bytes) -> None:
        if self.isHit:
            await self.loop.create_future()
        await super().there(data)
