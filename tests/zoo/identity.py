"""Faults of bytes and of ends, as connections of a relay."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support.crooked import Edit
from tests.zoo.stream import Connection


@dataclass(kw_only=True, eq=False)
class Edited(Connection):
    """Edits some bytes of the answer; they wait until all of them have come.

    :param edit: the edit.
    :param each: one of so many connections has the edit, the last of each run.
    """

    edit: Edit
    each: int = 1
    _before: int = 0
    _held: bytes = b""
    _isDone: bool = False

    async def back(self, data: bytes) -> None:
        if self._isDone or self.number % self.each != self.each - 1:
            await super().back(data)
            return
        data = self._held + data
        start, end = self.edit.offset - self._before, self.edit.offset + self.edit.size - self._before
        # Inserted bytes come with the byte after them.
        if len(data) > end:
            self._held, self._isDone = b"", True
            data = Edit(start, self.edit.size, self.edit.make).apply(data)
        else:
            data, self._held = data[: max(0, start)], data[max(0, start) :]
            self._before += len(data)
        await super().back(data)

    async def backEnded(self) -> None:
        await super().back(self._held)
        await super().backEnded()


@dataclass(kw_only=True, eq=False)
class Translated(Connection):
    """Translates each piece of the answer, such as its newlines."""

    translate: Callable[[bytes], bytes]

    async def back(self, data: bytes) -> None:
        await super().back(self.translate(data))


def crlf(data: bytes) -> bytes:
    """Writes each newline as CR LF."""
    return data.replace(b"\n", b"\r\n")


def sevenBits(data: bytes) -> bytes:
    """Clears the highest bit of each byte."""
    return bytes(byte & 0x7F for byte in data)


@dataclass(kw_only=True, eq=False)
class Mixed(Connection):
    """Sends the answers of two connections that are open together to the wrong client of the two."""

    isSending: bool = True

    async def back(self, data: bytes) -> None:
        sock = self.client
        for each in self.relay.open:
            if (
                isinstance(each, Mixed)
                and each.number == self.number ^ 1
                and each.isSending
                and self.isSending
            ):
                sock = each.client
        await self.loop.sock_sendall(sock, data)

    async def thereEnded(self) -> None:
        self.isSending = False
        await super().thereEnded()


# Bytes of an earlier connection that the relay keeps.
STALE = 100

# The offset in an answer at which they are inserted.
STALE_AT = 20_000


@dataclass(kw_only=True, eq=False)
class Stale(Edited):
    """Inserts the first bytes of an earlier connection's answer, as from a buffer that is used again."""

    edit: Edit = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        kept, self._first = self.relay.shared.get("stale", b""), b""
        self.edit = Edit(STALE_AT, 0, lambda _: kept)

    async def back(self, data: bytes) -> None:
        if len(self._first) < STALE:
            self._first = (self._first + data)[:STALE]
        await super().back(data)

    async def backEnded(self) -> None:
        self.relay.shared["stale"] = self._first
        await super().backEnded()


@dataclass(kw_only=True, eq=False)
class Cut(Connection):
    """Drops the answer behind a number of bytes.

    :param size: the bytes that pass.
    :param ending: ``fin`` and ``reset`` end the connection there; ``end`` swallows the rest.
    """

    size: int
    ending: str
    _passed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._full = asyncio.Event()

    async def back(self, data: bytes) -> None:
        data = data[: self.size - self._passed]
        self._passed += len(data)
        await super().back(data)
        if self._passed == self.size:
            self._full.set()

    async def backEnded(self) -> None:
        if self.ending == "end" or not self._full.is_set():
            await super().backEnded()
        else:
            await self.loop.create_future()

    async def life(self) -> None:
        await self._full.wait()
        if self.ending == "end":
            await super().life()
        if self.ending == "reset":
            await self.willReset()
            return
        self.client.shutdown(socket.SHUT_WR)
        # As a server's close: the kernel answers later bytes by a reset. The client may read before that.
        await asyncio.sleep(1.0)


@dataclass(kw_only=True, eq=False)
class Ending(Connection):
    """Treats an end of the stream wrongly.

    :param late: seconds that the service's end waits.
    :param closes: the client's end closes the connection at once.
    :param ignores: the client's end is not passed on.
    :param resets: the service's end becomes a reset.
    :param destroys: the service's end is passed on, and at once followed by a reset.
    """

    late: float = 0.0
    closes: bool = False
    ignores: bool = False
    resets: bool = False
    destroys: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._closed = asyncio.Event()

    async def thereEnded(self) -> None:
        if self.closes:
            self._closed.set()
        elif not self.ignores:
            await super().thereEnded()

    async def backEnded(self) -> None:
        await asyncio.sleep(self.late)
        if not self.resets:
            await super().backEnded()
        if self.resets:
            await self.willReset()
        if self.destroys:
            self.resetNow()
        if self.resets or self.destroys:
            self._closed.set()

    async def life(self) -> None:
        await self._closed.wait()
