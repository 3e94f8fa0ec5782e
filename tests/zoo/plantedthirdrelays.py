"""Faults of TCP relays, for the paths of :mod:`tests.zoo.plantedthird`."""

from __future__ import annotations

import asyncio
import random
import socket
from dataclasses import dataclass

from tests.zoo.life import Idle
from tests.zoo.pace import Flushed
from tests.zoo.plantedfaults import Some
from tests.zoo.stream import Connection

# What a service says to a client that is one too many, and to one that was idle.
BUSY = b"421 Too many connections, try again later.\r\n"
BYE = b"421 Idle for too long, closing.\r\n"


@dataclass(kw_only=True, eq=False)
class WrittenAgain(Connection):
    """Writes a piece again from its first byte, when the kernel has taken only a part of it.

    :param buffer: bytes of the kernel's send buffer.
    """

    buffer: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.buffer)

    async def back(self, data: bytes) -> None:
        try:
            sent = self.client.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            await super().back(data)


@dataclass(kw_only=True, eq=False)
class CrossedInBursts(Connection):
    """Sends each other's answers to two clients that connected at nearly the same moment.

    :param within: seconds between the two, at most.
    :param share: the share of such pairs.
    """

    within: float
    share: float
    partner: CrossedInBursts | None = None
    isLive: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.began = self.loop.time()
        last: CrossedInBursts | None = self.relay.shared.get("last")
        isPair = last and last.isLive and not last.partner and self.began - last.began < self.within
        if last and isPair and random.Random(self.number).random() < self.share:
            last.partner, self.partner = self, last
        self.relay.shared["last"] = self

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            self.isLive = False

    async def back(self, data: bytes) -> None:
        isCrossed = self.partner and self.partner.isLive and self.isLive
        sock = self.partner.client if self.partner and isCrossed else self.client
        await self.loop.sock_sendall(sock, data)

    async def backEnded(self) -> None:
        self.isLive = False
        await super().backEnded()


@dataclass(kw_only=True, eq=False)
class Busy(Connection):
    """Tells a client that there are too many connections, and ends its connection.

    :param most: connections that are served together.
    """

    most: int
    isServed: bool = False

    async def admit(self) -> bool:
        if sum(isinstance(each, Busy) and each.isServed for each in self.relay.open) < self.most:
            self.isServed = True
            return True
        await self.loop.sock_sendall(self.client, BUSY)
        self.client.shutdown(socket.SHUT_WR)
        await self.untilGone()
        return False


@dataclass(kw_only=True, eq=False)
class Flapping(Connection):
    """Resets new connections for some time, again and again; the open ones live on.

    :param every: seconds from one such time to the next.
    :param lasts: seconds of such a time, at the end of each period.
    """

    every: float
    lasts: float

    async def admit(self) -> bool:
        into = (self.loop.time() - (self.relay.began or 0.0)) % self.every
        if into < self.every - self.lasts:
            return True
        self.resetNow()
        return False


@dataclass(kw_only=True, eq=False)
class LineBuffered(Flushed):
    """Passes on whole lines; bytes without a newline behind them wait for the timer."""

    async def back(self, data: bytes) -> None:
        lines, newline, rest = data.rpartition(b"\n")
        if newline:
            self._buffer += lines + newline
            await self.flush()
        if rest:
            await super().back(rest)


@dataclass(kw_only=True, eq=False)
class Counted(Connection):
    """Ends a connection behind the answer to its last allowed request.

    A request is a small piece of the client that comes when all earlier bytes are answered.

    :param most: requests of a connection.
    :param largest: bytes of the largest request.
    """

    most: int
    largest: int
    _count: int = 0
    _open: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._isDone = asyncio.Event()

    async def there(self, data: bytes) -> None:
        self._count += not self._open and len(data) <= self.largest
        self._open += len(data)
        await super().there(data)

    async def back(self, data: bytes) -> None:
        await super().back(data)
        self._open -= len(data)
        if not self._open and self._count >= self.most:
            self._isDone.set()

    async def life(self) -> None:
        await self._isDone.wait()


@dataclass(kw_only=True, eq=False)
class SaysBye(Idle):
    """Says why, when it ends an idle connection."""

    async def life(self) -> None:
        await super().life()
        await self.loop.sock_sendall(self.client, BYE)


@dataclass(kw_only=True, eq=False)
class SomeSilent(Some):
    """Delivers nothing behind a number of bytes, and no end.

    :param after: bytes of the answer that pass.
    """

    after: int
    _passed: int = 0

    async def back(self, data: bytes) -> None:
        before, self._passed = self._passed, self._passed + len(data)
        if self.isHit and self._passed > self.after:
            await super().back(data[: self.after - before])
            await self.loop.create_future()
        await super().back(data)


@dataclass(kw_only=True, eq=False)
class NeverEnding(Some):
    """Delivers the whole answer, and not the end of it."""

    async def backEnded(self) -> None:
        if self.isHit:
            await self.loop.create_future()
        await super().backEnded()


@dataclass(kw_only=True, eq=False)
class ResetAtHello(Some):
    """Resets a connection in place of the client's first bytes."""

    async def there(self, data: bytes) -> None:
        if self.isHit:
            raise ConnectionResetError
        await super().there(data)


@dataclass(kw_only=True, eq=False)
class OutputLimited(Connection):
    """Takes all that the service sends, and resets a client for which too much waits for some time.

    :param most: bytes that may wait.
    :param patience: seconds for which more may wait.
    """

    most: int
    patience: float

    def __post_init__(self) -> None:
        super().__post_init__()
        # Otherwise, the kernel's buffer grows to some MiB, and is the one that counts.
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 15)
        self._kept: asyncio.Queue[bytes] = asyncio.Queue()
        self._held, self._fine = 0, self.loop.time()

    async def back(self, data: bytes) -> None:
        if self._held <= self.most:
            self._fine = self.loop.time()
        self._held += len(data)
        self._kept.put_nowait(data)

    async def backEnded(self) -> None:
        await self._kept.join()
        await super().backEnded()

    async def life(self) -> None:
        sending = asyncio.ensure_future(self._send())
        try:
            while not sending.done():
                await asyncio.wait({sending}, timeout=0.02)
                if self._held <= self.most:
                    self._fine = self.loop.time()
                elif self.loop.time() - self._fine > self.patience:
                    raise ConnectionAbortedError
            sending.result()
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send(self) -> None:
        while True:
            data = await self._kept.get()
            await super().back(data)
            self._held -= len(data)
            self._kept.task_done()
