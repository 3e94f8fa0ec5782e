"""No peer affects another, and urgent bytes are ordinary bytes: docs/dev/contract.rst, 4, 2."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable

from tests import SUPPORT
from tests.support.failing_service import BUG
from tests.support.kernel import descriptors, waitUntil
from tests.support.service import PATIENCE, ServiceTestCase, reactorName, receiveAll, reset, stopCounts

# Log lines that a storm of any size may leave.
FEW_LINES = 3


class StormTestCase(ServiceTestCase):
    """Storms, and a bystander that was connected before and is served during and after them."""

    def _start(self, **more: object) -> None:
        self.server = self.serve("--port", "0", **more)
        self.bystander = self.connect(self.server.address())
        self.assertBystanderIsServed()
        self.descriptors = descriptors(self.server.pid)
        self.lines = self.server.log().count("\n")

    def assertBystanderIsServed(self) -> None:
        """Sends the bystander's ping."""
        data = os.urandom(16)
        self.bystander.sendall(data)
        self.assertEqual(self.bystander.recv(16, socket.MSG_WAITALL), data)

    def assertBackToNormal(self, accepted: int, lines: int = FEW_LINES) -> int:
        """Checks that nothing is left of a storm of some connections; returns how many were lost."""
        self.assertBystanderIsServed()
        wasClosed = waitUntil(lambda: descriptors(self.server.pid) == self.descriptors)
        self.assertTrue(wasClosed, f"{descriptors(self.server.pid)} not {self.descriptors} descriptors")
        self.assertLessEqual(self.server.log().count("\n") - self.lines, lines, self.server.log())
        self.bystander.shutdown(socket.SHUT_WR)
        self.assertEqual(receiveAll(self.bystander), b"")
        # No connection is left to wait for or to abort: the counters are back at zero.
        counts = stopCounts(self.server)
        self.assertEqual((counts["connections"], counts["aborted"]), (accepted + 1, 0))
        self.assertEqual((counts["refused"], counts["timed out"]), (0, 0))
        return counts["lost"]


class StormTests(StormTestCase):
    def _storm(self, count: int, peer: Callable[[socket.socket], None]) -> None:
        """Connects so many peers, one after the other; each ends its connection itself."""
        address = self.server.address()
        for number in range(count):
            with socket.create_connection(address, PATIENCE) as sock:
                peer(sock)
            if number % 100 == 0:
                self.assertBystanderIsServed()

    def test_connectAndClose(self) -> None:
        """10,000 peers that connect and leave at once."""
        self._start()
        self._storm(10_000, socket.socket.close)
        self.assertEqual(self.assertBackToNormal(10_000), 0)

    def test_resets(self) -> None:
        """2,000 peers that connect and reset at once."""
        self._start()
        self._storm(2000, reset)
        self.assertEqual(self.assertBackToNormal(2000), 2000)

    def test_resetsAfterHalfClose(self) -> None:
        """500 peers that send, end their stream, and reset in place of reading."""
        self._start()
        data = bytes(60_000)

        def peer(sock: socket.socket) -> None:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            reset(sock)

        self._storm(500, peer)
        self.assertBackToNormal(500)

    def test_resetsWhilePushedBack(self) -> None:
        """50 peers that send until the service stops reading from them, and reset."""
        self._start()
        data = bytes(32 << 20)

        def peer(sock: socket.socket) -> None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.settimeout(0.05)
            with self.assertRaises(TimeoutError):
                sock.sendall(data)
            reset(sock)

        self._storm(50, peer)
        self.assertEqual(self.assertBackToNormal(50), 50)


class SingleByteTests(StormTestCase):
    def _peer(self) -> socket.socket:
        self._start()
        peer = self.connect(self.server.address())
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return peer

    def test_oneAtATime(self) -> None:
        """5,000 bytes that each wait for the one before come back each."""
        peer = self._peer()
        for number in range(5000):
            byte = bytes([number % 256])
            self.assertEchoes(peer, byte)
        peer.shutdown(socket.SHUT_WR)
        self.assertEqual(receiveAll(peer), b"")
        self.assertEqual(self.assertBackToNormal(1), 0)

    def test_allAtOnce(self) -> None:
        """20,000 bytes, each in a segment of its own, come back all, in order."""
        peer = self._peer()
        data = os.urandom(20_000)

        def send() -> None:
            for number in range(len(data)):
                peer.send(data[number : number + 1])
            peer.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        self.assertEqual(receiveAll(peer), data)
        sender.join(PATIENCE)
        self.assertEqual(self.assertBackToNormal(1), 0)


class UrgentDataTests(ServiceTestCase):
    """Urgent data (MSG_OOB) comes back in its place, over TCP and over UNIX sockets."""

    def _exchange(self, address: tuple[str, int], *pieces: bytes) -> bytes:
        """Sends pieces in turn, those of one byte as urgent data; returns the echo."""
        peer = self.connect(address)
        for piece in pieces:
            peer.send(piece, socket.MSG_OOB if len(piece) == 1 else 0)
        peer.shutdown(socket.SHUT_WR)
        echo = receiveAll(peer)
        peer.close()
        return echo

    def _check(self, *pieces: bytes) -> None:
        server = self.serve("--port", "0", "--listen", "unix:echo.sock")
        for transport in ("tcp", "unix"):
            wrong = 0
            for _ in range(50):
                echo = self._exchange(server.address(transport), *pieces)
                wrong += echo != b"".join(pieces)
            self.assertEqual(wrong, 0, transport)

    def test_inPlace(self) -> None:
        """Urgent bytes among others come back in their places."""
        self._check(*(b"before", b"!", b"between", b"?", b"after") * 20)

    def test_first(self) -> None:
        """Urgent bytes that are the first of a connection come back, however late it is accepted."""
        self._check(b"1", b"2", b"3", b"rest")

    def test_last(self) -> None:
        """An urgent byte that is the last of a stream comes back."""
        self._check(b"rest", b"!")

    def test_beforeAccept(self) -> None:
        """Urgent bytes that come while the service is too busy to accept are bytes like the others."""
        server = self.serve()
        server.signal(signal.SIGSTOP)
        try:
            peer = self.connect(server.address())
            for piece in (b"1", b"2", b"rest", b"3"):
                peer.send(piece, socket.MSG_OOB if len(piece) == 1 else 0)
            peer.shutdown(socket.SHUT_WR)
        finally:
            server.signal(signal.SIGCONT)
        self.assertEqual(receiveAll(peer), b"12rest3")


class FailingProtocolTests(StormTestCase):
    """A subclass with a bug closes the connection that meets it, and no other."""

    def test_onlyItsOwnConnection(self) -> None:
        """Ten peers meet the bug: their connections end, each with one report, and nothing else does."""
        script = SUPPORT / "failing_service.py"
        command = (sys.executable, str(script), "--reactor", reactorName())
        self._start(command=command)
        for _ in range(10):
            peer = self.connect(self.server.address())
            peer.sendall(b"well")
            self.assertEqual(peer.recv(4, socket.MSG_WAITALL), b"well")
            peer.sendall(BUG)
            self.assertEqual(receiveAll(peer), b"")
            self.assertBystanderIsServed()
        reports = self.server.log().count("RuntimeError: a bug in a subclass")
        self.assertEqual(reports, 10)
        # A report is a traceback, of which Twisted's own frames are the most.
        self.assertEqual(self.assertBackToNormal(10, lines=10 * 40), 10)
