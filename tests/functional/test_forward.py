"""Streams go on to an upstream, exactly, and their ends with them: docs/dev/contract.rst, 11."""

from __future__ import annotations

import errno
import json
import random
import signal
import socket
import struct
import tempfile
import threading
import time
from pathlib import Path

from twisted.trial.unittest import TestCase

from echo_app.testing import EchoProcess, EchoServerMixin
from echo_app.tls.certificates import throwAway
from tests.support.ci import onlyInCI
from tests.support.kernel import waitForCut, waitUntil
from tests.support.service import ServiceTestCase, exchanged, receiveAll, startSending, stopCounts

RESETTING = struct.pack("ii", 1, 0)


def reset(peer: socket.socket) -> None:
    """Closes a connection by a reset."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
    peer.close()


class ForwardTestCase(ServiceTestCase):
    """A service that forwards to a listener of the test.

    :cvar options: further options of the service.
    :cvar isUNIX: the upstream is a UNIX socket.
    """

    options: tuple[str, ...] = ()
    isUNIX = False

    def setUp(self) -> None:
        self.listener = self.listen()
        self.server = self.serve("--port", "0", "--forward", self.target(), *self.options)

    def listen(self) -> socket.socket:
        """Returns the listener of the upstream."""
        family = socket.AF_UNIX if self.isUNIX else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        self.addCleanup(listener.close)
        listener.bind(self.path("upstream.sock") if self.isUNIX else ("127.0.0.1", 0))
        listener.listen(64)
        listener.settimeout(20)
        return listener

    def path(self, name: str) -> str:
        """Returns a path that is short enough for a socket (unix(7))."""
        folder = tempfile.TemporaryDirectory(prefix="e-")
        self.addCleanup(folder.cleanup)
        return f"{folder.name}/{name}"

    def target(self) -> str:
        """Returns the target of the upstream."""
        name = self.listener.getsockname()
        return f"unix://{name}" if self.isUNIX else f"{name[0]}:{name[1]}"

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Returns a client's connection, and the upstream's end of it."""
        client = self.connect(self.server.address())
        upstream, _ = self.listener.accept()
        self.addCleanup(upstream.close)
        upstream.settimeout(20)
        return client, upstream

    def pushBack(self, client: socket.socket) -> None:
        """Sends until nothing is taken for a second."""
        client.settimeout(1)
        with self.assertRaises(TimeoutError):
            while True:
                client.sendall(bytes(1 << 16))


