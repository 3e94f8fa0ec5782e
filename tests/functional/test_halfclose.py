"""Nothing is lost when a peer ends its stream: docs/dev/contract.rst, 1, 2."""

from __future__ import annotations

import os
import socket
import threading

from tests.support.service import PATIENCE, ServiceTestCase, receiveAll, sendAndEnd, startSending, stopCounts

LOOP = 200

# Seconds that a late reader does not read.
LATE = 1.0


class OneSegmentTests(ServiceTestCase):
    """Data and FIN in one segment: the case that does not pass by luck."""

    def _check(self, size: int) -> None:
        server = self.serve("--port", "0", "--listen", "unix:echo.sock")
        data = os.urandom(size)
        for transport in ("tcp", "unix"):
            lost = 0
            for _ in range(LOOP):
                peer = self.connect(server.address(transport))
                sendAndEnd(peer, data)
                lost += receiveAll(peer) != data
                peer.close()
            self.assertEqual(lost, 0, transport)

    def test_oneByte(self) -> None:
        """One byte comes back, 200 times of 200."""
        self._check(1)

    def test_oneKibibyte(self) -> None:
        """1 KiB comes back, 200 times of 200."""
        self._check(1024)

    def test_oneSegment(self) -> None:
        """60,000 bytes, the most that one segment takes on loopback, come back, 200 times of 200."""
        self._check(60_000)


class LateReaderTests(ServiceTestCase):
    """A peer that begins to read when it has long been sending, or has ended its stream."""

    def _check(self, size: int, taken: list[bool]) -> None:
        """Compares what comes back to three peers, over IPv4, IPv6 and UNIX, that are late together.

        :param taken: for each of them, whether everything is sent before anything is read.
        """
        server = self.serve(
            *("--interface", "127.0.0.1", "--interface", "::1", "--port", "0"),
            *("--listen", "unix:echo.sock"),
        )
        addresses = [server.address("tcp", 0), server.address("tcp", 1), server.address("unix")]
        data = os.urandom(size)
        peers = [self.connect(address) for address in addresses]
        senders = [startSending(peer, data) for peer in peers]
        for sender, isTaken in zip(senders, taken, strict=True):
            if isTaken:
                sender.join(PATIENCE)
        threading.Event().wait(LATE)
        self.assertEqual([not sender.is_alive() for sender in senders], taken)
        for peer, sender in zip(peers, senders, strict=True):
            # A reset in place of the end of the stream would be an error here, or counted as lost.
            self.assertTrue(receiveAll(peer) == data, f"not what was sent, to {peer.getsockname()}")
            sender.join(PATIENCE)
            self.assertEqual(peer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0)
        counts = stopCounts(server)
        self.assertEqual((counts["connections"], counts["aborted"], counts["lost"]), (3, 0, 0))

    def test_oneMebibyte(self) -> None:
        """1 MiB and the end of the stream, sent a second before anything is read, come back whole."""
        # A UNIX socket's buffers hold less.
        self._check(1 << 20, [True, True, False])

    def test_moreThanAnyBuffer(self) -> None:
        """64 MiB, which fill every buffer until the client reads, come back whole, and then the end."""
        self._check(64 << 20, [False, False, False])
