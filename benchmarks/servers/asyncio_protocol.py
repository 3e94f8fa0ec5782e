"""The echo of asyncio's own documentation, on asyncio's event loop or on uvloop's.

Both event loops set TCP_NODELAY on each connection.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from typing import cast

from benchmarks.servers.commandline import BACKLOG, Arguments, arguments


class Echo(asyncio.Protocol):
    """Echoes a stream."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Sends the bytes back."""
        self.transport.write(data)


class EchoDatagrams(asyncio.DatagramProtocol):
    """Echoes datagrams."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Sends the datagram back."""
        self.transport.sendto(data, addr)


async def serve(
    wanted: Arguments,
    streams: type[asyncio.Protocol] = Echo,
    datagrams: type[asyncio.DatagramProtocol] = EchoDatagrams,
) -> None:
    """Serves until the process is killed."""
    loop = asyncio.get_running_loop()
    if wanted.transport == "udp":
        transport, _ = await loop.create_datagram_endpoint(datagrams, ("127.0.0.1", 0))
        address = transport.get_extra_info("sockname")
    else:
        tls = None
        if wanted.transport == "tls":
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(wanted.certificate)
        server = await loop.create_server(streams, "127.0.0.1", 0, backlog=BACKLOG, ssl=tls)
        address = server.sockets[0].getsockname()
    wanted.tellReady(address[1])
    await loop.create_future()


def main() -> None:
    """Serves on the event loop that the first argument names."""
    if sys.argv[1] == "uvloop":
        import uvloop

        uvloop.run(serve(arguments()))
    else:
        asyncio.run(serve(arguments()))


if __name__ == "__main__":
    main()
