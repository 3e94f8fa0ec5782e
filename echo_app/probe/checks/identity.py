"""Check ``identity``: every byte comes back, in its place, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace

from echo_app.probe.checks.check import Check, Context, Cost, Result, Status, failed, passed
from echo_app.probe.net.errors import Reason, timedOut
from echo_app.probe.net.stream import SILENCE, Stream
from echo_app.probe.net.wire import CHUNK
from echo_app.probe.results.difference import StreamDifference, firstDifference
from echo_app.text import binarySize, quoted

# Powers of two, and the edges of segments (of 536, 1448 and 1460 bytes), pages, buffers and TLS records.
POWERS = tuple(1 << power for power in range(25))
EDGES = (3, 535, 537, 1447, 1449, 1459, 1461, 4095, 4097, 8191, 8193, 16383, 16385, 65535, 65537, 100_000)
SIZES = tuple(sorted(POWERS + EDGES))

# Bytes of the largest size of a quick examination, and of the largest that is sent alone and pipelined.
QUICK, ALONE = 1 << 20, 1 << 16

# Seconds after which no larger size begins; the one that has begun may take as many.
BUDGET = 15.0

# Bytes around a difference in which the bytes that belong there are searched.
_AROUND = 1 << 20

# Seconds in which surplus bytes must come: a longer wait would cost more than it finds.
_AFTER = 0.2

# Seconds of the clock's resolution, at the least.
_TICK = 1e-6

# Sent after all byte values: services that wait for a line, or for a request of HTTP, answer then, too.
_LINES = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Fewer bytes came back than were sent.

    :param end: of the stream; None if it is open, and silent.
    """

    came: int
    sent: int
    end: Reason | None

    def __str__(self) -> str:
        then = self.end or timedOut(SILENCE)
        return f"{self.came or 'nothing'} of {self.sent} B came back, then {then}"


class Identity(Check):
    """Sends every byte value, and random bytes in pieces of many sizes."""

    name = "identity"

    def cost(self, context: Context) -> Cost:
        """Returns the cost of all sizes; the small ones are sent twice."""
        sizes = sizesFor(context)
        return Cost(sum(sizes) + sum(each for each in sizes if each <= ALONE), 2, 2 * BUDGET)

    async def run(self, context: Context) -> Result:
        """Sends all sizes, up to the first difference; repeats a final failure on a second connection."""
        result = await self._once(context)
        if not result.isFinal:
            return result
        again = await self._once(context)
        if again.status is Status.PASS:
            seen = f"{result.seen}; all of it on the next connection"
            return replace(result, seen=seen, meaning=_SOMETIMES, isFinal=False)
        return result if again.isFinal else again

    async def _once(self, context: Context) -> Result:
        async with await context.connect() as stream:
            return await _Exchange(context, stream).run()


class _Exchange:
    """Sends and compares the pieces of one connection.

    :ivar sent: bytes that have come back.
    """

    def __init__(self, context: Context, stream: Stream) -> None:
        self._context = context
        self._stream = stream
        self.sent = 0

    async def run(self) -> Result:
        """Sends small pieces one by one, all of them pipelined, and larger ones while there is time."""
        sizes = sizesFor(self._context)
        small = [each for each in sizes if each <= ALONE]
        # In random order: a character generator sends the values in theirs.
        every = bytes(self._context.random.sample(range(256), 256))
        if found := await self._exchange([every + _LINES]):
            return judge(found, self.sent)
        clock = self._context.reactor
        deadline = clock.seconds() + BUDGET
        done, rate = 0, 0.0
        for batch in [*([size] for size in small), small, *([size] for size in sizes[len(small) :])]:
            if clock.seconds() >= deadline:
                break
            pieces = [self._context.random.randbytes(size) for size in batch]
            start = clock.seconds()
            if found := await self._exchange(pieces):
                return judge(found, self.sent)
            rate = sum(batch) / max(clock.seconds() - start, _TICK)
            done = sizes.index(batch[-1]) + 1
        if extra := await self._stream.read(_AFTER):
            return judge(StreamDifference("inserted", 0, len(extra), extra), self.sent)
        slow = f"; {len(sizes) - done} larger ones would take too long here" if done < len(sizes) else ""
        seen = (
            f"{done} sizes, 1 B to {binarySize(sizes[done - 1])}, the last at {binarySize(int(rate))}/s{slow}"
        )
        return passed(Identity.name, seen, sizes=sizes[:done], bytes=self.sent, rate=rate)

    async def _exchange(self, pieces: list[bytes]) -> StreamDifference | Shortfall | None:
        for piece in pieces:
            self._stream.write(piece)
        whole = b"".join(pieces)
        found = await returned(self._stream, whole)
        if found is None:
            self.sent += len(whole)
        return found


