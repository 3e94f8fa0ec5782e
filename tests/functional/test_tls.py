"""Over TLS nothing is lost at either end of a stream: docs/dev/contract.rst, 2."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import threading

from echo_app.testing import EchoProcess
from tests.support import programs
from tests.support.service import PATIENCE, ServiceTestCase, needs, stopCounts
from tests.support.tls import VERSIONS, TLSPeer, clientContext

LOOP = 20

# Seconds that a late reader does not read.
LATE = 0.5

SIZES = (1, 1024, 16_384, 16_385, 50_000)


class EndTests(ServiceTestCase):
    """Data, ``close_notify`` and FIN, in one segment or not."""

    def peer(self, server: EchoProcess, version: ssl.TLSVersion | None = None) -> TLSPeer:
        """Connects, and does the handshake."""
        return TLSPeer(self.connect(server.address("tls")), clientContext(version)).shake()

    def _check(self, peer: TLSPeer, data: bytes, flags: int, isFinished: bool) -> None:
        peer.sock.sendall(peer.sealed(data) + peer.end(), flags)
        if isFinished:
            peer.sock.shutdown(socket.SHUT_WR)
        self.assertTrue(peer.receiveAll() == data, f"not the {len(data)} bytes that were sent")
        self.assertTrue(peer.isEnded)
        self.assertEqual(peer.receiveRest(), b"")
        peer.sock.close()

    def test_oneSegment(self) -> None:
        """Data and close_notify in one segment, with FIN in the same one or without: all comes back,
        and then our close_notify, and then our FIN."""
        server = self.serve("--tls", "0")
        for version in VERSIONS:
            for size in SIZES:
                data = os.urandom(size)
                for _ in range(LOOP):
                    self._check(self.peer(server, version), data, 0, False)
                    self._check(self.peer(server, version), data, socket.MSG_MORE, True)
        counts = stopCounts(server)
        self.assertEqual((counts["aborted"], counts["lost"]), (0, 0))

    def test_withHandshake(self) -> None:
        """Data and close_notify in one segment with the end of the handshake."""
        server = self.serve("--tls", "0")
        for _ in range(LOOP):
            sock = self.connect(server.address("tls"))
            peer = TLSPeer(sock, clientContext(ssl.TLSVersion.TLSv1_3))
            sock.sendall(peer.hello())
            while not (finished := peer.proceed()):
                pass
            sock.sendall(finished + peer.sealed(b"early") + peer.end())
            self.assertEqual(peer.receiveAll(), b"early")
            self.assertTrue(peer.isEnded)
            sock.close()

    def test_finAlone(self) -> None:
        """A FIN without close_notify is answered like a half-close, and counted."""
        server = self.serve("--tls", "0")
        for version in VERSIONS:
            for _ in range(LOOP):
                peer = self.peer(server, version)
                peer.sock.sendall(peer.sealed(b"data"), socket.MSG_MORE)
                peer.sock.shutdown(socket.SHUT_WR)
                self.assertEqual(peer.receiveAll(), b"data")
                self.assertTrue(peer.isEnded)
                peer.sock.close()
        counts = stopCounts(server)
        self.assertEqual((counts["truncated"], counts["lost"]), (2 * LOOP, 0))

    def test_byteAtATime(self) -> None:
        """A handshake and an echo work with one byte at a time."""
        server = self.serve("--tls", "0")
        for version in VERSIONS:
            sock = self.connect(server.address("tls"))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = TLSPeer(sock, clientContext(version))
            pending: bytes | None = peer.hello()
            while pending is not None:
                for byte in pending:
                    sock.sendall(bytes([byte]))
                pending = peer.proceed() if not peer.isShaken else None
            for byte in peer.sealed(b"slow") + peer.end():
                sock.sendall(bytes([byte]))
            self.assertEqual(peer.receiveAll(), b"slow")

    def _late(self, size: int) -> None:
        server = self.serve("--tls", "0")
        data = os.urandom(size)
        for version in VERSIONS:
            peer = self.peer(server, version)
            sealed = peer.sealed(data) + peer.end()

            def send(peer: TLSPeer = peer, sealed: bytes = sealed) -> None:
                peer.sock.sendall(sealed)
                peer.sock.shutdown(socket.SHUT_WR)

            sender = threading.Thread(target=send, daemon=True)
            sender.start()
            threading.Event().wait(LATE)
            self.assertTrue(peer.receiveAll() == data)
            self.assertTrue(peer.isEnded)
            sender.join(PATIENCE)
        counts = stopCounts(server)
        self.assertEqual((counts["aborted"], counts["lost"]), (0, 0))

    def test_late(self) -> None:
        """1 MiB and the end of the stream, before anything is read."""
        self._late(1 << 20)

    def test_moreThanAnyBuffer(self) -> None:
        """64 MiB, more than all buffers hold, before anything is read."""
        self._late(64 << 20)


class ClientTests(ServiceTestCase):
    """The echo to other programs' TLS clients."""

    def _check(self, size: int, *command: str) -> None:
        needs(command[0])
        data = os.urandom(size).hex().encode()
        done = programs.run(*command, input=data)
        self.assertTrue(done.stdout == data, f"{command[0]} got {len(done.stdout)} of {len(data)} bytes")

    def test_python(self) -> None:
        """Python's ssl, on a socket: 1 MiB, and then unwrap() for the server's end."""
        server = self.serve("--tls", "0")
        data = os.urandom(1 << 20)
        for version in VERSIONS:
            with clientContext(version).wrap_socket(self.connect(server.address("tls"))) as sock:
                sender = threading.Thread(target=sock.sendall, args=(data,), daemon=True)
                sender.start()
                received = bytearray()
                while len(received) < len(data):
                    received += sock.recv(1 << 16)
                self.assertTrue(received == data)
                sender.join(PATIENCE)
                # It returns when the server's close_notify is there.
                sock.unwrap().close()

    def test_openssl(self) -> None:
        """OpenSSL's s_client: it reads no more at the end of its input, so that comes last."""
        needs("openssl")
        server = self.serve("--tls", "0")
        for version in ("-tls1_2", "-tls1_3"):
            address = "{}:{}".format(*server.address("tls"))
            command = ("openssl", "s_client", "-quiet", "-no_ign_eof", version, "-connect", address)
            data = os.urandom(50_000).hex().encode()
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            client = programs.start(self, *command, **pipes)
            assert client.stdin
            assert client.stdout
            sender = threading.Thread(target=client.stdin.write, args=(data,), daemon=True)
            sender.start()
            self.assertTrue(client.stdout.read(len(data)) == data)
            sender.join(PATIENCE)
            client.stdin.close()
            self.assertEqual(client.stdout.read(), b"")
            self.assertEqual(client.wait(PATIENCE), 0)

    def test_socat(self) -> None:
        """socat, which ends its side, and waits for the server's."""
        server = self.serve("--tls", "0")
        _host, port = server.address("tls")
        for size in (1, 1000, 1 << 20):
            self._check(size, "socat", "-t", str(PATIENCE), "-", f"OPENSSL:127.0.0.1:{port},verify=0")

    def test_ncat(self) -> None:
        """ncat, which sends FIN without close_notify."""
        server = self.serve("--tls", "0")
        _host, port = server.address("tls")
        self._check(1000, "ncat", "--ssl", "127.0.0.1", str(port))
