"""From a stream's bytes to requests, however they come."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echo_app.responders.framing import (
    INCOMPLETE,
    MAX_REQUEST,
    BadRequest,
    EndOfStream,
    Framing,
    Reading,
    Requests,
    TooLong,
    lengthPrefixed,
    lines,
)
from tests.support.properties import example, given


def _readCommand() -> Reading:
    """Reads a list of words, each with its length before it: several pieces, of both kinds."""
    words = []
    for _ in range(int((yield b"\r\n"))):
        words.append((yield int((yield b"\r\n"))))
    return words


commands = Framing(_readCommand, longest=50)
short = replace(lines, longest=10)


def outcome(framing: Framing, pieces: list[bytes], isEnded: bool = True) -> list[Any]:
    """Returns the requests that come of a stream, and what ends it, as a class, if something does."""
    requests = Requests(framing)
    found: list[Any] = []
    try:
        for piece in pieces:
            requests.feed(piece)
            while (request := requests.take()) is not INCOMPLETE:
                found.append(request)
        if isEnded:
            requests.end()
            while (request := requests.take()) is not INCOMPLETE:
                found.append(request)
    except (BadRequest, ValueError) as error:
        found.append(type(error))
    return found


def split(data: bytes, places: list[int]) -> list[bytes]:
    """Returns the pieces that data falls into at these places."""
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


places = st.lists(st.integers(0, 1 << 16), max_size=20)


class LinesTests(SynchronousTestCase):
    def test_lines(self) -> None:
        """A line keeps its end, CR LF or LF; an empty line counts."""
        self.assertEqual(outcome(lines, [b"a\nb\r\n\n\r\n"]), [b"a\n", b"b\r\n", b"\n", b"\r\n"])

    def test_last(self) -> None:
        """The last line may have no end: it is known by the end of the stream, and not before."""
        self.assertEqual(outcome(lines, [b"a\nb"]), [b"a\n", b"b"])
        self.assertEqual(outcome(lines, [b"a\nb"], isEnded=False), [b"a\n"])

    def test_longest(self) -> None:
        """The longest line has its end within the bound, and comes byte by byte as well."""
        line = bytes(MAX_REQUEST - 1) + b"\n"
        for pieces in ([line], split(line, list(range(MAX_REQUEST)))):
            self.assertTrue(outcome(lines, pieces) == [line])

    def test_tooLong(self) -> None:
        """A longer one is known when the bound is reached, and answered with a line that says the bound."""
        self.assertEqual(outcome(short, [b"123456789\n", b"1234567890"], False), [b"123456789\n", TooLong])
        self.assertEqual(outcome(short, [b"1234567890\n"], False), [TooLong])
        self.assertEqual(outcome(short, [b"123456789"], False), [])
        requests = Requests(short)
        requests.feed(bytes(100))
        error = self.assertRaises(BadRequest, requests.take)
        self.assertEqual(error.answer, b"error: a line has 10 bytes at the most\n")


class LengthPrefixedTests(SynchronousTestCase):
    def test_requests(self) -> None:
        """A request is the bytes after its length; an empty one counts."""
        self.assertEqual(outcome(lengthPrefixed, [b"\0\0\0\2hi\0\0\0\0\0\0\0\1\n"]), [b"hi", b"", b"\n"])

    def test_wrap(self) -> None:
        """An answer has its length before it."""
        self.assertEqual(lengthPrefixed.wrap(b"hello"), b"\0\0\0\5hello")

    def test_bound(self) -> None:
        """The longest request has 64 KiB; a longer one is known by its length alone."""
        longest = (1 << 16).to_bytes(4, "big") + bytes(1 << 16)
        self.assertTrue(outcome(lengthPrefixed, [longest]) == [bytes(1 << 16)])
        for length in (b"\0\1\0\1", b"\xff\xff\xff\xff"):
            self.assertEqual(outcome(lengthPrefixed, [length], False), [TooLong])

    def test_incomplete(self) -> None:
        """A stream that ends within a request is known for it, in the length and after it."""
        for rest in (b"\0", b"\0\0\0\1", b"\0\0\0\2x"):
            self.assertEqual(outcome(lengthPrefixed, [b"\0\0\0\1a" + rest]), [b"a", EndOfStream])


class OwnTests(SynchronousTestCase):
    """Framings of the user's."""

    def test_pieces(self) -> None:
        """A request of several pieces is the bytes that the generator makes of them."""
        stream = b"2\r\n3\r\none0\r\n" + b"0\r\n"
        self.assertEqual(outcome(commands, [stream]), [[b"one", b""], []])

    def test_bound(self) -> None:
        """The bound holds for all pieces of a request together."""
        self.assertEqual(outcome(commands, [b"2\r\n20\r\n" + bytes(20) + b"20\r\n"], False), [TooLong])
        self.assertEqual(outcome(commands, [b"1\r\n" + b"0" * 47], False), [TooLong])

    def test_splitEnding(self) -> None:
        """An ending of two bytes is found wherever the stream is split."""
        data = b"2\r\n3\r\nabc1\r\nd"
        for place in range(len(data)):
            self.assertEqual(outcome(commands, [data[:place], data[place:]]), [[b"abc", b"d"]], place)
        self.assertEqual(outcome(commands, [bytes([byte]) for byte in data]), [[b"abc", b"d"]])

    def test_negative(self) -> None:
        """A size below 0 is the peer's mistake: it wrote it."""
        self.assertEqual(outcome(commands, [b"1\r\n-1\r\n"], False), [BadRequest])

    def test_ownError(self) -> None:
        """An exception of the generator comes through."""
        self.assertEqual(outcome(commands, [b"x\r\n"], False), [ValueError])

    def test_nothing(self) -> None:
        """A framing that reads nothing would never end, and is told so."""

        def nothing() -> Reading:
            return b""
            yield 0

        requests = Requests(Framing(nothing))
        requests.feed(b"x")
        self.assertRaises(RuntimeError, requests.take)

    def test_goesOn(self) -> None:
        """A framing that goes on reading after the end is told so."""

        def deaf() -> Reading:
            try:
                yield 2
            except EndOfStream:
                yield 2

        requests = Requests(Framing(deaf))
        requests.feed(b"x")
        requests.end()
        self.assertRaises(RuntimeError, requests.take)


