"""Faults of TCP relays, for the paths of :mod:`tests.zoo.planted`."""

from __future__ import annotations

import asyncio
import random
import socket
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from tests.zoo.bucket import TokenBucket
from tests.zoo.stream import Connection


@dataclass(kw_only=True, eq=False)
class Some(Connection):
    """Has its fault on a share of the connections.

    :param share: the share, which a hash of the connection's number decides.
    """

    share: float = 1.0

    @property
    def isHit(self) -> bool:
        """Says whether this connection has the fault."""
        return random.Random(self.number).random() < self.share


@dataclass(kw_only=True, eq=False)
class FlowControlled(Connection):
    """Takes XON and XOFF out of the answers, as a serial device server does."""

    async def back(self, data: bytes) -> None:
        await super().back(data.translate(None, b"\x11\x13"))


@dataclass(kw_only=True, eq=False)
class BadMemory(Some):
    """Flips a bit of one byte of the answer.

    :param offset: the byte's offset in the answer.
    """

    offset: int
    _passed: int = 0

    async def back(self, data: bytes) -> None:
        at = self.offset - self._passed
        self._passed += len(data)
        if self.isHit and 0 <= at < len(data):
            data = data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]
        await super().back(data)


@dataclass(kw_only=True, eq=False)
class TailLost(Some):
    """Loses bytes that wait when the service ends, if the client has ended before.

    :param size: the number of bytes that wait.
    """

    size: int
    _held: bytes = b""
    _hasEnded: bool = False

    async def thereEnded(self) -> None:
        self._hasEnded = True
        await super().thereEnded()

    async def back(self, data: bytes) -> None:
        data, self._held = self._held + data, b""
        if self.isHit and self._hasEnded:
            data, self._held = data[: -self.size], data[-self.size :]
        await super().back(data)


@dataclass(kw_only=True, eq=False)
class ResetAfterEnd(Some):
    """Ends by a reset when all bytes have been delivered."""

    async def backEnded(self) -> None:
        await (self.willReset() if self.isHit else super().backEnded())


@dataclass(kw_only=True, eq=False)
class Banning(Connection):
    """Resets all new connections for some seconds, after too many in one second.

    :param most: connections a second.
    :param lasts: seconds of the ban.
    """

    most: int
    lasts: float

    async def admit(self) -> bool:
        now, shared = self.loop.time(), self.relay.shared
        recent = shared.setdefault("recent", deque(maxlen=self.most))
        if len(recent) == self.most and now - recent[0] < 1.0:
            shared["until"] = now + self.lasts
            recent.clear()
        recent.append(now)
        if now < shared.get("until", 0.0):
            self.resetNow()
            return False
        return True


@dataclass(kw_only=True, eq=False)
class FailingOver(Some):
    """Tries a dead server first.

    :param wait: seconds until the next server is tried.
    """

    wait: float

    async def dial(self) -> socket.socket:
        await asyncio.sleep(self.wait * self.isHit)
        return await super().dial()


@dataclass(kw_only=True, eq=False)
class Boosted(Connection):
    """Shapes the answers of all connections by one token bucket.

    :param burst: bytes that pass at once.
    :param rate: bytes a second.
    """

    burst: int
    rate: float

    async def back(self, data: bytes) -> None:
        for begin in range(0, len(data), 1 << 14):
            piece = data[begin : begin + (1 << 14)]
            bucket: TokenBucket = self.relay.shared.setdefault("bucket", TokenBucket(self.rate, self.burst))
            await asyncio.sleep(bucket.owe(len(piece), self.loop.time()))
            await super().back(piece)


@dataclass(kw_only=True, eq=False)
class PowerSaving(Connection):
    """Delivers an answer with the next beacon, after a time without one.

    :param after: seconds until the receiver sleeps.
    :param beacon: seconds between two beacons.
    """

    after: float = 0.15
    beacon: float = 0.1024
    _last: float = 0.0

    async def back(self, data: bytes) -> None:
        now = self.loop.time()
        if now - self._last > self.after:
            await asyncio.sleep(self.beacon - now % self.beacon)
        self._last = self.loop.time()
        await super().back(data)


@dataclass(kw_only=True, eq=False)
class EarlyLost(Some):
    """Loses the bytes that come before the connection to the service is there.

    :param takes: seconds of the connect.
    """

    takes: float

    async def dial(self) -> socket.socket:
        if self.isHit:
            await asyncio.sleep(self.takes)
            with suppress(BlockingIOError):
                self.client.recv(1 << 20)
        return await super().dial()


@dataclass(kw_only=True, eq=False)
class LeftOver(Some):
    """Begins an answer with the last bytes of another connection's answer, as a pool that is not drained."""

    _isFirst: bool = True

    async def back(self, data: bytes) -> None:
        before = self.relay.shared.get("last", b"") if self.isHit and self._isFirst else b""
        self._isFirst = False
        self.relay.shared["last"] = data[-40:]
        await super().back(before + data)


@dataclass(kw_only=True, eq=False)
class Queueing(Connection):
    """Accepts any number of connections, and serves some at a time.

    :param most: connections at a time.
    """

    most: int

    async def run(self) -> None:
        async with self.relay.shared.setdefault("free", asyncio.Semaphore(self.most)):
            await super().run()


@dataclass(kw_only=True, eq=False)
class StateLost(Connection):
    """Passes nothing any more on the connections that are open at one moment.

    :param moment: seconds after the first connection.
    """

    moment: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._opened = self.loop.time()

    async def _pass(self) -> None:
        if self._opened < (self.relay.began or 0.0) + self.moment <= self.loop.time():
            await self.loop.create_future()

    async def there(self, data: bytes) -> None:
        await self._pass()
        await super().there(data)

    async def back(self, data: bytes) -> None:
        await self._pass()
        await super().back(data)

    async def thereEnded(self) -> None:
        await self._pass()
        await super().thereEnded()
