"""Rules about the times of round trips.

A rule here fires only for what repeats on a fresh connection, and is above the lateness of this process that
was measured meanwhile: a busy machine is late, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.reach import Connects
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.checks.smallwrites import LAG, SmallRounds, counts, doWait
from echo_app.probe.checks.times import LARGE, LINE_PAIRS, REST, SEGMENT, SMALL, Timed, Times, medianOf
from echo_app.probe.judge.finding import Confidence, Find, Match, Rule, byCheck
from echo_app.probe.judge.raterules import POLICER
from echo_app.probe.judge.silencerules import findHoles
from echo_app.probe.results.severity import Severity
from echo_app.probe.results.statistics import milliseconds

# Seconds, and the factor, by which a time must be longer than another one. Timers of systems tick up to ten
# milliseconds apart, and delayed acknowledgements take 40.
MORE, FACTOR = 0.02, 2.0

# Outliers: seconds, and how many times the median.
OUTLIER, TIMES_MEDIAN = 0.1, 10.0

# Seconds of a time of some connections that is far longer, and connections at the least for a share of them.
SOME, ENOUGH = 0.25, 20


def timedIn(evidence: Evidence) -> list[Timed]:
    """Returns the connections of ``times`` that have a round trip of 1 B."""
    seen = evidence.observations.get("times")
    return [each for each in seen.connections if each.small is not None] if isinstance(seen, Times) else []


def isLonger(long: float, short: float) -> bool:
    """Says whether a time is longer than another one by more than chance, timers and caches explain."""
    return long - short >= MORE and long >= FACTOR * short


def waitForLines(evidence: Evidence) -> bool:
    """Says whether answers are late to messages without a newline at the end, and not to others."""
    seen = evidence.observations.get("times")
    pairs = seen.lines if isinstance(seen, Times) else []
    return len(pairs) >= LINE_PAIRS and all(isLonger(without, with_) for with_, without in pairs)


def leastOf(timed: Timed) -> float:
    """Returns the shortest round trip of any size: small messages may wait for a reason of their own."""
    return min(trip for trips in timed.net.values() for trip in trips)


def _isMost(slow: Sequence[Timed], measured: Sequence[Timed]) -> bool:
    """Says whether those that are slow are two at the least, and half of all."""
    return len(slow) >= max(2, len(measured) / 2)


def someLonger(times: Sequence[tuple[ConnectionRecord, float, float]]) -> Match | None:
    """Finds times of some connections that are far longer than those of the others.

    :param times: of each connection: its record, the seconds, and the same less the lateness of this process.
    """
    if len(times) < ENOUGH:
        return None
    usual = median(seconds for _, seconds, _ in times)
    least = max(SOME, TIMES_MEDIAN * usual)
    late = [record for record, _, net in times if net >= least]
    # One may be the first connection of all, which waits for a start.
    if len(late) < 2:
        return None
    longest = max(seconds for record, seconds, _ in times if record in late)
    return Match(
        f"{len(late)} of {len(times)}, up to {milliseconds(longest)}; the median is {milliseconds(usual)}",
        Confidence.LIKELY,
        [byCheck(late)],
        hits=len(late),
        tries=len(times),
    )


def _findDelayed(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = evidence.observations.get("small-writes")
    if not isinstance(seen, SmallRounds) or not seen.pairs or not doWait(seen.batches):
        return None
    longer, _ = counts(seen.batches)
    waits = sorted(pair.added for pair in seen.pairs if pair.added >= LAG)
    added = milliseconds(waits[len(waits) // 2])
    least = min(pair.prompt for pair in seen.pairs)
    isCured = sum(each - least >= LAG for each in seen.whole) < len(seen.whole) / 2
    cure = "write a message in one piece, or set it there." if isCured else "set it there."
    return Match(
        f"{longer} of {len(seen.pairs)} rounds wait {added} more where we delay acknowledgements",
        Confidence.LIKELY,
        hits=longer,
        tries=len(seen.pairs),
        meaning=f"The far end sends without TCP_NODELAY: {cure}",
    )


def _findSmallSlow(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds messages of one byte, or of little more than a segment, that take longer than larger ones."""
    for size, name in ((SMALL, "1 B"), (SEGMENT, "1,449 B")):
        measured = [each for each in timedIn(evidence) if each.net[size] and each.net[LARGE]]
        slow = [each for each in measured if isLonger(min(each.net[size]), median(each.net[LARGE]))]
        if _isMost(slow, measured):
            small, large = (
                medianOf([trip for each in slow for trip in each.trips[n]]) for n in (size, LARGE)
            )
            assert small is not None
            assert large is not None
            return Match(
                f"{name} takes {milliseconds(small)}, 64 KiB {milliseconds(large)}, "
                f"on {len(slow)} of {len(measured)} connections",
                Confidence.LIKELY,
                hits=len(slow),
                tries=len(measured),
            )
    return None


