"""Paths that misbehave between a probe and an honest service, in ways that the test knows.

Both relays run on a thread of their own, so that they serve a test that blocks and one that does not.
What the client gets back is edited on the way from the service, so that an edit's offset is the echo's.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

Address = tuple[str, int]
Ending = Literal["fin", "rst", "silent", "rst when used"]

# Seconds that something takes, and how far that may differ, both ways.
Delay = tuple[float, float]

# Bytes that are read at once, and how many such pieces may be on their way to a client.
PIECE = 1 << 16
UNDER_WAY = 32

# Steps in which a connection's idle time is measured, so that a pause of the machine is one of them.
STEPS = 20

# SO_LINGER with no time: closing is a reset.
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Edit:
    """What becomes of some bytes of each stream; they are held back until all of them are there.

    :param offset: of the first one, in what the service sent.
    :param size: how many; with 0, what `make` returns is put in.
    """

    offset: int
    size: int
    make: Callable[[bytes], bytes]

    def apply(self, data: bytes) -> bytes:
        """Returns what becomes of a stream so far, which reaches to the edit's end."""
        end = self.offset + self.size
        return data[: self.offset] + self.make(data[self.offset : end]) + data[end:]


def flipped(offset: int) -> Edit:
    """One bit of a byte is wrong."""
    return Edit(offset, 1, lambda data: bytes([data[0] ^ 0x10]))


def dropped(offset: int, size: int = 1) -> Edit:
    """Some bytes are lost."""
    return Edit(offset, size, lambda data: b"")


def duplicated(offset: int, size: int = 1) -> Edit:
    """Some bytes come twice."""
    return Edit(offset, size, lambda data: data + data)


def swapped(offset: int, size: int = 1) -> Edit:
    """Some bytes come after as many that follow them."""
    return Edit(offset, 2 * size, lambda data: data[size:] + data[:size])


def injected(offset: int, data: bytes) -> Edit:
    """Bytes that nobody sent come before the one at the offset."""
    return Edit(offset, 0, lambda _: data)


@dataclass(frozen=True, slots=True)
class StreamVices:
    """How a relay of streams misbehaves; by default not at all.

    :param edit: what becomes of what the service sends.
    :param swallow: everything is read, and nothing is passed on.
    :param idle: seconds without a byte after which a connection is dropped; None is never.
    :param ending: how: an end both ways, a reset, nothing at all from then on, or nothing until the client
        sends something, which is answered by a reset.
    :param endAtHalfClose: a client's end is answered with an end at once.
    :param delay: seconds that each piece takes from the service to the client, and how far they may differ.
    """

    edit: Edit | None = None
    swallow: bool = False
    idle: float | None = None
    ending: Ending = "fin"
    endAtHalfClose: bool = False
    delay: Delay = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class DatagramVices:
    """How a relay of datagrams misbehaves; by default not at all.

    :param loss: probability that an answer is lost.
    :param twice: probability that it comes twice.
    :param delay: seconds that it takes, and how far they may differ: what differs overtakes.
    :param truncate: bytes after which an answer is cut off; None is none.
    :param largest: bytes of the largest datagram that passes; None is any.
    :param losePort: of each run of so many source ports, one gets no answers; None is none.
    """

    loss: float = 0.0
    twice: float = 0.0
    delay: Delay = (0.0, 0.0)
    truncate: int | None = None
    largest: int | None = None
    losePort: int | None = None


