"""Rules about answers that take longer than the network: until a tick, without a newline, or always."""

from __future__ import annotations

import cmath
from collections.abc import Sequence
from dataclasses import dataclass
from math import pi
from statistics import median

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.checks.times import LINE, Times
from echo_app.probe.judge.finding import Confidence, Match
from echo_app.probe.judge.timerules import MORE, isLonger, leastOf, timedIn, timeRule, waitForLines
from echo_app.probe.results.statistics import milliseconds

# Answers at the least that tell a clock, the share of them that come at its ticks, and how far from a tick,
# as a share of the interval: chance puts a fifth of the answers there.
_ENOUGH, _MOST, _NEAR = 12, 0.9, 0.1

# The interval is looked for between these shares of the range of the waits, which is a little less than it;
# and the share of it by which a tried one may be off at the last answer. Seconds by which this process may be
# late.
_LOWEST, _HIGHEST, _OFF, _LATE = 0.8, 1.5, 0.02, 0.005


@dataclass(frozen=True, slots=True)
class Ticks:
    """A clock at whose ticks answers come.

    :param interval: seconds from one tick to the next.
    :param near: the number of answers that came at a tick.
    :param waits: seconds from each message to its answer, in rising order.
    """

    interval: float
    near: int
    waits: Sequence[float]


def ticksIn(evidence: Evidence) -> Ticks | None:
    """Returns the clock, if the answers to messages at any time came at one."""
    seen = evidence.observations.get("times")
    sent = seen.atAnyTime if isinstance(seen, Times) else []
    sent = [each for each in sent if evidence.latenessIn(*each) < _LATE]
    waits = sorted(came - at for at, came in sent)
    if len(waits) < _ENOUGH or (extent := waits[-1] - waits[0]) < MORE:
        return None
    moments = [came for _, came in sent]
    # So many intervals pass in all that a small error of one makes a large one at the end.
    step = _OFF * extent * extent / (moments[-1] - moments[0])
    count = int((_HIGHEST - _LOWEST) * extent / step)
    tried = (_LOWEST * extent + step * number for number in range(count))
    interval = max(tried, key=lambda each: abs(sum(_turnsOf(moments, each))))
    near = _nearOf(moments, interval)
    return Ticks(interval, near, waits) if near >= _MOST * len(waits) else None


def _nearOf(moments: Sequence[float], interval: float) -> int:
    """Returns how many moments are near one phase of an interval."""
    turns = _turnsOf(moments, interval)
    middle = cmath.phase(sum(turns))
    return sum(abs(cmath.phase(turn / cmath.exp(1j * middle))) <= 2 * pi * _NEAR for turn in turns)


def _turnsOf(moments: Sequence[float], interval: float) -> list[complex]:
    """Returns the phases of moments in an interval, as points of the unit circle."""
    return [cmath.exp(2j * pi * moment / interval) for moment in moments]


def _findTicks(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    found = ticksIn(evidence)
    if found is None:
        return None
    least, most = found.waits[0], found.waits[-1]
    return Match(
        f"{found.near} of {len(found.waits)} answers come at the ticks of {milliseconds(found.interval)}, "
        f"{milliseconds(least)} to {milliseconds(most)} after the message",
        Confidence.LIKELY,
        hits=found.near,
        tries=len(found.waits),
    )


def _findLines(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds messages that are answered late unless they end with a newline."""
    seen = evidence.observations.get("times")
    if not isinstance(seen, Times) or not waitForLines(evidence):
        return None
    with_, without = (median(times) for times in zip(*seen.lines, strict=True))
    return Match(
        f"{LINE} B take {milliseconds(without)}, and {milliseconds(with_)} with a newline at the end",
        Confidence.LIKELY,
        hits=len(seen.lines),
        tries=len(seen.lines),
    )


def _findSlowService(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    measured = [each for each in timedIn(evidence) if each.minRTT is not None]
    slow = [each for each in measured if isLonger(leastOf(each), each.minRTT or 0)]
    if len(slow) < 2 or len(slow) < len(measured) / 2:
        return None
    if ticksIn(evidence) is not None or waitForLines(evidence):
        return None
    answer = min(map(leastOf, slow))
    least = min(each.minRTT or 0 for each in slow)
    return Match(
        f"an answer takes {milliseconds(answer)} at least, the kernel's round trip {milliseconds(least)}",
        Confidence.LIKELY,
        hits=len(slow),
        tries=len(measured),
    )


TICKS = timeRule(
    "answers-at-ticks",
    "answers come at the ticks of a clock",
    "The service, or something on the way, looks for work at intervals: a message waits for half of one, and "
    "each of several in a row for a whole one.",
    "Where answers take longer than the kernel's round trip, messages are sent at any time: the waits are "
    "anything up to an interval of 20 ms and more, and nine in ten answers come at one phase of it.",
    "An interval that changes, or starts anew with each message, is not found.",
    _findTicks,
)
LINES = timeRule(
    "answers-wait-for-lines",
    "answers wait for the end of a line",
    "The service, or something on the way, keeps what comes until a newline: messages without one wait.",
    "Where answers take longer than the kernel's round trip, letters without a newline at the end take twice "
    "as long as those with one, and 20 ms longer, in six of six pairs.",
    "Where both are late, such as behind a buffer of lines and a slow service, it may not be found.",
    _findLines,
)
SLOW_SERVICE = timeRule(
    "answers-slow",
    "answers take longer than the network's round trip",
    "The service, or what stands behind the first TCP proxy, takes this time.",
    "The shortest round trip is twice as long as the kernel's shortest (tcpi_min_rtt), and 20 ms longer, on "
    "at least half of the connections.",
    "The kernel's round trip ends at the first TCP proxy: the network behind it is in the answer's time.",
    _findSlowService,
)
