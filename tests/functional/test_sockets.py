"""UNIX and systemd sockets behind a PROXY header and with TLS: docs/dev/contract.rst holds for them."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import stat
import sys
from pathlib import Path
from typing import Any

from echo_app.testing import EchoProcess, EchoProcessError
from echo_app.testing.records import recordsOf
from tests.functional.test_proxy import HEADERS, block, line
from tests.support.kernel import waitForCut
from tests.support.service import (
    PATIENCE,
    ServiceTestCase,
    exchanged,
    reactorName,
    receiveAll,
    sendAndEnd,
    startSending,
    stopCounts,
)
from tests.support.tls import TLSPeer

# Does the work of a service manager: binds the sockets, a path or none, and starts the service with them from
# descriptor 3 on.
LAUNCHER = """
import os, socket, sys
places, names = eval(sys.argv[1])
made = []
for place in places:
    sock = socket.socket(socket.AF_UNIX if place else socket.AF_INET)
    sock.bind(place or ("127.0.0.1", 0))
    if place:
        os.chmod(place, 0o600)
    sock.listen()
    made.append(os.dup2(sock.fileno(), 50 + len(made)))
for number, each in enumerate(made):
    os.dup2(each, 3 + number)
    os.set_inheritable(3 + number, True)
    os.close(each)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(made)), **names)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class SocketTestCase(ServiceTestCase):
    """Services on sockets of their own, and on passed ones."""

    def passed(self, places: list[str], names: str, *options: str) -> EchoProcess:
        """Starts a service with passed sockets: a path of a UNIX one, or an empty text."""
        given = repr((places, {"LISTEN_FDNAMES": names} if names else {}))
        start = ("-m", "echo_app.testing", "--reactor", reactorName(), "-n", "--pidfile=", "echo")
        return self.serve(*options, command=(sys.executable, "-c", LAUNCHER, given, *start))

    def assertEchoesOverTLS(self, address: tuple[str, int], header: bytes = b"") -> None:
        """Checks an echo, and the exact end of the stream, over TLS."""
        sock = self.connect(address)
        sock.sendall(header)
        peer = TLSPeer(sock).shake()
        data = os.urandom(300_000)
        peer.send(data)
        self.assertTrue(peer.receive(len(data)) == data)
        peer.send(data[:1000])
        sock.sendall(peer.end())
        self.assertEqual(peer.receiveAll(), data[:1000])

    def assertRefused(self, address: tuple[str, int], data: bytes) -> None:
        """Checks that a peer that sends this is cut off without an answer."""
        peer = self.connect(address)
        peer.sendall(data)
        self.assertIsNotNone(waitForCut(peer))