class StreamTests(ForwardTestCase):
    """Over TCP, on the direct path."""

    def test_bothWays(self) -> None:
        """Bytes pass both ways at once, whole and in order, and each end of stream after its bytes."""
        client, upstream = self.pair()
        there, back = (random.Random(seed).randbytes(12 << 20) for seed in (1, 2))
        senders = [startSending(client, there), startSending(upstream, back)]
        received: list[bytes] = []
        reader = threading.Thread(target=lambda: received.append(receiveAll(upstream)))
        reader.start()
        self.assertTrue(receiveAll(client) == back, "not what the upstream sent")
        reader.join()
        self.assertTrue(received[0] == there, "not what the client sent")
        for each in senders:
            each.join()
        self.assertEqual(stopCounts(self.server)["lost"], 0)

    def test_clientEndsFirst(self) -> None:
        """After the client's end of stream the upstream goes on sending."""
        client, upstream = self.pair()
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(receiveAll(upstream), b"question")
        for _ in range(3):
            upstream.sendall(b"answer")
            self.assertEqual(client.recv(6), b"answer")
        upstream.close()
        self.assertEqual(client.recv(1), b"")

    def test_upstreamEndsFirst(self) -> None:
        """After the upstream's end of stream, in one segment with data, the client goes on sending."""
        client, upstream = self.pair()
        upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1) if not self.isUNIX else None
        upstream.sendall(b"welcome")
        upstream.shutdown(socket.SHUT_WR)
        self.assertEqual(receiveAll(client), b"welcome")
        for _ in range(3):
            client.sendall(b"more")
            self.assertEqual(upstream.recv(4), b"more")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(upstream.recv(1), b"")

    def test_lateReader(self) -> None:
        """What the client sends waits with it while the upstream does not read, and comes in the end."""
        client, upstream = self.pair()
        data = random.Random(3).randbytes(40 << 20)
        before = self.memory()
        sender = startSending(client, data)
        self.assertFalse(waitUntil(lambda: not sender.is_alive(), 2), "nothing is pushed back")
        self.assertLess(self.memory() - before, 1 << 20)
        self.assertTrue(receiveAll(upstream) == data, "not what the client sent")

    def memory(self) -> int:
        """Returns the bytes of the service's resident memory."""
        with open(f"/proc/{self.server.pid}/statm") as file:
            return int(file.read().split()[1]) * 4096

    def test_upstreamResets(self) -> None:
        """A reset of the upstream is one for the client, after the bytes before it."""
        client, upstream = self.pair()
        client.sendall(b"question")
        self.assertEqual(upstream.recv(8), b"question")
        upstream.sendall(b"half of an ans")
        self.assertEqual(client.recv(14), b"half of an ans")
        reset(upstream)
        self.assertEqual(waitForCut(client), errno.ECONNRESET)

    def test_clientResets(self) -> None:
        """A reset of the client is one for the upstream, after the bytes before it."""
        client, upstream = self.pair()
        client.sendall(b"question")
        self.assertEqual(upstream.recv(8), b"question")
        reset(client)
        self.assertEqual(waitForCut(upstream), errno.ECONNRESET)

    def test_resetWhilePushedBack(self) -> None:
        """A client whose input is pushed back is seen to reset; its upstream is reset, too."""
        client, upstream = self.pair()
        self.pushBack(client)
        reset(client)
        self.assertEqual(waitForCut(upstream, 10), errno.ECONNRESET)

    def test_manyAtOnce(self) -> None:
        """Connections that come at once have an upstream each, and none has another's bytes."""
        clients = [self.connect(self.server.address()) for _ in range(50)]
        for number, client in enumerate(clients):
            client.sendall(b"%4d" % number)
        upstreams = {}
        for _ in clients:
            upstream, _ = self.listener.accept()
            self.addCleanup(upstream.close)
            upstream.settimeout(20)
            upstreams[int(upstream.recv(4, socket.MSG_WAITALL))] = upstream
        self.assertEqual(sorted(upstreams), list(range(50)))
        for number, client in enumerate(clients):
            upstreams[number].sendall(b"%4d" % number)
            self.assertEqual(int(client.recv(4, socket.MSG_WAITALL)), number)

    def test_stop(self) -> None:
        """A stop lets a busy connection end: no byte is lost."""
        client, upstream = self.pair()
        data = random.Random(4).randbytes(8 << 20)
        sender = startSending(client, data)
        self.assertEqual(upstream.recv(1), data[:1])
        self.server.signal(signal.SIGTERM)
        self.assertTrue(receiveAll(upstream) == data[1:], "not what the client sent")
        upstream.sendall(b"done")
        upstream.close()
        sender.join()
        self.assertEqual(receiveAll(client), b"done")


class TwistedTransportTests(StreamTests):
    """Over Twisted's own transports."""

    skip = onlyInCI("the rules are those of the direct path")
    options = ("--no-direct",)

    def test_resetWhilePushedBack(self) -> None:
        """A reset of a client whose input is pushed back is seen when the upstream reads again."""
        client, upstream = self.pair()
        self.pushBack(client)
        reset(client)
        with self.assertRaises(ConnectionResetError):
            while upstream.recv(1 << 20):
                pass


class EndpointTests(StreamTests):
    """The upstream is a client endpoint of Twisted's, with Twisted's transport."""

    skip = onlyInCI("the rules are those of our own endpoint")

    def target(self) -> str:
        """Returns the description of the endpoint."""
        host, port = self.listener.getsockname()
        return f"tcp:{host}:{port}"


class UNIXTests(StreamTests):
    """The upstream is a UNIX socket."""

    isUNIX = True

    def test_upstreamResets(self) -> None:
        """A UNIX socket has no reset of its own: one that closes with unread input."""
        client, upstream = self.pair()
        client.sendall(b"question")
        upstream.recv(1)
        upstream.close()
        self.assertIn(waitForCut(client), (0, errno.ECONNRESET))

    def test_clientResets(self) -> None:
        """A reset of the client closes the UNIX socket."""
        client, upstream = self.pair()
        client.sendall(b"question")
        self.assertEqual(upstream.recv(8), b"question")
        reset(client)
        self.assertIn(waitForCut(upstream), (0, errno.ECONNRESET))

    def test_resetWhilePushedBack(self) -> None:
        """A client whose input is pushed back is seen to reset; the upstream ends."""
        client, upstream = self.pair()
        self.pushBack(client)
        reset(client)
        upstream.settimeout(5)
        while upstream.recv(1 << 20):
            pass


