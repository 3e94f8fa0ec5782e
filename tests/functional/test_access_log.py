"""A connection's line has its bytes, exactly, and the reason of its end."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import select
import signal
import socket
from pathlib import Path
from typing import Any

from echo_app.accesslog.fields import FIELDS
from echo_app.testing import EchoProcess
from tests.functional.test_limits import serviceCommand
from tests.functional.test_proxy import block, line
from tests.support.certificates import Authority
from tests.support.kernel import Namespace, serverSide, waitForCut, waitUntil
from tests.support.service import (
    PATIENCE,
    ServiceTestCase,
    exchanged,
    fill,
    receiveAll,
    reset,
    sendAndEnd,
    startSending,
)
from tests.support.tls import VERSIONS, TLSPeer, clientContext

Line = dict[str, Any]

SMALL = b"x" * 1000
# Bytes in the kernel's queue to a peer of which it surely does not take all: it reads none of them.
STUFFED = 1 << 20

LARGE = random.Random(1).randbytes(3_000_001)

TCP_FIELDS = {
    "bytes_unread",
    "bytes_unacknowledged",
    "rtt_us",
    "rttvar_us",
    "retransmits",
    "lost",
    "delivery_rate",
    "segments_in",
    "segments_out",
}


def stuff(sock: socket.socket) -> None:
    """Sends, without reading, until the service has sent more than this side takes."""

    def isStuffed() -> bool:
        fill(sock)
        row = serverSide(sock) if sock.family == socket.AF_INET else None
        return row.owed > STUFFED if row else bool(select.select([sock], [], [], 0)[0])

    assert waitUntil(isStuffed)


class CountingSocket:
    """A connected socket that counts the bytes in both directions."""

    def __init__(self, sock: socket.socket) -> None:
        self.sent = self.received = 0
        self._sock = sock

    def sendall(self, data: bytes) -> None:
        self._sock.sendall(data)
        self.sent += len(data)

    def recv(self, size: int) -> bytes:
        data = self._sock.recv(size)
        self.received += len(data)
        return data


class AccessLogTestCase(ServiceTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()

    def recording(self, *options: str, **more: object) -> EchoProcess:
        """Starts a service that records."""
        return self.serve("--access-log", str(self.path), *options, **more)

    def lines(self, server: EchoProcess) -> list[Line]:
        """Stops the service; returns the lines of the file."""
        self.closePeers()
        server.stop()
        self.assertNotIn("Traceback", server.log())
        return self.parsed(self.path.read_bytes())

    def parsed(self, data: bytes) -> list[Line]:
        """Returns lines, each of which is what a terminal may show, with the fields in their order."""
        lines = data.splitlines(keepends=True)
        for each in lines:
            self.assertTrue(each.endswith(b"}\n"))
            self.assertTrue(each[:-1].decode("ascii").isprintable(), each)
        parsed = [json.loads(each) for each in lines]
        for found in parsed:
            self.assertEqual(list(found), [name for name in FIELDS if name in found])
        return parsed

    def assertLine(self, found: Line, **expected: object) -> None:
        self.assertEqual({name: found.get(name) for name in expected}, expected, found)

    def echo(self, sock: socket.socket, data: bytes = SMALL) -> None:
        """Sends something, and receives it."""
        sock.sendall(data)
        self.assertEqual(sock.recv(len(data), socket.MSG_WAITALL), data)


class StreamTests(AccessLogTestCase):
    """The counts of a stream, on the direct path."""

    def test_fin(self) -> None:
        """A peer that ends its stream has all of its bytes counted, both ways, and nothing else."""
        server = self.recording("--port", "0", "--listen", "unix:echo.sock")
        for transport in ("tcp", "unix"):
            peer = self.connect(server.address(transport))
            sender = startSending(peer, LARGE)
            self.assertEqual(receiveAll(peer), LARGE)
            sender.join()
            peer = self.connect(server.address(transport))
            self.assertEqual(exchanged(peer, SMALL), SMALL)
            receiveAll(self.leave(server, transport))
        lines = self.lines(server)
        sizes = [len(LARGE), len(SMALL), 0] * 2
        for number, (found, size) in enumerate(zip(lines, sizes, strict=True), 1):
            self.assertLine(found, number=number, ended="fin", bytes_in=size, bytes_out=size, bytes_unread=0)
        self.assertLine(lines[0], transport="tcp", peer=lines[0]["peer"], user=None, proxy=None, detail=None)
        self.assertTrue(lines[0].keys() > TCP_FIELDS)
        self.assertTrue(lines[0]["segments_in"] > 2 and lines[0]["rtt_us"] > 0)
        self.assertLine(lines[3], transport="unix", peer="unnamed", rtt_us=None, bytes_unacknowledged=None)
        self.assertRegex(lines[0]["start"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def leave(self, server: EchoProcess, transport: str) -> socket.socket:
        """Connects a peer that says nothing and leaves."""
        peer = self.connect(server.address(transport))
        peer.shutdown(socket.SHUT_WR)
        return peer

    def test_addresses(self) -> None:
        """Listener and peer are written as everywhere; IPv4 peers of a dual-stack socket are such."""
        server = self.recording("--port", "0", "--interface", "127.0.0.1", "--interface", "::")
        peers = [
            self.connect(server.address()),
            self.connect(("127.0.0.1", server.address(index=1)[1])),
            self.connect(("::1", server.address(index=1)[1])),
        ]
        names = [peer.getsockname()[:2] for peer in peers]
        for peer in peers:
            sendAndEnd(peer, SMALL)
            receiveAll(peer)
        lines = self.lines(server)
        self.assertEqual(
            [found["peer"] for found in lines],
            [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in names],
        )
        listeners = [f"127.0.0.1:{server.address()[1]}", *[f"[::]:{server.address(index=1)[1]}"] * 2]
        self.assertEqual([found["listener"] for found in lines], listeners)

    def test_reset(self) -> None:
        """A reset takes nothing away; one that comes behind the peer's end is an end, or a reset."""
        server = self.recording("--port", "0")
        for isEnded in (False, True):
            peer = self.connect(server.address())
            self.echo(peer)
            if isEnded:
                peer.shutdown(socket.SHUT_WR)
            reset(peer)
        plain, ended = self.lines(server)
        self.assertEqual(plain["ended"], "reset")
        self.assertIn(ended["ended"], ("reset", "fin"))
        for found in (plain, ended):
            self.assertLine(found, bytes_in=len(SMALL), bytes_out=len(SMALL), bytes_unread=0)
            self.assertIn(found["bytes_unacknowledged"], (0, len(SMALL)))

    def test_resetWithData(self) -> None:
        """A reset right behind the data, which the service finds when it answers, is no end of the stream."""
        server = self.recording("--port", "0")
        for _ in range(10):
            peer = self.connect(server.address())
            peer.sendall(SMALL)
            reset(peer)
        for found in self.lines(server):
            self.assertEqual((found["ended"], found["bytes_in"]), ("reset", len(SMALL)), found)

    def test_owed(self) -> None:
        """Of a peer that never reads, the unread bytes are told from the unsent ones."""
        server = self.recording("--port", "0", "--listen", "unix:echo.sock")
        for transport in ("tcp", "unix"):
            peer = self.connect(server.address(transport))
            stuff(peer)
            reset(peer)
        tcp, unix = self.lines(server)
        self.assertLine(tcp, ended="reset", transport="tcp")
        self.assertLine(unix, ended="reset", transport="unix")
        for found in (tcp, unix):
            self.assertTrue(found["bytes_out"])
            # The bytes that the service holds for one connection: 64 KiB and one read.
            held = found["bytes_in"] - found["bytes_unread"] - found["bytes_out"]
            self.assertTrue(0 <= held <= (64 + 128) << 10, found)
        self.assertTrue(0 < tcp["bytes_unacknowledged"] <= tcp["bytes_out"], tcp)

    def test_tls(self) -> None:
        """Over TLS the plain text is counted, and the wire beside it; the facts are the peer's own."""
        authority = Authority(Path(self.mktemp()))
        certificate, key = authority.issue("server")
        options = ("--certificate", certificate, "--key", key, "--client-ca", authority.path)
        server = self.recording("--tls", "0", *options)
        expected = []
        for version in VERSIONS:
            context = clientContext(version)
            context.load_cert_chain(*authority.issue("client"))
            wire = CountingSocket(self.connect(server.address("tls")))
            peer = TLSPeer(wire, context).shake()  # type: ignore[arg-type]
            peer.send(SMALL)
            self.assertEqual(peer.receive(len(SMALL)), SMALL)
            wire.sendall(peer.end())
            self.assertEqual(peer.receiveAll(), b"")
            self.assertEqual(peer.receiveRest(), b"")
            expected.append((wire, peer.tls.version(), (peer.tls.cipher() or [None])[0]))
        for found, (wire, agreed, cipher) in zip(self.lines(server), expected, strict=True):
            self.assertLine(
                found,
                transport="tls",
                ended="fin",
                bytes_in=len(SMALL),
                bytes_out=len(SMALL),
                wire_in=wire.sent,
                wire_out=wire.received,
                tls_version=agreed,
                tls_cipher=cipher,
                tls_alpn=None,
                tls_subject="CN=client",
            )

    def test_closedTLS(self) -> None:
        """A TLS client that closes after its whole echo, without our end, has ended its stream."""
        server = self.recording("--tls", "0")
        for version in VERSIONS * 10:
            peer = TLSPeer(self.connect(server.address("tls")), clientContext(version)).shake()
            peer.send(SMALL)
            self.assertEqual(peer.receive(len(SMALL)), SMALL)
            peer.sock.sendall(peer.end())
            peer.sock.close()
        ends = [(found["ended"], found["bytes_out"]) for found in self.lines(server)]
        self.assertEqual(ends, [("fin", len(SMALL))] * len(VERSIONS) * 10)
        self.assertIn(" 0 lost", server.log())

    def test_proxy(self) -> None:
        """A header is no part of the stream, below TLS or not, and its client is the peer."""
        server = self.recording("--port", "0", "--tls", "0", "--proxy-protocol")
        for header in (line(), block("2001:db8::1")):
            peer = self.connect(server.address())
            peer.sendall(header[:9])
            self.assertEqual(exchanged(peer, header[9:] + SMALL), SMALL)
        sock = self.connect(server.address("tls"))
        wire = CountingSocket(sock)
        secret = TLSPeer(wire)  # type: ignore[arg-type]
        # Header and handshake in one segment.
        wire.sendall(line() + secret.hello())
        secret.shake().send(SMALL)
        self.assertEqual(secret.receive(len(SMALL)), SMALL)
        wire.sendall(secret.end())
        secret.receiveAll()
        secret.receiveRest()
        name = f"127.0.0.1:{sock.getsockname()[1]}"
        lines = self.lines(server)
        for found, client in zip(
            lines, ["192.0.2.1:4242", "[2001:db8::1]:4242", "192.0.2.1:4242"], strict=True
        ):
            self.assertLine(found, peer=client, ended="fin", bytes_in=len(SMALL), bytes_out=len(SMALL))
        self.assertEqual([found["number"] for found in lines], [1, 2, 3])
        self.assertLine(lines[2], proxy=name, wire_in=wire.sent, wire_out=wire.received)


