"""TLS of one connection without I/O: the effect of records."""

from __future__ import annotations

import contextlib
import ssl
from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from echo_app.tls.certificates import contexts, throwAway
from echo_app.tls.records import FRAGMENT, HEADER, MAX_CIPHERTEXT, offeredGroups, recordEnd
from echo_app.tls.session import IDLE_RECORDS, BrokenSession, ClientSession, Session
from tests.support.tls import VERSIONS, clientContext, serverContext

CONTEXTS = contexts(throwAway())


class _Silent:
    """Has data in records of one byte that is not zero, and nothing in others.

    :param incoming: where the records are put.
    """

    def __init__(self, incoming: ssl.MemoryBIO) -> None:
        self._incoming = incoming

    def read(self, size: int) -> bytes:
        """Reads until there is something."""
        while record := self._incoming.read(6):
            if record[-1:] != b"\x00":
                return b"data"
        raise ssl.SSLWantReadError


class SessionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.offered: list[list[int]] = []
        self.session: Session = Session(self.contextFor)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()

    def contextFor(self, groups: list[int]) -> ssl.SSLContext:
        """Remembers what is offered."""
        self.offered.append(groups)
        return CONTEXTS[23]

    def shake(self, version: ssl.TLSVersion | None = None, piece: int = 1 << 16) -> None:
        """Does the handshake, with what the client sends in pieces of some size."""
        self.client = clientContext(version).wrap_bio(self.incoming, self.outgoing)
        while self.session.isShaking:
            with contextlib.suppress(ssl.SSLWantReadError):
                self.client.do_handshake()
            data = self.outgoing.read()
            for start in range(0, len(data), piece):
                self.assertEqual(self.session.receive(data[start : start + piece]), b"")
            self.incoming.write(self.session.outgoing.read())
        self.assertEqual(len(self.offered), 1)

    def sealed(self, data: bytes) -> bytes:
        """Returns the client's records for this."""
        self.client.write(data)
        return self.outgoing.read()

    def ended(self) -> bytes:
        """Returns the client's ``close_notify``."""
        self.assertRaises(ssl.SSLWantReadError, self.client.unwrap)
        return self.outgoing.read()

    def test_untouched(self) -> None:
        """Until a byte comes there is nothing."""
        self.assertTrue(self.session.isUntouched)
        self.session.receive(b"\x16")
        self.assertFalse(self.session.isUntouched)
        self.assertIs(self.session.tls, None)

    def test_pieces(self) -> None:
        """However the bytes are cut, the plain text is the same."""
        for version in VERSIONS:
            for piece in (1, 2, 5, 6, 1000):
                self.setUp()
                self.shake(version, piece)
                data = self.sealed(b"one") + self.sealed(b"") + self.sealed(b"two" * 9000) + self.ended()
                received = [
                    self.session.receive(data[start : start + piece]) for start in range(0, len(data), piece)
                ]
                self.assertEqual(b"".join(received), b"one" + b"two" * 9000)
                self.assertTrue(self.session.isPeerEnded)

    def test_together(self) -> None:
        """Everything that is complete comes at once, small or large."""
        self.shake()
        data = b"".join(self.sealed(bytes([number])) for number in range(100))
        self.assertEqual(self.session.receive(data[:-1]), bytes(range(99)))
        self.assertEqual(self.session.receive(data[-1:]), b"c")
        sizes = (1, FRAGMENT, 1, 2, FRAGMENT - 1, 10_000, 10_000, 3)
        mixed = b"".join(self.sealed(bytes([size % 251]) * size) for size in sizes)
        expected = b"".join(bytes([size % 251]) * size for size in sizes)
        self.assertTrue(self.session.receive(mixed) == expected)

    def test_runs(self) -> None:
        """OpenSSL, whose buffers never shrink, has a record's worth of data, also if more comes at once."""
        given: list[int] = []

        class Watched(type(self.session)):  # type: ignore[misc]
            __slots__ = ()

            def _open(self, records: bytes, count: int) -> list[bytes]:
                given.append(len(records))
                pieces: list[bytes] = super()._open(records, count)
                return pieces

        self.session.__class__ = Watched
        self.shake()
        data = b"".join(self.sealed(bytes(100)) for _ in range(1000))
        self.assertEqual(self.session.receive(data), bytes(100_000))
        self.assertLessEqual(max(given), HEADER + MAX_CIPHERTEXT)

    def test_encrypt(self) -> None:
        """Data of any size go into as few records as carry them."""
        for version in VERSIONS:
            self.setUp()
            self.shake(version)
            for size, records in ((1, 1), (FRAGMENT, 1), (FRAGMENT + 1, 2), (100_000, 7)):
                sealed = self.session.encrypt(bytes(size))
                self.assertLessEqual(len(sealed) - size, records * 40)
                self.incoming.write(sealed)
                received = b""
                while len(received) < size:
                    received += self.client.read(1 << 16)
                self.assertEqual(received, bytes(size))

    def test_ends(self) -> None:
        """The two ends are independent: after ours the peer's data come, after the peer's ours go."""
        for version in VERSIONS:
            self.setUp()
            self.shake(version)
            ours = self.session.end()
            self.assertEqual(self.session.receive(self.sealed(b"still") + self.sealed(b"here")), b"stillhere")
            self.incoming.write(ours)
            self.assertEqual(self.client.read(100), b"")
            self.assertEqual(self.session.receive(self.sealed(b"and now")), b"and now")
            self.client.unwrap()
            self.assertEqual(self.session.receive(self.outgoing.read()), b"")
            self.assertTrue(self.session.isPeerEnded)

            self.setUp()
            self.shake(version)
            self.assertEqual(self.session.receive(self.sealed(b"last") + self.ended() + b"junk"), b"last")
            self.incoming.write(self.session.encrypt(b"echo") + self.session.end())
            self.assertEqual(self.client.read(100), b"echo")

    def test_broken(self) -> None:
        """A broken record has a reason out of a bounded number, and an alert."""
        self.shake()
        record = bytearray(self.sealed(b"data"))
        record[-1] ^= 1
        error = self.assertRaises(BrokenSession, self.session.receive, bytes(record))
        self.assertEqual(str(error), "decryption-failed-or-bad-record-mac")
        self.assertTrue(self.session.outgoing.pending)

    def silent(self) -> None:
        """Stands in for OpenSSL when it has nothing for the application, as after a key update."""
        self.shake()
        self.session.tls = cast(ssl.SSLObject, _Silent(self.session._incoming))

    def test_idleRecords(self) -> None:
        """A row of that many records without data is an attack."""
        self.silent()
        record = b"\x17\x03\x03\x00\x01\x00"
        self.assertEqual(self.session.receive(record * (IDLE_RECORDS - 1)), b"")
        self.assertEqual(self.session.receive(record), b"")
        error = self.assertRaises(BrokenSession, self.session.receive, record)
        self.assertEqual(str(error), "records-without-data")

    def test_idleRecordsBetween(self) -> None:
        """Data begin the count anew, but not within what came at once: that is the reactor's turn."""
        self.silent()
        record, data = b"\x17\x03\x03\x00\x01\x00", b"\x17\x03\x03\x00\x01\x01"
        for together in (data + record * IDLE_RECORDS, record * IDLE_RECORDS + data):
            self.assertEqual(self.session.receive(together), b"data")
        self.session.receive(record * IDLE_RECORDS)
        self.assertEqual(self.session.receive(data), b"data")
        self.session.receive(record * IDLE_RECORDS)
        self.assertRaises(BrokenSession, self.session.receive, data + record)

    def test_renegotiation(self) -> None:
        """A handshake record after the handshake is one too many."""
        self.silent()
        error = self.assertRaises(BrokenSession, self.session.receive, b"\x16\x03\x03\x00\x01\x00")
        self.assertEqual(str(error), "renegotiation")

    def test_renegotiationAmongData(self) -> None:
        """A renegotiation between data records is refused too."""
        self.silent()
        data, wish = b"\x17\x03\x03\x00\x01\x01", b"\x16\x03\x03\x00\x01\x00"
        error = self.assertRaises(BrokenSession, self.session.receive, data + wish + data)
        self.assertEqual(str(error), "renegotiation")

    def test_small(self) -> None:
        """OpenSSL's buffers hold one record at most, also if more comes at once."""
        self.shake()
        data = self.sealed(bytes(1 << 17))
        for start in range(0, len(data), 1 << 16):
            self.session.receive(data[start : start + (1 << 16)])
            self.assertLess(self.session.outgoing.pending, HEADER)


