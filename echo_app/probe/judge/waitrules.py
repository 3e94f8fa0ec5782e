"""Rules about waits: stalls, pauses in the midst of transfers, and late ends.

A rule here fires only for what is above the lateness of this process that was measured meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.halfclose import HalfCloses
from echo_app.probe.checks.identity import Sizes
from echo_app.probe.checks.lifetimes import Kind, Lives
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.checks.times import Times
from echo_app.probe.judge.burstrules import QUEUED, SLOW_TOGETHER, findSYNLoss
from echo_app.probe.judge.finding import Confidence, Match, Rule, numbers
from echo_app.probe.judge.silencerules import findHoles, findLoss
from echo_app.probe.judge.timerules import OUTLIER, SIBLINGS, TIMES_MEDIAN, someLonger, timedIn
from echo_app.probe.results.severity import Severity
from echo_app.probe.results.statistics import milliseconds

# Seconds of a pause between bytes that were due, in the midst of a transfer, and of a late end.
PAUSE, LATE_END = 0.5, 0.3

# Seconds of a wait that one retransmission of a lost segment or two do not explain.
_RESENT = 1.0


def _findOutliers(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds waits that are far longer than usual, in all checks: what stops everything stops them, too."""
    seen = evidence.observations.get("times")
    usual = [each.small for each in timedIn(evidence) if each.small is not None]
    if not isinstance(seen, Times) or not usual or _findPauses(evidence, rest) is not None:
        return None
    isLossy = _isLossy(evidence, rest)
    # Some connections may be slower than others: that has a rule of its own.
    least = max(OUTLIER, TIMES_MEDIAN * max(usual))
    filling = _filling(evidence)
    waits = [
        (each.waitedSince, each.longestWait) for each in evidence.connections if each.number not in filling
    ]
    waits += seen.pings
    outliers = [(at, wait) for at, wait in waits if wait - evidence.latenessIn(at, at + wait) >= least]
    # Some at once are one stall. One alone is an accident, unless it is long.
    moments = _moments(outliers)
    longest = max((wait for _, wait in outliers), default=0.0)
    if (len(moments) < 2 or isLossy) and longest < _RESENT:
        return None
    late = {at for at, _ in outliers}
    # A segment whose answer was lost is sent again, too.
    again = sum(_isSentAgain(each) for each in evidence.connections if each.waitedSince in late)
    lines = [f"{', '.join(f'{at:.0f} s' for at in moments[:8])} after the examination began"]
    if again:
        lines.append(f"on {again} of their connections segments were sent again: packets were lost")
    return Match(
        f"{len(outliers)}, up to {milliseconds(longest)}; the median is {milliseconds(median(usual))}",
        Confidence.LIKELY if len(moments) > 1 else Confidence.POSSIBLE,
        lines,
        hits=len(outliers),
        tries=len(waits),
        title="packets are lost at times, and some round trips wait for them"
        if again > len(late) / 2
        else "",
    )


