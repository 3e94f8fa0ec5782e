"""A time-out ends connections that do not move, and slow peers stay: docs/dev/contract.rst, 5."""

from __future__ import annotations

import errno
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable
from fcntl import ioctl
from termios import FIONREAD, TIOCOUTQ

from echo_app.testing import EchoProcess
from tests.support.ci import onlyInCI
from tests.support.kernel import Namespace, descriptors, run, serverSide, waitForCut, waitUntil
from tests.support.service import ServiceTestCase, exchanged, fill, receiveAll, startSending, stopCounts

# The service's time-outs, and by when a peer that does not move must be cut off: two sweeps later, and what
# a busy machine adds.
TIMEOUT = 5
CUT = TIMEOUT + 5

# Bytes a second of the slow reader.
SLOW = 40_000

# Bytes that a peer sends at a time until a queue is full: few beside what the service's own buffer takes.
STEP = 4096


class TimeoutTests(ServiceTestCase):
    """Peers of all kinds at one service, at the same time.

    :cvar seconds: how long the slow reader is watched.
    """

    timeout = 300
    seconds = 12.0

    def setUp(self) -> None:
        options = ("--idle-timeout", str(TIMEOUT), "--stall-timeout", str(TIMEOUT))
        self.server = self.serve("--port", "0", "--listen", "unix:echo.sock", *options)
        self.failures: list[str] = []

    def _peer(self, kind: str) -> socket.socket:
        return self.connect(self.server.address(kind))

    def _slowReader(self) -> None:
        """Reads 40 KB/s, with default buffers, and then the rest: all of it is there, in order."""
        # Twice what is asked for is what one gets (socket(7)). Asked for, it does not grow: the kernel would
        # take one long sip, after the machine has paused, for a fast reader, and give it a buffer with which
        # its window opens too seldom for this time-out.
        with socket.socket() as other:
            default = other.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        peer = self.connect(self.server.address("tcp"), SO_RCVBUF=default // 2)
        # It holds for all of sendall().
        peer.settimeout(self.seconds + 60)
        data = random.Random(1).randbytes(int(self.seconds) * SLOW + (12 << 20))
        sender = startSending(peer, data)
        received = bytearray()
        start = time.monotonic()
        pause = threading.Event()
        while (passed := time.monotonic() - start) < self.seconds:
            # As much as is due by now: on a busy machine a fixed sip each turn would be a slower reader.
            received += peer.recv(max(int(passed * SLOW) - len(received), 1))
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
        for _ in range(int(self.seconds) // 2):
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
        fill(peer)
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

    def _watched(self, work: Callable[..., None], *arguments: str) -> None:
        """Does a peer's work; an error, such as a reset in place of an end, is a failure of the test."""
        try:
            work(*arguments)
        except Exception as error:
            self.failures.append(f"{work.__name__}{arguments}: {error!r}")

    def test_together(self) -> None:
        """Slow peers stay and get everything; a peer that never reads is reset, a silent one is closed."""
        works: list[tuple[object, ...]] = [(self._slowReader,)]
        for kind in ("tcp", "unix"):
            works += [(work, kind) for work in (self._pings, self._neverReads, self._silent)]
        threads = [threading.Thread(target=self._watched, args=work) for work in works]
        for each in threads:
            each.start()
        for each in threads:
            each.join(self.seconds + 120)
            self.assertFalse(each.is_alive(), "a peer hangs")
        self.assertEqual(self.failures, [])
        self.assertEqual(stopCounts(self.server)["timed out"], 4)


class MinuteTests(TimeoutTests):
    """Peers of all kinds for a minute."""

    skip = onlyInCI("the slow reader is watched for a minute")
    seconds = 60.0


class NotReadingTests(ServiceTestCase):
    """Peers that do not read, over UNIX sockets, where both queues can be seen from the peer's side."""

    def _fill(self, peer: socket.socket) -> None:
        """Sends until the kernel takes no more of the echo: the next bytes wait in the service."""
        for _ in range(1000):
            if not self._isTaken(peer):
                return
        self.fail("the kernel's queue has no end")

    def _isTaken(self, peer: socket.socket) -> bool:
        """Sends a little; says whether its echo comes as far as the kernel's queue to the peer."""
        before = queued(peer, FIONREAD)
        peer.sendall(bytes(STEP))
        return waitUntil(lambda: queued(peer, FIONREAD) != before, 0.5)

    def test_sendsOn(self) -> None:
        """A peer that does not read is not idle while its bytes still arrive in the kernel's queue."""
        options = ("--idle-timeout", "3", "--stall-timeout", "0")
        server = self.serve("--listen", "unix:echo.sock", *options)
        peer = self.connect(server.address("unix"))
        self._fill(peer)
        for _ in range(50):
            peer.sendall(bytes(STEP))
            if not waitUntil(lambda: queued(peer, TIOCOUTQ) == 0, 0.5):
                break
        unread = queued(peer, TIOCOUTQ)
        for _ in range(9):
            self.assertEqual(waitForCut(peer, 0.5), None, "it was cut off")
            peer.sendall(b"?")
        self.assertGreater(queued(peer, TIOCOUTQ), unread, "the service reads")
        self.assertEqual(waitForCut(peer), errno.ECONNRESET)
        self.assertEqual(stopCounts(server)["timed out"], 1)

    def test_halfClosed(self) -> None:
        """A peer that has ended its stream, and never reads its echo, is cut off by the stall time-out."""
        server = self.serve("--listen", "unix:echo.sock", "--stall-timeout", "2")
        peer = self.connect(server.address("unix"))
        self._fill(peer)
        self.assertTrue(waitUntil(lambda: queued(peer, TIOCOUTQ) == 0), "the service does not read")
        peer.shutdown(socket.SHUT_WR)
        self.assertEqual(waitForCut(peer, 1), None, "before its time")
        self.assertEqual(waitForCut(peer, 10), 0)
        self.assertEqual(stopCounts(server)["timed out"], 1)


def queued(sock: socket.socket, request: int) -> int:
    """Returns the bytes in a queue of the kernel: FIONREAD is from the peer, TIOCOUTQ to it."""
    return int.from_bytes(ioctl(sock, request, bytes(4)), sys.byteorder)


class NoTimeoutTests(ServiceTestCase):
    def test_default(self) -> None:
        """Without --idle-timeout a silent peer stays, and is served when it speaks."""
        server = self.serve("--port", "0")
        peer = self.connect(server.address())
        threading.Event().wait(3)
        self.assertEqual(exchanged(peer, b"hello"), b"hello")


class KeepaliveTests(ServiceTestCase):
    def _vanish(self, peers: int, keepalive: str) -> tuple[EchoProcess, int]:
        """Serves peers in a network that then goes dark; returns the service, and what it had open before."""
        namespace = Namespace()
        self.addCleanup(namespace.remove)
        ours, theirs = f"e{os.urandom(3).hex()}", f"p{os.urandom(3).hex()}"
        run("ip", "link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", namespace.name)
        self.addCleanup(run, "ip", "link", "del", ours)
        # RFC 2544's network for such things; a subnet of its own, as another run may have the next one.
        net = f"198.18.{random.SystemRandom().randrange(256)}"
        run("ip", "address", "add", f"{net}.1/24", "dev", ours)
        run("ip", "link", "set", ours, "up")
        namespace.ip("address", "add", f"{net}.2/24", "dev", theirs)
        namespace.ip("link", "set", theirs, "up")
        server = self.serve("--port", "0", "--interface", f"{net}.1", "--keepalive", keepalive)
        for _ in range(peers):
            peer = namespace.call(lambda: socket.create_connection(server.address(), 10))
            self.addCleanup(peer.close)
            self.assertEchoes(peer, b"?")
        # One that stays: the first connection may open, and the last one close, a poller of all of them.
        self.assertEchoes(self.connect(server.address()), b"?")
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
            self.assertEchoes(peer, b"?")
            row = serverSide(peer)
            assert row is not None
            timers[keepalive] = row.timer
        self.assertEqual(timers, {"0": 0, "60,10,6": 2})
