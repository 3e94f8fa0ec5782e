"""An echo with one wrong answer after some right ones, for tests of the programs that must notice.

python lying_server.py LIE --port|--udp 0 --ready-file FILE
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from itertools import count

from benchmarks.servers.asyncio_protocol import Echo, EchoDatagrams, serve
from benchmarks.servers.commandline import arguments

# The number of the piece of data that is changed.
LIED_ABOUT = 20

# The change of a piece.
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
    """Echoes streams, with one change."""

    def data_received(self, data: bytes) -> None:
        """Sends the bytes back, or the changed bytes."""
        now = next(pieces) == LIED_ABOUT
        self.transport.write(LIES[lie](data) if now else data)
        if now and lie == "end":
            self.transport.close()

    def eof_received(self) -> None:
        """Adds a byte after the end of the client's stream."""
        if lie == "late":
            self.transport.write(b"x")


class DatagramLiar(EchoDatagrams):
    """Echoes datagrams, with one change."""

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Sends the datagram back, or the changed one."""
        now = next(pieces) == LIED_ABOUT
        answers = [LIES[lie](data) if now else data]
        if now:
            answers *= {"twice": 2, "drop": 0}.get(lie, 1)
        for answer in answers:
            self.transport.sendto(answer, addr)


if __name__ == "__main__":
    asyncio.run(serve(arguments(), Liar, DatagramLiar))
