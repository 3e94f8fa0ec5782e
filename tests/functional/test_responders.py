"""Responders, tried with clients that are not ours."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import redis

from echo_app.responders.builtin import PATTERN
from echo_app.testing import EchoProcess
from tests import ROOT, SUPPORT
from tests.functional.test_backpressure import KIBI, PER_PEER, residentBytes
from tests.support import programs, warm
from tests.support.certificates import Authority
from tests.support.kernel import Namespace, descriptors, waitUntil
from tests.support.service import (
    COMMANDS,
    ENDLESS,
    PATIENCE,
    ServiceTestCase,
    WarmEchoProcess,
    exchanged,
    needs,
    reactorName,
    receiveAll,
    stopCounts,
)

EXAMPLES = ROOT / "examples"

# Bytes that a peer may cost that never reads its answers: the longest line, one read, and what the transport
# holds before it pauses are 256 KiB, and the allocator adds to them.
ANSWERS_PER_PEER = 320 * KIBI
PEERS = 20


class BesideResponders(WarmEchoProcess):
    """A service that is started in a folder with responders in it."""

    def _launch(self, command: tuple[str, ...], stdin: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
        for module in (SUPPORT / "own_responders.py", EXAMPLES / "redis_like.py"):
            shutil.copy(module, self.folder)
        return super()._launch(command, stdin, log)


class ClientTestCase(ServiceTestCase):
    process = BesideResponders

    def talk(self, server: EchoProcess, data: bytes, *client: str) -> bytes:
        """Runs a client with this for its input; returns what it printed, when it has ended well."""
        client = client or ("nc.openbsd", "-N", "HOST", "PORT")
        needs(client[0])
        where = server.listeners[0]
        words = [word.replace("HOST", where.host).replace("PORT", str(where.port)) for word in client]
        done = programs.run(*words, input=data)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return bytes(done.stdout)

    def open(self, *client: str) -> subprocess.Popen[bytes]:
        """Starts a client whose input stays open until the test's end."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        return programs.start(self, *client, **pipes)


