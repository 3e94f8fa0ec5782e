"""Streams of the probe: their own view of a peer, and the peer's view of them."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.trial.unittest import TestCase

from echo_app.probe.net.errors import ErrorKind, NetworkError, Reason
from echo_app.probe.net.stream import Stream, connect
from echo_app.targets import ClientTLS, parseTarget
from tests.support.certificates import Authority
from tests.support.service import ENDLESS, PATIENCE, readAndReset, receiveAll

FIN, RESET = Reason(ErrorKind.FIN), Reason(ErrorKind.RESET)

Serve = Callable[[socket.socket], object]


class PeerTestCase(TestCase):
    """With a peer that serves one connection on a thread, as a test says."""

    timeout = 60

    def start(self, serve: Serve, unix: bool = False) -> str:
        """Starts a peer; returns its target."""
        listening = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
        # A socket's path has to be short.
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        path = f"{folder}/peer"
        listening.bind(path if unix else ("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(PATIENCE)

        def run() -> None:
            # The stream sees the error.
            with listening, contextlib.suppress(OSError):
                sock = listening.accept()[0]
                with sock:
                    sock.settimeout(PATIENCE)
                    serve(sock)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.addCleanup(thread.join, PATIENCE)
        return f"unix://{path}" if unix else f"127.0.0.1:{listening.getsockname()[1]}"

    async def connect(self, serve: Serve, unix: bool = False) -> Stream:
        """Connects to a peer; the stream is gone at the test's end."""
        from twisted.internet import reactor

        stream = await connect(reactor, parseTarget(self.start(serve, unix)))
        self.addCleanup(stream.abort)
        return stream


class EndTests(PeerTestCase):
    """A stream reports its peer's kind of end."""

    async def test_fin(self) -> None:
        """FIN after the data, and then nothing but the end."""
        stream = await self.connect(lambda sock: sock.send(b"data"))
        self.assertEqual((await stream.receiveAll(), stream.end), (b"data", FIN))
        self.assertEqual(await stream.read(), b"")

    async def test_reset(self) -> None:
        """A reset, while nothing else happens."""
        stream = await self.connect(readAndReset)
        stream.write(b"x")
        self.assertEqual((await stream.read(), stream.end), (b"", RESET))
        self.assertTrue(stream.isCut)

    async def test_resetWhileSending(self) -> None:
        """A stream reports a reset while it sends more than the kernel takes."""
        stream = await self.connect(readAndReset)
        stream.write(bytes(1 << 24))
        self.assertFalse(await stream.drain())
        self.assertEqual((stream.isCut, stream.unsent), (True, 0))
        self.assertEqual((await stream.read(), stream.end), (b"", RESET))

    async def test_dataBeforeReset(self) -> None:
        """Data before a reset that was noticed in sending is still read, and then the reset."""

        def serve(sock: socket.socket) -> None:
            sock.send(b"data")
            readAndReset(sock)

        stream = await self.connect(serve)
        stream.write(bytes(1 << 24))
        self.assertFalse(await stream.drain())
        self.assertEqual((await stream.receiveAll(), stream.end), (b"data", RESET))

    async def test_silence(self) -> None:
        """No end, where there was none."""
        done = threading.Event()
        stream = await self.connect(lambda sock: done.wait(PATIENCE))
        self.assertEqual((await stream.read(0.1), stream.end, stream.isCut), (b"", None, False))
        done.set()