def _isLossy(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> bool:
    """Says whether segments get lost: what waits for one is late by a retransmission time-out."""
    losses = (find(evidence, rest) for find in (findLoss, findSYNLoss))
    return findHoles(evidence) is not None or any(loss is not None for loss in losses)


def _isSentAgain(record: ConnectionRecord) -> bool:
    """Says whether a segment was sent again since the connection was made."""
    before = record.made.allRetransmits if record.made else 0
    return record.last is not None and record.last.allRetransmits > before


def _findLateAnswers(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds first answers of some connections that come far later than those of the others."""
    filling = _filling(evidence)
    answered = [
        each for each in evidence.connections if each.firstAnswer is not None and each.number not in filling
    ]
    if _findOutliers(evidence, rest) is not None:
        return None
    longest = max((each.firstAnswer or 0.0 for each in answered), default=0.0)
    if longest < _RESENT and _isLossy(evidence, rest):
        return None
    if any(rule.find(evidence, rest) is not None for rule in (SIBLINGS, QUEUED, SLOW_TOGETHER)):
        return None
    return someLonger([(each, each.firstAnswer or 0.0, _netAnswer(evidence, each)) for each in answered])


def _netAnswer(evidence: Evidence, record: ConnectionRecord) -> float:
    """Returns the time to the first answer, less the lateness of this process meanwhile."""
    seconds = record.firstAnswer or 0.0
    begin = record.began + (record.shaken or record.connected or 0.0)
    return seconds - evidence.latenessIn(begin, begin + seconds)


def _moments(waits: Sequence[tuple[float, float]]) -> list[float]:
    """Returns the moments at which waits began that are not one stall: those of one overlap."""
    moments: list[float] = []
    end = 0.0
    for at, wait in sorted(waits):
        if not moments or at > end:
            moments.append(at)
        end = max(end, at + wait)
    return moments


def _filling(evidence: Evidence) -> frozenset[int]:
    """Returns the numbers of the connections that fill the path, so that their waits say nothing."""
    seen = evidence.observations.get("lifetimes")
    lives = seen.lives if isinstance(seen, Lives) else []
    unread = [each.record for each in lives if each.kind is Kind.UNREAD]
    return numbers([*evidence.of("late-reader"), *unread])


def _findPauses(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds waits at the same byte of two transfers: bytes had come, and more were due."""
    seen = evidence.observations.get("identity")
    records = seen.records if isinstance(seen, Sizes) else []
    paused = [each for each in records if each.longestWait - _lateIn(evidence, each) >= PAUSE]
    if len(paused) < 2:
        return None
    first, second = paused[:2]
    isSame = abs(first.waitedAt - second.waitedAt) <= _NEAR
    return Match(
        f"{first.longestWait:.3g} s at byte {first.waitedAt:,}, and again {second.longestWait:.3g} s at byte "
        f"{second.waitedAt:,}",
        Confidence.LIKELY if isSame else Confidence.POSSIBLE,
        hits=len(paused),
        tries=len(records),
    )


# Bytes by which the places of two pauses may differ: what is under way.
_NEAR = 1 << 17


def _lateIn(evidence: Evidence, record: ConnectionRecord) -> float:
    """Returns by how much this process was late in the longest wait of a connection."""
    return evidence.latenessIn(record.waitedSince, record.waitedSince + record.longestWait)


def _lateness(evidence: Evidence, record: ConnectionRecord) -> float:
    return evidence.latenessIn(record.began, record.closed or record.lastCame or record.began)


def _findLateEnd(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = evidence.observations.get("half-close")
    records = seen.records if isinstance(seen, HalfCloses) else []
    waits = [
        each.ended - each.lastCame - _lateness(evidence, each)
        for each in records
        if each.ended is not None and each.lastCame is not None and each.came == each.sent
    ]
    late = [wait for wait in waits if wait >= LATE_END]
    if len(late) < 2 or len(late) < len(waits) / 2:
        return None
    return Match(
        f"{len(late)} of {len(waits)} ends come {milliseconds(median(late))} after the last byte",
        Confidence.LIKELY,
        hits=len(late),
        tries=len(waits),
    )


OUTLIERS = Rule(
    "round-trip-outliers",
    Severity.WARN,
    "some round trips take far longer than the others",
    "Something on the way stops for a while: time-outs of clients must allow for it.",
    "Waits for bytes that were due, in any check that does not fill the path, that take ten times the median "
    "round trip of 1 B, and 100 ms, at two moments; or one of more than a second. Waits that overlap are at "
    "one moment. --thorough looks for a minute.",
    "A stall between two looks is not seen.",
    _findOutliers,
)
PAUSES = Rule(
    "transfer-pauses",
    Severity.WARN,
    "transfers pause",
    "Bytes that are due stop for a while in the midst of a transfer.",
    "Of the transfers of identity, which is repeated then, two paused for half a second.",
    "A segment that is lost several times makes such a pause, too; a limit on the rate as well.",
    _findPauses,
)
LATE_ENDS = Rule(
    "end-late",
    Severity.WARN,
    "the end of a stream comes late",
    "Clients that read to the end wait.",
    "In at least half of the half-closes, the end comes 300 ms after the last byte.",
    "A far end that waits before it closes looks the same as a path that does.",
    _findLateEnd,
)
LATE_ANSWERS = Rule(
    "some-first-answers-late",
    Severity.WARN,
    "some first answers are late",
    "Some clients wait for their first answer: a backend that is down is tried first, or a start takes long.",
    "The first answers of two connections and more take ten times the median of all, and a quarter of a "
    "second.",
    "A service that is busy for a moment looks the same. SYNs that are lost are no part of it.",
    _findLateAnswers,
)
