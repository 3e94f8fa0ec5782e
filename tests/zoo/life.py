"""Faults of a connection's life and of its admission, as connections of a relay."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.zoo.identity import Cut
from tests.zoo.stream import PIECE, Connection


@dataclass(kw_only=True, eq=False)
class Mortal(Connection):
    """Ends the connection, both ways.

    :param age: seconds from its beginning; 0 is never.
    :param moment: seconds from the relay's first connection to the end of all, again and again; 0 is never.
    :param resets: end by a reset, rather than by FIN.
    """

    age: float = 0.0
    moment: float = 0.0
    resets: bool = False

    async def life(self) -> None:
        wait = self.age
        if self.moment:
            wait = self.moment - (self.loop.time() - (self.relay.began or 0.0)) % self.moment
        await asyncio.sleep(wait)
        if self.resets:
            await self.willReset()


@dataclass(kw_only=True, eq=False)
class Idle(Connection):
    """Ends a connection without a byte in some time.

    :param after: seconds.
    :param how: ``fin``, ``reset``, or ``silent``: nothing passes from then on, and nothing is said.
    """

    after: float
    how: str = "fin"
    isForgotten: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._used = self.loop.time()

    async def there(self, data: bytes) -> None:
        self._used = self.loop.time()
        if not self.isForgotten:
            await super().there(data)

    async def back(self, data: bytes) -> None:
        self._used = self.loop.time()
        await super().back(data)

    async def life(self) -> None:
        while (left := self._used + self.after - self.loop.time()) > 0:
            await asyncio.sleep(left)
        if self.how == "silent":
            self.isForgotten = True
            await super().life()
        if self.how == "reset":
            await self.willReset()


@dataclass(kw_only=True, eq=False)
class Unread(Connection):
    """Resets a connection whose client does not read.

    :param after: seconds in which no byte can be sent to the client.
    """

    after: float

    async def back(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                size = self.client.send(view)
            except BlockingIOError:
                await self._writable()
                continue
            view = view[size:]

    async def _writable(self) -> None:
        can = asyncio.Event()
        self.loop.add_writer(self.client, can.set)
        try:
            await asyncio.wait_for(can.wait(), self.after)
        except TimeoutError:
            raise ConnectionAbortedError from None
        finally:
            self.loop.remove_writer(self.client)


@dataclass(kw_only=True, eq=False)
class Admitted(Cut):
    """Serves only some clients.

    :param cap: the number of connections that may be open together; 0 is any.
    :param rate: the number of connections that may begin in a second; 0 is any.
    :param first: the number of first connections that are not served.
    :param how: ``reset``, ``fin`` or ``silent``, for a client that is not served.
    """

    size: int = 1 << 62
    ending: str = "end"
    cap: int = 0
    rate: int = 0
    first: int = 0
    how: str = "reset"

    async def admit(self) -> bool:
        served: list[float] = self.relay.shared.setdefault("served", [])
        now = self.loop.time()
        started = sum(now - each < 1.0 for each in served)
        others = sum(getattr(each, "isServed", False) for each in self.relay.open)
        if (
            (self.cap and others >= self.cap)
            or (self.rate and started >= self.rate)
            or self.number < self.first
        ):
            await self._refuse()
            return False
        served.append(now)
        self.isServed = True
        return True

    async def _refuse(self) -> None:
        if self.how == "reset":
            self.resetNow()
            return
        if self.how == "fin":
            self.client.shutdown(socket.SHUT_WR)
        await self.untilGone()


@dataclass(kw_only=True, eq=False)
class Answering(Connection):
    """Is no echo: the service is not asked.

    :param answer: the answer to the first bytes; empty is silence.
    """

    answer: bytes = b""

    async def admit(self) -> bool:
        isFirst = True
        while await self.loop.sock_recv(self.client, PIECE):
            if isFirst and self.answer:
                await self.loop.sock_sendall(self.client, self.answer)
                return False
            isFirst = False
        return False


@dataclass(kw_only=True, eq=False)
class Greedy(Connection):
    """Reads all that comes, without back-pressure, and keeps it until it can be passed on."""

    async def carry(
        self,
        source: socket.socket,
        passOn: Callable[[bytes], Awaitable[None]],
        ended: Callable[[], Awaitable[None]],
    ) -> None:
        kept: asyncio.Queue[bytes] = asyncio.Queue()

        async def read() -> None:
            try:
                while data := await self.loop.sock_recv(source, PIECE):
                    kept.put_nowait(data)
            finally:
                kept.put_nowait(b"")

        reading = asyncio.ensure_future(read())
        try:
            while data := await kept.get():
                await passOn(data)
            await ended()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