class SendingTests(PeerTestCase):
    """Written data is sent as a stream promises."""

    async def _half(self, unix: bool) -> None:
        seen: list[bytes] = []

        def serve(sock: socket.socket) -> None:
            seen.append(receiveAll(sock))
            sock.send(b"answer")

        stream = await self.connect(serve, unix)
        data = bytes(range(256)) * 20_000
        stream.halfClose(data)
        stream.write(b"too late")
        self.assertEqual((await stream.receiveAll(), stream.end), (b"answer", FIN))
        self.assertEqual(seen, [data])

    async def test_halfClose(self) -> None:
        """Data of any size and the end, and the answer is read after that."""
        await self._half(unix=False)

    async def test_halfCloseOverUNIX(self) -> None:
        """A half-close goes over a UNIX socket too."""
        await self._half(unix=True)

    async def test_oneSegment(self) -> None:
        """Data and FIN come together: a peer that the data wakes finds the end behind it."""
        ended: list[bool] = []

        def serve(sock: socket.socket) -> None:
            sock.recv(4)
            # tcpi_state, the first byte: CLOSE_WAIT is 8.
            ended.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 8)

        for _ in range(20):
            stream = await self.connect(serve)
            stream.halfClose(b"data")
            await stream.receiveAll()
        self.assertEqual(ended, [True] * 20)

    async def test_pushBack(self) -> None:
        """A peer that does not read is noticed."""
        done = threading.Event()
        stream = await self.connect(lambda sock: done.wait(PATIENCE))
        stream.write(bytes(1 << 26))
        self.assertFalse(await stream.drain(0.2))
        self.assertFalse(stream.isCut)
        self.assertGreater(stream.unsent, 0)
        done.set()

    async def test_abort(self) -> None:
        """The peer of an aborted stream sees a reset."""
        seen: list[object] = []

        def serve(sock: socket.socket) -> None:
            try:
                seen.append(receiveAll(sock))
            except OSError as error:
                seen.append(type(error))
            done.set()

        done = threading.Event()
        stream = await self.connect(serve)
        await stream.abort()
        self.assertEqual(stream.sock.fileno(), -1)
        self.assertTrue(done.wait(PATIENCE))
        self.assertEqual(seen, [ConnectionResetError])

    async def test_options(self) -> None:
        """A stream's own keepalive is off, and its writes wait for no acknowledgement."""
        stream = await self.connect(receiveAll)
        self.assertEqual(stream.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), 0)
        self.assertEqual(stream.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), 1)


class ReadingTests(PeerTestCase):
    """Nothing is read that was not asked for."""

    async def test_kernelKeeps(self) -> None:
        """The peer is pushed back, and its data is there at the next read."""

        def serve(sock: socket.socket) -> None:
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                for _ in range(ENDLESS >> 16):
                    sock.send(bytes(1 << 16))
                sent.append(ENDLESS)
            full.set()
            done.wait(PATIENCE)

        sent: list[int] = []
        full, done = threading.Event(), threading.Event()
        stream = await self.connect(serve)
        self.assertEqual(len(await stream.receive(10)), 10)
        self.assertTrue(full.wait(PATIENCE))
        self.assertEqual(sent, [])
        done.set()
        self.assertGreater(len(await stream.receiveAll(limit=ENDLESS)), 1 << 16)

    async def test_timeOutKeeps(self) -> None:
        """Data after a time-out is not lost."""
        now = threading.Event()
        stream = await self.connect(lambda sock: (now.wait(PATIENCE), sock.send(b"late")))
        self.assertEqual(await stream.read(0.05), b"")
        now.set()
        self.assertEqual(await stream.read(), b"late")


