"""Faults of time, as connections of a relay."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.zoo.bucket import TokenBucket
from tests.zoo.stream import Connection

# Bytes of a send buffer of the kernel, so that a limited rate is felt, and not the buffer before it.
SMALL_BUFFER = 1 << 14


@dataclass(kw_only=True, eq=False)
class Nagle(Connection):
    """Sends each answer in two writes, with Nagle's algorithm: the second waits for an acknowledgement."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)

    async def back(self, data: bytes) -> None:
        await super().back(data[: len(data) // 2])
        await super().back(data[len(data) // 2 :])


@dataclass(kw_only=True, eq=False)
class Flushed(Connection):
    """Collects the answer in a buffer, which is passed on when it is full, or by a timer.

    :param size: bytes of the buffer.
    :param interval: seconds of the timer, which starts with the buffer's first byte.
    """

    size: int
    interval: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._buffer = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._isDue = asyncio.Event()
        self._writing = asyncio.Lock()

    async def back(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= self.size:
            await self.flush()
        elif self._timer is None:
            self._timer = self.loop.call_later(self.interval, self._isDue.set)

    async def backEnded(self) -> None:
        await self.flush()
        await super().backEnded()

    async def life(self) -> None:
        while True:
            await self._isDue.wait()
            await self.flush()

    async def flush(self) -> None:
        """Passes the buffer on."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._isDue.clear()
        async with self._writing:
            data, self._buffer = bytes(self._buffer), bytearray()
            await super().back(data)


@dataclass(kw_only=True, eq=False)
class FirstSlow(Connection):
    """Delays the first bytes of a connection.

    :param wait: seconds of the delay.
    :param asleep: seconds without traffic on the path, from which on a connection has the delay; 0 is always.
    """

    wait: float
    asleep: float = 0.0
    _isFirst: bool = True

    async def there(self, data: bytes) -> None:
        now, used = self.loop.time(), self.relay.shared.get("used", 0.0)
        if self._isFirst and now - used >= self.asleep:
            await asyncio.sleep(self.wait)
        self._isFirst = False
        self.relay.shared["used"] = self.loop.time()
        await super().there(data)


@dataclass(kw_only=True, eq=False)
class Slow(Connection):
    """Delays each piece of the answer; pieces stay in order, and do not wait for each other.

    :param wait: seconds of the delay.
    :param jitter: the largest deviation, both ways.
    :param each: one of so many connections is slow.
    """

    wait: float
    jitter: float = 0.0
    each: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        # Pieces on their way; the bound keeps the back-pressure.
        self._onTheWay: asyncio.Queue[tuple[float, bytes | None]] = asyncio.Queue(64)
        self._delivered = asyncio.Event()

    async def back(self, data: bytes | None) -> None:
        isSlow = self.number % self.each == self.each - 1
        wait = self.wait + self.relay.chance.uniform(-self.jitter, self.jitter) if isSlow else 0.0
        await self._onTheWay.put((self.loop.time() + wait, data))

    async def backEnded(self) -> None:
        await self.back(None)
        await self._delivered.wait()
        await super().backEnded()

    async def life(self) -> None:
        data: bytes | None = b""
        while data is not None:
            await super().back(data)
            due, data = await self._onTheWay.get()
            await asyncio.sleep(due - self.loop.time())
        self._delivered.set()
        await super().life()


@dataclass(kw_only=True, eq=False)
class Stalled(Connection):
    """Passes nothing for some seconds, at moments of the relay's clock.

    :param first: seconds from the relay's first connection to the first stall.
    :param every: seconds from one stall to the next.
    :param lasts: seconds of a stall.
    """

    first: float
    every: float
    lasts: float

    async def back(self, data: bytes) -> None:
        began = self.relay.began or 0.0
        into = (self.loop.time() - began - self.first) % self.every
        if self.loop.time() - began >= self.first and into < self.lasts:
            await asyncio.sleep(self.lasts - into)
        await super().back(data)


@dataclass(kw_only=True, eq=False)
class Paused(Connection):
    """Pauses once in an answer.

    :param after: bytes of the answer that pass before.
    :param lasts: seconds of the pause.
    """

    after: int
    lasts: float
    _passed: int = 0

    async def back(self, data: bytes) -> None:
        before = self._passed
        self._passed += len(data)
        if before <= self.after < self._passed:
            await asyncio.sleep(self.lasts)
        await super().back(data)


@dataclass(kw_only=True, eq=False)
class Limited(Connection):
    """Limits the rate of one direction by a token bucket.

    :param rate: bytes a second.
    :param isUp: the direction to the service is limited, rather than that to the client.
    :param burst: bytes that pass at once, on each connection.
    """

    rate: float
    isUp: bool
    # A late timer is made up for.
    burst: float = 32_768.0

    def __post_init__(self) -> None:
        super().__post_init__()
        option = socket.SO_RCVBUF if self.isUp else socket.SO_SNDBUF
        self.client.setsockopt(socket.SOL_SOCKET, option, SMALL_BUFFER)
        self._bucket = TokenBucket(self.rate, self.burst)

    async def there(self, data: bytes) -> None:
        if self.isUp:
            await self._paced(data, super().there)
        else:
            await super().there(data)

    async def back(self, data: bytes) -> None:
        if self.isUp:
            await super().back(data)
        else:
            await self._paced(data, super().back)

    async def _paced(self, data: bytes, passOn: Callable[[bytes], Awaitable[None]]) -> None:
        piece = max(1, int(self.rate / 100))
        for start in range(0, len(data), piece):
            part = data[start : start + piece]
            if wait := self._bucket.owe(len(part), self.loop.time()):
                await asyncio.sleep(wait)
            await passOn(part)
