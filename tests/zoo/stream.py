"""A relay of TCP connections that is exact; a fault overrides hooks of its connections.

The relay runs on a thread with an event loop of its own. A connection has a coroutine for each direction, so
a hook may wait: the direction then waits too, and the kernel's buffers push back.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tests.support.crooked import Address, Relay

# Bytes of one read.
PIECE = 1 << 16

# SO_LINGER with a time of 0, which makes a close a reset.
_RESET = struct.pack("ii", 1, 0)

# An answer of TIOCOUTQ: no byte waits for an acknowledgement.
_NOTHING = bytes(4)

# Connections that the kernel queues: a burst of the probe is no fault.
_BACKLOG = 1024


@dataclass(kw_only=True, eq=False)
class Connection:
    """A connection of the relay, which passes on bytes, ends and back-pressure exactly.

    :param relay: the relay, with the state that its connections share.
    :param client: the socket of the client.
    :param number: 0 for the relay's first connection.
    :ivar service: the socket to the service, after :meth:`admit`.
    """

    relay: StreamRelay
    client: socket.socket
    number: int

    def __post_init__(self) -> None:
        self.loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Relays until both directions have ended, or :meth:`life` returns; then closes."""
        if not await self.admit():
            return
        self.service = await self.dial()
        works = (
            self.carry(self.client, self.there, self.thereEnded),
            self.carry(self.service, self.back, self.backEnded),
            self.life(),
        )
        tasks = [asyncio.ensure_future(work) for work in works]
        carrying, life = set(tasks[:2]), tasks[2]
        try:
            # A task that fails ends the connection; one that carries ends one direction.
            while carrying and not life.done():
                done, _ = await asyncio.wait({*carrying, life}, return_when=asyncio.FIRST_COMPLETED)
                carrying -= done
                for each in done:
                    each.result()
        except ConnectionError:
            # A reset is passed on.
            self.resetNow()
            self.service.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            raise
        finally:
            # Before the sockets are closed: their numbers are used again.
            for task in tasks:
                task.cancel()
            try:
                await asyncio.gather(*tasks, return_exceptions=True)
            finally:
                # Also where the relay is stopped meanwhile.
                self.service.close()

    async def carry(
        self,
        source: socket.socket,
        passOn: Callable[[bytes], Awaitable[None]],
        ended: Callable[[], Awaitable[None]],
    ) -> None:
        """Passes on the bytes and the end of one direction."""
        while data := await self.loop.sock_recv(source, PIECE):
            await passOn(data)
        await ended()

    async def admit(self) -> bool:
        """Decides whether to serve the client; the socket of a client that is not served is closed."""
        return True

    async def dial(self) -> socket.socket:
        """Connects to the service."""
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await self.loop.sock_connect(sock, self.relay.target)
        return sock

    async def life(self) -> None:
        """Returns when the relay drops the connection."""
        await self.loop.create_future()

    async def there(self, data: bytes) -> None:
        """Passes on bytes of the client."""
        await self.loop.sock_sendall(self.service, data)

    async def back(self, data: bytes) -> None:
        """Passes on bytes of the service."""
        await self.loop.sock_sendall(self.client, data)

    async def thereEnded(self) -> None:
        """Passes on the end of the client's stream."""
        self.service.shutdown(socket.SHUT_WR)

    async def backEnded(self) -> None:
        """Passes on the end of the service's stream."""
        self.client.shutdown(socket.SHUT_WR)

    async def untilGone(self) -> None:
        """Reads until the client goes: a close before would reset it, if it has sent something."""
        while await self.loop.sock_recv(self.client, PIECE):
            pass

    async def willReset(self) -> None:
        """Makes the close of the client's socket a reset, when the client's kernel has all bytes so far."""
        while fcntl.ioctl(self.client, termios.TIOCOUTQ, _NOTHING) != _NOTHING:
            await asyncio.sleep(0.005)
        self.resetNow()

    def resetNow(self) -> None:
        """Makes the close of the client's socket a reset, which destroys bytes under way."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


class StreamRelay(Relay):
    """Relays TCP connections on 127.0.0.1.

    :param make: makes a connection, as a subclass of :class:`Connection` does.
    :ivar target: the address of the service.
    :ivar open: the open connections, in the order of their numbers.
    :ivar chance: the source of random numbers, with a fixed seed.
    :ivar shared: values that the connections of a fault share.
    :ivar began: the loop's time of the first connection; the schedule of a fault counts from it.
    """

    def __init__(self, target: Address, make: Callable[..., Connection] = Connection) -> None:
        super().__init__(target)
        self.target = target
        self.open: list[Connection] = []
        self.shared: dict[str, Any] = {}
        self.chance = self._chance
        self.began: float | None = None
        self._make = make

    async def _open(self) -> Callable[[], None]:
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        listening.listen(_BACKLOG)
        listening.setblocking(False)
        self.address = listening.getsockname()
        accepting = asyncio.ensure_future(self._accept(listening))

        def close() -> None:
            accepting.cancel()
            listening.close()

        return close

    async def _accept(self, listening: socket.socket) -> None:
        serving: set[asyncio.Task[None]] = set()
        number = 0
        while True:
            client, _ = await self._loop.sock_accept(listening)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.began is None:
                self.began = self._loop.time()
            task = asyncio.ensure_future(self._serve(self._make(relay=self, client=client, number=number)))
            serving.add(task)
            task.add_done_callback(serving.discard)
            number += 1

    async def _serve(self, connection: Connection) -> None:
        self.open.append(connection)
        # The peer is gone; or stop() cancels this task.
        with suppress(OSError, asyncio.CancelledError):
            await connection.run()
        self.open.remove(connection)
        connection.client.close()