class InheritedStreamTests(StreamTests):
    """The counts of a stream, on Twisted's own path."""

    always = ("--no-direct",)


class EndTests(AccessLogTestCase):
    """Why connections end, beside the peer's end and its reset."""

    def beRefused(self, server: EchoProcess) -> None:
        """Connects a peer that is reset; it may be so before it knows that it is connected."""
        with contextlib.suppress(ConnectionResetError):
            self.assertIsNotNone(waitForCut(self.connect(server.address())))

    def test_refused(self) -> None:
        """A refused peer has a line, with the reason, and no number."""
        server = self.recording("--port", "0", "--max-connections", "1")
        first = self.connect(server.address())
        self.echo(first)
        self.beRefused(server)
        first.close()
        refused, served = self.lines(server)
        self.assertLine(
            refused, number=None, ended="limit", detail="max-connections", bytes_in=0, bytes_out=0
        )
        self.assertLine(served, number=1, ended="fin")

    def test_gate(self) -> None:
        """A missing header, and an untrusted proxy, have lines with the reason."""
        options = ("--port", "0", "--proxy-protocol")
        server = self.recording(*options)
        peer = self.connect(server.address())
        peer.sendall(b"\x1b[2J\n")
        self.assertIsNotNone(waitForCut(peer))
        server.stop()
        server = self.recording(*options, "--trust-proxy", "192.0.2.1")
        self.beRefused(server)
        bad, untrusted = self.lines(server)
        self.assertLine(bad, number=None, ended="header", bytes_in=5)
        self.assertIn("\\x1b", bad["detail"])
        self.assertLine(untrusted, number=None, ended="denied", detail="untrusted-proxy")

    def test_login(self) -> None:
        """A login is no part of the stream, below TLS or not; a failed login has a line that says so."""
        server = self.recording("--port", "0", "--tls", "0", "--auth", "memory:alice:sesame")
        self.assertEqual(
            exchanged(self.connect(server.address()), b"login alice sesame\n" + SMALL), b"ok\n" + SMALL
        )
        secret = TLSPeer(self.connect(server.address("tls"))).shake()
        secret.send(b"login alice sesame\n" + SMALL)
        self.assertEqual(secret.receive(3 + len(SMALL)), b"ok\n" + SMALL)
        secret.sock.sendall(secret.end())
        secret.receiveAll()
        secret.receiveRest()
        exchanged(self.connect(server.address()), b"login alice \x1b[2J\n")
        *users, failed = self.lines(server)
        for found in users:
            self.assertLine(found, user="alice", ended="fin", bytes_in=len(SMALL), bytes_out=len(SMALL))
        self.assertLine(failed, number=3, user=None, ended="auth")

    def test_responder(self) -> None:
        """A responder that closes is told from a peer that ends."""
        server = self.recording("--port", "0", "--responder", "length-prefixed")
        # One request, and one that is longer than any may be.
        peer = self.connect(server.address())
        peer.sendall(b"\0\0\0\1x" + b"\xff" * 4)
        received = receiveAll(peer)
        (found,) = self.lines(server)
        self.assertLine(found, ended="responder", bytes_in=9, bytes_out=len(received))

    def test_fault(self) -> None:
        """An end by a fault is told from an end by the peer, and a preamble is no part of the stream."""
        server = self.recording(
            "--port", "0", "--fault", "reset,after=100B,connections=1", "--fault-preamble"
        )
        peer = self.connect(server.address())
        peer.sendall(SMALL)
        with contextlib.suppress(ConnectionResetError):
            receiveAll(peer)
        self.assertEqual(exchanged(self.connect(server.address()), b"!fault latency=1ms\n" + SMALL), SMALL)
        exchanged(self.connect(server.address()), b"!fault frob\n")
        struck, slow, wrong = self.lines(server)
        self.assertLine(struck, ended="fault", bytes_in=len(SMALL), bytes_out=100)
        self.assertEqual(struck["faults"], [struck["detail"]])
        self.assertLine(slow, ended="fin", faults=["latency=1ms"], bytes_in=len(SMALL), bytes_out=len(SMALL))
        self.assertLine(wrong, number=3, ended="preamble", faults=None)

    def test_denied(self) -> None:
        """A denied peer is told from one above a cap."""
        server = self.recording("--port", "0", "--deny", "127.0.0.1")
        self.beRefused(server)
        (found,) = self.lines(server)
        self.assertLine(found, number=None, ended="denied", detail=None)

    def test_timeOuts(self) -> None:
        """An idle peer, one that does not read, and one without a handshake are told apart."""
        # The idle time-out is the longest: it ends a handshake, too.
        options = ("--idle-timeout", "3", "--stall-timeout", "1", "--handshake-timeout", "1")
        server = self.recording("--port", "0", "--tls", "0", *options)
        idle, stalled, shaking = (self.connect(server.address(each)) for each in ("tcp", "tcp", "tls"))
        fill(stalled)
        self.assertEqual(receiveAll(idle), b"")
        for peer in (stalled, shaking):
            self.assertIsNotNone(waitForCut(peer))
        lines = {found["ended"]: found for found in self.lines(server)}
        self.assertEqual(lines.keys(), {"idle", "stall", "tls"})
        self.assertEqual({found["number"] for found in lines.values()}, {1, 2, 3})
        self.assertLine(lines["idle"], bytes_in=0, bytes_out=0)
        self.assertLine(lines["tls"], detail="handshake-timeout", bytes_in=0, wire_in=0)
        self.assertTrue(lines["stall"]["bytes_unacknowledged"])

    def test_brokenTLS(self) -> None:
        """Input that is no TLS is named; a peer that only looks for an open port has ended its stream."""
        server = self.recording("--tls", "0")
        peer = self.connect(server.address("tls"))
        peer.sendall(b"GET / HTTP/1.0\r\n\r\n")
        peer.shutdown(socket.SHUT_WR)
        receiveAll(peer)
        peer = self.connect(server.address("tls"))
        peer.shutdown(socket.SHUT_WR)
        receiveAll(peer)
        junk, looked = self.lines(server)
        self.assertLine(junk, ended="tls", wire_in=18, bytes_in=0, tls_version=None)
        self.assertTrue(junk["detail"])
        self.assertLine(looked, ended="fin", wire_in=0, bytes_in=0, wire_out=0)

    def test_drain(self) -> None:
        """A stop ends quiet connections and busy ones, and writes the lines of all of them."""
        server = self.recording("--port", "0", "--tls", "0", "--drain-timeout", str(PATIENCE))
        quiet, busy = (self.connect(server.address()) for _ in range(2))
        self.echo(quiet)
        stuff(busy)
        secret = TLSPeer(self.connect(server.address("tls"))).shake()
        secret.send(SMALL)
        self.assertEqual(secret.receive(len(SMALL)), SMALL)
        server.signal(signal.SIGTERM)
        # Our end has come, and is no byte of the stream even if the peer resets the connection then.
        self.assertEqual(quiet.recv(1), b"")
        reset(quiet)
        self.assertEqual(secret.receiveAll(), b"")
        server.signal(signal.SIGTERM)
        self.assertIsNotNone(waitForCut(busy))
        lines = sorted(self.lines(server), key=lambda found: int(found["number"]))
        self.assertEqual([found["ended"] for found in lines], ["drain"] * 3)
        self.assertLine(lines[0], bytes_in=len(SMALL), bytes_out=len(SMALL), bytes_unacknowledged=0)
        self.assertTrue(lines[1]["bytes_unacknowledged"])
        self.assertLine(lines[2], bytes_in=len(SMALL), bytes_out=len(SMALL))

    def test_vanished(self) -> None:
        """A peer that the kernel gave up has not reset its connection."""
        namespace = Namespace()
        self.addCleanup(namespace.remove)
        command = namespace.command(*serviceCommand())
        server = self.recording("--port", "0", "--keepalive", "1,1,1", command=command)
        peer = namespace.call(lambda: socket.create_connection(server.address(), 10))
        self.addCleanup(peer.close)
        self.echo(peer)
        namespace.ip("link", "set", "lo", "down")
        self.assertTrue(waitUntil(lambda: self.path.stat().st_size > 0, 20))
        (found,) = self.lines(server)
        self.assertLine(found, ended="timeout", bytes_in=len(SMALL), bytes_out=len(SMALL))


