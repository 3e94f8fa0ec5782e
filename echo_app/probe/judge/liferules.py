"""Rules about the life of connections: ends at one age, at one moment, after silence, or after many bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.lifetimes import Kind, Life, Lives
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.judge.finding import Confidence, Match, Rule, byCheck, numbers
from echo_app.probe.results.severity import Severity
from echo_app.text import binarySize

# The tolerated difference between ends by one timer: a share of the age, and seconds, as some timers run once
# a second.
SHARE, SLACK = 0.1, 1.0

# Seconds within which ends are at one moment, and by which their begins must differ for it to say something.
MOMENT, APART = 1.0, 1.5

# Bytes by which ends after the same number of bytes may differ: buffers, and what is under way.
BYTES, BYTES_SHARE = 1 << 12, 0.1


def _lives(evidence: Evidence, kind: Kind) -> list[Life]:
    seen = evidence.observations.get("lifetimes")
    return [each for each in seen.lives if each.kind is kind] if isinstance(seen, Lives) else []


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
    return record.ended or 0.0


def _findEvent(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds connections of different ages that end at one moment, and none that lives on."""
    group = _largest(_cut(rest), _endOf, lambda at: MOMENT)
    if len(group) < 2 or _spread(group, lambda each: each.began) < APART:
        return None
    at = median(map(_endOf, group))
    alive = [each for each in evidence.connections if _wasOpen(each, at) and each not in group]
    if alive:
        return None
    ages = sorted(map(_ageOf, group))
    return Match(
        f"{len(group)} connections within {MOMENT:g} s, at ages of {ages[0]:.3g} to {ages[-1]:.3g} s",
        Confidence.LIKELY if len(group) > 2 else Confidence.POSSIBLE,
        [byCheck(group), f"{at:.3g} s after the examination began"],
        numbers(group),
        len(group),
        len(evidence.connections),
    )


def _wasOpen(record: ConnectionRecord, at: float) -> bool:
    """Says whether a connection was open before and after a moment."""
    until = record.closed if record.closed is not None else record.ended
    return record.isMade and record.began + APART < at and until is not None and until > at + MOMENT


def _findLifetime(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds connections that end at one age, at different moments, a busy one among them."""
    group = _largest(_cut(rest), _ageOf, lambda age: age * SHARE + SLACK)
    busy = [each.record for each in _lives(evidence, Kind.BUSY)]
    if len(group) < 2 or _spread(group, _endOf) < APART or median(map(_ageOf, group)) < APART:
        return None
    if not any(each in busy or each.check in _ACTIVE for each in group):
        return None
    age = median(map(_ageOf, group))
    older = [each for each in evidence.connections if each.isMade and _livedBeyond(each, age)]
    if older:
        return None
    isSure = sum(each in busy for each in group) > 1
    return Match(
        f"{len(group)} connections at an age of {age:.3g} s, whatever they did",
        Confidence.LIKELY if isSure else Confidence.POSSIBLE,
        [byCheck(group)],
        numbers(group),
        len(group),
        len(evidence.connections),
    )


# Checks whose connections are busy as long as they are open.
_ACTIVE = ("identity", "small-writes")


def _livedBeyond(record: ConnectionRecord, age: float) -> bool:
    until = record.closed if record.closed is not None else record.ended
    return until is not None and until - record.began > age * (1 + SHARE) + SLACK


def _findTotal(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds connections that end, or go silent, after the same number of bytes."""
    ended = [each for each in rest if each.isShort or (each.isCut and each.came)]
    cut = [each for each in ended if each.came > BYTES]
    group = _largest(cut, lambda each: float(each.came), lambda came: max(BYTES, came * BYTES_SHARE))
    if len(group) < 2:
        return None
    total = median(each.came for each in group)
    if any(each.came > total * (1 + BYTES_SHARE) + BYTES for each in evidence.connections):
        return None
    return Match(
        f"{len(group)} connections after {binarySize(int(total))}: {group[0].endOrSilence}",
        Confidence.LIKELY,
        [byCheck(group)],
        numbers(group),
        len(group),
        len(evidence.connections),
    )


def _onlyOf(kind: Kind) -> Callable[[Evidence, Sequence[ConnectionRecord]], Match | None]:
    """Returns the function that finds connections of one kind that are lost, while the busy ones live."""

    def find(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
        left = numbers(rest)
        lives = _lives(evidence, kind)
        lost = [each for each in lives if each.isLost and each.record.number in left]
        busy = _lives(evidence, Kind.BUSY)
        if not lost or not busy or any(each.isLost for each in busy):
            return None
        ages = [each.record.age for each in lost if each.record.age is not None]
        isSame = len(ages) > 1 and max(ages) - min(ages) <= min(ages) * SHARE + SLACK
        at = f" at {median(ages):.3g} s" if ages else ""
        how = lost[0].record.endOrSilence
        isKept = any(each.keepalives for each in lives)
        lines = ["the far end sends keepalives, so that only bytes count"] if isKept else []
        return Match(
            f"{len(lost)} of {len(lives)} {kind.value} connections{at}: {how}; {len(busy)} busy ones live",
            Confidence.LIKELY if isSame or len(lost) > 1 else Confidence.POSSIBLE,
            lines,
            [each.record.number for each in lost],
            len(lost),
            len(lives),
        )

    return find


EVENT = Rule(
    "all-end-at-once",
    Severity.FAIL,
    "all connections end at one moment",
    "Something restarts: clients must connect again, and try again what was under way.",
    "Connections of different ages end within a second, and none lives on.",
    "Two ends at one moment may be chance; a limit on the age ends them at different moments.",
    _findEvent,
)
LIFETIME = Rule(
    "lifetime",
    Severity.WARN,
    "connections have a greatest age",
    "Clients find a connection closed in the midst of work: they must connect again before.",
    "Connections that began at different times end at the same age, busy ones too, and none gets older.",
    "An age above the time of the watch is not found (--thorough, --idle).",
    _findLifetime,
)
TOTAL = Rule(
    "byte-limit",
    Severity.FAIL,
    "connections end after a number of bytes",
    "Transfers beyond that break off.",
    "Connections end after the same number of bytes, and none gets beyond it.",
    "A limit on the time looks the same where transfers are equally fast.",
    _findTotal,
)
SILENT_ENDS = Rule(
    "idle-cut",
    Severity.WARN,
    "silent connections are dropped",
    "Clients that pause for longer find the connection closed: they must say something or reconnect.",
    "Silent connections are lost while busy ones live on.",
    "With one connection of a kind it may be another cause.",
    _onlyOf(Kind.SILENT),
)
UNREAD_ENDS = Rule(
    "unread-cut",
    Severity.FAIL,
    "connections are dropped that are not read for a while",
    "A peer that pauses before it reads loses data.",
    "Connections whose bytes lie unread are lost while busy ones live on.",
    "With one connection of a kind it may be another cause.",
    _onlyOf(Kind.UNREAD),
)
