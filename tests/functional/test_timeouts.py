"""A time-out cuts off what does not move, and who is merely slow stays: contract 2.5."""

from __future__ import annotations

import errno
import os
import random
import socket
import threading
import time

from echo_app.testing import EchoProcess
from tests.functional.kernel import Namespace, descriptors, run, serverSide, waitForCut, waitUntil
from tests.functional.service import ServiceTestCase, receiveAll, sendAndEnd, startSending, stopCounts

# How long the slow reader is watched. Repeated runs may do with less.
SECONDS = float(os.environ.get("ECHO_APP_TEST_SECONDS", "60"))

# The service's time-outs, and by when a peer that does not move must be cut off: two sweeps later.
TIMEOUT = 5
CUT = TIMEOUT + 3

# Bytes a second of the slow reader.
SLOW = 40_000


class TimeoutTests(ServiceTestCase):
    """Peers of all kinds at one service, at the same time."""

    timeout = 300

    def setUp(self) -> None:
        options = ("--idle-timeout", str(TIMEOUT), "--stall-timeout", str(TIMEOUT))
        self.server = self.serve("--port", "0", "--listen", "unix:echo.sock", *options)
        self.failures: list[str] = []

    def _peer(self, kind: str) -> socket.socket:
        return self.connect(self.server.address(kind))

    def _slowReader(self) -> None:
        """Reads 40 KB/s, with default buffers, and then the rest: all of it is there, in order."""
        peer = self._peer("tcp")
        # It holds for all of sendall().
        peer.settimeout(SECONDS + 60)
        data = random.Random(1).randbytes(int(SECONDS) * SLOW + (12 << 20))
        sender = startSending(peer, data)
        received = bytearray()
        end = time.monotonic() + SECONDS
        pause = threading.Event()
        while time.monotonic() < end:
            received += peer.recv(SLOW // 10)
            pause.wait(0.1)
        if serverSide(peer) is None:
            self.failures.append("the slow reader is gone")
        received += receiveAll(peer)
        sender.join()
        if received != data:
            self.failures.append(f"the slow reader got {len(received)} of {len(data)} bytes")

    def _pings(self, kind: str) -> None:
        """Sends a byte every two seconds, which is not idle."""
        peer = self._peer(kind)
        for _ in range(int(SECONDS) // 2):
            threading.Event().wait(2)
            peer.sendall(b"?")
            if peer.recv(1) != b"?":
                self.failures.append(f"a {kind} peer that talks was cut off")
                break
        # From here on it would be idle.
        peer.close()

    def _neverReads(self, kind: str) -> None:
        """Is sent more than it takes: it is reset."""
        peer = self._peer(kind)
        peer.setblocking(False)
        try:
            while True:
                peer.send(bytes(1 << 16))
        except BlockingIOError:
            pass
        start = time.monotonic()
        cut = waitForCut(peer, CUT + 5)
        seconds = time.monotonic() - start
        # A UNIX peer sees a reset only if the service had not read all that it sent.
        expected = {"tcp": (errno.ECONNRESET,), "unix": (errno.ECONNRESET, 0)}
        if cut not in expected[kind] or not TIMEOUT - 1 < seconds < CUT:
            self.failures.append(f"a {kind} peer that never reads: {cut} after {seconds:.1f} s")

    def _silent(self, kind: str) -> None:
        """Says nothing: its connection is closed."""
        peer = self._peer(kind)
        start = time.monotonic()
        received = receiveAll(peer)
        seconds = time.monotonic() - start
        if received or not TIMEOUT - 1 < seconds < CUT:
            self.failures.append(f"a silent {kind} peer: {received!r} after {seconds:.1f} s")

    def test_together(self) -> None:
        """The slow stay and get everything; who never reads is reset, who is silent is closed."""
        works = [threading.Thread(target=self._slowReader)]
        for kind in ("tcp", "unix"):
            for work in (self._pings, self._neverReads, self._silent):
                works.append(threading.Thread(target=work, args=(kind,)))
        for each in works:
            each.start()
        for each in works:
            each.join(SECONDS + 120)
        self.assertEqual(self.failures, [])
        self.assertEqual(stopCounts(self.server)["timed out"], 4)


class NoTimeoutTests(ServiceTestCase):
    def test_default(self) -> None:
        """Without --idle-timeout a silent peer stays, and is served when it speaks."""
        server = self.serve("--port", "0")
        peer = self.connect(server.address())
        threading.Event().wait(3)
        sendAndEnd(peer, b"hello")
        self.assertEqual(receiveAll(peer), b"hello")


class KeepaliveTests(ServiceTestCase):
    def _vanish(self, peers: int, keepalive: str) -> tuple[EchoProcess, int]:
        """Serves peers in a network that then goes dark; returns the service, and what it had open before."""
        namespace = Namespace()
        self.addCleanup(namespace.remove)
        ours, theirs = f"e{os.urandom(3).hex()}", f"p{os.urandom(3).hex()}"
        run("ip", "link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", namespace.name)
        self.addCleanup(run, "ip", "link", "del", ours)
        run("ip", "address", "add", "198.18.7.1/24", "dev", ours)
        run("ip", "link", "set", ours, "up")
        namespace.ip("address", "add", "198.18.7.2/24", "dev", theirs)
        namespace.ip("link", "set", theirs, "up")
        server = self.serve("--port", "0", "--interface", "198.18.7.1", "--keepalive", keepalive)
        for _ in range(peers):
            peer = namespace.call(lambda: socket.create_connection(server.address(), 10))
            self.addCleanup(peer.close)
            peer.sendall(b"?")
            self.assertEqual(peer.recv(1), b"?")
        # Not from before the first one was served: a reactor that just begins opens some of its own.
        before = descriptors(server.pid) - peers
        namespace.ip("link", "set", theirs, "down")
        return server, before

    def test_vanished(self) -> None:
        """50 peers that vanish without a word are found, and given up."""
        server, before = self._vanish(50, "1,1,2")
        self.assertTrue(waitUntil(lambda: descriptors(server.pid) == before, 20))
        self.assertEqual(stopCounts(server)["lost"], 50)

    def test_off(self) -> None:
        """With --keepalive 0 an idle path stays idle: no timer runs."""
        timers = {}
        for keepalive in ("0", "60,10,6"):
            server = self.serve("--port", "0", "--keepalive", keepalive)
            peer = self.connect(server.address())
            peer.sendall(b"?")
            self.assertEqual(peer.recv(1), b"?")
            row = serverSide(peer)
            assert row is not None
            timers[keepalive] = row.timer
        self.assertEqual(timers, {"0": 0, "60,10,6": 2})
