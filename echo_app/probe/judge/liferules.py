"""Rules about the life of connections: ends at one age, at one moment, after silence, or after many bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.lifetimes import INTERVAL, Kind, Life, Lives
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.judge.finding import Confidence, Match, Rule, byCheck, numbers
from echo_app.probe.judge.silencerules import SILENT
from echo_app.probe.results.severity import Severity

# The tolerated difference between ends by one timer: a share of the age, and seconds, as some timers run once
# a second.
SHARE, SLACK = 0.1, 1.0

# Checks whose connections are busy as long as they are open; and those that read late.
_ACTIVE = ("identity", "small-writes")
READ_LATE = ("late-reader", "lifetimes")

# Seconds within which ends are at one moment, and by which their begins must differ for it to say something.
MOMENT, APART = 1.0, 1.5


def livesOf(evidence: Evidence, kind: Kind) -> list[Life]:
    """Returns the watched connections of a kind that were made."""
    seen = evidence.observations.get("lifetimes")
    lives = seen.lives if isinstance(seen, Lives) else []
    return [each for each in lives if each.kind is kind and each.record.isMade]


def isNeverServed(evidence: Evidence, record: ConnectionRecord) -> bool:
    """Says whether a connection that is lost was never served: such a one says nothing of what it did.

    The kernel knows what came, read or not. Where it does not tell, as TLS has segments of its own, an end
    without a byte is as early as those of unserved connections that are read at once.
    """
    if record.came or record.difference is not None or record.endOrSilence is None:
        return False
    if evidence.target.kind == "tcp" and record.last is not None:
        return not record.last.dataSegmentsIn
    others = [
        each.age
        for each in evidence.connections
        if each.check not in READ_LATE and not each.isHalfClosed and not each.came and each.isShort
    ]
    # Whether an unread connection has ended is looked for at intervals.
    return any(age is not None and (record.age or 0.0) <= age + INTERVAL for age in others)


def _cut(rest: Sequence[ConnectionRecord]) -> list[ConnectionRecord]:
    """Returns connections that ended while they were open at our end, after some bytes had come back."""
    return [each for each in rest if each.ended is not None and each.came and not each.isHalfClosed]


def _largest(
    records: Sequence[ConnectionRecord],
    of: Callable[[ConnectionRecord], float],
    slack: Callable[[float], float],
) -> list[ConnectionRecord]:
    """Returns the largest group of records whose values lie together."""
    ordered = sorted(records, key=of)
    best: list[ConnectionRecord] = []
    for start, first in enumerate(ordered):
        group = [each for each in ordered[start:] if of(each) - of(first) <= slack(of(first))]
        best = max(best, group, key=len)
    return best


def _spread(records: Sequence[ConnectionRecord], of: Callable[[ConnectionRecord], float]) -> float:
    values = [of(each) for each in records]
    return max(values) - min(values) if values else 0.0


def _ageOf(record: ConnectionRecord) -> float:
    return record.age or 0.0


def _endOf(record: ConnectionRecord) -> float:
    return record.ended or record.lastCame or 0.0


def isOver(record: ConnectionRecord) -> bool:
    """Says whether the peer ended a connection, or went silent, before everything was done."""
    return record.isShort or (record.ended is not None and not record.isHalfClosed)


def _livedAt(record: ConnectionRecord, at: float) -> bool:
    """Says whether a connection was seen alive after a moment; what is read late does not say it."""
    if not record.isMade or record.check in READ_LATE:
        return False
    until = record.closed if record.ended is None and not record.silence else record.lastCame
    return until is not None and until > at


def _findEvent(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds connections of different ages that end at one moment, and none that lives on."""
    # A late reader sees an end when it reads. Ends after the same number of bytes are due to that.
    seen = [each for each in _cut(rest) if each.check != "late-reader"]
    group = _largest(seen, _endOf, lambda at: MOMENT)
    silent = _largest(
        [each.record for each in livesOf(evidence, Kind.BUSY) if _isSilent(each.record)],
        _endOf,
        lambda at: MOMENT,
    )
    isSilent = len(silent) > len(group)
    group = silent if isSilent else group
    if not isSilent and all(each.isShort for each in group) and len({each.came for each in group}) == 1:
        return None
    if len(group) < 2 or _spread(group, lambda each: each.began) < APART:
        return None
    at = median(map(_endOf, group))
    before = [each for each in evidence.connections if each.began + APART < at and each not in group]
    if any(_livedAt(each, at + MOMENT) for each in before):
        return None
    ages = sorted(map(_ageOf, group))
    return Match(
        f"{len(group)} connections within {MOMENT:g} s, at ages of {ages[0]:.3g} to {ages[-1]:.3g} s",
        Confidence.LIKELY if len(group) > 2 else Confidence.POSSIBLE,
        [byCheck(group), f"{at:.3g} s after the examination began"],
        # Other connections ended, too: the event may repeat.
        numbers(each for each in rest if isOver(each) and each.came),
        len(group),
        len(evidence.connections),
        title="all connections go silent at one moment" if isSilent else "",
    )


def _isSilent(record: ConnectionRecord) -> bool:
    """Says whether a connection that had answered is silent, without an end."""
    return record.silence > 0 and record.ended is None and record.lastCame is not None


