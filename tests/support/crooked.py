"""Relays between a probe and a correct service, with defects that the test chooses.

Both relays run on a thread of their own, for tests that block and tests that do not. A relay edits the bytes
from the service, so an edit's offset is an offset in the echo.
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

# Seconds of a delay, and their largest deviation, both ways.
Delay = tuple[float, float]

# Bytes of one read, and the number of such pieces that may be on their way to a client.
PIECE = 1 << 16
UNDER_WAY = 32

# Steps in which a connection's idle time is measured: a pause of the machine counts as one step.
STEPS = 20

# SO_LINGER with a time of 0, which makes a close a reset.
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Edit:
    """An edit of some bytes of each stream; a relay holds them until all of them have come.

    :param offset: the offset of the first byte in the service's stream.
    :param size: the number of bytes; with 0, the result of `make` is inserted.
    """

    offset: int
    size: int
    make: Callable[[bytes], bytes]

    def apply(self, data: bytes) -> bytes:
        """Returns the edited bytes of a stream that reaches to the edit's end."""
        end = self.offset + self.size
        return data[: self.offset] + self.make(data[self.offset : end]) + data[end:]


def flipped(offset: int) -> Edit:
    """Flips one bit of a byte."""
    return Edit(offset, 1, lambda data: bytes([data[0] ^ 0x10]))


def dropped(offset: int, size: int = 1) -> Edit:
    """Drops some bytes."""
    return Edit(offset, size, lambda data: b"")


def duplicated(offset: int, size: int = 1) -> Edit:
    """Sends some bytes twice."""
    return Edit(offset, size, lambda data: data + data)


def swapped(offset: int, size: int = 1) -> Edit:
    """Swaps some bytes with as many that follow them."""
    return Edit(offset, 2 * size, lambda data: data[size:] + data[:size])


def injected(offset: int, data: bytes) -> Edit:
    """Inserts bytes before the one at the offset."""
    return Edit(offset, 0, lambda _: data)


@dataclass(frozen=True, slots=True)
class StreamVices:
    """The defects of a relay of streams; by default none.

    :param edit: the edit of the service's bytes.
    :param swallow: read all bytes, and pass none on.
    :param idle: seconds without a byte after which a connection is dropped; None is never.
    :param ending: the way of dropping: an end both ways, a reset, silence, or silence until the client's next
        byte, which is answered by a reset.
    :param endAtHalfClose: answer a client's end with an end at once.
    :param delay: seconds that each piece takes from the service to the client, and their largest deviation.
    """

    edit: Edit | None = None
    swallow: bool = False
    idle: float | None = None
    ending: Ending = "fin"
    endAtHalfClose: bool = False
    delay: Delay = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class DatagramVices:
    """The defects of a relay of datagrams; by default none.

    :param loss: the probability that an answer is lost.
    :param twice: the probability that an answer comes twice.
    :param delay: seconds that an answer takes, and their largest deviation, by which answers overtake each
        other.
    :param truncate: bytes after which an answer is cut off; None is none.
    :param largest: bytes of the largest datagram that passes; None is any.
    :param losePort: one of each run of so many source ports gets no answers; None is none.
    """

    loss: float = 0.0
    twice: float = 0.0
    delay: Delay = (0.0, 0.0)
    truncate: int | None = None
    largest: int | None = None
    losePort: int | None = None


class Relay:
    """A relay that listens on 127.0.0.1, on a thread, until :meth:`stop`.

    :param target: the address of the correct service.
    :ivar address: the address of the relay.
    """

    address: Address

    def __init__(self, target: Address) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._chance = random.Random(8862)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> Any:
        """Starts the relay; returns this object when it listens."""
        self._thread.start()
        self._ready.wait()
        return self

    def stop(self) -> None:
        """Stops the relay, and ends its connections."""
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
        """Starts listening; returns the function that stops it."""
        raise NotImplementedError

    def _takes(self, delay: Delay) -> float:
        """Returns the seconds of a delay, with its deviation."""
        mean, width = delay
        return mean + self._chance.uniform(-width, width)


class StreamRelay(Relay):
    """Relays TCP connections.

    :ivar connections: the number of connections so far.
    """

    def __init__(self, target: Address, vices: StreamVices = StreamVices()) -> None:
        super().__init__(target)
        self._vices = vices
        # asyncio keeps only weak references to tasks.
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
        # The connection is gone; or stop() cancels this task, which must not be logged.
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
    """A client's connection, and the relay's connection to the service."""

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
        """Relays until both directions have ended, or the connection is dropped; the caller then closes."""
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
                # Inserted bytes come with the byte after them: until then the end of the edit is open.
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
    """Relays datagrams; each client has its own port to the service."""

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
        # A pause of the machine is no defect of the path.
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