class ProxiedTests(SocketTestCase):
    """Behind a PROXY header."""

    def start(self, *options: str) -> EchoProcess:
        """Starts a service on a UNIX socket."""
        self.path = self.makeFolder() / "echo"
        return self.serve("--listen", f"unix:{self.path}", "--proxy-protocol", *options)

    def test_halfClose(self) -> None:
        """Header, data and the end at once: all of the data come back, and none of the header."""
        server = self.start()
        for header in HEADERS:
            data = os.urandom(50_000)
            peer = self.connect(server.address())
            sendAndEnd(peer, header + data)
            self.assertTrue(receiveAll(peer) == data, header)
        self.assertRefused(server.address(), b"GET / HTTP/1.1\r\n\r\n")
        counts = stopCounts(server)
        self.assertEqual((counts["connections"], counts["refused"]), (len(HEADERS), 1))
        self.assertIn("(unix, PROXY protocol)", server.log())

    def test_lateReader(self) -> None:
        """16 MiB to a peer that reads late come back whole, also when the service is stopped meanwhile."""
        server = self.start("--drain-timeout", str(PATIENCE))
        data = os.urandom(16 << 20)
        peer = self.connect(server.address())
        sender = startSending(peer, block() + data)
        self.assertTrue(peer.recv(1, socket.MSG_PEEK))
        server.signal(signal.SIGTERM)
        self.assertTrue(receiveAll(peer) == data)
        sender.join(PATIENCE)
        server.wait()
        self.assertIn("0 aborted", server.log())

    def test_limits(self) -> None:
        """Access rules and the cap by peer apply to the client of the header."""
        limits = ("--max-connections-per-peer", "1", "--idle-timeout", "1")
        server = self.start("--allow", "192.0.2.0/24", *limits)
        first = self.connect(server.address())
        first.sendall(line("192.0.2.1") + b"?")
        self.assertEqual(first.recv(1), b"?")
        for client in ("192.0.2.1", "198.51.100.1"):
            self.assertRefused(server.address(), line(client))
        # A peer without a header is held to the idle time-out like any other.
        waiting = self.connect(server.address())
        self.assertEqual((receiveAll(waiting), receiveAll(first)), (b"", b""))
        self.assertEqual(stopCounts(server)["timed out"], 2)

    def test_facts(self) -> None:
        """The responder and the access log have the client, and the bytes of the stream alone."""
        log = self.makeFolder() / "access"
        server = self.start("--responder", "peer", "--access-log", str(log), "--auth", "memory:alice:sesame")
        peer = self.connect(server.address())
        answer = exchanged(peer, line() + b"login alice sesame\nhello")
        facts = json.loads(answer.removeprefix(b"ok\n").split(b"\n")[0])
        self.assertEqual((facts["peer"], facts["proxy"]), ("192.0.2.1:4242", "unnamed"))
        server.stop()
        entry: dict[str, Any] = json.loads(log.read_text())
        self.assertEqual((entry["peer"], entry["user"], entry["bytes_in"]), ("192.0.2.1:4242", "alice", 5))
        self.assertEqual((entry["transport"], entry["listener"]), ("unix", str(self.path)))

    def test_passed(self) -> None:
        """A passed socket has the header as well, over TCP and on a UNIX socket."""
        path = str(self.makeFolder() / "echo")
        where = ("--listen", "systemd:web", "--listen", "systemd:1")
        server = self.passed(["", path], "web:local", *where, "--proxy-protocol")
        self.assertEqual([each.transport for each in server.listeners], ["tcp", "unix"])
        for each in server.listeners:
            address = (each.host, each.port)
            self.assertEqual(exchanged(self.connect(address), line() + b"hello"), b"hello")
            self.assertRefused(address, b"hello")


class InheritedProxiedTests(ProxiedTests):
    """Behind a PROXY header, on Twisted's own path."""

    always = ("--no-direct",)


