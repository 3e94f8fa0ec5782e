"""A peer that does not read has a bounded cost, and delays no other: docs/dev/contract.rst, 3, 4."""

from __future__ import annotations

import hashlib
import os
import select
import socket
from pathlib import Path

from tests.support.service import PATIENCE, ServiceTestCase, exchanged, stopCounts

KIBI = 1024
OFFER = 1 << 30
WARM = 32 << 20

# Never-readers at one time, and what one of them may cost (docs/dev/contract.rst, 3).
PEERS = 8
PER_PEER = 256 * KIBI


def residentBytes(pid: int) -> int:
    """Returns the memory that a process has in use: VmRSS of proc(5)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * KIBI
    raise AssertionError("no VmRSS")


class Offer:
    """The bytes that a peer tries to send without reading: a block of random bytes, over and over."""

    _block = os.urandom(1_000_003)

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.taken = 0

    def push(self, seconds: float, most: int = OFFER) -> None:
        """Sends, up to some bytes in all, until nothing is taken for some seconds."""
        self.sock.setblocking(False)
        while self.taken < most and select.select([], [self.sock], [], seconds)[1]:
            rest = memoryview(self._block)[self.taken % len(self._block) :]
            try:
                self.taken += self.sock.send(rest[: most - self.taken])
            except BlockingIOError:
                continue

    def isReturned(self) -> bool:
        """Ends the stream, reads to the end, and says whether it is what was taken."""
        self.sock.settimeout(PATIENCE)
        self.sock.shutdown(socket.SHUT_WR)
        sent = hashlib.sha256()
        for start in range(0, self.taken, len(self._block)):
            sent.update(memoryview(self._block)[: self.taken - start])
        received = hashlib.sha256()
        while chunk := self.sock.recv(1 << 20):
            received.update(chunk)
        return sent.digest() == received.digest()


class NeverReadingTests(ServiceTestCase):
    """Peers that send and do not read: their cost, and the bytes that they get at last."""

    def _check(self, transport: str) -> None:
        server = self.serve("--port", "0", "--listen", "unix:echo.sock")
        address = server.address(transport)
        # One connection of each kind first: its one-time cost is not the peers'.
        warm = Offer(self.connect(address))
        warm.push(0.1, WARM)
        self.assertTrue(warm.isReturned())
        before = residentBytes(server.pid)

        first = Offer(self.connect(address))
        first.push(1.0)
        self.assertLess(first.taken, OFFER)
        self.assertLess(residentBytes(server.pid) - before, 2 * KIBI * KIBI, "one peer")

        offers = [first] + [Offer(self.connect(address)) for _ in range(PEERS - 1)]
        for offer in offers[1:]:
            offer.push(0.1)
        grown = residentBytes(server.pid) - before
        self.assertLess(grown, PEERS * PER_PEER, f"{PEERS} peers")

        self.assertEqual(exchanged(self.connect(address), b"served meanwhile"), b"served meanwhile")

        self.assertEqual([offer.isReturned() for offer in offers], [True] * PEERS)
        counts = stopCounts(server)
        self.assertEqual((counts["connections"], counts["aborted"], counts["lost"]), (PEERS + 2, 0, 0))

    def test_tcp(self) -> None:
        """Over TCP, 256 KiB a peer at the most, and everything that was taken comes back at last."""
        self._check("tcp")

    def test_unix(self) -> None:
        """Peers over UNIX sockets cost no more."""
        self._check("unix")
