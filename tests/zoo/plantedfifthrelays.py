"""The fifth set's faults of TCP connections and of datagrams, as relays make them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from tests.zoo.bucket import TokenBucket
from tests.zoo.datagram import Flow
from tests.zoo.pace import SMALL_BUFFER
from tests.zoo.stream import PIECE, Connection

# What nginx says to a client that does not speak HTTP.
_PAGE = (
    b"<html>\r\n<head><title>400 Bad Request</title></head>\r\n<body>\r\n"
    b"<center><h1>400 Bad Request</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
BAD_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nContent-Type: text/html\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(_PAGE)
) + _PAGE

# Seconds for which nginx reads on after its last answer.
_LINGERS = 5.0


@dataclass(kw_only=True, eq=False)
class OneDead(Connection):
    """Takes the servers in turn, of which one is dead: its clients are accepted and closed.

    :param servers: the number of servers.
    """

    servers: int = 3

    async def dial(self) -> socket.socket:
        if self.number % self.servers == self.servers - 1:
            raise ConnectionRefusedError
        return await super().dial()


@dataclass(kw_only=True, eq=False)
class Headed(Connection):
    """Puts a line of the PROXY protocol, version 1, before the client's bytes."""

    async def dial(self) -> socket.socket:
        service = await super().dial()
        (client, port), (own, ownPort) = self.client.getpeername(), self.client.getsockname()
        await self.loop.sock_sendall(service, f"PROXY TCP4 {client} {own} {port} {ownPort}\r\n".encode())
        return service


@dataclass(kw_only=True, eq=False)
class HTTPFront(Connection):
    """Answers what is not HTTP as nginx does, and closes."""

    async def admit(self) -> bool:
        if await self.loop.sock_recv(self.client, PIECE):
            await self.loop.sock_sendall(self.client, BAD_REQUEST)
            self.client.shutdown(socket.SHUT_WR)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.untilGone(), _LINGERS)
        return False


@dataclass(kw_only=True, eq=False)
class FlowControlled(Connection):
    """Takes XON and XOFF out of both directions, as a serial device server with software flow control."""

    async def there(self, data: bytes) -> None:
        await super().there(data.translate(None, b"\x11\x13"))

    async def back(self, data: bytes) -> None:
        await super().back(data.translate(None, b"\x11\x13"))


@dataclass(kw_only=True, eq=False)
class Shaped(Connection):
    """Shapes each direction to a rate, which all connections of the path share.

    :param rate: bytes a second.
    :param burst: bytes that pass at once.
    """

    rate: float
    burst: float

    def __post_init__(self) -> None:
        super().__post_init__()
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self.client.setsockopt(socket.SOL_SOCKET, option, SMALL_BUFFER)

    async def there(self, data: bytes) -> None:
        await self._paced("there", data, super().there)

    async def back(self, data: bytes) -> None:
        await self._paced("back", data, super().back)

    async def _paced(self, way: str, data: bytes, passOn: Callable[[bytes], Awaitable[None]]) -> None:
        bucket: TokenBucket = self.relay.shared.setdefault(way, TokenBucket(self.rate, self.burst))
        for start in range(0, len(data), 1024):
            part = data[start : start + 1024]
            if wait := bucket.owe(len(part), self.loop.time()):
                await asyncio.sleep(wait)
            await passOn(part)


@dataclass(kw_only=True, eq=False)
class TwoLinks(Flow):
    """Sends the client's datagrams over two links in turn, of which one takes longer.

    :param quick: seconds over the one.
    :param slow: seconds over the other.
    """

    quick: float
    slow: float

    def there(self, data: bytes) -> None:
        turn = self.relay.shared["turn"] = self.relay.shared.get("turn", 0) + 1
        self.relay.loop.call_later(self.slow if turn % 2 else self.quick, self._send, data)

    def _send(self, data: bytes) -> None:
        # The path closes meanwhile.
        with suppress(OSError):
            self.service.send(data)
