"""Rules about the ends of streams: half-close, late readers, idle connections, and unasked ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.halfclose import WHOLE, HalfCloses, described, outcomeOf
from echo_app.probe.checks.idle import TOLD, UNFIT, Bracket, Fate, Ladders, Rung, bracket, slack
from echo_app.probe.checks.latereader import LIMIT, Filling
from echo_app.probe.checks.lifetimes import Kind
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.judge.finding import Confidence, Match, Rule, byCheck, numbers
from echo_app.probe.judge.liferules import READ_LATE, isNeverServed, livesOf
from echo_app.probe.judge.silencerules import SILENT, thenOf
from echo_app.probe.results.severity import Severity
from echo_app.text import binarySize

_HALF_CLOSE_MEANINGS = {
    "no end": "Clients that read to the end wait for ever.",
    "silence": "Clients that shut down before reading wait for ever.",
    "truncation": "Clients that shut down before reading lose part of their answer, and are not told.",
    "immediate close": "Clients that shut down before reading lose answers.",
    "reset": "Clients that shut down before reading see a reset, and may lose answers.",
}

_TOLD_MEANING = (
    "Clients that pause for longer find the connection closed: they must say something or reconnect."
)
_UNTOLD_MEANING = "Send keepalives more often than every {safe:.3g} s: the first request after that fails."
_IDLE_MEANINGS = {
    Fate.ENDED: _TOLD_MEANING,
    Fate.RESET: _TOLD_MEANING,
    Fate.FORGOTTEN: _UNTOLD_MEANING,
    Fate.REFUSED: _UNTOLD_MEANING,
    Fate.SILENT: "Send keepalives more often than every {safe:.3g} s: the end is silent, and requests hang.",
}


def _findHalfClose(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = evidence.observations.get("half-close")
    if not isinstance(seen, HalfCloses):
        return None
    left = numbers(rest)
    tries = [each for each in seen.records if each.difference is None]
    # A connection on which nothing came may be one that nobody serves, as others without a half-close.
    if _isUnserved(evidence):
        tries = [each for each in tries if each.came]
    wrong = [each for each in tries if each.number in left and outcomeOf(each) != WHOLE]
    if not wrong:
        return None
    ((outcome, _),) = Counter(map(outcomeOf, wrong)).most_common(1)
    example = next(each for each in wrong if outcomeOf(each) == outcome)
    outcomes = Counter(map(outcomeOf, tries))
    counts = [f"{count} of {len(tries)}: {name}" for name, count in outcomes.most_common()]
    return Match(
        f"{len(wrong)} of {len(tries)}: {described(example)}",
        Confidence.CERTAIN if len(wrong) > 1 else Confidence.LIKELY,
        counts,
        numbers(each for each in rest if each.isHalfClosed and outcomeOf(each) not in (WHOLE, "other bytes")),
        len(wrong),
        len(tries),
        title=f"a half-close gives {outcome}" if outcome != "reset" else "a half-close gives a reset",
        meaning=_HALF_CLOSE_MEANINGS[outcome],
        severity=Severity.WARN if evidence.target.kind == "tls" else None,
    )


def _isUnserved(evidence: Evidence) -> bool:
    """Says whether connections ended without a byte that were not half-closed."""
    return any(
        each.isMade and each.end and each.sent and not each.came and not each.isHalfClosed
        for each in evidence.connections
        if each.check not in (*SILENT, "burst")
    )


def _findLateReader(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = evidence.observations.get("late-reader")
    record = seen.record if isinstance(seen, Filling) else None
    if record is None or record not in rest or not record.isShort:
        return None
    if isNeverServed(evidence, record):
        return None
    loss = "loses data" if record.end else "waits for ever, and so does the far end"
    alive = sum(not each.isLost and each.until > 0 for each in livesOf(evidence, Kind.UNREAD))
    return Match(
        f"{binarySize(record.came)} of {binarySize(record.sent)} came back, then {thenOf(record)}",
        # What is lost once may be whole the next time. Where those of lifetimes are lost, that has a rule.
        Confidence.POSSIBLE,
        [f"{alive} other connections that were not read for a while live on" if alive else "tried once"],
        explains=[record.number],
        meaning=f"A peer that pauses before it reads {loss}.",
    )


def _findNoPushBack(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = evidence.observations.get("late-reader")
    if not isinstance(seen, Filling) or seen.isPushedBack or seen.swallowed < LIMIT:
        return None
    if seen.record is not None and seen.record.isShort:
        # What does not come back was thrown away, and not stored.
        return None
    return Match(f"none within {binarySize(seen.swallowed)}", Confidence.LIKELY)


def _findIdle(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = evidence.observations.get("idle")
    if not isinstance(seen, Ladders) or any(rung.fate in UNFIT for rung in seen.first):
        return None
    if not any(each.check == "idle" for each in rest):
        return None
    lost = [each for each in evidence.of("idle") if each.end or each.silence]
    if lost and not any(each in rest for each in lost):
        # Another cause has ended them.
        return None
    found, again = bracket(seen.first), bracket(seen.second)
    idle = _alike(rest, found.alive if found else 0.0)
    if found is None:
        return _strayOf(seen.first, idle)
    if not seen.second and "idle" in evidence.unfinished:
        # Older connections may have been alive.
        return Match(
            f"{found.fate.value} at {found.gone:.3g} s, not confirmed",
            Confidence.POSSIBLE,
            explains=idle,
            meaning=_IDLE_MEANINGS[found.fate].format(safe=found.alive),
        )
    if again is None or (found.fate in TOLD and abs(again.gone - found.gone) > slack(found.gone)):
        return Match(
            f"{found.fate.value} at {found.gone:.3g} s once, and not the next time",
            Confidence.POSSIBLE,
            explains=idle,
            title="connections are lost, but not for being idle",
            meaning=_STRAY_MEANING,
        )
    return _idleAt(found, again, idle)


def _alike(rest: Sequence[ConnectionRecord], seconds: float) -> frozenset[int]:
    """Returns the connections that may be lost for a silence of so many seconds."""
    return numbers(
        each
        for each in rest
        if each.check == "idle"
        or (each.check in READ_LATE and (each.isCut or each.isShort) and _quietOf(each) >= seconds)
    )


def _quietOf(record: ConnectionRecord) -> float:
    """Returns the seconds for which a connection may have been silent; a late reader, until it read."""
    if record.check == "late-reader" and record.firstAnswer is not None:
        return record.firstAnswer
    return (record.ended or record.closed or record.began) - record.began


def _idleAt(found: Bracket, again: Bracket, idle: frozenset[int]) -> Match:
    safe = max(again.alive, found.alive if found.alive < again.gone else 0)
    seen = f"{again.fate.value} at {again.gone:.3g} s"
    if again.fate not in TOLD:
        seen = f"alive at {safe:.3g} s, {seen}"
    return Match(seen, Confidence.LIKELY, explains=idle, meaning=_IDLE_MEANINGS[again.fate].format(safe=safe))


def _strayOf(rungs: Sequence[Rung], idle: frozenset[int]) -> Match | None:
    """Returns a match where some connections are gone, and older ones alive."""
    strays = [rung for rung in rungs if rung.fate is not Fate.ALIVE]
    if not strays:
        return None
    oldest = max(rung.age for rung in rungs)
    return Match(
        f"{strays[0].fate.value} at {strays[0].at:.3g} s, but others alive at {oldest:g} s",
        Confidence.POSSIBLE,
        explains=idle,
        title="connections are lost, but not for being idle",
        meaning=_STRAY_MEANING,
    )


def _findCut(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    cut = [each for each in rest if each.isCut and not each.isShort and each.check not in _ENDING]
    if not cut:
        return None
    first = cut[0]
    return Match(
        f"{len(cut)} of {len(evidence.connections)}: {first.end} after {first.age:.3g} s, {first.came:,} B",
        Confidence.POSSIBLE,
        [byCheck(cut)],
        numbers(cut),
        len(cut),
        len(evidence.connections),
    )


_STRAY_MEANING = "Connections end now and then."

# Checks whose connections may end.
_ENDING = ("resolve", "half-close", "idle", "peer", "tls")

HALF_CLOSE = Rule(
    "half-close-broken",
    Severity.FAIL,
    "a half-close breaks the answer",
    "Clients that shut down before reading lose answers.",
    "Of connections that send data and then the end of their side, some do not bring the whole echo and then "
    "its end. Over TLS, where few clients read on after close_notify, it is a warning.",
    "A race that the tries do not meet is not found. --baseline tells the service from the path.",
    _findHalfClose,
)
LATE_READER = Rule(
    "late-reader-cut",
    Severity.FAIL,
    "a late reader loses its answer",
    "A peer that pauses before it reads loses data.",
    "A connection that sends much and reads late got a part, and then an end, or nothing more, while those "
    "that lifetimes reads late live on, or are not watched.",
    "It is tried once: what hangs by chance may be whole the next time. A time-out of the path that is "
    "longer than the reader is late is not found.",
    _findLateReader,
)
NO_PUSH_BACK = Rule(
    "no-push-back",
    Severity.WARN,
    "there is no push-back",
    "Something on the way stores without a bound that a slow reader could meet.",
    "128 MiB were taken without one byte being read.",
    "Several kernels' buffers in a row may hold as much.",
    _findNoPushBack,
)
IDLE = Rule(
    "idle-time-out",
    Severity.WARN,
    "idle connections are dropped",
    _TOLD_MEANING,
    "Of connections that are silent for different times, the older ones are dropped, at the same age in two "
    "ladders.",
    "Something that restarts in both ladders at that age looks the same.",
    _findIdle,
)
CUT = Rule(
    "connections-end",
    Severity.WARN,
    "connections end that were in use",
    "Clients must expect connections to end, and connect again.",
    "The peer ended connections that were open at our end, with everything sent back before.",
    "One end may be an accident.",
    _findCut,
)
