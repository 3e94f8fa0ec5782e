"""Check ``identity``: every byte comes back, in its place, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from echo_app.probe.checks.check import Check, Context, Cost
from echo_app.probe.checks.evidence import Observation
from echo_app.probe.checks.link import Link
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.net.errors import NetworkError, timedOut
from echo_app.probe.net.stream import SILENCE
from echo_app.probe.net.waits import pause
from echo_app.text import binarySize, quoted

# Powers of two, and the edges of segments (of 536, 1448 and 1460 bytes), pages, buffers and TLS records.
POWERS = tuple(1 << power for power in range(25))
EDGES = (3, 535, 537, 1447, 1449, 1459, 1461, 4095, 4097, 8191, 8193, 16383, 16385, 65535, 65537, 100_000)
SIZES = tuple(sorted(POWERS + EDGES))

# Bytes of the largest size of a quick examination, and of the largest that is sent alone and pipelined.
QUICK, ALONE = 1 << 20, 1 << 16

# Seconds after which no larger size begins; the one that has begun may take as many.
BUDGET = 15.0

# Seconds before each connection: another one is made where nothing came back.
PAUSES = (0.0, 0.0, 2.0, 4.0)

# Seconds without a byte that was due: a pause in the midst of a transfer, which is tried again.
PAUSED = 0.5

# Seconds in which surplus bytes must come: a longer wait would cost more than it finds.
_AFTER = 0.2

# Seconds of the clock's resolution, at the least.
_TICK = 1e-6

# Sent after all byte values: services that wait for a line, or for a request of HTTP, answer then, too.
_LINES = b"\r\n\r\n"


@dataclass(slots=True)
class Sizes(Observation):
    """The sizes that came back whole.

    :ivar done: bytes, in rising order.
    :ivar left: the number of larger sizes that would have taken too long.
    :ivar batches: of the sizes that came back on the last connection: bytes that were sent before, bytes, and
        seconds until all of them were back.
    :ivar records: of the connections.
    """

    done: list[int] = field(default_factory=list)
    left: int = 0
    batches: list[tuple[int, int, float]] = field(default_factory=list)
    records: list[ConnectionRecord] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Bytes a second of the last size, there and back; 0 without one."""
        _, size, seconds = self.batches[-1] if self.batches else (0, 0, _TICK)
        return size / max(seconds, _TICK)

    @property
    def isFinal(self) -> bool:
        """Says whether nothing came back on any connection."""
        return bool(self.records) and not any(each.came for each in self.records)

    def __str__(self) -> str:
        parts = [shortfall(each) for each in self.records if isWrong(each)]
        if self.done:
            count = "1 size" if len(self.done) == 1 else f"{len(self.done)} sizes"
            largest, rate = binarySize(self.done[-1]), binarySize(int(self.rate))
            slow = f"; {self.left} larger ones would take too long here" if self.left else ""
            parts.append(f"{count}, 1 B to {largest}, the last at {rate}/s{slow}")
        return "; ".join(parts) or "not begun"

    def data(self) -> Mapping[str, object]:
        """Returns sizes, bytes in all, and the rate."""
        return {
            "sizes": self.done,
            "left": self.left,
            "bytes": sum(each.came for each in self.records),
            "rate": self.rate,
            "batches": [list(each) for each in self.batches],
        }


class Identity(Check[Sizes]):
    """Sends every byte value, and random bytes in pieces of many sizes."""

    name = "identity"
    begin = Sizes

    def cost(self, context: Context) -> Cost:
        """Returns the cost of all sizes; the small ones are sent twice."""
        sizes = sizesFor(context)
        return Cost(sum(sizes) + sum(each for each in sizes if each <= ALONE), len(PAUSES), 3 * BUDGET)

    async def run(self, context: Context, seen: Sizes) -> None:
        """Sends all sizes, up to the first fault; again where that may be an accident."""
        for seconds in PAUSES:
            if seen.records and not _isWorthRepeating(seen.records):
                break
            await pause(context.reactor, seconds)
            record = context.newRecord()
            seen.records.append(record)
            with suppress(NetworkError):
                async with await context.connect(record=record) as link:
                    seen.batches.clear()
                    await self._exchangeAll(context, link, seen)

    async def _exchangeAll(self, context: Context, link: Link, seen: Sizes) -> None:
        """Sends small pieces one by one, all of them pipelined, and larger ones while there is time."""
        sizes = sizesFor(context)
        small = [each for each in sizes if each <= ALONE]
        # In random order: a character generator sends the values in theirs.
        link.sendRaw(bytes(context.random.sample(range(256), 256)) + _LINES)
        if not await link.receiveRest():
            return
        clock = context.reactor
        deadline = clock.seconds() + BUDGET
        for batch in [*([size] for size in small), small, *([size] for size in sizes[len(small) :])]:
            if clock.seconds() >= deadline:
                break
            link.prepare(sum(batch))
            before, start = link.record.sent, clock.seconds()
            for size in batch:
                link.send(size)
            if not await link.receiveRest():
                return
            seen.batches.append((before, sum(batch), clock.seconds() - start))
            seen.done = sizes[: sizes.index(batch[-1]) + 1]
        seen.left = len(sizes) - len(seen.done)
        await link.read(_AFTER)


def _isWorthRepeating(records: Sequence[ConnectionRecord]) -> bool:
    """Says whether nothing has come back yet; or the first connection ended, or paused, in the midst."""
    if not any(each.came for each in records):
        return True
    first = records[0]
    return len(records) == 1 and first.difference is None and (first.isShort or first.longestWait >= PAUSED)


def sizesFor(context: Context) -> list[int]:
    """Returns the sizes, in rising order."""
    return [size for size in SIZES if size <= QUICK or not context.settings.isQuick]


def isWrong(record: ConnectionRecord) -> bool:
    """Says whether other bytes came back than were sent, or fewer."""
    return record.difference is not None or record.isShort or record.failure is not None


def shortfall(record: ConnectionRecord) -> str:
    """Returns what came back of the sent bytes, and how it went on, in a few words."""
    if record.failure is not None:
        return str(record.failure)
    if record.difference is not None:
        isText = record.difference.kind in ("foreign", "inserted")
        return f"{record.difference}" + (f": {quoted(record.difference.found)}" if isText else "")
    then = record.end or timedOut(record.silence or SILENCE)
    return f"{record.came or 'nothing'} of {record.sent} B came back, then {then}"