class RecordTests(ServiceTestCase):
    """The access log has both legs."""

    def test_fields(self) -> None:
        """The upstream's address, the time to reach it, its bytes, and the side that ended first."""
        log = str(Path(self.mktemp()).absolute())
        echo = self.serve("--port", "0")
        host, port = echo.address()
        server = self.serve("--port", "0", "--forward", f"{host}:{port}", "--access-log", log)
        client = self.connect(server.address())
        self.assertEqual(exchanged(client, bytes(5000)), bytes(5000))
        server.stop()
        with open(log) as file:
            entry = json.loads(file.read())
        self.assertEqual(entry["upstream"], f"{host}:{port}")
        self.assertEqual((entry["upstream_bytes_in"], entry["upstream_bytes_out"]), (5000, 5000))
        self.assertEqual((entry["bytes_in"], entry["bytes_out"]), (5000, 5000))
        self.assertEqual((entry["first_end"], entry["ended"]), ("client", "fin"))
        self.assertTrue(0 <= entry["upstream_connect"] < 5)
        self.assertEqual(entry["upstream_retransmits"], 0)


class ResetTestCase(ServiceTestCase):
    """Services that reset their clients."""

    def assertReset(self, server: EchoProcess) -> None:
        """Asserts that a service resets a client, perhaps before its ``connect`` returns."""
        try:
            client = self.connect(server.address())
        except ConnectionResetError:
            return
        self.assertEqual(waitForCut(client, 15), errno.ECONNRESET)


class TLSTests(ResetTestCase):
    """TLS is passed through, ended here, begun here, or both."""

    def setUp(self) -> None:
        self.log = str(Path(self.mktemp()).absolute())
        self.certificate = str(Path(self.mktemp()).absolute())
        Path(self.certificate).write_bytes(throwAway())
        self.upstream = self.serve(
            *("--tls", "0", "--certificate", self.certificate, "--proxy-protocol", "--access-log", self.log)
        )

    def test_begunHere(self) -> None:
        """A plain client's stream goes on over TLS, behind a header that names the client."""
        _, port = self.upstream.address("tls")
        target = f"tls://localhost:{port}"
        server = self.serve(
            *("--port", "0", "--forward", target, "--forward-ca", self.certificate, "--send-proxy", "v2")
        )
        client = self.connect(server.address())
        data = random.Random(5).randbytes(1 << 20)
        self.assertTrue(exchanged(client, data) == data, "not what was sent")
        name = client.getsockname()
        stopCounts(server)
        stopCounts(self.upstream)
        with open(self.log) as file:
            entry = json.loads(file.read())
        self.assertEqual((entry["peer"], entry["ended"]), (f"{name[0]}:{name[1]}", "fin"))
        self.assertEqual((entry["bytes_in"], entry["bytes_out"]), (1 << 20, 1 << 20))

    def test_untrusted(self) -> None:
        """An upstream whose certificate is not trusted resets the client, and is counted."""
        _, port = self.upstream.address("tls")
        log = str(Path(self.mktemp()).absolute())
        server = self.serve(
            *(
                "--port",
                "0",
                "--forward",
                f"tls://localhost:{port}",
                "--send-proxy",
                "v1",
                "--access-log",
                log,
            )
        )
        self.assertReset(server)
        server.stop()
        with open(log) as file:
            self.assertIn('"ended":"upstream","detail":"tls"', file.read())


class StallTests(ForwardTestCase):
    """An upstream that takes nothing is a stalled peer."""

    options = ("--stall-timeout", "2")

    def test_stalled(self) -> None:
        """A connection whose upstream takes nothing is reset at both ends, and counted."""
        client, upstream = self.pair()
        client.settimeout(1)
        with self.assertRaises((TimeoutError, ConnectionError)):
            while True:
                client.sendall(bytes(1 << 16))
        self.assertEqual(waitForCut(client, 15), errno.ECONNRESET)
        self.assertEqual(waitForCut(upstream, 15), errno.ECONNRESET)
        self.assertEqual(stopCounts(self.server)["timed out"], 1)


