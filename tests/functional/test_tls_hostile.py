"""Peers that break TLS's rules close their own connection, with one log line: docs/dev/contract.rst, 4."""

from __future__ import annotations

import contextlib
import os
import ssl
import subprocess
import threading
import time

from tlslite.api import HandshakeSettings, TLSConnection  # type: ignore[import-untyped]
from tlslite.constants import KeyUpdateMessageType  # type: ignore[import-untyped]
from tlslite.errors import BaseTLSException  # type: ignore[import-untyped]

from echo_app.proxy.header import UNEXPECTED
from tests.support import programs
from tests.support.kernel import descriptors, waitForCut, waitUntil
from tests.support.service import PATIENCE, ServiceTestCase, needs, stopCounts
from tests.support.tls import TLSPeer

# Seconds from a peer's offence to the end of its connection: many for a busy machine, few beside the default.
SOON = 10.0

# Seconds of the handshake time-out where a test waits for it; elsewhere a handshake may take its time.
BRIEF = 1.0


class HostileTests(ServiceTestCase):
    """Each case has a bystander, which is served before, during and after it."""

    def start(self, *options: str, handshakeTimeout: float = PATIENCE) -> None:
        """Starts a service, and connects the bystander."""
        self.server = self.serve("--tls", "0", "--handshake-timeout", str(handshakeTimeout), *options)
        self.address = self.server.address("tls")
        self.bystander = TLSPeer(self.connect(self.address)).shake()
        self.assertBystanderIsServed()
        self.descriptors = descriptors(self.server.pid)

    def assertBystanderIsServed(self) -> None:
        """Sends the bystander's ping."""
        data = os.urandom(16)
        self.bystander.send(data)
        self.assertEqual(self.bystander.receive(16), data)

    def assertOneLine(self, reason: str, count: int = 1) -> None:
        """Checks that the connections are gone, and that their reason is logged once."""
        isGone = waitUntil(lambda: descriptors(self.server.pid) == self.descriptors, SOON)
        self.assertTrue(isGone, f"still open:\n{self.server.log()}")
        self.assertBystanderIsServed()
        lines = [line for line in self.server.log().splitlines() if "failed TLS" in line]
        self.assertEqual(len(lines), 1, self.server.log())
        self.assertTrue(lines[0].endswith(f"failed TLS connections: 1 {reason}"), lines[0])
        self.assertNotIn("Traceback", self.server.log())
        self.closePeers()
        self.assertEqual(stopCounts(self.server)["failed"], count)

    def offend(self, data: bytes, reason: str, count: int = 3) -> None:
        """Has some peers send this instead of a handshake; checks what becomes of them."""
        self.start()
        for _ in range(count):
            sock = self.connect(self.address)
            sock.sendall(data)
            start = time.monotonic()
            with contextlib.suppress(ConnectionResetError):
                # An alert at the most.
                self.assertLess(len(TLSPeer(sock).receiveRest()), 16)
            self.assertLess(time.monotonic() - start, SOON)
            sock.close()
        self.assertOneLine(reason, count)

    def test_silent(self) -> None:
        """A peer that says nothing is reset when its time is over."""
        self.start(handshakeTimeout=BRIEF)
        self.assertEqual(waitForCut(self.connect(self.address), SOON), 104)
        self.assertOneLine("handshake-timeout")

    def test_half(self) -> None:
        """A peer that sends half a ClientHello is cut off at the time-out."""
        self.start(handshakeTimeout=BRIEF)
        sock = self.connect(self.address)
        sock.sendall(TLSPeer(sock).hello()[:100])
        self.assertEqual(waitForCut(sock, SOON), 104)
        self.assertOneLine("handshake-timeout")

    def test_drip(self) -> None:
        """A peer whose ClientHello comes a byte at a time, too slowly, is cut off at the time-out."""
        self.start(handshakeTimeout=BRIEF)
        sock = self.connect(self.address)
        hello = TLSPeer(sock).hello()
        start = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for byte in hello:
                sock.sendall(bytes([byte]))
                threading.Event().wait(0.05)
        self.assertLess(time.monotonic() - start, SOON)
        self.assertOneLine("handshake-timeout")

    def test_junk(self) -> None:
        """A peer that speaks no language at all."""
        self.offend(b"\xff\x00" * 5000, "wrong-version-number")

    def test_wrongRecords(self) -> None:
        """HTTP, a record that claims to be longer than any may be, and a ClientHello that makes no sense."""
        hello = b"\x16\x03\x01\x00\x2a\x01\x00\x00\x26\x03\x03" + bytes(32) + b"\xff\xff\xff\xff"
        for data, reason in (
            (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "http-request"),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", f"proxy-header (the last one: {UNEXPECTED})"),
            (b"\x16\x03\x01\xff\xff", "packet-length-too-long"),
            (hello, "length-mismatch"),
        ):
            self.offend(data, reason)

    def test_oldVersion(self) -> None:
        """TLS 1.0 and 1.1 are no longer spoken."""
        self.start()
        for version in ((3, 1), (3, 2)):
            settings = HandshakeSettings()
            settings.minVersion = settings.maxVersion = version
            client = TLSConnection(self.connect(self.address))
            with self.assertRaises(BaseTLSException) as raised:
                client.handshakeClientCert(settings=settings)
            self.assertIn("protocol_version", str(raised.exception))
            client.sock.close()
        self.assertOneLine("unsupported-protocol", 2)

    def test_junkAfterHandshake(self) -> None:
        """A record that can't be decrypted."""
        self.start()
        peer = TLSPeer(self.connect(self.address)).shake()
        peer.sock.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
        self.assertRaises(ssl.SSLError, peer.receiveAll)
        peer.sock.close()
        self.assertOneLine("decryption-failed-or-bad-record-mac")

    def test_renegotiation(self) -> None:
        """A client that wants to renegotiate, over TLS 1.2."""
        needs("openssl")
        self.start()
        command = ("openssl", "s_client", "-tls1_2", "-connect", "{}:{}".format(*self.address))
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        client = programs.start(self, *command, **pipes)
        assert client.stdin
        assert client.stdout
        for line in client.stdout:
            if b"Extended master secret" in line:
                break
        client.stdin.write(b"R\n")
        client.stdin.flush()
        # It gives up by itself when it is refused.
        client.stdout.read()
        client.wait(PATIENCE)
        self.assertOneLine("renegotiation")

    def test_keyUpdates(self) -> None:
        """Key updates without end, of both kinds."""
        for kind in (KeyUpdateMessageType.update_not_requested, KeyUpdateMessageType.update_requested):
            self.start()
            client = TLSConnection(self.connect(self.address))
            client.handshakeClientCert()
            with contextlib.suppress(ConnectionError, BaseTLSException):
                for _ in range(100_000):
                    for _step in client.send_keyupdate_request(kind):
                        pass
            client.sock.close()
            self.assertOneLine("records-without-data")

    def test_closeNotifyIgnored(self) -> None:
        """A peer that does not answer our close_notify, and keeps its connection open, is closed."""
        self.start("--idle-timeout", "1")
        peer = TLSPeer(self.connect(self.address)).shake()
        peer.send(b"x")
        self.assertEqual(peer.receiveAll(), b"x")
        self.assertTrue(peer.isEnded)
        self.assertEqual(peer.receiveRest(), b"")

        def isGone() -> bool:
            return descriptors(self.server.pid) < self.descriptors + 1

        self.assertTrue(waitUntil(isGone, SOON))

    def test_healthChecks(self) -> None:
        """A peer that connects and leaves is no failure: no line, no count."""
        self.start()
        for _ in range(100):
            self.connect(self.address).close()
        self.assertTrue(waitUntil(lambda: descriptors(self.server.pid) == self.descriptors, SOON))
        self.assertBystanderIsServed()
        self.assertNotIn("failed TLS", self.server.log())
        self.closePeers()
        self.assertEqual(stopCounts(self.server)["failed"], 0)
