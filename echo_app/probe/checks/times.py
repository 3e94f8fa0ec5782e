"""Check ``times``: round trips of several sizes, on several connections, and the time from FIN to the end.

A table of all of them tells what waits: the first answer of a connection, small messages, single
connections, the end. The kernel's own shortest round trip (``tcpi_min_rtt``) is that of the network as far as
the first TCP proxy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from echo_app.probe.checks.check import Check, Context, Cost
from echo_app.probe.checks.evidence import Observation
from echo_app.probe.checks.link import Link
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.net.waits import pause
from echo_app.probe.results.statistics import milliseconds
from echo_app.text import binarySize

# Bytes of the messages: the least, one more than a segment of Ethernet with timestamps, and a buffer.
SMALL, SEGMENT, LARGE = 1, 1449, 1 << 16
SIZES = (SMALL, SEGMENT, LARGE)

# Connections, one after the other, and rounds of all sizes on each: enough of them that one of three backends
# is met three times.
CONNECTIONS, ROUNDS = 9, 4

# Connections that rest, and how often and for how many seconds each does so before a small message. A radio
# that saves power sleeps after a tenth of a second.
RESTING, RESTS, REST = 4, 3, 0.25

# Seconds, without the rests, after which no connection begins where three have been made.
BUDGET = 10.0

# Seconds by which answers of one byte are longer than the kernel's round trip, and the factor: then messages
# are sent at any time, so many, and for so many seconds at the most. A clock is told by answers that wait for
# its tick.
SLOW, SLOW_FACTOR, ANY_COUNT, ANY_SECONDS = 0.02, 2.0, 24, 8.0

# Pairs of messages of letters, with a newline at the end and without, and the bytes of each.
LINE_PAIRS, LINE = 6, 64

# Seconds and interval of the pings of a thorough examination, which look for stalls.
LONG, LONG_INTERVAL = 60.0, 0.05


_LETTERS = b"abcdefghijklmnopqrstuvwxyz"


@dataclass(slots=True)
class Timed:
    """The times of one connection, in seconds.

    :ivar first: the first answer, to a message of one byte.
    :ivar trips: round trips, by size; the first answer is not among them.
    :ivar net: the same, less the time by which this process was late meanwhile; without those of which that
        was more than half.
    :ivar end: from our FIN to the peer's end; None if it did not come.
    :ivar rested: round trips of small messages after a rest, less lateness.
    """

    record: ConnectionRecord
    first: float | None = None
    trips: dict[int, list[float]] = field(default_factory=lambda: {size: [] for size in SIZES})
    net: dict[int, list[float]] = field(default_factory=lambda: {size: [] for size in SIZES})
    end: float | None = None
    rested: list[float] = field(default_factory=list)

    @property
    def small(self) -> float | None:
        """The median round trip of the small messages, less lateness; None without any."""
        return median(self.net[SMALL]) if self.net[SMALL] else None

    @property
    def minRTT(self) -> float | None:
        """The kernel's shortest round trip."""
        return self.record.last.minRTT if self.record.last else None


@dataclass(slots=True)
class Times(Observation):
    """The times of all connections.

    :ivar pings: moments and seconds of the round trips of a thorough examination.
    :ivar atAnyTime: the moments of messages that were sent after pauses by chance, and of their answers.
    :ivar lines: seconds of the answer to letters with a newline at the end, and to letters without.
    """

    connections: list[Timed] = field(default_factory=list)
    atAnyTime: list[tuple[float, float]] = field(default_factory=list)
    lines: list[tuple[float, float]] = field(default_factory=list)
    pings: list[tuple[float, float]] = field(default_factory=list)

    def trips(self, size: int) -> list[float]:
        """Returns the round trips of a size on all connections."""
        return [trip for each in self.connections for trip in each.trips[size]]

    @property
    def usual(self) -> float:
        """The median round trip of the small messages, less lateness; 0 without any."""
        return medianOf([each.small for each in self.connections]) or 0.0

    @property
    def isSlow(self) -> bool:
        """Says whether answers take longer than the kernel's shortest round trip."""
        least = min((each.minRTT for each in self.connections if each.minRTT), default=0.0)
        return self.usual >= max(SLOW_FACTOR * least, least + SLOW)

    def __str__(self) -> str:
        columns: list[tuple[str, Sequence[float | None]]] = [
            ("SYN", [each.record.connected for each in self.connections]),
            ("kernel's least", [each.minRTT for each in self.connections]),
            ("first answer", [each.first for each in self.connections]),
            *((binarySize(size), self.trips(size)) for size in SIZES),
            ("after a rest", [trip for each in self.connections for trip in each.rested]),
            ("FIN to end", [each.end for each in self.connections]),
        ]
        shown = [
            f"{name} {milliseconds(value)}" for name, value in ((n, medianOf(v)) for n, v in columns) if value
        ]
        if self.pings:
            shown.append(
                f"{len(self.pings)} pings, max {milliseconds(max(seconds for _, seconds in self.pings))}"
            )
        return "medians: " + ", ".join(shown) if shown else "no answer"

    def data(self) -> Mapping[str, object]:
        """Returns the times of each connection, in seconds."""
        return {
            "connections": [
                {
                    "connect": each.record.connected,
                    "least": each.minRTT,
                    "first": each.first,
                    "trips": {str(size): trips for size, trips in each.trips.items()},
                    "rested": each.rested,
                    "end": each.end,
                }
                for each in self.connections
            ],
            "lines": [list(each) for each in self.lines],
            "any time": [list(each) for each in self.atAnyTime],
            "pings": [list(each) for each in self.pings],
        }


