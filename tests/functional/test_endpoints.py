"""Every kind of listener of the command line, with real clients: docs/dev/contract.rst, 1, 5, 6, 9."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
import unittest
from pathlib import Path

from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.plugin import getPlugins

from echo_app.testing import EchoProcess, EchoProcessError
from tests.support import programs
from tests.support.service import (
    AT_ONCE,
    PATIENCE,
    ServiceTestCase,
    exchanged,
    needs,
    reactorName,
    receiveAll,
    stopCounts,
)
from tests.support.tls import TLSPeer

# A service under EchoProcess, as a command that another one can start.
SERVICE = ("-m", "echo_app.testing", "-n", "--pidfile=")

# Does the work of a service manager: binds a socket, and starts the service with it as descriptor 3.
LAUNCHER = """
import os, socket, sys
listening = socket.create_server(("127.0.0.1", 0))
os.dup2(listening.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", **NAMES)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""

PROXY_HEADER = b"PROXY TCP4 192.0.2.1 192.0.2.2 1111 2222\r\n"


def exchange(sock: socket.socket, size: int = 100_000) -> bool:
    """Sends and receives while both sides are open; says whether what comes is what was sent."""
    data = os.urandom(size)
    received = bytearray()
    for start in range(0, size, 10_000):
        sock.sendall(data[start : start + 10_000])
        while len(received) < min(start + 10_000, size):
            chunk = sock.recv(1 << 16)
            if not chunk:
                return False
            received += chunk
    return bytes(received) == data


def hasKind(prefix: str) -> bool:
    """Says whether the installed Twisted has endpoints of a kind."""
    return any(parser.prefix == prefix for parser in getPlugins(IStreamServerEndpointStringParser))


class EndpointTestCase(ServiceTestCase):
    """A certificate, and peers of TLS."""

    def makeCertificate(self) -> Path:
        """Makes a file with a key and a certificate of its own for localhost."""
        needs("openssl")
        folder = self.makeFolder()
        pem = folder / "localhost.pem"
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
        name = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
        files = ("-keyout", folder / "key", "-out", folder / "cert")
        programs.run("openssl", "req", "-x509", *curve, *name, *files, check=True)
        pem.write_bytes((folder / "key").read_bytes() + (folder / "cert").read_bytes())
        (folder / "key").unlink()
        (folder / "cert").unlink()
        return pem

    def connectTLS(self, address: tuple[str, int], pem: Path) -> ssl.SSLSocket:
        """Connects over TLS, and verifies the certificate."""
        context = ssl.create_default_context(cafile=pem)
        sock = context.wrap_socket(self.connect(address), server_hostname="localhost")
        self.addCleanup(sock.close)
        return sock

    def assertCut(self, address: tuple[str, int]) -> None:
        """Connects a peer that sends nothing, and is reset or ended soon, even before it is connected."""
        start = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(self.connect(address).recv(1), b"")
        self.assertLess(time.monotonic() - start, AT_ONCE)


class PlainTests(EndpointTestCase):
    def _check(self, *options: str, hosts: tuple[str, ...]) -> EchoProcess:
        server = self.serve(*options)
        self.assertEqual([each.host for each in server.listeners], list(hosts))
        for host, port in [server.address("tcp", index) for index in range(len(hosts))]:
            peer = self.connect((host, port))
            self.assertTrue(exchange(peer), host)
            self.assertEqual(exchanged(peer, b"the end"), b"the end")
        return server

    def test_tcp(self) -> None:
        """``tcp:`` echoes over IPv4."""
        self._check("--listen", "tcp:0:interface=127.0.0.1", hosts=("127.0.0.1",))

    def test_tcp6(self) -> None:
        """``tcp6:`` echoes over IPv6."""
        self._check("--listen", "tcp6:0:interface=\\:\\:1", hosts=("::1",))

    def test_bothFamilies(self) -> None:
        """Two interfaces, of IPv4 and of IPv6, are both served by one process."""
        options = ("--interface", "127.0.0.1", "--interface", "::1", "--port", "0")
        self._check(*options, hosts=("127.0.0.1", "::1"))

    def test_dualStack(self) -> None:
        """On a socket for both families, an IPv4 peer is an IPv4 peer in the log."""
        server = self.serve("--interface", "::", "--port", "0", "--log-connections")
        _host, port = server.address()
        peers = [self.connect((host, port)) for host in ("127.0.0.1", "::1")]
        for peer in peers:
            self.assertTrue(exchange(peer))
            peer.shutdown(socket.SHUT_WR)
            self.assertEqual(receiveAll(peer), b"")
        self.assertEqual(stopCounts(server)["connections"], 2)
        log = server.log()
        names = [f"127.0.0.1:{peers[0].getsockname()[1]}", f"[::1]:{peers[1].getsockname()[1]}"]
        # Both the beginning and the end.
        self.assertEqual([len(re.findall(re.escape(f" {name}") + r"\b", log)) for name in names], [2, 2])
        self.assertNotIn("::ffff:", log)

    def test_systemd(self) -> None:
        """``systemd:`` echoes on a socket that a service manager has bound, with a name or without one."""
        more = ("--reactor", reactorName(), "-n", "--pidfile=", "echo")
        for names in ({"LISTEN_FDNAMES": "echo"}, {}):
            launcher = LAUNCHER.replace("NAMES", repr(names))
            command = (sys.executable, "-c", launcher, "-m", "echo_app.testing", *more)
            server = self.serve("--listen", "systemd:domain=INET:index=0", command=command)
            peer = self.connect(server.address())
            self.assertTrue(exchange(peer))
            self.assertEqual(exchanged(peer, b"the end"), b"the end")


class TLSTests(EndpointTestCase):
    """Twisted's own TLS endpoints, while both sides are open."""

    def _ssl(self, *options: str) -> tuple[EchoProcess, Path]:
        pem = self.makeCertificate()
        where = f"ssl:0:privateKey={pem}:certKey={pem}:interface=127.0.0.1"
        return self.serve("--listen", where, *options), pem

    def test_ssl(self) -> None:
        """``ssl:`` echoes over TLS."""
        server, pem = self._ssl()
        self.assertTrue(exchange(self.connectTLS(server.address(), pem)))

    def test_tls(self) -> None:
        """``tls:`` echoes over TLS with the certificates of a directory."""
        if not hasKind("tls"):
            raise unittest.SkipTest("the installed Twisted has no tls: endpoint")
        pem = self.makeCertificate()
        server = self.serve("--listen", f"tls:{pem.parent}:port=0:interface=\\:\\:1")
        self.assertTrue(exchange(self.connectTLS(server.address(), pem)))

    def test_cap(self) -> None:
        """Over the cap, a peer of ``ssl:`` is told at once, and served when there is room."""
        server, pem = self._ssl("--max-connections", "1")
        first = self.connectTLS(server.address(), pem)
        self.assertTrue(exchange(first))
        for _ in range(3):
            self.assertCut(server.address())
        with self.assertRaises((ConnectionError, ssl.SSLEOFError)):
            TLSPeer(self.connect(server.address())).shake()
        self.assertTrue(exchange(first))
        with first.unwrap() as under:
            # The answer to our end of TLS comes before the service has closed, and counted, the connection.
            self.assertEqual(under.recv(1), b"")
        last = self.connectTLS(server.address(), pem)
        self.assertTrue(exchange(last))
        last.unwrap()
        counts = stopCounts(server)
        self.assertEqual((counts["connections"], counts["refused"]), (2, 4))


class HaproxyTests(EndpointTestCase):
    """Behind a PROXY header, as Twisted reads it, while both sides are open."""

    where = "haproxy:tcp:0:interface=127.0.0.1"

    def test_echo(self) -> None:
        """The bytes after the header are echoed, and the header is not."""
        server = self.serve("--listen", self.where)
        peer = self.connect(server.address())
        peer.sendall(PROXY_HEADER)
        self.assertTrue(exchange(peer))

    def test_cap(self) -> None:
        """Over the cap, a peer is told at once, and served when there is room."""
        server = self.serve("--listen", self.where, "--max-connections", "1")
        first = self.connect(server.address())
        first.sendall(PROXY_HEADER)
        self.assertTrue(exchange(first))
        for _ in range(3):
            self.assertCut(server.address())
        self.assertTrue(exchange(first))
        first.shutdown(socket.SHUT_WR)
        self.assertEqual(receiveAll(first), b"")
        last = self.connect(server.address())
        last.sendall(PROXY_HEADER)
        self.assertTrue(exchange(last))
        self.closePeers()
        counts = stopCounts(server)
        self.assertEqual((counts["connections"], counts["refused"]), (2, 3))


class UNIXTests(EndpointTestCase):
    """A socket in the file system: taken over from the dead, and never from the living."""

    def _assertEchoes(self, path: Path) -> None:
        peer = self.connect((str(path), 0))
        self.assertTrue(exchange(peer))
        self.assertEqual(exchanged(peer, b"the end"), b"the end")

    def test_echo(self) -> None:
        """``unix:`` echoes, without a file beside its own, and takes that away when it stops."""
        folder = self.makeFolder()
        server = self.serve("--listen", f"unix:{folder}/echo")
        self._assertEchoes(folder / "echo")
        self.assertEqual(os.listdir(folder), ["echo"])
        server.stop()
        self.assertEqual(os.listdir(folder), [])

    def test_deadSocket(self) -> None:
        """The socket that a killed service left behind is taken over."""
        folder = self.makeFolder()
        killed = self.serve("--listen", f"unix:{folder}/echo")
        killed.signal(signal.SIGKILL)
        killed.wait()
        self.assertTrue(stat.S_ISSOCK((folder / "echo").stat().st_mode))
        self.serve("--listen", f"unix:{folder}/echo")
        self._assertEchoes(folder / "echo")
        self.assertEqual(os.listdir(folder), ["echo"])

    def test_liveSocket(self) -> None:
        """A socket that is listened on is refused, with one line and status 1, and goes on being served."""
        folder = self.makeFolder()
        where = f"unix:{folder}/echo"
        self.serve("--listen", where)
        # Its standard input stays open: a service of ours ends with it.
        second = programs.start(
            self,
            *(sys.executable, *SERVICE, "--reactor", reactorName(), "echo", "--listen", where),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.makeFolder(),
            text=True,
        )
        assert second.stdout is not None
        assert second.stderr is not None
        self.assertEqual(second.wait(PATIENCE), 1)
        printed = second.stderr.read()
        self.assertEqual(second.stdout.read(), "")
        self.assertEqual(printed.count("\n"), 1, printed)
        self.assertIn(where, printed)
        self._assertEchoes(folder / "echo")
        self.assertEqual(os.listdir(folder), ["echo"])

    def test_otherFile(self) -> None:
        """A file that is no socket stays as it is."""
        folder = self.makeFolder()
        (folder / "echo").write_text("precious")
        with self.assertRaises(EchoProcessError):
            self.serve("--listen", f"unix:{folder}/echo")
        self.assertEqual((folder / "echo").read_text(), "precious")
