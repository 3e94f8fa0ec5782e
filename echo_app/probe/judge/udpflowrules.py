"""Rules about busy sources: ends, repeated and reordered answers, and late ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.checks.udprecord import FAST, STEADY
from echo_app.probe.checks.udpsource import Datagram
from echo_app.probe.judge.finding import Confidence, Match, Rule
from echo_app.probe.judge.udprules import datagramsOf, percents
from echo_app.probe.results.severity import Severity
from echo_app.probe.results.statistics import interval, milliseconds
from echo_app.text import plural

# Busy sources that ended, at the least, and the difference of their ages or counts that is none.
_TWO, _SAME = 2, 0.1

# Repeated or reordered answers, at the least, and their tolerated share.
_FEW, _TOLERATED = 3, 0.001

# Seconds of a late answer; such answers count by moments, which are a second apart at the least.
_LATE, _MOMENTS = 1.0, 2

# Datagrams of a part of the steady rounds, by which jitter is judged: it must be in most of them. Seconds
# between the first and the last tenth of round trips that are jitter, at the least.
_PART, _MOST, _JITTER = 100, 0.8, 0.02


def findEnded(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds busy sources that are answered no more from a moment on."""
    seen = datagramsOf(evidence)
    ends = seen.ends if seen else []
    if seen is None or len(ends) < _TWO:
        return None
    ages, counts = [sorted(values) for values in ([each.age for each in ends], [each.count for each in ends])]
    areAges, areCounts = (each[-1] - each[0] <= each[-1] * _SAME for each in (ages, counts))
    byAge, byCount = (
        f"after {ages[0]:.3g} to {ages[-1]:.3g} s",
        f"after {counts[0]} to {counts[-1]} datagrams",
    )
    seenAs = byCount if areCounts and not areAges else byAge
    return Match(
        f"{len(ends)} sources that were busy, {seenAs}",
        Confidence.LIKELY if areAges or areCounts else Confidence.POSSIBLE,
        evidence=[byAge if seenAs is byCount else byCount, "other sources were answered afterwards"],
        hits=len(ends),
        tries=len({each.source for each in seen.sent}),
    )