def medianOf(values: Sequence[float | None]) -> float | None:
    """Returns the median of the values that are there; None without any."""
    known = [value for value in values if value is not None]
    return median(known) if known else None


class TimesCheck(Check[Times]):
    """Makes connections one after the other, and measures round trips of three sizes on each."""

    name = "times"
    begin = Times

    def cost(self, context: Context) -> Cost:
        """Returns the cost: nine rounds of each size on nine connections, and of the pings."""
        size = CONNECTIONS * (1 + ROUNDS * sum(SIZES)) + RESTING * RESTS
        if context.settings.isThorough:
            count = LONG / LONG_INTERVAL
            return Cost(size + int(count), CONNECTIONS + 1, BUDGET + RESTING * RESTS * REST + LONG)
        return Cost(size, CONNECTIONS, BUDGET + RESTING * RESTS * REST)

    async def run(self, context: Context, seen: Times) -> None:
        """Measures; a thorough examination then pings for a minute."""
        deadline = context.now + BUDGET
        for count in range(CONNECTIONS):
            if count >= 3 and context.now >= deadline:
                break
            async with await context.connect() as link:
                timed = Timed(link.record)
                seen.connections.append(timed)
                rests = RESTS if count < RESTING else 0
                deadline += rests * REST
                await self._measure(context, link, timed, rests)
        if seen.isSlow:
            await self._sendLines(context, seen)
            await self._sendAtAnyTime(context, seen)
        if context.settings.isThorough:
            await self._ping(context, seen)

    async def _measure(self, context: Context, link: Link, timed: Timed, rests: int) -> None:
        timed.first = await roundTrip(context, link, SMALL)
        for size in SIZES * ROUNDS:
            if not await self._trip(context, link, size, timed.net[size], timed.trips[size]):
                return
        for _ in range(rests):
            await pause(context.reactor, REST)
            if not await self._trip(context, link, SMALL, timed.rested):
                return
        start = context.now
        link.halfClose()
        await link.receiveEnd()
        if link.record.ended is not None:
            timed.end = link.record.ended - start

    async def _trip(
        self, context: Context, link: Link, size: int, net: list[float], trips: list[float] | None = None
    ) -> bool:
        """Makes a round trip, and notes it; says whether the echo came.

        :param net: of those less lateness, if that is less than half.
        :param trips: of those as they were.
        """
        start = context.now
        seconds = await roundTrip(context, link, size)
        if seconds is None:
            return False
        if trips is not None:
            trips.append(seconds)
        late = context.evidence.latenessIn(start, context.now)
        if late < seconds / 2:
            net.append(seconds - late)
        return True

    async def _sendLines(self, context: Context, seen: Times) -> None:
        """Sends letters with and without a newline at the end, in random order."""
        async with await context.connect() as link:
            for _ in range(LINE_PAIRS):
                times = {}
                for end in context.random.sample((b"\n", b"."), 2):
                    start = context.now
                    link.sendRaw(bytes(context.random.choices(_LETTERS, k=LINE - 1)) + end)
                    if not await link.receiveRest():
                        return
                    times[end] = context.now - start
                seen.lines.append((times[b"\n"], times[b"."]))

    async def _sendAtAnyTime(self, context: Context, seen: Times) -> None:
        """Sends a byte after pauses by chance, of up to two usual round trips."""
        async with await context.connect() as link:
            deadline, longest = context.now + ANY_SECONDS, 2 * seen.usual
            while len(seen.atAnyTime) < ANY_COUNT and context.now < deadline:
                await pause(context.reactor, context.random.uniform(0.0, longest))
                at = context.now
                if await roundTrip(context, link, SMALL) is None:
                    break
                seen.atAnyTime.append((at, context.now))

    async def _ping(self, context: Context, seen: Times) -> None:
        """Sends a byte each LONG_INTERVAL on one connection, and notes the round trips."""
        async with await context.connect() as link:
            deadline = context.now + LONG
            while context.now < deadline:
                at = context.now
                seconds = await roundTrip(context, link, SMALL)
                if seconds is None:
                    break
                seen.pings.append((at, seconds))
                await pause(context.reactor, LONG_INTERVAL)


async def roundTrip(context: Context, link: Link, size: int) -> float | None:
    """Sends a message and waits for its echo; returns the seconds, or None if it does not come whole."""
    link.prepare(size)
    start = context.now
    link.send(size)
    return context.now - start if await link.receiveRest() else None