class FaultTests(ForwardTestCase):
    """Faults stand on the client's leg."""

    options = (
        *("--fault", "connect=refused,connections=1"),
        *("--fault", "connect=never,connections=2"),
        *("--fault", "connect=300ms,connections=3"),
        *("--fault", "corrupt=1,connections=4"),
        *("--fault", "corrupt=1,direction=in,connections=5"),
        *("--fault", "slow-close=300ms,direction=in,connections=6"),
        *("--connect-timeout", "500ms"),
    )

    def test_connect(self) -> None:
        """One client is refused, one waits for the time-out, and one for its upstream."""
        refused = self.connect(self.server.address())
        self.assertEqual(waitForCut(refused), errno.ECONNRESET)
        start = time.monotonic()
        never = self.connect(self.server.address())
        self.assertEqual(waitForCut(never), errno.ECONNRESET)
        self.assertGreaterEqual(time.monotonic() - start, 0.49)
        self.listener.setblocking(False)
        self.assertRaises(BlockingIOError, self.listener.accept)
        self.listener.settimeout(20)
        start = time.monotonic()
        late, upstream = self.pair()
        self.assertGreaterEqual(time.monotonic() - start, 0.29)
        late.sendall(b"question")
        self.assertEqual(upstream.recv(8, socket.MSG_WAITALL), b"question")
        self.assertEqual(stopCounts(self.server)["connections"], 3)

    def test_directions(self) -> None:
        """``in`` is towards the upstream, and ``out`` towards the client."""
        for _ in range(3):
            self.connect(self.server.address())
        self.listener.accept()[0].close()
        for isOut in (True, False):
            client, upstream = self.pair()
            client.sendall(bytes(8))
            self.assertEqual(upstream.recv(8, socket.MSG_WAITALL) == bytes(8), isOut)
            upstream.sendall(bytes(8))
            self.assertEqual(client.recv(8, socket.MSG_WAITALL) == bytes(8), not isOut)
        client, upstream = self.pair()
        start = time.monotonic()
        client.sendall(b"last")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(receiveAll(upstream), b"last")
        self.assertGreaterEqual(time.monotonic() - start, 0.29)


class LiveFaultTests(EchoServerMixin, TestCase):
    """Faults of an open connection change on the client's leg."""

    def test_bothWays(self) -> None:
        """A transfer both ways is whole, whatever holds it up meanwhile, with its ends."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            target = f"127.0.0.1:{listener.getsockname()[1]}"
            server = self.startEchoServer("--port", "0", "--forward", target)
            there, back = (random.Random(seed).randbytes(8 << 20) for seed in (1, 2))
            with socket.create_connection(server.address(), 20) as client, listener.accept()[0] as upstream:
                upstream.settimeout(20)
                startSending(client, there)
                startSending(upstream, back)
                received: list[bytes] = []
                reader = threading.Thread(target=lambda: received.append(receiveAll(upstream)))
                reader.start()
                other = threading.Thread(target=lambda: received.append(receiveAll(client)))
                other.start()
                draw = random.Random(3)
                for _ in range(60):
                    specs = ("latency=5ms,direction=in", "bandwidth=20MB/s", "stall", "chop=1000-9000")
                    server.setFaults(*draw.sample(specs, draw.randrange(3)), live=True)
                server.setFaults(live=True)
                reader.join()
                other.join()
            self.assertTrue({there, back} == set(received), "other bytes")


class UnreachedTests(ResetTestCase):
    """Upstreams that can't be reached reset their clients, and are counted."""

    def assertUnreached(self, target: str, reason: str, *options: str) -> None:
        log = str(Path(self.mktemp()).absolute())
        server = self.serve("--port", "0", "--forward", target, "--access-log", log, *options)
        self.assertReset(server)
        server.stop()
        with open(log) as file:
            line = file.read()
        self.assertIn('"ended":"upstream"', line)
        self.assertIn(f'"detail":"{reason}', line)

    def test_refused(self) -> None:
        """One that does not listen."""
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            self.assertUnreached(f"127.0.0.1:{bound.getsockname()[1]}", "refused")

    def test_unresolved(self) -> None:
        """A name without an address (RFC 6761, 6.4)."""
        self.assertUnreached("nowhere.invalid:80", "unresolved")

    def test_blackHole(self) -> None:
        """One whose queue is full does not answer the handshake."""
        with socket.socket() as listener, socket.socket() as first:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            first.connect(listener.getsockname())
            self.assertUnreached(
                f"127.0.0.1:{listener.getsockname()[1]}", "timeout", "--connect-timeout", "500ms"
            )

    def test_name(self) -> None:
        """A name is looked up, and all its addresses are tried."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            server = self.serve("--port", "0", "--forward", f"localhost:{listener.getsockname()[1]}")
            client = self.connect(server.address())
            client.sendall(b"?")
            listener.settimeout(10)
            upstream, _ = listener.accept()
            with upstream:
                self.assertEqual(upstream.recv(1), b"?")