class ClientSessionTests(SessionTests):
    """The same of a client's session, whose peer is a server."""

    def setUp(self) -> None:
        self.session = ClientSession(clientContext(), "localhost")
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()

    def shake(self, version: ssl.TLSVersion | None = None, piece: int = 1 << 16) -> None:
        """Does the handshake, with what the server sends in pieces of some size."""
        self.client = serverContext(version).wrap_bio(self.incoming, self.outgoing, server_side=True)
        while not self.client.version() or self.session.isShaking:
            self.incoming.write(self.session.outgoing.read())
            with contextlib.suppress(ssl.SSLWantReadError):
                self.client.do_handshake()
            self.receive(piece)
        self.incoming.write(self.session.outgoing.read())
        with contextlib.suppress(ssl.SSLWantReadError):
            self.client.do_handshake()
        # The tickets of TLS 1.3 are records without data, whose count begins anew behind data.
        self.receive(piece)
        self.assertEqual(self.session.receive(self.sealed(b"!")), b"!")

    def receive(self, piece: int) -> None:
        """Takes what the server sends, which is no data."""
        data = self.outgoing.read()
        for start in range(0, len(data), piece):
            self.assertEqual(self.session.receive(data[start : start + piece]), b"")

    def test_untouched(self) -> None:
        """The first message is there from the beginning."""
        self.assertFalse(self.session.isUntouched)
        hello = self.session.outgoing.read()
        self.assertEqual(recordEnd(hello), len(hello))
        self.assertEqual(offeredGroups(hello)[:1], [29])

    def test_name(self) -> None:
        """A name is asked for, and an address is not (RFC 6066, 3)."""
        for name, isAsked in (("echo.example", True), ("192.0.2.1", False), ("::1", False), (None, False)):
            hello = ClientSession(clientContext(), name).outgoing.read()
            self.assertEqual(str(name).encode() in hello, isAsked)
        self.assertRaises(ValueError, ClientSession, clientContext(), ".example")
