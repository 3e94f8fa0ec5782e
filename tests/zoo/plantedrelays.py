"""Faults of TCP relays, for the paths of :mod:`tests.zoo.plantedsecond`."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

from tests.zoo.life import Idle
from tests.zoo.plantedfaults import Some
from tests.zoo.stream import Connection


@dataclass(kw_only=True, eq=False)
class TelnetEscaped(Connection):
    """Doubles each byte 255 of an answer, as a terminal server that speaks Telnet."""

    async def back(self, data: bytes) -> None:
        await super().back(data.replace(b"\xff", b"\xff\xff"))


@dataclass(kw_only=True, eq=False)
class StalePage(Some):
    """Delivers a page of the answer in place of the next one, as a card that did not fill its buffer.

    :param offset: the offset of the page that is lost.
    :param size: bytes of a page.
    """

    offset: int
    size: int
    _passed: int = 0
    _page: bytes = b""

    async def back(self, data: bytes) -> None:
        start, self._passed = self._passed, self._passed + len(data)
        self._page += data[max(0, self.offset - self.size - start) : max(0, self.offset - start)]
        first, end = max(self.offset, start), min(self.offset + self.size, self._passed)
        if self.isHit and first < end:
            stale = self._page[first - self.offset : end - self.offset]
            data = data[: first - start] + stale + data[end - start :]
        await super().back(data)


@dataclass(kw_only=True, eq=False)
class Retried(Some):
    """Sends the first bytes of the client twice, as a proxy that tries again a write that had succeeded."""

    _isFirst: bool = True

    async def there(self, data: bytes) -> None:
        again = data if self.isHit and self._isFirst else b""
        self._isFirst = False
        await super().there(data + again)


@dataclass(kw_only=True, eq=False)
class Overwritten(Some):
    """Delivers bytes of another connection in place of the own ones, as from a buffer that two own.

    :param offset: the offset of the first wrong byte of the answer.
    :param size: the number of wrong bytes.
    """

    offset: int
    size: int
    _passed: int = 0
    _wrong: bytes = b""
    _last: bytes = b""

    async def back(self, data: bytes) -> None:
        start, self._passed = self._passed, self._passed + len(data)
        if self.isHit and start <= self.offset < self._passed:
            self._wrong = self._another()
        self._keep(data)
        first, end = max(self.offset, start), min(self.offset + self.size, self._passed)
        if self._wrong and first < end:
            wrong = self._wrong[first - self.offset : end - self.offset]
            data = data[: first - start] + wrong + data[end - start :]
        await super().back(data)

    def _keep(self, data: bytes) -> None:
        """Keeps the last bytes of the answer for another connection; those of the two latest ones do."""
        self._last = (self._last + data)[-self.size :]
        if len(self._last) == self.size:
            lasts = self.relay.shared.setdefault("lasts", {})
            lasts.pop(self.number, None)
            lasts[self.number] = self._last
            if len(lasts) > 2:
                del lasts[next(iter(lasts))]

    def _another(self) -> bytes:
        """Returns the last bytes of the latest other connection; none if there was none."""
        lasts: dict[int, bytes] = self.relay.shared.get("lasts", {})
        return next((lasts[each] for each in reversed(lasts) if each != self.number), b"")


@dataclass(kw_only=True, eq=False)
class Evicting(Connection):
    """Resets the oldest connection for a new one, when a table is full.

    :param most: connections in the table.
    """

    most: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._evicted = asyncio.Event()

    async def admit(self) -> bool:
        known = [
            each for each in self.relay.open if isinstance(each, Evicting) and not each._evicted.is_set()
        ]
        if len(known) > self.most:
            known[0]._evicted.set()
        return True

    async def life(self) -> None:
        await self._evicted.wait()
        self.resetNow()


@dataclass(kw_only=True, eq=False)
class DeadBackend(Connection):
    """Ends each connection that a dead server should have, without a byte.

    :param each: the number of servers; connections go to them in turns.
    """

    each: int

    async def admit(self) -> bool:
        if self.number % self.each != self.each - 1:
            return True
        self.client.shutdown(socket.SHUT_WR)
        await self.untilGone()
        return False


@dataclass(kw_only=True, eq=False)
class Contended(Connection):
    """Delays answers by the number of open connections.

    :param wait: seconds for each other connection.
    """

    wait: float

    async def back(self, data: bytes) -> None:
        await asyncio.sleep(self.wait * (len(self.relay.open) - 1))
        await super().back(data)


@dataclass(kw_only=True, eq=False)
class SomeIdle(Idle, Some):
    """Ends some of the connections that are idle."""

    async def life(self) -> None:
        await (super().life() if self.isHit else self.loop.create_future())


@dataclass(kw_only=True, eq=False)
class SomeNarrow(Some):
    """Passes the answers of some connections at a rate.

    :param rate: bytes a second.
    """

    rate: float

    async def back(self, data: bytes) -> None:
        size = 1024 if self.isHit else len(data)
        for begin in range(0, len(data), size):
            piece = data[begin : begin + size]
            await asyncio.sleep(len(piece) / self.rate if self.isHit else 0.0)
            await super().back(piece)


@dataclass(kw_only=True, eq=False)
class Swallowing(Connection):
    """Takes the client's bytes behind a number of them, and passes none of them on, nor the end.

    :param after: bytes that pass.
    """

    after: int
    _passed: int = 0

    async def there(self, data: bytes) -> None:
        before, self._passed = self._passed, self._passed + len(data)
        if before < self.after:
            await super().there(data[: self.after - before])

    async def thereEnded(self) -> None:
        if self._passed <= self.after:
            await super().thereEnded()
        else:
            await self.loop.create_future()


@dataclass(kw_only=True, eq=False)
class Deaf(Connection):
    """Delivers nothing of the service any more from an age on; the client's bytes still pass.

    :param age: seconds.
    """

    age: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._until = self.loop.time() + self.age

    async def back(self, data: bytes) -> None:
        if self.loop.time() < self._until:
            await super().back(data)

    async def backEnded(self) -> None:
        if self.loop.time() >= self._until:
            await self.loop.create_future()
        await super().backEnded()


@dataclass(kw_only=True, eq=False)
class LittleFlushed(Connection):
    """Delivers only so many bytes of the answer from the client's end on, and then the end.

    :param most: bytes.
    """

    most: int
    _left: int | None = None

    async def thereEnded(self) -> None:
        self._left = self.most
        await super().thereEnded()

    async def back(self, data: bytes) -> None:
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        await super().back(data)


@dataclass(kw_only=True, eq=False)
class Overflowing(Connection):
    """Loses what a buffer does not hold, when the client has taken nothing from it for some time.

    :param size: bytes of the buffer.
    :param patience: seconds.
    """

    size: int
    patience: float

    def __post_init__(self) -> None:
        super().__post_init__()
        # Otherwise, the kernel's buffer grows to some MiB, and is the one that counts.
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.size // 2)
        self._kept: asyncio.Queue[bytes] = asyncio.Queue()
        self._held, self._hasRoom, self._isStuck = 0, asyncio.Event(), False

    async def back(self, data: bytes) -> None:
        while self._held >= self.size:
            self._hasRoom.clear()
            try:
                await asyncio.wait_for(self._hasRoom.wait(), 0.0 if self._isStuck else self.patience)
            except TimeoutError:
                self._isStuck = True
                return
        self._held += len(data)
        self._kept.put_nowait(data)

    async def backEnded(self) -> None:
        await self._kept.join()
        await super().backEnded()

    async def life(self) -> None:
        while True:
            data = await self._kept.get()
            await super().back(data)
            self._held, self._isStuck = self._held - len(data), False
            self._hasRoom.set()
            self._kept.task_done()