class TLSTests(PeerTestCase):
    """Over TLS an end is told from a truncation."""

    def setUp(self) -> None:
        certificate, key = Authority(Path(self.mktemp())).issue("server")
        authority = str(Path(certificate).parent / "authority.pem")
        self.options = ClientTLS(authority, protocols=("echo", "other"))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.context.set_alpn_protocols(["echo"])

    async def connectTLS(
        self, serve: Callable[[ssl.SSLSocket], object], options: ClientTLS | None = None
    ) -> Stream:
        """Connects to a peer that speaks TLS."""
        from twisted.internet import reactor

        def shake(sock: socket.socket) -> None:
            with self.context.wrap_socket(sock, server_side=True, suppress_ragged_eofs=False) as tls:
                serve(tls)

        text = f"tls://localhost:{self.start(shake).rpartition(':')[2]}"
        stream = await connect(reactor, parseTarget(text, options or self.options))
        self.addCleanup(stream.abort)
        return stream

    async def test_handshake(self) -> None:
        """The negotiated version and protocol are known."""
        stream = await self.connectTLS(lambda sock: sock.send(b"data"))
        assert stream.tls is not None
        self.assertEqual((stream.tls.version(), stream.tls.selected_alpn_protocol()), ("TLSv1.3", "echo"))
        self.assertEqual(await stream.receive(4), b"data")

    async def _end(self, end: Callable[[ssl.SSLSocket], object]) -> ErrorKind | None:
        def serve(sock: ssl.SSLSocket) -> None:
            sock.send(b"data")
            end(sock)

        stream = await self.connectTLS(serve)
        self.assertEqual(await stream.receiveAll(), b"data")
        return stream.end.kind if stream.end else None

    async def test_closeNotify(self) -> None:
        """An end that the peer has signed."""
        self.assertIs(await self._end(lambda sock: sock.unwrap()), ErrorKind.CLOSE_NOTIFY)

    async def test_truncation(self) -> None:
        """A FIN without close_notify, which anybody may have sent."""
        self.assertIs(await self._end(lambda sock: sock.shutdown(socket.SHUT_WR)), ErrorKind.TRUNCATED)

    async def test_broken(self) -> None:
        """A broken record, in the middle of TLS, is a failure with a reason."""
        self.assertIs(await self._end(lambda sock: os.write(sock.fileno(), b"x" * 99)), ErrorKind.TLS)

    async def test_halfClose(self) -> None:
        """After our close_notify the answer is still read."""
        seen: list[bytes] = []

        def serve(sock: ssl.SSLSocket) -> None:
            with contextlib.suppress(ssl.SSLZeroReturnError):
                while data := sock.recv(1 << 16):
                    seen.append(data)
            sock.send(b"answer")
            sock.unwrap()

        stream = await self.connectTLS(serve)
        stream.halfClose(bytes(100_000))
        self.assertEqual((await stream.receiveAll(), stream.end), (b"answer", Reason(ErrorKind.CLOSE_NOTIFY)))
        self.assertEqual(b"".join(seen), bytes(100_000))

    async def test_unreadHalfClose(self) -> None:
        """Bytes that came before our close_notify, and were not read yet, are not lost."""

        def serve(sock: ssl.SSLSocket) -> None:
            sock.send(b"greeting")
            sock.recv(1)
            sock.unwrap()

        stream = await self.connectTLS(serve)
        self.assertEqual(await stream.receive(1), b"g")
        stream.halfClose(b"?")
        self.assertEqual(await stream.receiveAll(), b"reeting")
        self.assertEqual(stream.end, Reason(ErrorKind.CLOSE_NOTIFY))

    async def test_closedWhileRead(self) -> None:
        """A read ends when the caller closes the stream."""
        stream = await self.connectTLS(lambda sock: sock.recv(1))
        reading = Deferred.fromCoroutine(stream.read())
        await stream.abort()
        self.assertEqual(await reading, b"")

    async def test_unbelieved(self) -> None:
        """A certificate of an unknown authority is refused, unless the options trust every certificate."""
        with self.assertRaises(NetworkError) as caught:
            await self.connectTLS(lambda sock: sock.recv(1), ClientTLS())
        self.assertIn("TLS: certificate: ", str(caught.exception))
        stream = await self.connectTLS(lambda sock: sock.send(b"data"), ClientTLS(isInsecure=True))
        self.assertEqual(await stream.receive(4), b"data")

    async def test_wrongName(self) -> None:
        """A certificate for another name is refused too."""
        options = ClientTLS(self.options.authority, serverName="other.example")
        with self.assertRaises(NetworkError) as caught:
            await self.connectTLS(lambda sock: sock.recv(1), options)
        self.assertIn("other.example", str(caught.exception))

    async def test_endedHandshake(self) -> None:
        """A peer that ends the handshake with an end of stream has its own error."""
        from twisted.internet import reactor

        for serve, end in ((lambda sock: sock.recv(1 << 16), "FIN"), (readAndReset, "reset")):
            target = parseTarget(f"tls://{self.start(serve)}", self.options)
            with self.assertRaises(NetworkError) as caught:
                await connect(reactor, target)
            self.assertEqual(str(caught.exception), f"TLS: {end} in the handshake")


class CancelledTests(PeerTestCase):
    """A cancelled call does not report a failure later."""

    async def test_connecting(self) -> None:
        """Cancelled while it connects, a connection is cancelled, and nothing stays open."""
        from twisted.internet import reactor

        with socket.create_server(("127.0.0.1", 0)) as listening:
            for scheme in ("tcp", "tls"):
                target = parseTarget(f"{scheme}://127.0.0.1:{listening.getsockname()[1]}")
                connecting = Deferred.fromCoroutine(connect(reactor, target))
                connecting.cancel()
                with self.assertRaises(CancelledError):
                    await connecting

    async def test_shaking(self) -> None:
        """A cancelled call in a TLS handshake that does not go on reports no failure later."""
        from twisted.internet import reactor

        def serve(sock: socket.socket) -> None:
            sock.recv(1)
            cast(IReactorFromThreads, reactor).callFromThread(connecting.cancel)
            receiveAll(sock)

        connecting = Deferred.fromCoroutine(connect(reactor, parseTarget(f"tls://{self.start(serve)}")))
        with self.assertRaises(CancelledError):
            await connecting


class RefusedTests(PeerTestCase):
    """Endpoints that are more than a socket."""

    async def test_noSocket(self) -> None:
        """Twisted's own TLS hides the socket, so that it is refused with the way to write it."""
        from twisted.internet import reactor

        target: Any = parseTarget(f"ssl:{self.start(receiveAll)}")
        with self.assertRaises(NetworkError) as caught:
            await connect(reactor, target)
        self.assertIn("tls://HOST:PORT", str(caught.exception))