def sizesFor(context: Context) -> list[int]:
    """Returns the sizes, in rising order."""
    return [size for size in SIZES if size <= QUICK or not context.settings.isQuick]


async def returned(
    stream: Stream, sent: bytes, timeout: float = SILENCE
) -> StreamDifference | Shortfall | None:
    """Reads as many bytes as were sent, and compares them as they come.

    :param timeout: seconds without a byte.
    :return: the first difference; its offset counts from the beginning of `sent`.
    """
    position = 0
    while position < len(sent):
        chunk = await stream.read(timeout, min(CHUNK, len(sent) - position))
        if not chunk:
            return Shortfall(position, len(sent), stream.end)
        if not sent.startswith(chunk, position):
            more = await stream.receive(2 * CHUNK, _AFTER)
            return _around(sent, position, chunk + more)
        position += len(chunk)
    return None


def _around(sent: bytes, position: int, came: bytes) -> StreamDifference | None:
    begin = max(0, position - _AROUND)
    found = firstDifference(sent[begin : position + _AROUND], sent[begin:position] + came)
    return found and replace(found, offset=begin + found.offset)


def judge(found: StreamDifference | Shortfall, before: int) -> Result:
    """Judges a fault.

    :param before: bytes that had come back before it.
    """
    found = fromStart(found, before)
    if isinstance(found, Shortfall):
        return _judgeShortfall(found)
    isEcho = found.offset > 0 or found.kind != "foreign"
    seen = str(found) if isEcho else "other bytes"
    if found.kind in ("foreign", "inserted"):
        seen += f": {quoted(found.found)}"
    details = {"kind": found.kind, "offset": found.offset, "size": found.size}
    meaning = _MEANINGS[found.kind] if isEcho else _NO_ECHO
    return failed(Identity.name, seen, meaning, not isEcho, **details)


def _judgeShortfall(found: Shortfall) -> Result:
    meaning = "Part of what is sent never arrives." if found.came else "Nothing here sends back what it gets."
    details = {"came": found.came, "sent": found.sent, "end": found.end and str(found.end)}
    return failed(Identity.name, str(found), meaning, isFinal=not found.came, **details)


def fromStart(found: StreamDifference | Shortfall, before: int) -> StreamDifference | Shortfall:
    """Returns a fault, with its offset from the connection's first byte.

    :param before: bytes that had come back before it.
    """
    if isinstance(found, Shortfall):
        return replace(found, came=before + found.came, sent=before + found.sent)
    return replace(found, offset=before + found.offset)


_SOMETIMES = "Some connections are made, and not served."
_NO_ECHO = "This is no echo."
_MEANINGS = {
    "changed": "Something on the way changes data, and TCP's checksum does not see it.",
    "lost": "Something on the way loses data without ending the connection.",
    "duplicated": "Something on the way sends data twice.",
    "moved": "Something on the way changes the order of data.",
    "inserted": "Something on the way adds data of its own.",
    "foreign": "Something mixes up connections, or changes everything from there on.",
}
