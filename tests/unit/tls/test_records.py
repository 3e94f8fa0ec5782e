"""The clear parts of TLS are read exactly, and junk is read as nothing."""

from __future__ import annotations

import contextlib
import ssl

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echo_app.tls.records import HEADER, MAX_CIPHERTEXT, offeredGroups, recordEnd
from tests.support.properties import given

HELLO = b"\x16\x03\x01"


def record(length: int, kind: int = 23) -> bytes:
    """Returns a record with so many bytes in it."""
    return bytes([kind, 3, 3]) + length.to_bytes(2, "big") + bytes(length)


def hello(extensions: bytes, session: bytes = b"", ciphers: bytes = b"\x13\x01") -> bytes:
    """Returns a record with a ClientHello."""
    body = (
        b"\x03\x03"
        + bytes(32)
        + bytes([len(session)])
        + session
        + len(ciphers).to_bytes(2, "big")
        + ciphers
        + b"\x01\x00"
        + len(extensions).to_bytes(2, "big")
        + extensions
    )
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return HELLO + len(message).to_bytes(2, "big") + message


def groupsExtension(*groups: int) -> bytes:
    """Returns a supported_groups extension."""
    listed = b"".join(group.to_bytes(2, "big") for group in groups)
    return b"\x00\x0a" + (len(listed) + 2).to_bytes(2, "big") + len(listed).to_bytes(2, "big") + listed


def sharesExtension(*groups: int) -> bytes:
    """Returns a key_share extension."""
    listed = b"".join(group.to_bytes(2, "big") + b"\x00\x04key." for group in groups)
    return b"\x00\x33" + (len(listed) + 2).to_bytes(2, "big") + len(listed).to_bytes(2, "big") + listed


class RecordEndTests(SynchronousTestCase):
    def test_whole(self) -> None:
        """A record ends where its header says, wherever it begins."""
        self.assertEqual(recordEnd(record(7)), HEADER + 7)
        self.assertEqual(recordEnd(record(7) + record(9), HEADER + 7), 2 * HEADER + 16)

    def test_incomplete(self) -> None:
        """An end that is not there yet is beyond the data: the header's, and then the record's."""
        whole = record(7)
        ends = [recordEnd(whole[:length]) for length in range(len(whole))]
        self.assertEqual(ends, [HEADER] * HEADER + [len(whole)] * 7)

    def test_longest(self) -> None:
        """A record longer than the maximum, or junk, ends with the data."""
        self.assertEqual(recordEnd(record(MAX_CIPHERTEXT)[:10]), HEADER + MAX_CIPHERTEXT)
        self.assertEqual(recordEnd(record(MAX_CIPHERTEXT + 1)[:10]), 10)
        self.assertEqual(recordEnd(b"GET / HTTP/1.1\r\n"), 16)
        self.assertEqual(recordEnd(b"G"), 1)

    @given(st.binary(max_size=40))
    def test_anything(self, data: bytes) -> None:
        """Reading comes to an end, for any bytes."""
        start = 0
        while (end := recordEnd(data, start)) <= len(data) and start < len(data):
            self.assertGreater(end, start)
            start = end


class OfferedGroupsTests(SynchronousTestCase):
    def test_sharesFirst(self) -> None:
        """Groups with a key share come first, then all others in the client's order."""
        extensions = b"\x00\x17\x00\x00" + groupsExtension(24, 23, 29) + sharesExtension(29, 23)
        self.assertEqual(offeredGroups(hello(extensions, bytes(32)))[:5], [29, 23, 24, 23, 29])

    def test_withoutShares(self) -> None:
        """A client of TLS 1.2 has no key shares; one before RFC 4492 no groups."""
        self.assertEqual(offeredGroups(hello(groupsExtension(24, 23))), [24, 23])
        self.assertEqual(offeredGroups(hello(b"")), [])

    def test_real(self) -> None:
        """The groups that Python sends are read."""
        context = ssl.create_default_context()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
        offered = offeredGroups(outgoing.read())
        self.assertLess(offered.index(29), offered.index(23))

    def test_noHello(self) -> None:
        """Other records, other messages, and a ClientHello that is not all there, offer nothing."""
        whole = hello(groupsExtension(23))
        self.assertEqual(offeredGroups(whole), [23])
        self.assertEqual(offeredGroups(b"\x17" + whole[1:]), [])
        self.assertEqual(offeredGroups(whole[:5] + b"\x02" + whole[6:]), [])
        self.assertEqual(
            [offeredGroups(whole[:length]) for length in range(1, len(whole))], [[]] * (len(whole) - 1)
        )

    @given(st.binary(min_size=1, max_size=200))
    def test_anything(self, data: bytes) -> None:
        """The result is a list of numbers of two bytes, for any content."""
        for junk in (data, HELLO + b"\x00\x00\x01" + len(data).to_bytes(3, "big") + data, hello(data)):
            self.assertTrue(all(0 <= group < 1 << 16 for group in offeredGroups(junk)))

    def test_everyByte(self) -> None:
        """A ClientHello with any one byte changed is still read to an end."""
        whole = hello(groupsExtension(24, 23, 29) + sharesExtension(29, 23))
        for position in range(len(whole)):
            for value in (0, 1, 127, 255):
                offeredGroups(whole[:position] + bytes([value]) + whole[position + 1 :])