class TLSTests(SocketTestCase):
    """With TLS."""

    def test_unix(self) -> None:
        """``--tls unix:`` is exact at both ends of the stream, with and without a PROXY header."""
        for options, header in (((), b""), (("--proxy-protocol",), line())):
            path = self.makeFolder() / "echo"
            log = path.parent / "access"
            server = self.serve("--tls", f"unix:{path}:mode=600", "--access-log", str(log), *options)
            self.assertEqual(server.listeners[0], ("tls", str(path), 0))
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
            self.assertEchoesOverTLS(server.address("tls"), header)
            server.stop()
            entry: dict[str, Any] = json.loads(log.read_text())
            self.assertEqual((entry["transport"], entry["ended"]), ("tls", "fin"))
            self.assertEqual((entry["bytes_in"], entry["bytes_out"]), (301_000, 301_000))
            self.assertGreater(entry["wire_in"], 301_000)

    def test_beside(self) -> None:
        """Ports, UNIX and passed sockets have TLS beside each other, with a header before the handshake."""
        folder = self.makeFolder()
        where = ("--tls", "0", "--tls", f"unix:{folder}/own", "--tls", "systemd:0", "--tls", "systemd:local")
        server = self.passed(["", f"{folder}/passed"], "web:local", *where, "--proxy-protocol")
        self.assertEqual([each.transport for each in server.listeners], ["tls"] * 4)
        for each in server.listeners:
            self.assertEchoesOverTLS((each.host, each.port), line("2001:db8::1"))

    def test_kind(self) -> None:
        """The access log and the responder ``peer`` name each listener as the ready file does."""
        folder, log = self.makeFolder(), Path(self.mktemp()).absolute()
        own = ("--port", "0", "--tls", "0", "--listen", f"unix:{folder}/plain", "--tls", f"unix:{folder}/own")
        passed = ("--listen", "systemd:0", "--tls", "systemd:1")
        options = ("--proxy-protocol", "--responder", "peer", "--access-log", str(log))
        server = self.passed([f"{folder}/a", f"{folder}/b"], "", *own, *passed, *options)
        # The header has other addresses of another kind than some of the sockets.
        header = line("2001:db8::1")
        for each in server.listeners:
            sock = self.connect((each.host, each.port))
            sock.sendall(header)
            peer = TLSPeer(sock).shake() if each.transport == "tls" else None
            if peer is None:
                sock.shutdown(socket.SHUT_WR)
            else:
                sock.sendall(peer.end())
            told = receiveAll(sock) if peer is None else peer.receiveAll()
            self.assertEqual(json.loads(told)["transport"], each.transport)
        expected = sorted(each.transport for each in server.listeners)
        self.assertEqual(expected, ["tcp", "tls", "tls", "tls", "unix", "unix"])
        server.stop()
        self.assertEqual(sorted(each.transport or "" for each in recordsOf(log.read_bytes())), expected)

    def test_headerUnexpected(self) -> None:
        """A header before the handshake, without --proxy-protocol, is the reason of the failure."""
        path = self.makeFolder() / "echo"
        server = self.serve("--tls", f"unix:{path}")
        peer = self.connect(server.address("tls"))
        peer.sendall(line())
        with self.assertRaises((OSError, ssl.SSLError)):
            TLSPeer(peer).shake()
        self.assertEqual(stopCounts(server)["failed"], 1)
        self.assertIn("1 proxy-header", server.log())


class PassedTests(SocketTestCase):
    """Sockets of a service manager."""

    def test_file(self) -> None:
        """The file of a passed UNIX socket keeps its mode, and stays when the service stops."""
        for where in ("systemd:local", "systemd:0", "systemd:domain=UNIX:index=0", "systemd:UNIX:name=local"):
            path = self.makeFolder() / "echo"
            server = self.passed([str(path)], "local", "--listen", where)
            self.assertEqual(exchanged(self.connect(server.address("unix")), b"hello"), b"hello")
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
            server.stop()
            self.assertTrue(path.is_socket(), where)

    def test_withoutNames(self) -> None:
        """A socket without a name is found by its index."""
        server = self.passed([""], "", "--tls", "systemd:0")
        self.assertEchoesOverTLS(server.address("tls"))

    def test_missing(self) -> None:
        """A socket that was not passed is one line with the option and its value."""
        for option, place in (("--listen", "systemd:mail"), ("--tls", "systemd:1")):
            with self.assertRaises(EchoProcessError) as raised:
                self.passed([""], "web", option, place)
            reason = f"echo: {option} '{place}': no such descriptor in LISTEN_FDS"
            self.assertIn(reason, str(raised.exception))
            self.assertNotIn("Traceback", str(raised.exception))

    def test_twice(self) -> None:
        """A socket that two options ask for is one line."""
        with self.assertRaises(EchoProcessError) as raised:
            self.passed([""], "web", "--listen", "systemd:web", "--tls", "systemd:0")
        self.assertIn("another option has taken the socket", str(raised.exception))
        self.assertNotIn("Traceback", str(raised.exception))

    def test_login(self) -> None:
        """A login in the clear is for a passed UNIX socket, and not for one that others may read."""
        folder: Path = self.makeFolder()
        options = ("--auth", "memory:alice:sesame", "--listen")
        server = self.passed([f"{folder}/echo"], "web", *options, "systemd:web")
        peer = self.connect(server.address("unix"))
        self.assertEqual(exchanged(peer, b"login alice sesame\nhello"), b"ok\nhello")
        with self.assertRaises(EchoProcessError) as raised:
            self.passed([""], "web", *options, "systemd:web")
        self.assertIn("passwords in the clear on --listen 'systemd:web'", str(raised.exception))