def _findLifetime(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds connections that end at one age, at different moments, a busy one among them."""
    if deaf := _findDeaf(evidence, rest):
        return deaf
    group = _largest(_cut(rest), _ageOf, lambda age: age * SHARE + SLACK)
    busy = [each.record for each in livesOf(evidence, Kind.BUSY)]
    if len(group) < 2 or _spread(group, _endOf) < APART or median(map(_ageOf, group)) < APART:
        return None
    if not any(each in busy or each.check in _ACTIVE for each in group):
        return None
    age = median(map(_ageOf, group))
    most = age * (1 + SHARE) + SLACK
    if any(_livedAt(each, each.began + most) for each in evidence.connections):
        return None
    least = age * (1 - SHARE) - SLACK
    isSure = sum(each in busy for each in group) > 1
    return Match(
        f"{len(group)} connections at an age of {age:.3g} s, whatever they did",
        Confidence.LIKELY if isSure else Confidence.POSSIBLE,
        [byCheck(group)],
        # What was older when it was looked at had ended at that age, too.
        numbers(each for each in rest if isOver(each) and _ageOf(each) >= least),
        len(group),
        len(evidence.connections),
    )


def _silentAge(record: ConnectionRecord) -> float:
    return (record.lastCame or record.began) - record.began


def _findDeaf(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds busy connections that go silent at one age, at different moments, without an end."""
    lives = livesOf(evidence, Kind.BUSY)
    silent = [each.record for each in lives if _isSilent(each.record)]
    group = _largest(silent, _silentAge, lambda age: age * SHARE + SLACK)
    if len(group) < 2 or len(group) < len(lives) or not all(each in rest for each in group):
        return None
    age = median(map(_silentAge, group))
    if _spread(group, _endOf) < APART or age < APART:
        return None
    most = age * (1 + SHARE) + SLACK
    # A silent one is answered at the end of the watch, if it lives.
    if any(not each.isLost for each in livesOf(evidence, Kind.SILENT)) or any(
        _livedAt(each, each.began + most) for each in evidence.connections
    ):
        return None
    return Match(
        f"{len(group)} connections at an age of {age:.3g} s, while they were in use",
        Confidence.LIKELY,
        [byCheck(group)],
        numbers(
            each
            for each in rest
            if isOver(each) and (each.closed or each.began + most) - each.began >= age - SLACK
        ),
        len(group),
        len(evidence.connections),
        title="connections go silent at an age",
        meaning="Clients hang in the midst of work until their own time-out: they must connect again before.",
    )


def _findSilentCut(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds silent connections that are lost. Unread ones are silent, too, as long as nothing is read."""
    return _lost(evidence, rest, Kind.SILENT, SILENT)


def _findUnreadCut(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    return _lost(evidence, rest, Kind.UNREAD, READ_LATE)


def _lost(
    evidence: Evidence, rest: Sequence[ConnectionRecord], kind: Kind, alike: Sequence[str]
) -> Match | None:
    """Finds connections of one kind that are lost, while the busy ones live.

    :param alike: checks whose connections end for the same cause.
    """
    left = numbers(rest)
    lives, busy = (
        [each for each in livesOf(evidence, of) if not isNeverServed(evidence, each.record)]
        for of in (kind, Kind.BUSY)
    )
    lost = [each for each in lives if each.isLost and each.record.number in left]
    if not lost or not busy or any(each.isLost for each in busy):
        return None
    ages = [each.record.age for each in lost if each.record.age is not None]
    isSame = len(ages) > 1 and max(ages) - min(ages) <= min(ages) * SHARE + SLACK
    at = f" at {median(ages):.3g} s" if ages else ""
    isKept = any(each.keepalives for each in lives)
    return Match(
        f"{len(lost)} of {len(lives)} {kind.value} connections{at}: {lost[0].record.endOrSilence}; "
        f"{len(busy)} busy ones live",
        Confidence.LIKELY if isSame or len(lost) > 1 else Confidence.POSSIBLE,
        ["the far end sends keepalives, so that only bytes count"] if isKept else [],
        numbers(
            each
            for each in rest
            if each.check in alike and isOver(each) and not isNeverServed(evidence, each)
        ),
        len(lost),
        len(lives),
        title="" if ages or kind is not Kind.UNREAD else "bytes that are not read for a while do not come",
    )


EVENT = Rule(
    "all-end-at-once",
    Severity.FAIL,
    "all connections end at one moment",
    "Something restarts: clients must connect again, and try again what was under way.",
    "Connections of different ages end, or busy ones go silent, within a second, and none lives on.",
    "Two ends at one moment may be chance; a limit on the age ends them at different moments.",
    _findEvent,
)
LIFETIME = Rule(
    "lifetime",
    Severity.WARN,
    "connections have a greatest age",
    "Clients find a connection closed in the midst of work: they must connect again before.",
    "Connections that began at different times end, or go silent, at the same age, busy ones too, and none "
    "gets older.",
    "An age above the time of the watch is not found (--thorough, --idle).",
    _findLifetime,
)
SILENT_ENDS = Rule(
    "idle-cut",
    Severity.WARN,
    "silent connections are dropped",
    "Clients that pause for longer find the connection closed: they must say something or reconnect.",
    "Silent connections are lost while busy ones live on. Connections that were never served do not count.",
    "With one connection of a kind it may be another cause.",
    _findSilentCut,
)
UNREAD_ENDS = Rule(
    "unread-cut",
    Severity.FAIL,
    "connections are dropped that are not read for a while",
    "A peer that pauses before it reads loses data.",
    "Connections whose bytes lie unread are lost while busy ones live on. Connections that were never served "
    "do not count: no segment with payload came (tcpi_data_segs_in), or they ended as early as others that "
    "were not served.",
    "With one connection of a kind it may be another cause.",
    _findUnreadCut,
)