class DatagramTests(AccessLogTestCase):
    def test_sources(self) -> None:
        """The datagrams of each source are summed up, and written at the latest when the service stops."""
        server = self.recording("--udp", "0")
        names = []
        for count in (1, 3):
            peer = self.connect(server.address("udp"), socket.SOCK_DGRAM)
            names.append(f"127.0.0.1:{peer.getsockname()[1]}")
            for _ in range(count):
                self.assertEchoes(peer, b"12345")
        lines = self.lines(server)
        for found, name, count in zip(lines, names, (1, 3), strict=True):
            self.assertLine(found, transport="udp", peer=name, datagrams_in=count, datagrams_out=count)
            self.assertLine(found, bytes_in=5 * count, bytes_out=5 * count, number=None, ended=None)
            self.assertLine(found, datagram_faults=None)

    def test_faults(self) -> None:
        """The effects of faults on a source's answers are in its line."""
        server = self.recording("--udp", "0", "--fault", "truncate=3B", "--fault", "duplicate=100%")
        peer = self.connect(server.address("udp"), socket.SOCK_DGRAM)
        for question in (b"123", b"12345"):
            peer.send(question)
            self.assertEqual([peer.recv(9), peer.recv(9)], [b"123", b"123"])
        (found,) = self.lines(server)
        self.assertLine(found, datagrams_in=2, datagrams_out=4)
        self.assertLine(found, datagram_faults={"truncate": 1, "duplicate": 2})


