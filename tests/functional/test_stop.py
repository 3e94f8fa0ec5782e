"""A stop loses nothing, and does not wait for nothing: docs/dev/contract.rst, 7."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from itertools import cycle
from pathlib import Path

from echo_app.testing import EchoProcess
from tests.support import warm
from tests.support.kernel import waitForCut, waitUntil
from tests.support.service import (
    AT_ONCE,
    COMMANDS,
    PATIENCE,
    ServiceTestCase,
    fill,
    receiveAll,
    sendAndEnd,
    startSending,
)

PEERS = 100

# A service that owes a peer more than the peer takes, and two signals while the reactor starts.
SIGNALLED = """
import os, signal, socket
from contextlib import suppress
from twisted.application.service import Application
from twisted.internet import reactor
from echo_app.cli.tap import Options, makeService

options = Options()
options.parseOptions(["--port", "0", "--drain-timeout", "60"])
service = makeService(options)
application = Application("echo")
service.setServiceParent(application)

peer = socket.create_connection(("127.0.0.1", service.getHosts()[0].port))
peer.setblocking(False)
with suppress(BlockingIOError):
    while True:
        peer.send(bytes(65536))

def send():
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(os.getpid(), number)

reactor.addSystemEventTrigger("during", "startup", send)
"""

# Seconds of a drain unless told otherwise.
DRAIN = 5.0


class DrainTests(ServiceTestCase):
    def test_transfers(self) -> None:
        """100 peers that send on after SIGTERM, and half-close, get every byte; then the service ends."""
        server = self.serve("--port", "0", "--drain-timeout", "30")
        first, last = os.urandom(256 << 10), os.urandom(1000)
        # A peer with a small buffer, which does not read yet, is owed its echo: it is not quiet.
        peers = [self.connect(server.address(), SO_RCVBUF=4096) for _ in range(PEERS)]
        for peer in peers:
            peer.sendall(first)
            self.assertTrue(peer.recv(1, socket.MSG_PEEK))
        server.signal(signal.SIGTERM)
        self.assertTrue(waitUntil(lambda: self._isRefused(server)), "new peers are accepted")
        for peer in peers:
            sendAndEnd(peer, last)
        self.assertEqual([peer for peer in peers if receiveAll(peer) != first + last], [])
        ended = time.monotonic()
        self.assertEqual(server.wait(), -signal.SIGTERM)
        self.assertLess(time.monotonic() - ended, AT_ONCE)

    def _isRefused(self, server: EchoProcess) -> bool:
        with socket.socket() as peer:
            return peer.connect_ex(server.address()) != 0

    def test_received(self) -> None:
        """Data in the receive queues at the signal, and in the accept queue, is answered."""
        server = self.serve("--port", "0", "--listen", "unix:echo.sock")
        data = os.urandom(10_000)
        open_ = [self.connect(server.address(kind)) for kind in ("tcp", "unix") for _ in range(20)]
        for peer in open_:
            self.assertEchoes(peer, b"?")
        server.signal(signal.SIGSTOP)
        for peer in open_:
            sendAndEnd(peer, data)
        queued = [self.connect(server.address(kind)) for kind in ("tcp", "unix") for _ in range(20)]
        for peer in queued:
            sendAndEnd(peer, data)
        server.signal(signal.SIGTERM)
        server.signal(signal.SIGCONT)
        self.assertEqual([p for p in open_ + queued if receiveAll(p) != data], [])
        self.assertEqual(server.wait(), -signal.SIGTERM)

    def test_lateReader(self) -> None:
        """A transfer of 16 MiB whose reader begins a second after the signal is whole."""
        server = self.serve("--port", "0", "--drain-timeout", "20")
        data = os.urandom(16 << 20)
        peer = self.connect(server.address())
        sender = startSending(peer, data)
        self.assertTrue(peer.recv(1, socket.MSG_PEEK))
        server.signal(signal.SIGTERM)
        threading.Event().wait(1)
        self.assertTrue(receiveAll(peer) == data)
        sender.join(PATIENCE)
        server.wait()

    def test_silent(self) -> None:
        """100 silent peers get a clean end of the stream, and do not hold up the exit."""
        server = self.serve("--port", "0", "--drain-timeout", "30")
        peers = [self.connect(server.address()) for _ in range(PEERS)]
        start = time.monotonic()
        server.signal(signal.SIGTERM)
        server.wait()
        self.assertLess(time.monotonic() - start, AT_ONCE)
        self.assertEqual([receiveAll(peer) for peer in peers], [b""] * PEERS)

    def test_quietPeerSends(self) -> None:
        """Peers that send when they get our end of the stream are not reset while they go on for a while."""
        for _ in range(10):
            # Our end is followed by the close after 0.2 s of silence: a busy machine may come too late.
            if (reset := self._resetAfterEnd()) == 0:
                break
        self.assertEqual(reset, 0)

    def _resetAfterEnd(self) -> int:
        server = self.serve("--port", "0")
        peers = [self.connect(server.address()) for _ in range(20)]
        for peer in peers:
            self.assertEchoes(peer, b"before")
        server.signal(signal.SIGTERM)
        waiting = set(peers)
        while waiting:
            ended, _, _ = select.select(waiting, [], [], PATIENCE)
            self.assertTrue(ended)
            for peer in ended:
                self.assertEqual(peer.recv(100), b"")
                peer.sendall(b"after")
            waiting.difference_update(ended)
        # A reset, if there is one, comes in answer to what was sent.
        cut = sum(waitForCut(peer, 0.005) not in (None, 0) for peer in peers)
        server.wait()
        return cut


class AbortTestCase(ServiceTestCase):
    """Stops of a service that owes its peers more than they take."""

    def _busy(self, *options: str) -> EchoProcess:
        """Starts a service, with 20 peers that it owes more than they take."""
        server = self.serve("--port", "0", *options)
        for _ in range(20):
            fill(self.connect(server.address()))
        return server

    def _signalled(self, server: EchoProcess, number: int) -> tuple[int, float]:
        """Returns the exit status after a signal, and in how many seconds it came."""
        start = time.monotonic()
        server.signal(number)
        status = server.wait()
        return status, time.monotonic() - start

    def secondSignals(self) -> float:
        """Ends drains by second signals; returns the seconds of the fastest end."""
        fastest = PATIENCE
        for first, second in (
            (signal.SIGTERM, signal.SIGTERM),
            (signal.SIGINT, signal.SIGTERM),
            (signal.SIGTERM, signal.SIGINT),
        ):
            server = self._busy("--drain-timeout", "30")
            server.signal(first)
            self.assertTrue(waitUntil(lambda server=server: "shutting down" in server.log()))  # type: ignore[misc]
            status, seconds = self._signalled(server, second)
            self.assertEqual(status, -first)
            fastest = min(fastest, seconds)
        return fastest


class AbortTests(AbortTestCase):
    def test_drainTimeout(self) -> None:
        """Peers that never read are reset at the drain time-out, and counted."""
        server = self._busy("--drain-timeout", "1")
        status, seconds = self._signalled(server, signal.SIGTERM)
        self.assertEqual(status, -signal.SIGTERM)
        self.assertTrue(0.9 < seconds < DRAIN, seconds)
        self.assertIn("20 aborted", server.log())

    def test_noDrain(self) -> None:
        """--drain-timeout 0 aborts at once, where the default would wait for five seconds."""
        server = self._busy("--drain-timeout", "0")
        status, seconds = self._signalled(server, signal.SIGINT)
        self.assertEqual(status, -signal.SIGINT)
        self.assertLess(seconds, DRAIN)
        self.assertIn("20 aborted", server.log())

    def test_secondSignal(self) -> None:
        """A second signal, the same one or the other, ends a drain."""
        self.assertLess(self.secondSignals(), AT_ONCE)

    def test_pair(self) -> None:
        """Two signals, however close, end a drain: neither is lost, and the reactor is stopped once."""
        pairs = ((signal.SIGTERM, signal.SIGINT), (signal.SIGINT, signal.SIGTERM))
        # Microseconds. Two of one kind are one where the second comes before the first is handled.
        for gap, pair in zip(range(0, 120, 6), cycle(pairs)):
            server = self.serve("--port", "0", "--drain-timeout", "30")
            fill(self.connect(server.address()))
            server.signal(pair[0])
            later = time.perf_counter() + gap / 1e6
            while time.perf_counter() < later:
                pass
            server.signal(pair[1])
            # The kernel, and Python, have the lower number first of two that wait.
            self.assertIn(-server.wait(PATIENCE / 2), pair)
            self.assertNotIn("ReactorNotRunning", server.log())

    def test_starting(self) -> None:
        """Two signals while the reactor starts, as soon as it has handlers, end it as well."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "echo.tac").write_text(SIGNALLED)
        command = (*COMMANDS["twistd -n"][:-1], "--no_save", "--python=echo.tac")
        ended = warm.run(command, str(folder), PATIENCE / 2)
        self.assertIn(-ended.returncode, (signal.SIGTERM, signal.SIGINT))
        self.assertIn("1 aborted", ended.stdout)
        self.assertNotIn("Traceback", ended.stdout)
