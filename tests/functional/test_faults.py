"""The effects of faults on a plain socket: its time, its bytes, and its ends."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

from echo_app.testing import EchoProcess
from tests.support.kernel import serverSide, waitUntil
from tests.support.service import (
    PATIENCE,
    ServiceTestCase,
    exchanged,
    fill,
    receiveAll,
    startSending,
    stopCounts,
    together,
)
from tests.support.tls import TLSPeer

DATA = bytes(range(256)) * 4096

# Measurements until one is not disturbed by what else the machine does.
TRIES = 20


class FaultTestCase(ServiceTestCase):
    """A test case with services whose peers choose their faults."""

    def faulty(self, server: EchoProcess, *specs: str, **options: int) -> socket.socket:
        """Connects, with these faults."""
        peer = self.connect(server.address(), **options)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.sendall(b"!fault " + " ".join(specs).encode() + b"\n")
        return peer

    def start(self, *options: str) -> EchoProcess:
        """Starts a service."""
        return self.serve("--port", "0", "--fault-preamble", *options)

    def assertTakes(self, seconds: float, work: Callable[[], object]) -> None:
        """Asserts that work never takes less, and ten per cent more at the most when nothing disturbs it."""
        taken = []
        for _ in range(TRIES):
            start = time.monotonic()
            work()
            taken.append(time.monotonic() - start)
            if taken[-1] <= 1.1 * seconds:
                break
        self.assertGreaterEqual(min(taken), 0.99 * seconds)
        self.assertLessEqual(min(taken), 1.1 * seconds)


class TimeTests(FaultTestCase):
    def test_latency(self) -> None:
        """An answer comes that much later, to a fraction of it, by either path to the socket."""
        for options in ((), ("--no-direct",)):
            server = self.start(*options)
            for spec in ("latency=150ms", "latency=150ms,direction=in"):
                peer = self.faulty(server, spec)

                def ping(peer: socket.socket = peer) -> None:
                    self.assertEchoes(peer, b"ping")

                self.assertTakes(0.15, ping)

    def test_throughput(self) -> None:
        """While they are late, bytes pass as fast as ever, and all of them come back."""
        peer = self.faulty(self.start(), "latency=100ms")
        startSending(peer, DATA)
        start = time.monotonic()
        self.assertEqual(receiveAll(peer), DATA)
        self.assertGreaterEqual(time.monotonic() - start, 0.1)

    def test_bandwidth(self) -> None:
        """An echo takes the time of its bytes at that rate, in either direction."""
        server = self.start()
        data = DATA[:100_000]
        for spec in ("bandwidth=250kB/s", "bandwidth=250kB/s,direction=in"):

            def transfer(spec: str = spec) -> None:
                peer = self.faulty(server, spec)
                startSending(peer, data)
                self.assertEqual(receiveAll(peer), data)

            self.assertTakes(0.4, transfer)

    def test_chop(self) -> None:
        """Pieces come as segments of their own, of these sizes and with these gaps, by either path."""
        for options in ((), ("--no-direct",)):
            server = self.start(*options)
            # They come together to a process that was not run in between.
            self.assertTrue(any(self._chopped(server) >= 8 for _ in range(TRIES)))

    def _chopped(self, server: EchoProcess) -> int:
        """Returns how many pieces of an echo come as they were cut."""
        peer = self.faulty(server, "chop=2-5,gap=20ms")
        peer.send(DATA[:60])
        pieces: list[bytes] = []
        times = []
        while sum(map(len, pieces)) < 60:
            pieces.append(peer.recv(100))
            times.append(time.monotonic())
        self.assertEqual(b"".join(pieces), DATA[:60])
        self.assertGreaterEqual(times[-1] - times[0], 0.02 * (len(pieces) - 2))
        return sum(2 <= len(each) <= 5 for each in pieces)

    def test_stall(self) -> None:
        """A stall delays all bytes from a connection's beginning to the stall's end."""
        peer = self.faulty(self.start(), "stall,for=0.3s,every=60s")
        start = time.monotonic()
        startSending(peer, DATA)
        self.assertEqual(receiveAll(peer), DATA)
        self.assertGreaterEqual(time.monotonic() - start, 0.29)

    def test_together(self) -> None:
        """All that holds back, together, loses nothing, at the ends of the stream neither."""
        server = self.start()
        specs = ("latency=20ms,jitter=10ms", "bandwidth=4MB/s", "stall,for=20ms,every=100ms")
        more = ("chop=1000-9000", "latency=20ms,direction=in", "chop=2000-3000,direction=in")

        def echo() -> None:
            peer = self.faulty(server, *specs, *more)
            startSending(peer, DATA[: 1 << 18])
            self.assertEqual(receiveAll(peer), DATA[: 1 << 18])

        together(*[echo] * 4)

    def test_segment(self) -> None:
        """Data in one segment with its end comes back, late, before our end."""
        peer = self.faulty(self.start(), "latency=20ms", "latency=20ms,direction=in", "chop=3")
        self.assertEqual(exchanged(peer, b"the last words"), b"the last words")


class BoundTests(FaultTestCase):
    def test_peerThatNeverReads(self) -> None:
        """The bytes held for a peer that never reads are bounded, and other peers are served."""
        server = self.start("--fault", "latency=10ms")
        deaf = self.faulty(server, "latency=10min", SO_RCVBUF=4096)
        before = _memory(server.pid)
        deaf.setblocking(False)
        fill(deaf)
        self.assertLess(_memory(server.pid) - before, 16 << 20)
        self.assertEchoes(self.connect(server.address()), b"hello")


class EndTests(FaultTestCase):
    def test_slowClose(self) -> None:
        """The bytes come at once, and the end of the stream that much later."""
        server = self.start()
        for spec in ("slow-close=300ms", "slow-close=300ms,direction=in"):
            peer = self.faulty(server, spec)
            start = time.monotonic()
            peer.sendall(b"last words")
            peer.shutdown(socket.SHUT_WR)
            self.assertEqual(peer.recv(10, socket.MSG_WAITALL), b"last words")
            self.assertEqual(peer.recv(1), b"")
            self.assertGreaterEqual(time.monotonic() - start, 0.29)

    def untilReset(self, peer: socket.socket) -> bytes:
        """Sends and receives; returns what comes before the reset, which has to come."""
        errors: list[type[OSError]] = []

        def send() -> None:
            try:
                peer.sendall(DATA)
            except OSError as error:
                errors.append(type(error))

        sending = threading.Thread(target=send, daemon=True)
        sending.start()
        received = b""
        try:
            while data := peer.recv(1 << 16):
                received += data
        except OSError as error:
            errors.append(type(error))
        sending.join()
        # The kernel reports the reset to the first call of the two; the other call sees an end.
        self.assertIn(ConnectionResetError, errors)
        return received

    def resetAfter(self, server: EchoProcess, *specs: str) -> bytes:
        """Returns what comes before the reset of a connection with these faults."""
        return self.untilReset(self.faulty(server, *specs))

    def test_reset(self) -> None:
        """The peer gets as many bytes as it says, every time, and then ECONNRESET; by either path."""
        for options in ((), ("--no-direct",)):
            server = self.start(*options)
            for _ in range(5):
                self.assertEqual(self.resetAfter(server, "reset,after=100kB"), DATA[:100_000])
            more = ("latency=20ms", "bandwidth=2MB/s", "chop=5000")
            self.assertEqual(self.resetAfter(server, "reset,after=100kB", *more), DATA[:100_000])
            self.assertEqual(self.resetAfter(server, "reset"), b"")

    def test_resetOfALateReader(self) -> None:
        """A peer that reads late gets all of them as well."""
        peer = self.faulty(self.start(), "reset,after=1MB", SO_RCVBUF=16_384)
        fill(peer)
        peer.settimeout(PATIENCE)
        self.assertTrue(waitUntil(lambda: (side := serverSide(peer)) is not None and side.owed > 0))
        self.assertEqual(len(self.untilReset(peer)), 1_000_000)

    def test_close(self) -> None:
        """The peer gets as many bytes and the end of the stream, though it sends more."""
        peer = self.faulty(self.start(), "close,after=100kB")
        startSending(peer, DATA)
        self.assertEqual(receiveAll(peer), DATA[:100_000])

    def test_halfClose(self) -> None:
        """The peer gets as many bytes and the end of the stream, and its input is taken to the end."""
        server = self.start()
        peer = self.faulty(server, "half-close,after=100kB")
        sending = startSending(peer, DATA * 4)
        self.assertEqual(receiveAll(peer), DATA[:100_000])
        sending.join()
        self.assertEqual(stopCounts(server)["lost"], 0)

    def test_blackhole(self) -> None:
        """A blackholed peer is accepted, may send, and is never answered; a stop ends its connection."""
        server = self.start("--drain-timeout", "20")
        peer = self.faulty(server, "blackhole")
        peer.sendall(DATA * 8)
        peer.shutdown(socket.SHUT_WR)
        peer.settimeout(0.3)
        self.assertRaises(TimeoutError, peer.recv, 1)
        peer.settimeout(30)
        self.assertEqual(stopCounts(server)["aborted"], 0)
        self.assertEqual(peer.recv(1), b"")

    def test_stop(self) -> None:
        """A stop waits for held bytes: they are an echo under way."""
        server = self.start("--drain-timeout", "20")
        peer = self.faulty(server, "latency=1500ms")
        peer.send(b"hello")
        self.assertTrue(waitUntil(lambda: (side := serverSide(peer)) is not None and side.unread == 0))
        self.assertEqual(stopCounts(server)["aborted"], 0)
        self.assertEqual(receiveAll(peer), b"hello")


class TLSTests(FaultTestCase):
    def start(self, *options: str) -> EchoProcess:
        """Starts a service that speaks TLS."""
        return self.serve("--tls", "0", *options)

    def test_plainText(self) -> None:
        """Over TLS it is the plain text that is late and changed: the records stay whole."""
        server = self.start("--fault", "corrupt=1", "--fault", "latency=20ms", "--fault", "chop=100")
        peer = TLSPeer(self.connect(server.address("tls"))).shake()
        peer.send(bytes(1000))
        received = peer.receive(1000)
        self.assertEqual((len(received), received.count(0)), (1000, 0))

    def test_reset(self) -> None:
        """A reset is one of the TCP connection."""
        server = self.start("--fault", "reset,after=1000B")
        peer = TLSPeer(self.connect(server.address("tls"))).shake()
        peer.send(bytes(2000))
        self.assertEqual(peer.receive(1000), bytes(1000))
        self.assertRaises(ConnectionResetError, peer.sock.recv, 1)

    def test_blackhole(self) -> None:
        """No handshake is answered."""
        server = self.start("--fault", "blackhole")
        peer = TLSPeer(self.connect(server.address("tls")))
        peer.sock.sendall(peer.hello())
        peer.sock.settimeout(0.3)
        self.assertRaises(TimeoutError, peer.sock.recv, 1)


def _memory(pid: int) -> int:
    """Returns the bytes of memory that a process has (proc(5), statm)."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * 4096