def _findFirstSlow(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    measured = [each for each in timedIn(evidence) if each.first is not None]
    slow = [each for each in measured if isLonger(each.first or 0, max(each.trips[SMALL]))]
    if not _isMost(slow, measured):
        return None
    first = medianOf([each.first for each in slow])
    later = medianOf([each.small for each in slow])
    assert first is not None
    assert later is not None
    times = f"{milliseconds(first)}, later ones {milliseconds(later)}"
    return Match(
        f"{times}, on {len(slow)} of {len(measured)} connections",
        Confidence.LIKELY,
        hits=len(slow),
        tries=len(measured),
    )


def _findSlowAfterRest(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    measured = [each for each in timedIn(evidence) if each.rested]
    slow = [each for each in measured if isLonger(median(each.rested), max(each.net[SMALL]))]
    if not _isMost(slow, measured):
        return None
    rested = sorted(trip for each in slow for trip in each.rested)
    least = medianOf([each.small for each in slow])
    assert least is not None
    return Match(
        f"up to {milliseconds(rested[-1])} after {milliseconds(REST)} without traffic, otherwise "
        f"{milliseconds(least)}, on {len(slow)} of {len(measured)} connections",
        Confidence.LIKELY,
        hits=len(slow),
        tries=len(measured),
    )


def _findColdStart(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds a first connection that waits, where the next ones do not. It can't be repeated."""
    seen = evidence.observations.get("connect")
    if not isinstance(seen, Connects) or len(seen.answers) < 5:
        return None
    first, others = seen.answers[0], seen.answers[1:]
    record = next(each for each in seen.records if each.firstAnswer is not None)
    late = evidence.latenessIn(record.began, record.closed or record.began + first)
    # Ten times as long as all others: one connection is no more than a hint.
    if first - late < OUTLIER or first < TIMES_MEDIAN * max(others):
        return None
    next_ = f"{milliseconds(median(others))} on the next {len(others)}"
    return Match(f"{milliseconds(first)} on the first connection, {next_}", Confidence.POSSIBLE)


def _findSiblings(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    if waitForLines(evidence):  # A byte is a newline by chance.
        return None
    # Chance makes some transfers longer where segments are lost; so does a burst that is spent.
    isExplained = findHoles(evidence) is not None or POLICER.find(evidence, rest) is not None
    return _unequal(evidence, SMALL) or (None if isExplained else _unequal(evidence, LARGE))


def _unequal(evidence: Evidence, size: int) -> Match | None:
    """Finds connections whose round trips of a size are all longer than those of the others."""
    measured = [each for each in timedIn(evidence) if each.net[size]]
    least = {each.record.number: min(each.net[size]) for each in measured}
    if not least:
        return None
    fast = min(least.values())
    slow = [each for each in measured if isLonger(least[each.record.number], fast)]
    if len(slow) < 2 or len(slow) > len(measured) * 2 / 3:
        return None
    others = [least[each.record.number] for each in measured if each not in slow]
    # Two kinds of connections, with nothing between them.
    if min(least[each.record.number] for each in slow) < FACTOR * max(others):
        return None
    times = sorted(least[each.record.number] for each in slow)
    of = " for 64 KiB" if size == LARGE else ""
    return Match(
        f"{len(slow)} of {len(measured)} take {milliseconds(times[0])} and more{of}, the others "
        f"{milliseconds(max(others))} at most",
        Confidence.LIKELY,
        [f"in order: {' '.join('slow' if each in slow else 'fast' for each in measured)}"],
        hits=len(slow),
        tries=len(measured),
    )


def _findJitter(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    measured = [each for each in timedIn(evidence) if len(each.net[SMALL]) >= _FEW]
    varying = [each for each in measured if isLonger(max(each.net[SMALL]), min(each.net[SMALL]))]
    trips = sorted(trip for each in measured for trip in each.net[SMALL])
    if len(varying) < max(3, len(measured) * 2 / 3):
        return None
    low, high = trips[len(trips) // 10], trips[-1 - len(trips) // 10]
    if not isLonger(high, low):
        return None
    return Match(
        f"80 % of {len(trips)} lie between {milliseconds(low)} and {milliseconds(high)}",
        Confidence.LIKELY,
        hits=len(varying),
        tries=len(measured),
    )


# Round trips of a connection at the least, for their variation.
_FEW = 3


def timeRule(cause: str, title: str, meaning: str, observation: str, errs: str, find: Find) -> Rule:
    """Returns a rule about times, which is always a warning."""
    return Rule(cause, Severity.WARN, title, meaning, observation, errs, find)


DELAYED = timeRule(
    "nagle-delays",
    "small answers wait for acknowledgements",
    "The far end sends without TCP_NODELAY (RFC 896): write a message in one piece, or set it there.",
    "Rounds of two writes take 35 ms longer where this kernel delays its acknowledgements (RFC 1122, "
    "4.2.3.2) than where it sends them at once, in more pairs than chance explains (one in a million).",
    "If both writes arrive together, as on loopback, the far end does not wait. One answer in ten, or fewer, "
    "may pass.",
    _findDelayed,
)
SMALL_SLOW = timeRule(
    "small-slower-than-large",
    "small messages take longer than large ones",
    "Something on the way waits for more before it passes a small message on (a buffer with a timer, Nagle).",
    "The shortest round trip of 1 B, or of 1,449 B, is twice as long as the median of 64 KiB, and 20 ms "
    "longer, on at least two connections and half of them.",
    "Not seen where the buffer that waits is larger than 64 KiB.",
    _findSmallSlow,
)
FIRST_SLOW = timeRule(
    "first-answer-slow",
    "the first answer of a connection is late",
    "Each new connection waits: a backend that is connected late, a look-up, a scan.",
    "The first answer takes twice as long as the slowest later one, and 20 ms longer, on at least two "
    "connections and half of them.",
    "An echo can't tell what the far end waits for.",
    _findFirstSlow,
)
AFTER_REST = timeRule(
    "slow-after-rest",
    "an answer after a short rest is late",
    "Something on the way sleeps when nothing passes, such as a radio that saves power: users wait.",
    "The median round trip of 1 B after a quarter of a second without traffic is twice as long as the "
    "slowest one without that rest, and 20 ms longer, on at least two connections and half of them.",
    "Not seen where it sleeps only after a longer rest.",
    _findSlowAfterRest,
)
COLD_START = timeRule(
    "cold-start",
    "the first connection is answered late",
    "The service, or something on the way, was not ready: the first client after a pause waits.",
    "The first connection's answer takes ten times as long as the slowest one of the next connections, and "
    "100 ms.",
    "It happens once, and can't be repeated: another cause at that moment looks the same.",
    _findColdStart,
)
SIBLINGS = timeRule(
    "connections-unequal",
    "some connections are slower than others",
    "Connections go different ways, or to different backends: some clients are always slow.",
    "On some connections, two and at most two thirds, every round trip of 1 B, or of 64 KiB, is twice as "
    "long as those of the others, and 20 ms longer.",
    "Backends that are equally slow are not told apart.",
    _findSiblings,
)
JITTER = timeRule(
    "jitter",
    "round trips vary",
    "Time-outs and playback buffers of clients must allow for the longest.",
    "On two thirds of the connections the longest round trip of 1 B is twice as long as the shortest, and "
    "20 ms longer, and so are the longest tenth of all beside the shortest.",
    "A busy service varies, too.",
    _findJitter,
)
