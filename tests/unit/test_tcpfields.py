"""The places of the kernel's counts of a TCP connection."""

from __future__ import annotations

import socket
import struct
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from echo_app.tcpfields import tcpInfoReader


class FakeSocket:
    """Answers with words that hold their own offset."""

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert (level, option) == (socket.IPPROTO_TCP, socket.TCP_INFO)
        words = range(0, size + 3, 4)
        return struct.pack(f"={len(words)}I", *words)[:size]


class TCPFieldsTests(SynchronousTestCase):
    def read(self, *names: str) -> tuple[Any, ...]:
        return tcpInfoReader(*names)(cast(socket.socket, FakeSocket()))

    def test_words(self) -> None:
        """Each field comes from its own place, with any others beside it."""
        self.assertEqual(self.read("total_retrans"), (100,))
        self.assertEqual(self.read("lost", "total_retrans", "segs_in"), (32, 100, 140))

    def test_longs(self) -> None:
        """A field of 64 bits takes two words."""
        first, second = self.read("bytes_acked", "bytes_received")
        self.assertEqual(
            [struct.pack("=Q", each) for each in (first, second)],
            [
                struct.pack("=II", 120, 124),
                struct.pack("=II", 128, 132),
            ],
        )

    def test_unknown(self) -> None:
        """A field that is not known is a mistake when the reader is made."""
        self.assertRaises(KeyError, tcpInfoReader, "bytes_lost")
