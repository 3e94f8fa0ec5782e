"""An echo that is right for a while and then, once, is not; for tests of who should notice.

python lying_server.py LIE --port|--udp 0 --ready-file FILE
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from itertools import count

from benchmarks.servers.asyncio_protocol import Echo, EchoDatagrams, serve
from benchmarks.servers.commandline import arguments

# The piece of data that is lied about, of all that come.
LIED_ABOUT = 20

# What becomes of a piece.
LIES: dict[str, Callable[[bytes], bytes]] = {
    "flip": lambda data: bytes([data[0] ^ 1]) + data[1:],
    "lose": lambda data: data[1:],
    "add": lambda data: data + b"x",
    "hold": lambda data: data[:-1],
    "end": lambda data: data[:-1],
    "late": lambda data: data,
    "twice": lambda data: data,
    "drop": lambda data: data,
}

lie = sys.argv[1]
pieces = count(1)


class Liar(Echo):
    """Streams."""

    def data_received(self, data: bytes) -> None:
        """Sends the bytes back, or what they became."""
        now = next(pieces) == LIED_ABOUT
        self.transport.write(LIES[lie](data) if now else data)
        if now and lie == "end":
            self.transport.close()

    def eof_received(self) -> None:
        """Adds a byte where nobody awaits one."""
        if lie == "late":
            self.transport.write(b"x")


class DatagramLiar(EchoDatagrams):
    """Datagrams."""

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Sends the datagram back, or what it became."""
        now = next(pieces) == LIED_ABOUT
        answers = [LIES[lie](data) if now else data]
        if now:
            answers *= {"twice": 2, "drop": 0}.get(lie, 1)
        for answer in answers:
            self.transport.sendto(answer, addr)


if __name__ == "__main__":
    asyncio.run(serve(arguments(), Liar, DatagramLiar))
