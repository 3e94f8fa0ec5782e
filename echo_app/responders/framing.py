"""Framing: splits a stream into requests, without I/O, in linear time and bounded memory.

A framing finds the end of a request. Its `read` is a generator function that reads one request. It yields its
next need, a number of bytes or the bytes that end a piece. It is sent that piece, and returns the request. A
framing never sees a buffer, and the boundaries of reads make no difference to it. When a piece can't come any
more, its ``yield`` raises :class:`TooLong` or :class:`EndOfStream`.

The rules of :class:`Requests`: each byte is searched once, apart from the length of a split ending; a request
takes no more than the framing's `longest` bytes; no request follows a wrong one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final

# Default of the bytes that a request may have: as many as a transport holds before it pauses.
MAX_REQUEST = 1 << 16

# The generator that reads a request: yields a size or an ending, is sent the piece, and returns the request.
Reading = Generator[int | bytes, bytes, Any]

# Returned by :meth:`Requests.take` for an incomplete request; a request may be any other object.
INCOMPLETE: Final = object()

_PREFIX = 4


class BadRequest(Exception):
    """A wrong request of a peer: the connection is closed after the answers to earlier requests.

    :param reason: for the log, which escapes it.
    :param answer: the last bytes to the peer.

    :cvar kind: the reason under which it is counted.
    """

    kind = "bad-request"

    def __init__(self, reason: str, answer: bytes = b"") -> None:
        super().__init__(reason)
        self.answer = answer


class TooLong(BadRequest):
    """A request over the framing's bound.

    :param longest: the bound, in bytes.
    """

    kind = "too-long"

    def __init__(self, longest: int) -> None:
        super().__init__(f"a request of more than {longest} bytes")
        self.longest = longest


class EndOfStream(BadRequest):
    """The end of the stream within a request.

    :param rest: the bytes that came of the incomplete piece.
    """

    kind = "incomplete"

    def __init__(self, rest: bytes) -> None:
        super().__init__("a stream that ends within a request")
        self.rest = rest


@dataclass(frozen=True, slots=True)
class Framing:
    """The rule by which requests end, and by which answers are framed.

    :param read: a generator function that reads one request, as the module says.
    :param wrap: returns the bytes on the wire for an answer; by default the answer itself.
    :param longest: bytes that one request may have, with the endings of its pieces.
    """

    read: Callable[[], Reading]
    wrap: Callable[[bytes], bytes] = bytes
    longest: int = MAX_REQUEST


class Requests:
    """Splits the bytes of one stream into requests."""

    __slots__ = ("_buffer", "_framing", "_isEnded", "_need", "_reading", "_searched", "_size")

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._buffer = bytearray()
        self._isEnded = False
        # The current request: its reader, the reader's need, and the bytes that the reader has taken; and the
        # offset up to which the buffer was searched for an ending.
        self._reading: Reading | None = None
        self._need: int | bytes = 0
        self._size = 0
        self._searched = 0

    def feed(self, data: bytes) -> None:
        """Adds received bytes."""
        self._buffer += data

    def end(self) -> None:
        """Notes the end of the stream."""
        self._isEnded = True

    def take(self) -> Any:
        """Returns the next request, or ``INCOMPLETE``.

        :raise BadRequest: when the peer has sent a wrong request.
        :raise Exception: any other exception of a user's framing.
        """
        reading = self._reading
        try:
            if reading is None:
                if not self._buffer:
                    return INCOMPLETE
                reading = self._reading = self._framing.read()
                self._size = 0
                self._need = next(reading)
            while (piece := self._piece()) is not None:
                self._need = reading.send(piece)
        except StopIteration as stop:
            return self._complete(stop.value)
        except BadRequest as error:
            return self._giveUp(error)
        if self._isEnded:
            return self._giveUp(EndOfStream(self._cut(len(self._buffer))))
        return INCOMPLETE

    def _piece(self) -> bytes | None:
        """Returns the piece that the reader needs; None while it is incomplete."""
        need, buffer = self._need, self._buffer
        room = self._framing.longest - self._size
        if isinstance(need, int):
            if need < 0:
                raise BadRequest("a size below 0")
            if need > room:
                raise TooLong(self._framing.longest)
            return self._cut(need) if need <= len(buffer) else None
        found = buffer.find(need, self._searched, room)
        if found >= 0:
            return self._cut(found + len(need))
        if len(buffer) >= room:
            raise TooLong(self._framing.longest)
        self._searched = max(0, len(buffer) - len(need) + 1)
        return None

    def _cut(self, size: int) -> bytes:
        piece = bytes(self._buffer[:size])
        # A bytearray drops its beginning without moving the rest.
        del self._buffer[:size]
        self._size += size
        self._searched = 0
        return piece

    def _giveUp(self, error: BadRequest) -> Any:
        """Lets the framing end a request that can't be completed, with a request or an error."""
        reading = self._reading
        assert reading is not None
        try:
            reading.throw(error)
        except StopIteration as stop:
            return self._complete(stop.value)
        finally:
            self._reading = None
        raise RuntimeError("a framing goes on reading after the last byte that it can have")

    def _complete(self, request: Any) -> Any:
        self._reading = None
        if not self._size:
            raise RuntimeError("a framing must read at least one byte of each request")
        return request


def _readLine() -> Reading:
    try:
        return (yield b"\n")
    except EndOfStream as end:
        return end.rest
    except TooLong as error:
        error.answer = f"error: a line has {error.longest} bytes at the most\n".encode()
        raise


def _readPrefixed() -> Reading:
    prefix = yield _PREFIX
    return (yield int.from_bytes(prefix, "big"))


def _wrapPrefixed(answer: bytes) -> bytes:
    return len(answer).to_bytes(_PREFIX, "big") + answer


# A request is a line with its end (LF, or CR and LF); the last may have no end. An answer is sent as it is.
lines = Framing(_readLine)

# A request is the data after their length, four bytes, big-endian, which does not count itself. An answer has
# the same form.
lengthPrefixed = Framing(_readPrefixed, _wrapPrefixed, MAX_REQUEST + _PREFIX)
