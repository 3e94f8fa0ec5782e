"""Rule about answers that take longer than the network."""

from __future__ import annotations

from collections.abc import Sequence

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.judge.finding import Confidence, Match
from echo_app.probe.judge.timerules import isLonger, leastOf, timedIn, timeRule
from echo_app.probe.results.statistics import milliseconds


def _findSlowService(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    measured = [each for each in timedIn(evidence) if each.minRTT is not None]
    slow = [each for each in measured if isLonger(leastOf(each), each.minRTT or 0)]
    if len(slow) < 2 or len(slow) < len(measured) / 2:
        return None
    answer = min(map(leastOf, slow))
    least = min(each.minRTT or 0 for each in slow)
    return Match(
        f"an answer takes {milliseconds(answer)} at least, the kernel's round trip {milliseconds(least)}",
        Confidence.LIKELY,
        hits=len(slow),
        tries=len(measured),
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
