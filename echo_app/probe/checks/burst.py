"""Check ``burst``: many connections at once, and in quick succession; do clients wait for each other?

A SYN that is lost is sent again after a second (RFC 6298, 2). The kernel counts that for each connection,
so that a slow machine is not taken for a lossy path.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from echo_app.probe.checks.check import Check, Context, Cost, lackOfDescriptors
from echo_app.probe.checks.evidence import Observation
from echo_app.probe.checks.labels import BLOCK
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.net.errors import NetworkError, Reason, timedOut
from echo_app.probe.net.waits import pause, together
from echo_app.probe.results.statistics import interval, milliseconds

# Connections of a burst. A listening queue of 128, long the kernel's default, has room for most.
COUNT, QUICK_COUNT = 100, 30

# Bursts in a row that must go wrong for a finding, and the share of connections that may go wrong at random.
ROUNDS, TOLERATED = 3, 0.01

# Failures after which connecting one by one is given up: each may take a whole time-out.
ENOUGH = 5

# For comparison then: connections that come one by one, and the seconds between two.
CALM_COUNT, CALM_INTERVAL = 300, 0.02


@dataclass(frozen=True, slots=True)
class Attempt:
    """Result of one connection.

    :param seconds: until it was there; over TLS with its handshake.
    :param isRetransmitted: something was sent again until then; over TCP, a SYN.
    :param failure: why it did not come, or was not answered; None if all was well.
    """

    seconds: float
    isRetransmitted: bool = False
    failure: Reason | None = None

    @property
    def isSilent(self) -> bool:
        """Says whether it took a whole time-out."""
        return self.failure is not None and self.failure.kind.isTimeOut


@dataclass(frozen=True, slots=True)
class Series:
    """Rounds of connections that were made in the same manner.

    :param manner: how, such as ``at once``.
    :param rounds: until one was good, or all that are done were bad.
    """

    manner: str
    rounds: Sequence[Sequence[Attempt]]

    @property
    def attempts(self) -> list[Attempt]:
        """The attempts of all rounds."""
        return [attempt for attempts in self.rounds for attempt in attempts]

    @property
    def failures(self) -> list[Reason]:
        """The reasons of those that failed."""
        return [attempt.failure for attempt in self.attempts if attempt.failure]

    @property
    def retransmitted(self) -> int:
        """The number of attempts with retransmissions."""
        return sum(attempt.isRetransmitted for attempt in self.attempts)

    @property
    def isBad(self) -> bool:
        """Says whether every round went wrong. There is one round only where it took a time-out."""
        isDone = len(self.rounds) == ROUNDS or any(attempt.isSilent for attempt in self.attempts)
        return isDone and all(isSuspicious(each) for each in self.rounds)

    @property
    def alwaysFails(self) -> bool:
        """Says whether connections failed in every round."""
        return self.isBad and all(any(each.failure for each in attempts) for attempts in self.rounds)

    def describe(self, what: str) -> str:
        """Returns the last round in a few words.

        :param what: the name of the segments whose retransmissions are counted.
        """
        attempts = self.rounds[-1]
        slowest = milliseconds(max(attempt.seconds for attempt in attempts))
        again = sum(attempt.isRetransmitted for attempt in attempts)
        failed = [attempt.failure for attempt in attempts if attempt.failure]
        seen = f"{len(attempts)} {self.manner} in {slowest} at most"
        if again:
            seen += f", {again} {what} retransmitted"
        return f"{seen}, {len(failed)} fail: {failed[0]}" if failed else seen

    def data(self) -> dict[str, object]:
        """Returns the counts."""
        return {
            "connections": len(self.attempts),
            "retransmitted": self.retransmitted,
            "failed": len(self.failures),
            "slowest": max((attempt.seconds for attempt in self.attempts), default=0),
        }


def isSuspicious(attempts: Sequence[Attempt]) -> bool:
    """Says whether something went wrong more often than at random; a failure is never random."""
    again = sum(attempt.isRetransmitted for attempt in attempts)
    failed = any(attempt.failure for attempt in attempts)
    return failed or interval(again, len(attempts))[0] > TOLERATED


@dataclass(slots=True)
class Bursts(Observation):
    """Series of connections.

    :ivar series: those that are bursts.
    :ivar calm: connections that were made one by one; without rounds where no series was bad.
    :ivar what: the name of the segments whose retransmissions are counted.
    """

    series: list[Series] = field(default_factory=list)
    calm: Series = field(default_factory=lambda: Series("one by one", []))
    what: str = "SYNs"

    def __str__(self) -> str:
        return ", ".join(each.describe(self.what) for each in (*self.series, self.calm) if each.rounds)

    def data(self) -> Mapping[str, object]:
        """Returns the counts of each series."""
        return {each.manner: each.data() for each in (*self.series, self.calm)}


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
        """Returns the cost of one round of each series; more are made only after a fault."""
        count = 2 * _count(context)
        return Cost(count * BLOCK, count, count * 0.1)

    async def run(self, context: Context, seen: Bursts) -> None:
        """Makes both series, and after a fault one of calm connections."""
        seen.what = "SYNs" if context.target.kind == "tcp" else "segments"
        seen.series.append(Series("at once", await _rounds(context, _atOnce)))
        seen.series.append(Series("in succession", await _rounds(context, _inSuccession)))
        if any(each.isBad for each in seen.series):
            seen.calm = Series("one by one", [await _inSuccession(context, CALM_COUNT, self._calmly)])


def _count(context: Context) -> int:
    return QUICK_COUNT if context.settings.isQuick else COUNT


async def _rounds(
    context: Context, connect: Callable[[Context, int], Awaitable[list[Attempt]]]
) -> list[list[Attempt]]:
    """Connects, until one round is good or all are bad."""
    rounds: list[list[Attempt]] = []
    while len(rounds) < ROUNDS:
        rounds.append(await connect(context, _count(context)))
        if not isSuspicious(rounds[-1]) or any(attempt.isSilent for attempt in rounds[-1]):
            break
    return rounds


async def _atOnce(context: Context, count: int) -> list[Attempt]:
    return await together(_attempt(context) for _ in range(count))


async def _inSuccession(context: Context, count: int, seconds: float = 0) -> list[Attempt]:
    """Connects one by one, until ENOUGH attempts have failed, or one has taken a time-out."""
    attempts: list[Attempt] = []
    while len(attempts) < count and sum(bool(attempt.failure) for attempt in attempts) < ENOUGH:
        attempts.append(await _attempt(context))
        if attempts[-1].isSilent:
            break
        await pause(context.reactor, seconds)
    return attempts


async def _attempt(context: Context) -> Attempt:
    """Connects, and waits for the echo of a block of its own."""
    start = context.reactor.seconds()
    try:
        link = await context.connect()
    except NetworkError as error:
        return Attempt(context.reactor.seconds() - start, False, error.reason)
    record = link.record
    seconds = context.reactor.seconds() - start
    link.send(BLOCK)
    try:
        await link.receiveRest()
    finally:
        await link.close()
    return Attempt(seconds, bool(record.made and record.made.allRetransmits), _failureOf(record))


def _failureOf(record: ConnectionRecord) -> Reason | None:
    """Returns why a connection was not answered; other bytes are an answer, too, which the judge looks at."""
    if record.difference is not None or not record.isShort:
        return None
    return record.end or timedOut(record.silence)