class FileTests(AccessLogTestCase):
    def exchange(self, server: EchoProcess, times: int = 1) -> None:
        """Has connections served, one after the other."""
        for _ in range(times):
            self.assertEqual(exchanged(self.connect(server.address()), b"?"), b"?")

    def test_rotated(self) -> None:
        """After SIGHUP lines go to a new file."""
        server = self.recording("--port", "0")
        self.exchange(server)
        self.assertTrue(waitUntil(lambda: self.path.stat().st_size > 0))
        old = self.path.rename(f"{self.path}.1")
        server.signal(signal.SIGHUP)
        self.assertTrue(waitUntil(self.path.exists))
        self.exchange(server)
        self.assertEqual([found["number"] for found in self.lines(server)], [2])
        self.assertEqual([found["number"] for found in self.parsed(old.read_bytes())], [1])

    def test_full(self) -> None:
        """A full disk stops the log, once said, and not the service; after SIGHUP it goes on."""
        self.path.symlink_to("/dev/full")
        server = self.recording("--port", "0")
        self.exchange(server)
        self.assertTrue(waitUntil(lambda: "No space left on device" in server.log()))
        self.exchange(server, 3)
        self.path.unlink()
        server.signal(signal.SIGHUP)
        self.assertTrue(waitUntil(self.path.exists))
        self.exchange(server)
        self.assertEqual([found["number"] for found in self.lines(server)], [1, 2, 3, 4, 5])
        self.assertEqual(server.log().count("No space left on device"), 1)

    def test_silentReader(self) -> None:
        """Standard output that no process reads keeps no connection waiting."""
        fifo = Path(self.mktemp()).absolute()
        os.mkfifo(fifo)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        # One page, of some ten lines.
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
        *start, echo = serviceCommand()
        command = ("sh", "-c", f'exec "$@" > {fifo}', "sh", *start, "--logfile=log", echo)
        server = self.serve("--port", "0", "--access-log", "-", command=command)
        self.exchange(server, 30)
        received = b""
        while received.count(b"\n") < 30:
            select.select([reader], [], [], PATIENCE)
            received += os.read(reader, 1 << 16)
        self.assertEqual([found["number"] for found in self.parsed(received)], [*range(1, 31)])
        server.stop()