class SplitTests(SynchronousTestCase):
    """The pieces of a stream make no difference."""

    @given(st.text("a\r\n", max_size=60), places)
    @example("\n" * 20, [])
    def test_lines(self, text: str, places: list[int]) -> None:
        """Lines are the stream's bytes, up to the first that is too long, and end where it says so."""
        data = text.encode()
        found = outcome(short, split(data, places))
        self.assertEqual(found, outcome(short, [data]))
        if TooLong not in found:
            self.assertEqual(b"".join(found), data)
            self.assertEqual(
                [line.count(b"\n") for line in found[:-1]], [1] * (len(found) - 1) if found else []
            )

    @given(st.lists(st.binary(max_size=10)), st.binary(max_size=5), places)
    def test_lengthPrefixed(self, sent: list[bytes], rest: bytes, places: list[int]) -> None:
        """Requests come as they were sent; then an end that may be wrong, the same for every split."""
        data = b"".join(map(lengthPrefixed.wrap, sent)) + rest
        found = outcome(lengthPrefixed, split(data, places))
        self.assertEqual(found, outcome(lengthPrefixed, [data]))
        self.assertEqual(found[: len(sent)], sent)

    @given(st.text("0123-x\r\n", max_size=60), places)
    def test_commands(self, text: str, places: list[int]) -> None:
        """The pieces make no difference for a framing of several pieces, and for every error in it."""
        data = text.encode()
        self.assertEqual(outcome(commands, split(data, places)), outcome(commands, [data]))
