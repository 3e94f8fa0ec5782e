"""Rules about rates: limits on the way out and on the way back, and limits that begin after a burst."""

from __future__ import annotations

from collections.abc import Sequence

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.latereader import Filling, slopeOf
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.judge.finding import Confidence, Match, Rule
from echo_app.probe.results.severity import Severity
from echo_app.text import binarySize

# How many times faster one way must be than the other, or the begin than the rest.
FACTOR = 4.0

# By how much the rates of two halves may differ for a steady rate.
STEADY = 0.35


def _curves(evidence: Evidence) -> tuple[list[tuple[float, int]], list[tuple[float, int]]]:
    """Returns the curves of the way out and of the way back, the latter beyond what lay in this kernel."""
    seen = evidence.observations.get("late-reader")
    if not isinstance(seen, Filling):
        return [], []
    return seen.out, [point for point in seen.back if point[1] > seen.receiving]


def _steadyRate(curve: Sequence[tuple[float, int]]) -> float | None:
    """Returns the rate of a curve whose two halves are equally steep; None otherwise."""
    halves = slopeOf(curve, 0.0, 0.5), slopeOf(curve, 0.5, 1.0)
    if None in halves:
        return None
    first, second = (each or 0.0 for each in halves)
    if not second or abs(first - second) > STEADY * max(first, second):
        return None
    return slopeOf(curve)


def _text(rate: float | None) -> str:
    return f"{binarySize(int(rate))}/s" if rate else "too fast to measure here"


def _findLimitedOut(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    out, back = _curves(evidence)
    rate, other = _steadyRate(out), slopeOf(back)
    if rate is None or (other is not None and other < FACTOR * rate):
        return None
    return Match(f"{_text(rate)}; the way back {_text(other)}", Confidence.LIKELY)


def _findLimitedBack(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    out, back = _curves(evidence)
    rate, other = _steadyRate(back), slopeOf(out)
    if rate is None or (other is not None and other < FACTOR * rate):
        return None
    return Match(f"{_text(rate)}; the way out {_text(other)}", Confidence.LIKELY)


def _findPolicer(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    for curve, way in zip(_curves(evidence), ("out", "back"), strict=True):
        later = slopeOf(curve, 0.3, 1.0)
        if later is None or not later:
            continue
        # What had come before the steady part, beyond what the steady rate explains.
        begin = curve[0]
        third = next(point for point in curve if point[0] >= begin[0] + 0.3 * (curve[-1][0] - begin[0]))
        burst = third[1] - begin[1] - later * (third[0] - begin[0])
        if burst > FACTOR * later and burst > (1 << 19):
            return Match(
                f"on the way {way} about {binarySize(int(burst))} at once, then {_text(later)}",
                Confidence.POSSIBLE,
            )
    return None


LIMITED_OUT = Rule(
    "rate-limited-out",
    Severity.WARN,
    "the rate is limited on the way out",
    "Uploads are slow, and what shares the limit waits.",
    "While nothing is read, the far end acknowledges bytes at a steady rate (tcpi_bytes_acked), and the way "
    "back is four times faster.",
    "The rate is that as far as the first TCP proxy. A slow service that reads slowly looks the same.",
    _findLimitedOut,
)
LIMITED_BACK = Rule(
    "rate-limited-back",
    Severity.WARN,
    "the rate is limited on the way back",
    "Downloads are slow, and what shares the limit waits.",
    "A late reader gets what did not lie in this kernel at a steady rate, and the way out is four times "
    "faster.",
    "The rate is that from the last TCP proxy on. A slow service that sends slowly looks the same.",
    _findLimitedBack,
)
POLICER = Rule(
    "rate-after-burst",
    Severity.WARN,
    "the rate falls after a burst",
    "The first bytes of a transfer are fast, and the others slow: a policer, or a buffer before a slow link.",
    "A way carries some bytes at once, and then a steady rate.",
    "Kernels' buffers make a burst, too: only one that the steady rate would need four seconds for is named. "
    "A policer whose burst is larger than what is sent is not seen.",
    _findPolicer,
)
