"""Check ``burst``: many connections at once, and in quick succession; do clients wait for each other?

A SYN that is lost is sent again after a second (RFC 6298, 2). The kernel counts that for each connection,
so that a slow machine is not taken for a lossy path.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from echo_app.probe.checks.check import Check, Context, Cost, lackOfDescriptors
from echo_app.probe.checks.evidence import Observation
from echo_app.probe.checks.labels import MESSAGE
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.net.errors import NetworkError, Reason
from echo_app.probe.net.waits import pause, together
from echo_app.probe.results.statistics import interval, milliseconds

# Connections of a burst. A listening queue of 128, long the kernel's default, has room for most.
COUNT, QUICK_COUNT = 100, 30

# Bursts in a row that must go wrong for a finding, and the share of connections that may go wrong at random.
ROUNDS, TOLERATED = 3, 0.01

# Seconds that a first answer may take before it is late.
LATE = 0.1

# Failures in succession after which connecting is given up: each may take a whole time-out.
ENOUGH = 5

# Seconds in which connections are made in succession: where SYNs are lost, each of them takes a second.
BUDGET = 15.0

# For comparison then: connections that come one by one, and the seconds between two.
CALM_COUNT, CALM_INTERVAL = 300, 0.02

# Seconds between two rounds: a limit on the rate of connections may forget the round before.
_BETWEEN = 1.0


@dataclass(frozen=True, slots=True)
class Series:
    """Rounds of connections that were made in the same manner.

    :param manner: how, such as ``at once``.
    :param rounds: the records of the connections, until one round was good, or all that are done were bad.
    """

    manner: str
    rounds: list[Sequence[ConnectionRecord]] = field(default_factory=list)

    @property
    def records(self) -> list[ConnectionRecord]:
        """The records of all rounds."""
        return [record for records in self.rounds for record in records]

    @property
    def failures(self) -> list[Reason]:
        """The reasons for which connections were not made, or not answered."""
        return [reason for reason in map(failureOf, self.records) if reason]

    @property
    def retransmitted(self) -> int:
        """The number of connections that had sent a segment again when they were made; over TCP, a SYN."""
        return sum(map(isRetransmitted, self.records))

    @property
    def isBad(self) -> bool:
        """Says whether every round went wrong. There is one round only where it took a time-out."""
        isDone = len(self.rounds) == ROUNDS or any(map(isSilent, self.records))
        return isDone and all(isSuspicious(each) for each in self.rounds)

    @property
    def alwaysFails(self) -> bool:
        """Says whether connections failed in every round."""
        return self.isBad and all(any(map(failureOf, records)) for records in self.rounds)

    @property
    def served(self) -> list[int]:
        """The number of connections that were answered, by round."""
        return [sum(not failureOf(record) for record in records) for records in self.rounds]

    def describe(self, what: str) -> str:
        """Returns the last round in a few words.

        :param what: the name of the segments whose retransmissions are counted.
        """
        records = self.rounds[-1]
        slowest = milliseconds(max(map(secondsOf, records)))
        seen = f"{len(records)} {self.manner} in {slowest} at most"
        if again := sum(map(isRetransmitted, records)):
            seen += f", {again} {what} retransmitted"
        failures = [reason for reason in map(failureOf, records) if reason]
        return f"{seen}, {len(failures)} fail: {failures[0]}" if failures else seen

    def data(self) -> dict[str, object]:
        """Returns the counts."""
        return {
            "connections": len(self.records),
            "served": self.served,
            "retransmitted": self.retransmitted,
            "failed": len(self.failures),
            "slowest": max(map(secondsOf, self.records), default=0),
        }


def failureOf(record: ConnectionRecord) -> Reason | None:
    """Returns why a connection was not made, or not answered. Other bytes are an answer, too."""
    if record.failure is not None or not record.isShort or record.difference is not None:
        return record.failure
    return record.endOrSilence


def isSilent(record: ConnectionRecord) -> bool:
    """Says whether a connection took a whole time-out."""
    reason = failureOf(record)
    return reason is not None and reason.kind.isTimeOut


def isRetransmitted(record: ConnectionRecord) -> bool:
    """Says whether a segment had been sent again when the connection was made."""
    return bool(record.made and record.made.allRetransmits)


def secondsOf(record: ConnectionRecord) -> float:
    """Returns the seconds until a connection was there, over TLS with its handshake; 0 if it is not."""
    return record.shaken or record.connected or 0.0


def isSuspicious(records: Sequence[ConnectionRecord]) -> bool:
    """Says whether something went wrong more often than at random; a failure is never random."""
    again = sum(map(isRetransmitted, records))
    return any(map(failureOf, records)) or interval(again, len(records))[0] > TOLERATED


def isLate(records: Sequence[ConnectionRecord]) -> bool:
    """Says whether nearly all first answers of a round took long, and longer than a way there and back."""
    answers = sorted(each.firstAnswer for each in records if each.firstAnswer is not None)
    # A few may come before the others are there.
    return bool(answers) and answers[len(answers) // 10] >= max(LATE, 3 * min(map(secondsOf, records)))


@dataclass(slots=True)
class Bursts(Observation):
    """Series of connections.

    :ivar atOnce: all of a round were open together.
    :ivar inSuccession: each was closed before the next.
    :ivar calm: connections that were made one by one, with pauses; empty where no series was bad.
    :ivar what: the name of the segments whose retransmissions are counted.
    """

    atOnce: Series = field(default_factory=lambda: Series("at once"))
    inSuccession: Series = field(default_factory=lambda: Series("in succession"))
    calm: Series = field(default_factory=lambda: Series("one by one"))
    what: str = "SYNs"

    @property
    def series(self) -> list[Series]:
        """Those that have begun."""
        return [each for each in (self.atOnce, self.inSuccession, self.calm) if each.rounds]

    def __str__(self) -> str:
        return ", ".join(each.describe(self.what) for each in self.series)

    def data(self) -> Mapping[str, object]:
        """Returns the counts of each series."""
        return {each.manner: each.data() for each in self.series}


class Burst(Check[Bursts]):
    """Makes many connections, all at once, and then one after the other without a pause.

    :param calmly: seconds between two connections that are not to be a burst.
    """

    name = "burst"
    begin = Bursts

    def __init__(self, calmly: float = CALM_INTERVAL) -> None:
        self._calmly = calmly

    def reasonToSkip(self, context: Context) -> str:
        """Skips other targets than TCP, and a lack of descriptors: each connection needs one."""
        if context.target.kind not in ("tcp", "tls"):
            return "not over TCP"
        return lackOfDescriptors(_count(context))

    def cost(self, context: Context) -> Cost:
        """Returns the cost of all rounds: most are made only after a fault."""
        count = ROUNDS * 2 * _count(context) + CALM_COUNT
        return Cost(count * MESSAGE, count, 2 * _count(context) * 0.1)

    async def run(self, context: Context, seen: Bursts) -> None:
        """Makes both series, and after a fault one of calm connections."""
        seen.what = "SYNs" if context.target.kind == "tcp" else "segments"
        await _rounds(context, _atOnce, seen.atOnce)
        # A far end may count closed connections for a while.
        await pause(context.reactor, _BETWEEN if seen.atOnce.failures else 0)
        await _rounds(context, _inSuccession, seen.inSuccession)
        if any(each.isBad for each in seen.series):
            await pause(context.reactor, _BETWEEN)
            seen.calm.rounds.append(await _inSuccession(context, CALM_COUNT, self._calmly))


def _count(context: Context) -> int:
    return QUICK_COUNT if context.settings.isQuick else COUNT


async def _rounds(
    context: Context,
    connect: Callable[[Context, int], Awaitable[list[ConnectionRecord]]],
    series: Series,
) -> None:
    """Connects, until one round is good or all are bad."""
    while len(series.rounds) < ROUNDS:
        if series.rounds:
            await pause(context.reactor, _BETWEEN)
        series.rounds.append(await connect(context, _count(context)))
        last = series.rounds[-1]
        if not (isSuspicious(last) or isLate(last)) or any(map(isSilent, last)):
            break


async def _atOnce(context: Context, count: int) -> list[ConnectionRecord]:
    """Connects together; keeps all connections open until the last one is answered, or has failed."""
    async with AsyncExitStack() as stack:
        return await together(_attempt(context, stack) for _ in range(count))


async def _inSuccession(context: Context, count: int, seconds: float = 0) -> list[ConnectionRecord]:
    """Connects one by one, until ENOUGH have failed, one has timed out, or the time is over."""
    records: list[ConnectionRecord] = []
    deadline = context.now + BUDGET
    while (
        len(records) < count
        and context.now < deadline
        and sum(bool(failureOf(each)) for each in records) < ENOUGH
    ):
        async with AsyncExitStack() as stack:
            records.append(await _attempt(context, stack))
        if isSilent(records[-1]):
            break
        await pause(context.reactor, seconds)
    return records


async def _attempt(context: Context, stack: AsyncExitStack) -> ConnectionRecord:
    """Connects, and waits for the echo of a block of its own; the connection is closed with the stack."""
    record = context.newRecord()
    try:
        link = await context.connect(record=record)
    except NetworkError:
        return record
    stack.push_async_callback(link.close)
    link.send(MESSAGE)
    await link.receiveRest()
    return record