class Relay:
    """What listens on 127.0.0.1, on a thread, until :meth:`stop`.

    :param target: where the honest service listens.
    :ivar address: where the relay listens.
    """

    address: Address

    def __init__(self, target: Address) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._chance = random.Random(8862)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> Any:
        """Starts it; returns itself when it listens."""
        self._thread.start()
        self._ready.wait()
        return self

    def stop(self) -> None:
        """Stops it; connections through it end."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main())
        self._loop.close()

    async def _main(self) -> None:
        self._stopping = asyncio.Event()
        close = await self._open()
        self._ready.set()
        await self._stopping.wait()
        close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _open(self) -> Callable[[], None]:
        """Begins to listen; returns what ends that."""
        raise NotImplementedError

    def _takes(self, delay: Delay) -> float:
        """Returns how long something takes."""
        mean, width = delay
        return mean + self._chance.uniform(-width, width)


class StreamRelay(Relay):
    """Relays TCP connections.

    :ivar connections: how many there were.
    """

    def __init__(self, target: Address, vices: StreamVices = StreamVices()) -> None:
        super().__init__(target)
        self._vices = vices
        # asyncio itself would let go of those that nothing wakes.
        self._serving: set[asyncio.Task[Any] | None] = set()
        self.connections = 0

    async def _open(self) -> Callable[[], None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.address = server.sockets[0].getsockname()[:2]
        return server.close

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        self._serving.add(task)
        # A connection is gone; or stop() cancels this, and a task that ends so would be told of.
        with suppress(OSError, asyncio.CancelledError):
            onward = await asyncio.open_connection(*self._target)
            try:
                await Stream(self._vices, self._takes, (reader, writer), onward).run()
            finally:
                onward[1].close()
        writer.close()
        self._serving.discard(task)


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Stream:
    """One connection, and the one to the service."""

    def __init__(
        self, vices: StreamVices, takes: Callable[[Delay], float], client: Ends, service: Ends
    ) -> None:
        self._vices = vices
        self._takes = takes
        self._client = client
        self._service = service
        self._clock = asyncio.get_running_loop().time
        self._quiet = 0
        self._isEnded = False
        self._underWay: asyncio.Queue[tuple[float, bytes | None]] = asyncio.Queue(UNDER_WAY)

    async def run(self) -> None:
        """Relays until both directions have ended, or it is dropped; then the connection is to be closed."""
        works = [self._there()] if self._vices.swallow else [self._there(), self._back(), self._deliver()]
        pending = {asyncio.create_task(work) for work in works}
        try:
            while pending:
                step = None if self._vices.idle is None else self._vices.idle / STEPS
                done, pending = await asyncio.wait(pending, timeout=step, return_when=asyncio.FIRST_EXCEPTION)
                self._quiet += 1
                if step and pending and self._quiet > STEPS:
                    await self._drop(pending)
                    return
                for each in done:
                    each.result()
        finally:
            for each in pending:
                each.cancel()

    async def _there(self) -> None:
        while data := await self._client[0].read(PIECE):
            self._quiet = 0
            if not self._vices.swallow:
                self._service[1].write(data)
                await self._service[1].drain()
        if self._vices.endAtHalfClose:
            self._isEnded = True
            self._client[1].write_eof()
        if not self._vices.swallow:
            self._service[1].write_eof()

    async def _back(self) -> None:
        edit, before, held, due = self._vices.edit, 0, b"", 0.0
        while data := await self._service[0].read(PIECE):
            if edit is not None:
                # What is put in comes with the byte after it: until then the end of the edit is open.
                held += data
                if before + len(held) > edit.offset + edit.size:
                    data = Edit(edit.offset - before, edit.size, edit.make).apply(held)
                    edit, held = None, b""
                else:
                    ready = max(0, edit.offset - before)
                    data, held = held[:ready], held[ready:]
                    before += len(data)
            due = max(due, self._clock() + self._takes(self._vices.delay))
            await self._underWay.put((due, data))
        await self._underWay.put((due, held))
        await self._underWay.put((due, None))

    async def _deliver(self) -> None:
        piece: bytes | None = b""
        while piece is not None:
            if not self._isEnded:
                self._client[1].write(piece)
            await self._client[1].drain()
            self._quiet = 0
            due, piece = await self._underWay.get()
            await asyncio.sleep(due - self._clock())
        if not self._isEnded:
            self._client[1].write_eof()

    async def _drop(self, relaying: set[asyncio.Task[None]]) -> None:
        for each in relaying:
            each.cancel()
        await asyncio.gather(*relaying, return_exceptions=True)
        if self._vices.ending == "silent":
            await asyncio.get_running_loop().create_future()
        if self._vices.ending == "rst when used":
            await self._client[0].read(1)
        if self._vices.ending != "fin":
            sock = self._client[1].get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


class DatagramRelay(Relay):
    """Relays datagrams; each client has a port of its own towards the service."""

    def __init__(self, target: Address, vices: DatagramVices = DatagramVices()) -> None:
        super().__init__(target)
        self._vices = vices
        self._onward: dict[Address, socket.socket] = {}

    async def _open(self) -> Callable[[], None]:
        self._front = self._socket()
        self._front.bind(("127.0.0.1", 0))
        self.address = self._front.getsockname()
        self._loop.add_reader(self._front, self._there)
        return self._close

    def _close(self) -> None:
        for sock in (self._front, *self._onward.values()):
            self._loop.remove_reader(sock)
            sock.close()

    def _socket(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        # A pause of the machine is no vice of the path.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        return sock

    def _there(self) -> None:
        data, client = self._front.recvfrom(1 << 16)
        onward = self._onward.get(client)
        if onward is None:
            onward = self._onward[client] = self._socket()
            onward.connect(self._target)
            self._loop.add_reader(onward, self._back, onward, client, len(self._onward))
        if self._vices.largest is None or len(data) <= self._vices.largest:
            onward.send(data)

    def _back(self, onward: socket.socket, client: Address, number: int) -> None:
        data = onward.recv(1 << 16)[: self._vices.truncate]
        if self._vices.losePort and number % self._vices.losePort == 0:
            return
        if self._chance.random() < self._vices.loss:
            return
        for _ in range(1 + (self._chance.random() < self._vices.twice)):
            self._loop.call_later(self._takes(self._vices.delay), self._front.sendto, data, client)
