"""Access rules, seen by peers with addresses of their own."""

from __future__ import annotations

import socket

from echo_app.testing import EchoProcess
from tests.functional.test_proxy import SIGNATURE
from tests.support.kernel import waitForCut
from tests.support.service import PATIENCE, ServiceTestCase, exchanged, stopCounts

FRIEND, STRANGER = "127.0.0.1", "127.0.0.2"


class AccessTestCase(ServiceTestCase):
    def come(
        self, source: str, port: int, target: str = "127.0.0.1", kind: int = socket.SOCK_STREAM
    ) -> socket.socket:
        """Connects from an address; returns the socket."""
        sock = socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, kind)
        self.addCleanup(sock.close)
        sock.settimeout(PATIENCE)
        sock.bind((source, 0))
        sock.connect((target, port))
        return sock

    def assertServed(self, sock: socket.socket, header: bytes = b"") -> None:
        """Checks that a peer has its echo."""
        self.assertEqual(exchanged(sock, header + b"hello"), b"hello")

    def isReset(self, source: str, port: int, target: str = "127.0.0.1") -> bool:
        """Connects from an address; says whether that is reset, which it may be before it is connected."""
        try:
            return waitForCut(self.come(source, port, target)) in (104, 32)
        except ConnectionResetError:
            return True

    def assertDenied(self, server: EchoProcess, *areReset: bool) -> None:
        """Checks that exactly these peers are reset, and counted."""
        self.assertTrue(all(areReset))
        self.assertEqual(stopCounts(server)["refused"], len(areReset))
        self.assertIn("denied", server.log())


class StreamTests(AccessTestCase):
    def test_ipv4(self) -> None:
        """A peer that may not come is reset; others are served."""
        server = self.serve("--port", "0", "--deny", f"{STRANGER}/32", "--deny", "127.0.0.3")
        port = server.address()[1]
        self.assertServed(self.come(FRIEND, port))
        self.assertDenied(server, self.isReset(STRANGER, port), self.isReset("127.0.0.3", port))

    def test_exception(self) -> None:
        """The most specific network decides."""
        server = self.serve("--port", "0", "--deny", "127.0.0.0/8", "--allow", FRIEND)
        port = server.address()[1]
        self.assertServed(self.come(FRIEND, port))
        self.assertDenied(server, self.isReset(STRANGER, port))

    def test_ipv6(self) -> None:
        """A network of IPv4 allows no peer over IPv6."""
        server = self.serve("--port", "0", "-i", "::1", "-i", "127.0.0.1", "--allow", "127.0.0.0/8")
        self.assertServed(self.come(FRIEND, server.address(index=1)[1]))
        self.assertDenied(server, self.isReset("::1", server.address()[1], "::1"))

    def test_dualStack(self) -> None:
        """On a dual-stack socket IPv4 peers are IPv4 peers."""
        server = self.serve("--port", "0", "-i", "::", "--deny", "127.0.0.2/31", "--deny", "::/0")
        port = server.address()[1]
        self.assertServed(self.come(FRIEND, port))
        self.assertDenied(server, self.isReset(STRANGER, port), self.isReset("::1", port, "::1"))

    def test_tls(self) -> None:
        """Over TLS a peer is reset before the handshake."""
        server = self.serve("--tls", "0", "--allow", FRIEND)
        self.assertDenied(server, self.isReset(STRANGER, server.address("tls")[1]))

    def test_proxied(self) -> None:
        """Behind a trusted proxy, the client's address decides, and the proxy's does not."""
        server = self.serve(
            "--port", "0", "--proxy-protocol", "--allow", "192.0.2.0/24", "--deny", "192.0.2.9"
        )
        port = server.address()[1]
        self.assertServed(self.come(FRIEND, port), b"PROXY TCP4 192.0.2.1 127.0.0.1 4242 8080\r\n")
        denied = self.come(FRIEND, port)
        denied.sendall(b"PROXY TCP4 192.0.2.9 127.0.0.1 4242 8080\r\nhello")
        self.assertDenied(server, waitForCut(denied) in (104, 32))

    def test_proxiedUNIX(self) -> None:
        """A client that the header names by a UNIX socket has no network; the proxy's address decides."""
        header = SIGNATURE + b"\x21\x31" + (216).to_bytes(2) + bytes(216)
        server = self.serve("--port", "0", "--proxy-protocol", "--allow", "192.0.2.0/24")
        denied = self.come(FRIEND, server.address()[1])
        denied.sendall(header + b"hello")
        self.assertDenied(server, waitForCut(denied) in (104, 32))
        server = self.serve("--port", "0", "--proxy-protocol", "--allow", FRIEND)
        self.assertServed(self.come(FRIEND, server.address()[1]), header)

    def test_unix(self) -> None:
        """A UNIX peer has no network, and may always come."""
        server = self.serve("--listen", "unix:echo.sock", "--allow", "192.0.2.0/24")
        self.assertServed(self.connect(server.address("unix")))
        self.assertEqual(stopCounts(server)["refused"], 0)


class DatagramTests(AccessTestCase):
    def test_denied(self) -> None:
        """A denied peer's datagrams are dropped and counted; a dual-stack socket applies rules of IPv4."""
        for interface in ("127.0.0.1", "::"):
            server = self.serve("--udp", "0", "-i", interface, "--deny", STRANGER)
            port = server.address("udp")[1]
            stranger, friend = (self.come(host, port, kind=socket.SOCK_DGRAM) for host in (STRANGER, FRIEND))
            for _ in range(3):
                stranger.send(b"hello")
            # It was read after them.
            self.assertEchoes(friend, b"hello")
            counts = stopCounts(server)
            self.assertEqual((counts["datagrams"], counts["dropped"]), (1, 3))
            self.assertIn("denied", server.log())
            stranger.setblocking(False)
            # An error of the closed port is no answer.
            with self.assertRaises((BlockingIOError, ConnectionRefusedError)):
                stranger.recv(10)