class BuiltInTests(ClientTestCase):
    def test_lines(self) -> None:
        """Each line comes back, the last one without an end too, to any client that half-closes."""
        server = self.serve("--port", "0", "--responder", "lines")
        sent = b"a\r\n\n" + b"x" * 65_535 + b"\n" + b"line\n" * 10_000 + b"last"
        self.assertTrue(self.talk(server, sent) == sent)
        self.assertTrue(self.talk(server, sent, "ncat", "HOST", "PORT") == sent)
        self.assertTrue(self.talk(server, sent, "socat", "-t9", "-", "TCP:HOST:PORT") == sent)
        self.assertEqual(stopCounts(server)["lost"], 0)

    def test_tooLong(self) -> None:
        """Over the longest line there is one error, which no reset destroys, however much comes."""
        for path in ((), ("--no-direct",)):
            server = self.serve("--port", "0", "--responder", "lines", *path)
            for _ in range(10):
                peer = self.connect(server.address())
                peer.sendall(b"first\n" + bytes(1 << 20))
                self.assertEqual(receiveAll(peer), b"first\nerror: a line has 65536 bytes at the most\n")
                peer.close()
            counts = stopCounts(server)
            self.assertEqual((counts["connections"], counts["lost"], counts["aborted"]), (10, 0, 0))
            self.assertEqual(server.log().count("requests without an answer: 1 too-long"), 1)

    def test_backpressure(self) -> None:
        """Peers that ask and never read cost bounded memory, and the others are served."""
        server = self.serve("--port", "0", "--responder", "lines")
        _askOnly(self.connect(server.address()))
        before = residentBytes(server.pid)
        for _ in range(PEERS):
            _askOnly(self.connect(server.address()))
        self.assertLess((residentBytes(server.pid) - before) / PEERS, ANSWERS_PER_PEER)
        other = self.connect(server.address())
        other.sendall(b"hello\n")
        self.assertEqual(_receive(other, 6), b"hello\n")

    def test_lengthPrefixed(self) -> None:
        """A request comes back with its length; a request that is cut off is not answered."""
        server = self.serve("--port", "0", "--responder", "length-prefixed")
        sent = b"".join(struct.pack("!I", size) + os.urandom(size) for size in (0, 1, 65_536, 100))
        self.assertTrue(self.talk(server, sent + b"\0\0\0\2x") == sent)
        self.assertEqual(self.talk(server, b"\0\0\0\1a\xff\xff\xff\xff"), b"\0\0\0\1a")

    def test_discard(self) -> None:
        """Nothing comes back but the end."""
        server = self.serve("--port", "0", "--responder", "discard")
        self.assertEqual(self.talk(server, bytes(32 << 20)), b"")
        self.assertEqual(stopCounts(server)["lost"], 0)

    def test_chargen(self) -> None:
        """The characters come in their order, over TLS as well, to a client that has ended its side, too."""
        server = self.serve("--port", "0", "--tls", "0", "--responder", "chargen")
        expected = PATTERN * (3_000_000 // len(PATTERN))
        peer = self.connect(server.address())
        peer.shutdown(socket.SHUT_WR)
        self.assertTrue(_receive(peer, len(expected)) == expected)
        needs("openssl")
        host, port = server.address("tls")
        command = ("openssl", "s_client", "-quiet", "-connect", f"{host}:{port}")
        client = self.open(*command)
        assert client.stdout is not None
        self.assertTrue(client.stdout.read(len(expected)) == expected)

    def test_chargenMemory(self) -> None:
        """To a peer that never reads it costs no more memory than an echo may."""
        server = self.serve("--port", "0", "--responder", "chargen")
        peers = [self.connect(server.address()) for _ in range(10)]
        before = residentBytes(server.pid)
        peers += [self.connect(server.address()) for _ in range(50)]
        for peer in peers:
            self.assertEqual(_receive(peer, 1000), PATTERN[:1000])
        self.assertLess((residentBytes(server.pid) - before) / 50, PER_PEER)


class PeerTests(ClientTestCase):
    """One line of JSON, and then the echo."""

    def _told(self, answer: bytes) -> tuple[dict[str, Any], bytes]:
        line, _, rest = answer.partition(b"\n")
        facts: dict[str, Any] = json.loads(line)
        return facts, rest

    def test_tcp(self) -> None:
        """A client sees both its addresses, and gets its bytes."""
        server = self.serve("--port", "0", "--responder", "peer")
        facts, rest = self._told(self.talk(server, b"hello", "socat", "-", "TCP:HOST:PORT,bind=127.0.0.3"))
        host, port = server.address()
        self.assertEqual((facts["host"], facts["peer"].partition(":")[0]), (f"{host}:{port}", "127.0.0.3"))
        self.assertEqual((facts["tls"], facts["proxy"], rest), (None, None, b"hello"))

    def test_proxied(self) -> None:
        """Behind a proxy the client's address is the header's, and the proxy has its own."""
        server = self.serve("--port", "0", "--responder", "peer", "--proxy-protocol")
        sent = b"PROXY TCP4 192.0.2.1 192.0.2.2 4242 8080\r\nhello"
        facts, rest = self._told(self.talk(server, sent))
        self.assertEqual((facts["peer"], facts["host"], rest), ("192.0.2.1:4242", "192.0.2.2:8080", b"hello"))
        self.assertTrue(facts["proxy"].startswith("127.0.0.1:"))

    def test_unix(self) -> None:
        """Over a UNIX socket a client has no name, unless it took one."""
        server = self.serve("--listen", "unix:echo.sock", "--responder", "peer")
        path = server.address("unix")[0]
        facts, rest = self._told(self.talk(server, b"hello", "socat", "-", f"UNIX-CONNECT:{path}"))
        self.assertEqual((facts["peer"], facts["host"]), ("unnamed", "echo.sock"))
        self.assertEqual((facts["transport"], facts["proxy"], rest), ("unix", None, b"hello"))

    def test_tls(self) -> None:
        """Over TLS the responder reports the cipher and the subject of the client's certificate."""
        needs("openssl")
        authority = Authority(Path(self.mktemp()))
        certificate, key = authority.issue("client")
        server = self.serve(
            *("--tls", "0", "--responder", "peer", "--client-ca", authority.path),
            *("--listen", f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"),
        )
        host, port = server.address("tls")
        shown = ("-cert", certificate, "-key", key)
        tls = self._overTLS(f"{host}:{port}", "-tls1_3", *shown)
        self.assertEqual((tls["version"], tls["alpn"], tls["client"]), ("TLSv1.3", None, "CN=client"))
        self.assertTrue(tls["cipher"].startswith("TLS_"))
        tls = self._overTLS(f"{host}:{port}", "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256", *shown)
        self.assertEqual((tls["version"], tls["cipher"]), ("TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256"))
        # Twisted's own TLS says it in its own way.
        host, port = server.address("tcp")
        tls = self._overTLS(f"{host}:{port}", "-tls1_3")
        self.assertEqual((tls["version"], tls["alpn"], tls["client"]), ("TLSv1.3", None, None))
        self.assertTrue(tls["cipher"].startswith("TLS_"))

    def _overTLS(self, address: str, *options: str) -> dict[str, Any]:
        client = self.open("openssl", "s_client", "-quiet", "-connect", address, *options)
        assert client.stdout is not None
        facts, _ = self._told(client.stdout.readline())
        tls: dict[str, Any] = facts["tls"]
        return tls


class OwnTests(ClientTestCase):
    """Responders of the user's, found by their names."""

    def own(self, name: str, *options: str, **more: object) -> EchoProcess:
        return self.serve("--port", "0", "--responder", f"own_responders:{name}", *options, **more)

    def test_order(self) -> None:
        """Answers that are there in another order come in that of the requests."""
        server = self.own("together")
        self.assertEqual(self.talk(server, b"wait\nwait\nsoon\ngo\nlast"), b"WAIT\nWAIT\nSOON\nGO\nLAST")

    def test_failure(self) -> None:
        """A failure closes only its own connection, after the answers before it, and is logged once."""
        server = self.own("together")
        other = self.connect(server.address())
        other.sendall(b"before\n")
        self.assertEqual(_receive(other, 7), b"BEFORE\n")
        self.assertEqual(self.talk(server, b"one\nfail\nnever\n"), b"ONE\n")
        other.sendall(b"after\n")
        self.assertEqual(_receive(other, 6), b"AFTER\n")
        other.close()
        stopCounts(server)
        self.assertEqual(server.log().count("ArithmeticError: on purpose"), 1)
        self.assertEqual(server.log().count("raise ArithmeticError"), 1)

    def test_timeout(self) -> None:
        """An answer that takes too long is cancelled, and closes its connection."""
        server = self.own("together", "--responder-timeout", "0.2")
        self.assertEqual(self.talk(server, b"one\nwait\nnever\n"), b"ONE\n")
        stopCounts(server)
        self.assertEqual((server.log().count("cancelled"), server.log().count("longer than 0.2")), (1, 1))

    def test_leaves(self) -> None:
        """A peer that resets its connection cancels the answers under way, and leaves nothing."""
        server = self.own("together")
        before = descriptors(server.pid)
        peer = self.connect(server.address())
        peer.sendall(b"wait\n")
        self.assertTrue(waitUntil(lambda: "waits" in server.log()))
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        self.assertTrue(waitUntil(lambda: "cancelled" in server.log()))
        self.assertTrue(waitUntil(lambda: descriptors(server.pid) == before))
        self.assertEqual(stopCounts(server)["lost"], 1)
        self.assertNotIn("no answer", server.log())

    def test_drain(self) -> None:
        """A stop waits for answers that are under way, and sends them."""
        server = self.own("together", "--drain-timeout", "30")
        quiet, first, second = (self.connect(server.address()) for _ in range(3))
        first.sendall(b"wait\n")
        second.sendall(b"wait\n")
        self.assertTrue(waitUntil(lambda: server.log().count("waits") == 2))
        server.signal(15)
        self.assertEqual(receiveAll(quiet), b"")
        second.sendall(b"go\n")
        self.assertEqual((_receive(first, 5), _receive(second, 8)), (b"WAIT\n", b"WAIT\nGO\n"))
        self.assertEqual(server.wait(), -15)
        self.assertIn(" 0 aborted", server.log())

    def test_asyncio(self) -> None:
        """Under its reactor asyncio's ways of waiting work, by one line between the two."""
        server = self.own("withAsyncio", reactor="asyncio")
        self.assertEqual(self.talk(server, b"0.02\n0.01\n0\n"), b"0.02\n0.01\n0\n")
        server = self.own("withAsyncio", "--responder-timeout", "0.1", reactor="asyncio")
        self.assertEqual(self.talk(server, b"1e6\n"), b"")
        stopCounts(server)
        self.assertIn("asyncio cancelled", server.log())

    def test_wrongName(self) -> None:
        """A name of nothing ends the command with one line, and status 1."""
        for name in ("os:none", "none:none", "echoes"):
            command = (*COMMANDS["twistd -n"], "--responder", name)
            done = warm.run(command, str(SUPPORT), PATIENCE)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertRegex(done.stderr, rf"\Aecho: --responder '{name}': .*\n\Z")


class RedisTests(ClientTestCase):
    def test_client(self) -> None:
        """The example serves Redis's own client, one command at a time and a thousand."""
        server = self.serve("--port", "0", "--responder", "redis_like:answer")
        host, port = server.address()
        with redis.Redis(host, port, protocol=2, socket_timeout=PATIENCE) as client:
            self.assertTrue(client.ping())
            self.assertEqual(client.echo("h\r\n\u00e9"), "h\r\n\u00e9".encode())
            self.assertTrue(client.set("key", bytes(500_000)))
            self.assertEqual((client.get("key"), client.get("none")), (bytes(500_000), None))
            pipeline = client.pipeline(transaction=False)
            for n in range(1000):
                pipeline.set(n, n).get(n)
            self.assertEqual(pipeline.execute()[1::2], [b"%d" % n for n in range(1000)])
            with self.assertRaisesRegex(redis.ResponseError, "unknown command"):
                client.incr("key")
            self.assertTrue(client.ping())
        self.assertEqual(
            exchanged(self.connect((host, port)), b"*1\r\n$4\r\nPING\r\n*1\r\n$x\r\n"),
            b"+PONG\r\n-ERR Protocol error\r\n",
        )


class DatagramTests(ClientTestCase):
    def test_answers(self) -> None:
        """A datagram is a request: of a responder of the user's, from the address that was asked."""
        self._askTwice()

    def test_lateAnswers(self) -> None:
        """Late answers pass through faults between the responder and the port."""
        self._askTwice("--fault", "latency=20ms")

    def _askTwice(self, *options: str) -> None:
        options = ("--interface", "0.0.0.0", "--responder", "own_responders:together", *options)
        server = self.serve("--udp", "0", *options)
        port = server.address("udp")[1]
        waiting, going = (self._client() for _ in range(2))
        waiting.sendto(b"wait\n", ("127.0.0.2", port))
        self.assertTrue(waitUntil(lambda: "waits" in server.log()))
        going.sendto(b"go\n", ("127.0.0.1", port))
        self.assertEqual(going.recvfrom(100), (b"GO\n", ("127.0.0.1", port)))
        self.assertEqual(waiting.recvfrom(100), (b"WAIT\n", ("127.0.0.2", port)))
        self.assertEqual(stopCounts(server)["datagrams"], 2)

    def test_builtIn(self) -> None:
        """Discard answers nothing; chargen and peer answer with what they have."""
        for name in ("discard", "chargen", "peer", "lines"):
            server = self.serve("--udp", "0", "--port", "0", "--responder", name)
            client = self._client()
            client.connect(server.address("udp"))
            client.send(b"hello")
            if name == "discard":
                self.assertEqual(stopCounts(server)["datagrams"], 0)
                continue
            answer = client.recv(1000)
            if name == "peer":
                self.assertEqual(json.loads(answer)["peer"], f"127.0.0.1:{client.getsockname()[1]}")
            else:
                self.assertEqual(answer, PATTERN[:512] if name == "chargen" else b"hello")

    def test_network(self) -> None:
        """Off loopback no answer is longer than its question."""
        network = Namespace()
        self.addCleanup(network.remove)
        network.ip("addr", "add", "10.9.0.1/32", "dev", "lo")
        command = (sys.executable, "-m", "echo_app.testing", "--reactor", reactorName())
        service = network.command(*command, "-n", "--pidfile=", "echo")
        options = ("--udp", "0", "--interface", "10.9.0.1", "--responder", "chargen")
        server = self.serve(*options, command=service)
        client = network.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.addCleanup(client.close)
        client.settimeout(PATIENCE)
        client.bind(("10.9.0.1", 0))
        client.connect(server.address("udp"))
        for size in (0, 1, 100, 1000):
            client.send(bytes(size))
            self.assertEqual(client.recv(2000), PATTERN[: min(size, 512)])

    def _client(self) -> socket.socket:
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(client.close)
        client.settimeout(PATIENCE)
        client.bind(("127.0.0.1", 0))
        return client


def _askOnly(sock: socket.socket) -> None:
    """Sends the longest lines, without reading, until the kernel takes no more."""
    lines = (bytes(65_535) + b"\n") * 4
    sock.setblocking(False)
    for _ in range(ENDLESS // len(lines)):
        try:
            sock.send(lines)
        except BlockingIOError:
            return
    raise AssertionError("what a peer sends without reading has no end")


def _receive(sock: socket.socket, size: int) -> bytes:
    """Returns that many bytes, or fewer at the end of the stream."""
    received = bytearray()
    while len(received) < size and (chunk := sock.recv(size - len(received))):
        received += chunk
    return bytes(received)
