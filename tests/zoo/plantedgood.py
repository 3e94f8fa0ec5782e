"""Further good paths: slow, far, or odd, and right."""

from __future__ import annotations

import asyncio
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

from tests.zoo import measureplanted as m
from tests.zoo.datagram import Flow, datagrams
from tests.zoo.path import NONE, Path, Place
from tests.zoo.services import at, direct, relayed
from tests.zoo.stream import PIECE, Connection
from tests.zoo.tls import securelyRelayed

# Pieces that are under way at a time.
_UNDER_WAY = 64


@dataclass(kw_only=True, eq=False)
class Distant(Connection):
    """Delivers each piece after a time, in order, both ways.

    :param least: seconds.
    :param most: seconds.
    """

    least: float
    most: float

    async def carry(
        self,
        source: socket.socket,
        passOn: Callable[[bytes], Awaitable[None]],
        ended: Callable[[], Awaitable[None]],
    ) -> None:
        """Passes on the bytes and the end of one direction."""
        underWay: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_UNDER_WAY)

        async def read() -> None:
            data = b"-"
            while data:
                data = await self.loop.sock_recv(source, PIECE)
                takes = self.relay.chance.uniform(self.least, self.most)
                await underWay.put((self.loop.time() + takes, data))

        async def write() -> None:
            while True:
                due, data = await underWay.get()
                await asyncio.sleep(due - self.loop.time())
                if not data:
                    break
                await passOn(data)

        # A failure of one ends the other.
        works = [asyncio.ensure_future(read()), asyncio.ensure_future(write())]
        try:
            await asyncio.gather(*works)
        finally:
            for each in works:
                each.cancel()
        await ended()


@dataclass(kw_only=True, eq=False)
class Narrow(Connection):
    """Has buffers of the kernel's least sizes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _narrow(self.client)

    async def dial(self) -> socket.socket:
        sock = await super().dial()
        _narrow(sock)
        return sock


def _narrow(sock: socket.socket) -> None:
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, 4096)


@dataclass(kw_only=True, eq=False)
class Slow(Connection):
    """Passes answers at a rate.

    :param rate: bytes a second.
    """

    rate: float

    async def back(self, data: bytes) -> None:
        for begin in range(0, len(data), 1400):
            piece = data[begin : begin + 1400]
            await asyncio.sleep(len(piece) / self.rate)
            await super().back(piece)


@dataclass(kw_only=True, eq=False)
class FarFlow(Flow):
    """Delivers answers after a time.

    :param takes: seconds.
    """

    takes: float

    def back(self, data: bytes) -> None:
        self.relay.loop.call_later(self.takes, self.relay.front.sendto, data, self.client)


class _ByteByByte(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with suppress(OSError):
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := self.request.recv(1000):
                for each in data:
                    self.request.sendall(bytes([each]))
            self.request.shutdown(socket.SHUT_WR)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 1024


@contextmanager
def byteByByte() -> Iterator[Place]:
    """Opens a path to a service that sends each byte by itself."""
    with _Server(("127.0.0.1", 0), _ByteByByte) as server:
        threading.Thread(target=partial(server.serve_forever, 0.05), daemon=True).start()
        try:
            yield Place(at(("127.0.0.1", server.server_address[1])))
        finally:
            server.shutdown()


@contextmanager
def busyCores() -> Iterator[Place]:
    """Opens a path on a machine with three busy processes."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    try:
        with relayed(Connection)() as place:
            yield place
    finally:
        for each in busy:
            each.kill()
            each.wait()


@contextmanager
def overIPv6() -> Iterator[Place]:
    """Opens a path to ::1."""
    with direct("--listen", r"tcp:0:interface=\:\:1")() as place:
        yield Place(at(("[::1]", int(place.target.rpartition(":")[2]))))


GOOD = (
    Path("g-byte-by-byte", "tcp", "a service that sends each byte by itself", NONE, byteByByte, m.exact),
    Path("g-300-ms", "tcp", "a round trip of 300 ms", NONE,
         relayed(Distant, least=0.15, most=0.15), m.exact),
    Path("g-three-proxies", "tcp", "three exact proxies", NONE,
         relayed(Connection, Connection, Connection), m.exact),
    Path("g-tiny-windows", "tcp", "buffers of the kernel's least sizes", NONE, relayed(Narrow), m.exact),
    Path("g-ipv6", "tcp", "a service on ::1", NONE, overIPv6, m.exactIPv6),
    Path("g-busy-cores", "tcp", "three busy processes", NONE, busyCores, m.exact),
    Path("g-100-kib-s", "tcp", "answers pass at 100 KiB/s", NONE, relayed(Slow, rate=102_400.0), m.exact),
    Path("g-jitter", "tcp", "30 ms to 110 ms each way, in order", NONE,
         relayed(Distant, least=0.03, most=0.11), m.exact),
    Path("g-tls-far", "tls", "TLS with a round trip of 200 ms", NONE,
         securelyRelayed(partial(Distant, least=0.1, most=0.1)), m.exactTLS),
    Path("g-udp-far", "udp", "a round trip of 180 ms", NONE, datagrams(FarFlow, takes=0.18), m.exactUDP),
)  # fmt: skip
