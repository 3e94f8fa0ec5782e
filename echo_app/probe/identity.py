"""Does every byte come back, in its place, and nothing else?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from echo_app.probe.checks import Context
from echo_app.probe.difference import Difference, firstDifference
from echo_app.probe.findings import Cost, Result, binary, failed, passed, printable
from echo_app.probe.stream import SILENCE, Stream
from echo_app.probe.wire import CHUNK, End

# Powers of two, and the edges of segments (of 536, 1448 and 1460 bytes), pages, buffers and TLS records.
POWERS = tuple(1 << power for power in range(25))
EDGES = (3, 535, 537, 1447, 1449, 1459, 1461, 4095, 4097, 8191, 8193, 16383, 16385, 65535, 65537, 100_000)
SIZES = tuple(sorted(POWERS + EDGES))

# The largest of a quick examination; the largest that is awaited alone; all up to it are pipelined.
QUICK, ALONE = 1 << 20, 1 << 16

# Seconds after which a larger size is not begun, and as many that the next one may still take.
BUDGET = 15.0

# Bytes around a difference in which what belongs there is looked for.
_AROUND = 1 << 20

# Seconds in which what comes beside the answers must have come; a longer wait would cost more than it finds.
_AFTER = 0.2

# What is sent after every byte value, so that services which await a line, or a web browser, answer too.
_LINES = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What came is too short.

    :param end: how the stream ended; None: it fell silent.
    """

    came: int
    sent: int
    end: End | None


class Identity:
    """Sends every byte value, and random bytes in pieces of many sizes."""

    name = "identity"

    def reasonToSkip(self, context: Context) -> str:
        """Datagrams have a check of their own."""
        return "" if context.target.isStream else "no stream"

    def cost(self, context: Context) -> Cost:
        """All the sizes; the small ones twice."""
        sizes = sizesFor(context)
        return Cost(sum(sizes) + sum(each for each in sizes if each <= ALONE), 1, 2 * BUDGET)

    async def run(self, context: Context) -> Result:
        """Stops at the first difference."""
        stream = await context.connect()
        try:
            return await _Exchange(context, stream).run()
        finally:
            await stream.abort()


class _Exchange:
    """One connection's worth of pieces.

    :ivar sent: bytes that have come back.
    """

    def __init__(self, context: Context, stream: Stream) -> None:
        self._context = context
        self._stream = stream
        self.sent = 0

    async def run(self) -> Result:
        """Small pieces one by one, all of them in a row, and then the larger ones while there is time."""
        sizes = sizesFor(self._context)
        small = [each for each in sizes if each <= ALONE]
        # In no order that somebody else sends: a character generator's is that of the values.
        every = bytes(self._context.random.sample(range(256), 256))
        batches = [[every + _LINES], *([self._piece(size)] for size in small), list(map(self._piece, small))]
        for batch in batches:
            if found := await self._exchange(batch):
                return judge(found, self.sent)
        done = len(small)
        deadline = self._context.reactor.seconds() + BUDGET
        while done < len(sizes) and self._context.reactor.seconds() < deadline:
            if found := await self._exchange([self._piece(sizes[done])]):
                return judge(found, self.sent)
            done += 1
        if extra := await self._stream.read(_AFTER):
            return judge(Difference("inserted", 0, len(extra), extra), self.sent)
        slow = f"; {len(sizes) - done} larger ones would take too long here" if done < len(sizes) else ""
        seen = f"{done} sizes, 1 B to {binary(sizes[done - 1])}{slow}"
        return passed(Identity.name, seen, sizes=sizes[:done], bytes=self.sent)

    def _piece(self, size: int) -> bytes:
        return self._context.random.randbytes(size)

    async def _exchange(self, pieces: list[bytes]) -> Difference | Shortfall | None:
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


async def returned(stream: Stream, sent: bytes, silence: float = SILENCE) -> Difference | Shortfall | None:
    """Reads as many bytes as were sent, and compares them as they come.

    :return: the first difference; its offset counts from the beginning of `sent`.
    """
    position = 0
    while position < len(sent):
        chunk = await stream.read(silence, min(CHUNK, len(sent) - position))
        if not chunk:
            return Shortfall(position, len(sent), stream.end)
        if not sent.startswith(chunk, position):
            more = await stream.receive(2 * CHUNK, _AFTER)
            return _around(sent, position, chunk + more)
        position += len(chunk)
    return None


def _around(sent: bytes, position: int, came: bytes) -> Difference | None:
    begin = max(0, position - _AROUND)
    found = firstDifference(sent[begin : position + _AROUND], sent[begin:position] + came)
    return found and replace(found, offset=begin + found.offset)


def judge(found: Difference | Shortfall, before: int) -> Result:
    """Says what was found.

    :param before: bytes that had come back before.
    """
    if isinstance(found, Shortfall):
        return _judgeShortfall(found, before)
    found = replace(found, offset=before + found.offset)
    isEcho = found.offset > 0 or found.kind != "foreign"
    seen = str(found) if isEcho else "other bytes"
    if found.kind in ("foreign", "inserted"):
        seen += f": {printable(found.found)}"
    details = {"kind": found.kind, "offset": found.offset, "size": found.size}
    return failed(Identity.name, seen, _MEANINGS[found.kind], not isEcho, **details)


def _judgeShortfall(found: Shortfall, before: int) -> Result:
    then = f"then nothing for {SILENCE:g} s" if found.end is None else f"then {found.end.value}"
    details: dict[str, Any] = {
        "came": before + found.came,
        "sent": before + found.sent,
        "end": found.end and found.end.name,
    }
    if not before + found.came:
        seen = f"nothing of {found.sent} B came back, {then}"
        return failed(Identity.name, seen, "Nothing here sends back what it gets.", isFinal=True, **details)
    seen = f"{before + found.came} of {before + found.sent} B came back, {then}"
    return failed(Identity.name, seen, "Part of what is sent never arrives.", **details)


_MEANINGS = {
    "changed": "Something on the way changes data, and TCP's checksum does not see it.",
    "lost": "Something on the way loses data without ending the connection.",
    "duplicated": "Something on the way sends data twice.",
    "moved": "Something on the way changes the order of data.",
    "inserted": "Something on the way adds data of its own.",
    "foreign": "This is no echo, or it mixes up its connections.",
}