def _findRepeated(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = datagramsOf(evidence)
    if seen is None:
        return None
    repeated, answered = [each for each in seen.sent if each.copies], len(seen.sent)
    if len(repeated) < _FEW or interval(len(repeated), answered)[0] <= _TOLERATED:
        return None
    copies = sum(each.copies for each in repeated)
    return Match(
        f"{len(repeated)} of {answered}, {percents(len(repeated), answered)}",
        evidence=[f"{plural(copies, 'further answer')} in all"],
        hits=len(repeated),
        tries=answered,
    )


def _findReordered(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = datagramsOf(evidence)
    if seen is None:
        return None
    sent = [each for each in seen.of(STEADY, FAST) if each.came is not None]
    late = [each for each in sent if each.overtaken]
    if len(late) < _FEW or interval(len(late), len(sent))[0] <= _TOLERATED:
        return None
    extent = max(each.overtaken for each in late)
    by = max(_behind(each, sent) for each in late)
    return Match(
        f"{len(late)} of {len(sent)}, {percents(len(late), len(sent))}",
        evidence=[
            f"by up to {plural(extent, 'datagram')}",
            f"answers came up to {milliseconds(by)} behind a later one",
        ],
        hits=len(late),
        tries=len(sent),
    )


def _behind(datagram: Datagram, sent: Sequence[Datagram]) -> float:
    """Returns the seconds by which the first answer to a later datagram was earlier."""
    later = (
        each.came
        for each in sent
        if each.source == datagram.source and each.index > datagram.index and each.came
    )
    return (datagram.came or 0.0) - min(later, default=datagram.came or 0.0)


def _findLate(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = datagramsOf(evidence)
    if seen is None:
        return None
    trips = sorted(each.roundTrip for each in seen.sent if each.roundTrip is not None)
    late = [each for each in seen.sent if (each.roundTrip or 0.0) > _LATE and not _isOurs(evidence, each)]
    if not late or trips[len(trips) // 2] * 4 > _LATE:
        return None
    moments = 1 + sum(more.sent - one.sent > 1 for one, more in pairwise(late))
    if moments < _MOMENTS or len(late) < _FEW:
        return None
    longest = max(each.roundTrip or 0.0 for each in late)
    return Match(
        f"{len(late)} of {len(seen.sent)} later than {_LATE:g} s",
        Confidence.LIKELY,
        evidence=[
            f"the latest after {longest:.3g} s, the median after {milliseconds(trips[len(trips) // 2])}",
            f"at {moments} moments",
        ],
        hits=len(late),
        tries=len(seen.sent),
    )


def _isOurs(evidence: Evidence, datagram: Datagram) -> bool:
    """Says whether this process itself was late, by a good part of a round trip."""
    trip = datagram.roundTrip or 0.0
    return evidence.latenessIn(datagram.sent, datagram.sent + trip + 0.1) > trip / 4


def _findJitter(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = datagramsOf(evidence)
    steady = [each for each in seen.of(STEADY) if each.roundTrip is not None] if seen else []
    parts = [steady[at : at + _PART] for at in range(0, len(steady) - _PART + 1, _PART)]
    spans = [_span(part) for part in parts]
    # A busy machine delays its answers, too; then it can't be told.
    own = [evidence.latenessIn(part[0].sent, part[-1].came or 0.0) for part in parts]
    wide = [
        span
        for span, late in zip(spans, own, strict=True)
        if span[1] - span[0] > max(_JITTER, span[0] / 2, late)
    ]
    if len(parts) < 2 or len(wide) < len(parts) * _MOST:
        return None
    low, high = _span(steady)
    return Match(
        f"80 % of {len(steady)} lie between {milliseconds(low)} and {milliseconds(high)}",
        Confidence.LIKELY,
        evidence=[f"in {len(wide)} of {len(parts)} parts of {_PART} datagrams"],
        hits=len(wide),
        tries=len(parts),
    )


def _span(datagrams: Sequence[Datagram]) -> tuple[float, float]:
    trips = sorted(each.roundTrip or 0.0 for each in datagrams)
    return trips[len(trips) // 10], trips[-1 - len(trips) // 10]


ENDED = Rule(
    "datagrams-source-ends",
    Severity.FAIL,
    "busy sources are answered no more",
    "Clients get no answer any more after a time or a number of datagrams; they must go on from a new port.",
    "Two sources that sent all the time were answered no more from a moment on, while later ones were.",
    "Never for two sources; time and number are told apart only if the paces differ.",
    findEnded,
)
REPEATED = Rule(
    "datagrams-repeated",
    Severity.WARN,
    "answers come twice",
    "Applications must ignore copies.",
    "Further answers that are equal to one that came, of more than one in a thousand.",
    "An echo can't tell on which way they are repeated.",
    _findRepeated,
)
REORDERED = Rule(
    "datagrams-reordered",
    Severity.WARN,
    "answers come in another order",
    "Applications must put datagrams in order, or do without the late ones.",
    "Answers after one to a later datagram of the same source (RFC 4737), more than one in a thousand.",
    "An echo can't tell on which way they are reordered.",
    _findReordered,
)
LATE = Rule(
    "datagrams-late",
    Severity.WARN,
    "some answers are late",
    "Applications that repeat a question after a short time-out get two answers.",
    "Answers after more than a second, at several moments, while most come within a quarter.",
    "A service that is busy or swapped out looks the same.",
    _findLate,
)
JITTER = Rule(
    "datagrams-jitter",
    Severity.WARN,
    "round trips of datagrams vary",
    "Voice and games need a longer buffer.",
    "The first and last tenth of round trips differ, in most parts of the steady rounds.",
    "A busy service looks the same; a busy machine of ours is told by the lateness of the probe.",
    _findJitter,
)
