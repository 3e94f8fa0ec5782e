"""Check ``burst``: many connections at once, and in quick succession; do clients wait for each other?

A SYN that is lost is sent again after a second (RFC 6298, 2). The kernel counts that for each connection,
so that a slow machine is not taken for a lossy path.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from echo_app.probe.checks.check import Check, Context, Cost, Result, lackOfDescriptors, passed, warned
from echo_app.probe.net.errors import NetworkError, Reason, timedOut
from echo_app.probe.net.stream import SILENCE
from echo_app.probe.net.waits import pause, together
from echo_app.probe.results.statistics import interval, milliseconds
from echo_app.tcpfields import tcpInfoReader

# Connections of a burst. A listening queue of 128, long the kernel's default, has room for most.
COUNT, QUICK_COUNT = 100, 30

# Bursts in a row that must go wrong for a finding, and the share of connections that may go wrong at random.
ROUNDS, TOLERATED = 3, 0.01

# Failures after which connecting one by one is given up: each may take a whole time-out.
ENOUGH = 5

# For comparison then: connections that come one by one, and the seconds between two.
CALM_COUNT, CALM_INTERVAL = 300, 0.02

# What a finding means.
TURNED_AWAY = "Of clients that connect together, some are turned away."
FAILING = "Connections fail, however they come."
UNRELIABLE = "Connections fail now and then."
SLOWED = "Clients that connect together may wait."

_retransmits = tcpInfoReader("total_retrans")


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


def judge(series: Sequence[Series], calm: Series, what: str = "SYNs") -> Result:
    """Judges series of connections.

    :param calm: the connections that were made one by one; without rounds where no series was bad.
    :param what: name of the segments that are retransmitted.
    """
    details = {each.manner: each.data() for each in (*series, calm)}
    _, calmFailures = interval(len(calm.failures), len(calm.attempts))
    _, calmRetransmits = interval(calm.retransmitted, len(calm.attempts))
    for each in series:
        failed, tried = len(each.failures), len(each.attempts)
        if each.alwaysFails:
            meaning = FAILING if calm.failures else UNRELIABLE
            if interval(failed, tried)[0] > calmFailures:
                meaning = TURNED_AWAY
            seen = f"{failed} of {tried} connections {each.manner} fail: {each.failures[0]}"
            return warned("burst", seen, meaning, **details)
        if each.isBad and interval(each.retransmitted, tried)[0] > calmRetransmits:
            slowest = milliseconds(max(attempt.seconds for attempt in each.attempts))
            seen = f"{each.retransmitted} of {tried} {what} {each.manner} retransmitted, up to {slowest}"
            return warned("burst", seen, SLOWED, **details)
    return passed("burst", ", ".join(_describe(each, what) for each in series), **details)


def _describe(series: Series, what: str) -> str:
    attempts = series.rounds[-1]
    slowest = milliseconds(max(attempt.seconds for attempt in attempts))
    again = sum(attempt.isRetransmitted for attempt in attempts)
    seen = f"{len(attempts)} {series.manner} in {slowest} at most"
    return f"{seen}, {again} {what} retransmitted" if again else seen


class Burst(Check):
    """Makes many connections, all at once, and then one after the other without a pause.

    :param calmly: seconds between two connections that are not to be a burst.
    """

    name = "burst"

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
        return Cost(count, count, count * 0.1)

    async def run(self, context: Context) -> Result:
        """Makes both series, and after a fault one of calm connections."""
        series = [
            Series("at once", await _rounds(context, _atOnce)),
            Series("in succession", await _rounds(context, _inSuccession)),
        ]
        calm = []
        if any(each.isBad for each in series):
            calm.append(await _inSuccession(context, CALM_COUNT, self._calmly))
        what = "SYNs" if context.target.kind == "tcp" else "segments"
        return judge(series, Series("one by one", calm), what)


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
    """Connects, and waits for the echo of a byte."""
    start = context.reactor.seconds()
    try:
        stream = await context.connect()
    except NetworkError as error:
        return Attempt(context.reactor.seconds() - start, False, error.reason)
    seconds = context.reactor.seconds() - start
    try:
        isRetransmitted = retransmitsOf(stream.sock) > 0
        stream.write(b"?")
        isAnswered = bool(await stream.receive(1, SILENCE))
        return Attempt(seconds, isRetransmitted, None if isAnswered else stream.end or timedOut(SILENCE))
    finally:
        await stream.close()


def retransmitsOf(sock: socket.socket) -> int:
    """Returns the number of retransmitted segments of a TCP connection so far."""
    (count,) = _retransmits(sock)
    return int(count)
