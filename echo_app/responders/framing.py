"""Framing: splits a stream into requests, without I/O, in linear time and bounded memory.

A framing says where a request ends. Its `read` is a generator function that reads one request: it yields
what it needs next, a number of bytes or the bytes that end a piece, is sent that piece, and returns the
request. It never sees a buffer, and how the bytes fell into reads makes no difference to it. What can't come
any more is thrown in at its ``yield``: :class:`TooLong`, or :class:`EndOfStream`.

The rules of :class:`Requests`: a byte is looked at once, except that the ending of a piece may be split; a
request that has begun takes no more than the framing's `longest`; after one wrong request there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final

# Bytes of a request, unless a framing says otherwise: as much as a transport holds before it pauses.
MAX_REQUEST = 1 << 16

# What a generator reads with: it yields a size or an ending, is sent the piece, and returns the request.
Reading = Generator[int | bytes, bytes, Any]

# What :meth:`Requests.take` returns while more has to come; a request may be anything else.
INCOMPLETE: Final = object()

_PREFIX = 4


class BadRequest(Exception):
    """A peer's request that is wrong: the connection is closed when what was asked before is answered.

    :param reason: for the log; it is escaped there.
    :param answer: what the peer is sent first.

    :cvar kind: what it is counted as.
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
    """The stream ended within a request.

    :param rest: what came of the piece that was asked for.
    """

    kind = "incomplete"

    def __init__(self, rest: bytes) -> None:
        super().__init__("a stream that ends within a request")
        self.rest = rest


@dataclass(frozen=True, slots=True)
class Framing:
    """Where requests end, and how answers are sent.

    :param read: a generator function that reads one request, as the module says.
    :param wrap: returns the bytes that carry an answer; by default it is the answer.
    :param longest: bytes that one request may have, whatever ends its pieces included.
    """

    read: Callable[[], Reading]
    wrap: Callable[[bytes], bytes] = bytes
    longest: int = MAX_REQUEST


class Requests:
    """Takes the bytes of one stream as they come, and gives the requests that are complete."""

    __slots__ = ("_buffer", "_framing", "_isEnded", "_need", "_reading", "_searched", "_size")

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._buffer = bytearray()
        self._isEnded = False
        # The request that has begun: what reads it, what that waits for, and how many bytes it has taken;
        # and how far the buffer was searched for an ending.
        self._reading: Reading | None = None
        self._need: int | bytes = 0
        self._size = 0
        self._searched = 0

    def feed(self, data: bytes) -> None:
        """Adds what has come."""
        self._buffer += data

    def end(self) -> None:
        """Nothing more will come."""
        self._isEnded = True

    def take(self) -> Any:
        """Returns the next request, or ``INCOMPLETE``.

        :raise BadRequest: when the peer has sent what is none.
        :raise Exception: what a framing of the user's raises besides.
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
        """Returns the piece that is needed; None while it is not complete."""
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
        # A bytearray forgets its beginning without moving the rest.
        del self._buffer[:size]
        self._size += size
        self._searched = 0
        return piece

    def _giveUp(self, error: BadRequest) -> Any:
        """Has the framing say what comes of a request that can't be completed: a request, or an error."""
        reading = self._reading
        assert reading is not None
        try:
            reading.throw(error)
        except StopIteration as stop:
            return self._complete(stop.value)
        finally:
            self._reading = None
        raise RuntimeError("a framing goes on reading when there is nothing more to come")

    def _complete(self, request: Any) -> Any:
        self._reading = None
        if not self._size:
            raise RuntimeError("a framing has to read something of each request")
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


# A request is a line with its end (LF, or CR and LF); the last one may have none. An answer is sent as it is.
lines = Framing(_readLine)

# A request is what follows a length of four bytes, big-endian, which does not count itself; an answer is
# sent in the same way.
lengthPrefixed = Framing(_readPrefixed, _wrapPrefixed, MAX_REQUEST + _PREFIX)
