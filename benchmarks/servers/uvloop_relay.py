"""A relay on asyncio's protocols and uvloop's event loop, with back-pressure and half-close.

uvloop sets TCP_NODELAY on each connection.
"""

from __future__ import annotations

import asyncio
from typing import cast

import uvloop

from benchmarks.servers.commandline import BACKLOG, Arguments, arguments


class Leg(asyncio.Protocol):
    """One of the two connections of a stream."""

    transport: asyncio.Transport
    other: Leg
    isEnded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Passes input on."""
        self.other.transport.write(data)

    def pause_writing(self) -> None:
        """Pauses the other leg's input while this leg's output waits."""
        self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Resumes the other leg's input."""
        self.other.transport.resume_reading()

    def eof_received(self) -> bool:
        """Passes the end of the stream on; closes both legs if it is the second one."""
        self.isEnded = True
        if self.other.isEnded:
            self.other.transport.close()
            self.transport.close()
        else:
            self.other.transport.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the other leg, at once if this one was reset: asyncio itself sends no reset."""
        if exc is None:
            self.other.transport.close()
        else:
            self.other.transport.abort()


class Connecting(asyncio.Protocol):
    """The client's connection until its upstream has accepted.

    uvloop reads once even if ``connection_made`` pauses it.

    :param upstream: host and port of the upstream.
    """

    def __init__(self, upstream: tuple[str, int]) -> None:
        self._upstream = upstream
        self._early: list[bytes] = []
        self._isEnded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connects to the upstream."""
        self._transport = cast(asyncio.Transport, transport)
        self._task = asyncio.ensure_future(self._connect())

    def data_received(self, data: bytes) -> None:
        """Keeps early input, and pauses it."""
        self._early.append(data)
        self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Keeps an early end of the stream."""
        self._isEnded = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the attempt."""
        self._task.cancel()

    async def _connect(self) -> None:
        client, upstream = Leg(), Leg()
        client.other, upstream.other = upstream, client
        client.transport = self._transport
        try:
            await asyncio.get_running_loop().create_connection(lambda: upstream, *self._upstream)
        except OSError:
            self._transport.abort()
            return
        self._transport.set_protocol(client)
        upstream.transport.writelines(self._early)
        if self._isEnded:
            client.eof_received()
        else:
            self._transport.resume_reading()


async def serve(wanted: Arguments) -> None:
    """Serves until the process is killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connecting(wanted.upstream), "127.0.0.1", 0, backlog=BACKLOG)
    wanted.tellReady(server.sockets[0].getsockname()[1])
    await loop.create_future()


if __name__ == "__main__":
    uvloop.run(serve(arguments()))
