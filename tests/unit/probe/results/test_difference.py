"""The first difference between sent and received bytes: its place, and its kind."""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.results.difference import StreamDifference, agreeing, firstDifference
from tests.support.properties import given

SENT = Random(1).randbytes(100_000)
AT = 30_000


class KindTests(SynchronousTestCase):
    def check(self, came: bytes, kind: str, size: int, text: str) -> None:
        """Checks what is found, and that it is found where it is."""
        found = firstDifference(SENT, came)
        assert found is not None
        self.assertEqual((found.kind, found.offset, found.size), (kind, AT, size))
        self.assertEqual(str(found), text)

    def test_none(self) -> None:
        """Equal bytes, and a beginning of them, have no difference."""
        for came in (SENT, SENT[:AT], b""):
            self.assertIsNone(firstDifference(SENT, came))

    def test_flipped(self) -> None:
        """Bytes that changed in their place."""
        one = SENT[:AT] + bytes([SENT[AT] ^ 4]) + SENT[AT + 1 :]
        self.check(one, "changed", 1, "1 byte flipped at offset 30000")
        many = SENT[:AT] + bytes(byte ^ 255 for byte in SENT[AT : AT + 100]) + SENT[AT + 100 :]
        self.check(many, "changed", 100, "100 bytes flipped at offset 30000")

    def test_flippedAtTheEnd(self) -> None:
        """The last byte has nothing behind it that would agree again."""
        came = SENT[:-1] + bytes([SENT[-1] ^ 1])
        self.assertEqual(firstDifference(SENT, came), StreamDifference("changed", 99_999, 1, came[-1:]))

    def test_lost(self) -> None:
        """Bytes that never come."""
        self.check(SENT[:AT] + SENT[AT + 1 :], "lost", 1, "1 byte lost at offset 30000")
        self.check(SENT[:AT] + SENT[AT + 5000 :], "lost", 5000, "5000 bytes lost at offset 30000")

    def test_duplicated(self) -> None:
        """Bytes that come twice."""
        self.check(SENT[:AT] + SENT[AT - 1 :], "duplicated", 1, "1 byte come twice, at offset 30000")
        self.check(SENT[:AT] + SENT[AT - 700 :], "duplicated", 700, "700 bytes come twice, at offset 30000")

    def test_duplicatedAtTheEnd(self) -> None:
        """Bytes that come twice are known with one byte behind them, too, if they were the last ones."""
        for sent, came, size in ((b"8]", b"88]", 1), (b"abcdefgh", b"abcdefefgh", 2)):
            found = firstDifference(sent, came)
            assert found is not None
            self.assertEqual((found.kind, found.size), ("duplicated", size))

    def test_moved(self) -> None:
        """Two blocks that changed places."""
        first, second = SENT[AT : AT + 500], SENT[AT + 500 : AT + 1000]
        came = SENT[:AT] + second + first + SENT[AT + 1000 :]
        self.check(came, "moved", 500, "500 bytes from offset 30000 come later")

    def test_inserted(self) -> None:
        """Foreign bytes between the sent ones are an insertion."""
        came = SENT[:AT] + b"HTTP/1.1 400 Bad Request" + SENT[AT:]
        self.check(came, "inserted", 24, "24 bytes at offset 30000 that were never sent")
        found = firstDifference(SENT, came)
        assert found is not None
        self.assertEqual(found.found, b"HTTP/1.1 400 Bad Request")

    def test_insertedAtTheEnd(self) -> None:
        """Bytes after everything."""
        self.assertEqual(firstDifference(b"all", b"all more"), StreamDifference("inserted", 3, 5, b" more"))

    def test_foreign(self) -> None:
        """Bytes without any relation to the sent ones are foreign."""
        came = SENT[:AT] + Random(2).randbytes(50_000)
        self.check(came, "foreign", 0, "foreign bytes from offset 30000")

    def test_everyByteValue(self) -> None:
        """Regular data has differences too."""
        values = bytes(range(256))
        found = firstDifference(values, values[:10] + values[11:])
        self.assertEqual((found and found.kind, found and found.offset), ("lost", 10))


class AgreeingTests(SynchronousTestCase):
    @given(st.binary(), st.binary(), st.binary())
    def test_definition(self, same: bytes, sent: bytes, came: bytes) -> None:
        """As many bytes agree as a comparison one by one says."""
        sent, came = same + sent, same + came
        pairs = zip(sent, came, strict=False)
        expected = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(sent), len(came)))
        self.assertEqual(agreeing(sent, came), expected)

    @given(st.binary(), st.binary())
    def test_offset(self, sent: bytes, came: bytes) -> None:
        """A difference begins at the first differing byte, for any two sequences."""
        found = firstDifference(sent, came)
        if found is None:
            self.assertTrue(sent.startswith(came))
        else:
            self.assertEqual(found.offset, agreeing(sent, came))
            self.assertTrue(str(found))
