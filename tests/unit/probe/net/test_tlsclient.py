"""TLS client against the server of Python's ``ssl``, without a socket between them."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.net.errors import ErrorKind, Reason
from echo_app.probe.net.tlsclient import RECORD, TLSClient, TLSState
from tests.support.certificates import Authority

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)

FIN, RESET = Reason(ErrorKind.FIN), Reason(ErrorKind.RESET)


class Server:
    """TLS server in memory."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    def exchange(self, client: TLSClient) -> None:
        """Passes the bytes of both sides until the handshake is complete or has failed."""
        for _ in range(4):
            self.incoming.write(client.toSend())
            with contextlib.suppress(ssl.SSLError):
                self.tls.do_handshake()
            if data := self.outgoing.read():
                client.receive(data)

    def says(self, *pieces: bytes) -> bytes:
        """Returns the encrypted records of some plain text."""
        for piece in pieces:
            self.tls.write(piece)
        return self.outgoing.read()

    def ends(self) -> bytes:
        """Returns ``close_notify``."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self.outgoing.read()

    def hears(self, data: bytes) -> bytes:
        """Decrypts bytes that the client sent."""
        self.incoming.write(data)
        return self.tls.read(1 << 20)


class TLSClientTests(SynchronousTestCase):
    def setUp(self) -> None:
        authority = Authority(Path(self.mktemp()))
        self.serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.serving.load_cert_chain(*authority.issue("server"))
        self.context = ssl.create_default_context(cafile=authority.path)

    def client(self) -> TLSClient:
        """Returns a client that has sent nothing yet."""
        return TLSClient(self.context, "localhost")

    def opened(self) -> tuple[TLSClient, Server]:
        """Returns a client and a server that have done their handshake."""
        client, server = self.client(), Server(self.serving)
        server.exchange(client)
        self.assertIs(client.state, TLSState.OPEN)
        return client, server

    def check(self, client: TLSClient, state: TLSState, text: str) -> None:
        """Checks the state of a client, and the text of its reason."""
        self.assertEqual((client.state, str(client.reason)), (state, text))

    def test_handshake(self) -> None:
        """A client starts its handshake, and is open when the server's part has come, also in pieces."""
        for version in VERSIONS:
            self.serving.minimum_version = self.serving.maximum_version = version
            client, server = self.client(), Server(self.serving)
            self.assertEqual((client.state, client.reason), (TLSState.HANDSHAKING, None))
            while client.state is TLSState.HANDSHAKING:
                if data := client.toSend():
                    server.incoming.write(data)
                with contextlib.suppress(ssl.SSLWantReadError):
                    server.tls.do_handshake()
                for byte in server.outgoing.read():
                    client.receive(bytes([byte]))
            self.check(client, TLSState.OPEN, "None")

    def test_text(self) -> None:
        """Plain text goes both ways: several records together, and a record in pieces."""
        client, server = self.opened()
        client.write(b"question")
        self.assertEqual(server.hears(client.toSend()), b"question")
        client.receive(server.says(b"one", b"two", bytes(RECORD)))
        self.assertEqual(client.readAll(), b"onetwo" + bytes(RECORD))
        for byte in server.says(b"three"):
            self.assertEqual(client.readAll(), b"")
            client.receive(bytes([byte]))
        self.assertEqual((client.readAll(), client.readAll()), (b"three", b""))
        self.check(client, TLSState.OPEN, "None")

    def test_size(self) -> None:
        """A read returns no more bytes than the caller asked for."""
        client, server = self.opened()
        client.receive(server.says(b"abc", b"de"))
        self.assertEqual([client.read(2) for _ in range(4)], [b"ab", b"c", b"de", b""])

    def test_closeNotify(self) -> None:
        """The peer's close_notify ends the peer's side alone, when all bytes before it have been read."""
        for version in VERSIONS:
            self.serving.minimum_version = self.serving.maximum_version = version
            client, server = self.opened()
            client.receive(server.says(b"last") + server.ends())
            client.lose(FIN)
            self.assertEqual((client.read(4), client.state), (b"last", TLSState.OPEN))
            self.assertEqual(client.read(), b"")
            self.check(client, TLSState.ENDED, "close_notify")
            client.write(b"more")
            self.assertNotEqual(client.toSend(), b"")

    def test_truncated(self) -> None:
        """A bare FIN ends the peer's side, between records or inside one, and has a reason of its own."""
        for cut in (0, 5, 20):
            client, server = self.opened()
            client.receive(server.says(b"first") + server.says(b"second")[:cut])
            client.lose(FIN)
            self.assertEqual((client.readAll(), client.read()), (b"first", b""))
            self.check(client, TLSState.ENDED, "FIN without close_notify")
            client.write(b"more")
            self.assertEqual(server.hears(client.toSend()), b"more")

    def test_reset(self) -> None:
        """A reset ends both sides; bytes that came before it are read."""
        client, server = self.opened()
        client.receive(server.says(b"first"))
        client.lose(RESET)
        self.assertEqual((client.readAll(), client.read()), (b"first", b""))
        self.check(client, TLSState.FAILED, "reset")

    def test_broken(self) -> None:
        """Bytes that are not TLS fail the client with OpenSSL's reason."""
        client, server = self.opened()
        client.receive(server.says(b"first") + b"x" * 99)
        self.assertEqual((client.readAll(), client.read()), (b"first", b""))
        self.assertIs(client.state, TLSState.FAILED)
        self.assertRegex(str(client.reason), "^TLS: [a-z ]+$")
        client.end()
        self.assertRaises(ssl.SSLError, client.write, b"more")

    def test_lostInHandshake(self) -> None:
        """The reason of an end in the handshake names the handshake."""
        for reason in (FIN, RESET):
            client = self.client()
            client.lose(reason)
            self.check(client, TLSState.FAILED, f"TLS: {reason} in the handshake")

    def test_notBelieved(self) -> None:
        """An untrusted certificate is the reason, and not the FIN that follows it."""
        self.context = ssl.create_default_context()
        client = self.client()
        Server(self.serving).exchange(client)
        client.lose(FIN)
        self.assertIs(client.state, TLSState.FAILED)
        assert client.reason is not None
        self.assertIs(client.reason.kind, ErrorKind.CERTIFICATE)

    def test_noTLS(self) -> None:
        """An answer that is not TLS fails the handshake, and is named."""
        client = self.client()
        client.receive(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.check(client, TLSState.FAILED, "no TLS: HTTP came")

    def test_end(self) -> None:
        """Our close_notify ends our side alone: a later answer is read to its end."""
        client, server = self.opened()
        client.write(b"question")
        client.end()
        self.assertEqual(server.hears(client.toSend()), b"question")
        self.assertEqual(server.tls.read(1), b"")
        client.receive(server.says(b"answer") + server.ends())
        self.assertEqual((client.readAll(), client.read()), (b"answer", b""))
        self.check(client, TLSState.ENDED, "close_notify")

    def test_endBeforeRead(self) -> None:
        """Bytes that were unread at our close_notify are read after it, and so are later bytes."""
        client, server = self.opened()
        client.receive(server.says(b"abc", b"de"))
        self.assertEqual(client.read(1), b"a")
        client.end()
        client.receive(server.says(b"f") + server.ends())
        self.assertEqual([client.read(2) for _ in range(4)], [b"bc", b"de", b"f", b""])
        self.check(client, TLSState.ENDED, "close_notify")
