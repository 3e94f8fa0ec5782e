"""Rules about connections that end, or go silent, after a number of bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.judge.finding import Confidence, Match, Rule, byCheck, numbers
from echo_app.probe.judge.liferules import READ_LATE, isOver
from echo_app.probe.judge.silencerules import isUnacknowledged
from echo_app.probe.results.severity import Severity
from echo_app.text import binarySize

# Bytes by which ends after the same number of bytes may differ: buffers, and what is under way.
BYTES, BYTES_SHARE = 1 << 12, 0.1

# Connections that end after exactly the same number of bytes: so many do not by chance.
_EXACT = 3

# Messages at the least for a limit on their number, and the factor between two ages that tells it from one.
_MESSAGES, _OLDER = 3, 1.5


def _findSomeTotal(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds connections that end, or go silent, after exactly the same number of bytes; others get beyond."""
    short = [each for each in rest if each.isShort and each.came > BYTES]
    ((came, count),) = Counter(each.came for each in short).most_common(1) or ((0, 0),)
    group = [each for each in short if each.came == came]
    # What half-closed ones alone lose, the half-close has lost. Those that are read late, and dropped before,
    # bring as much as the path stores.
    if count < _EXACT or all(each.isHalfClosed or each.check in READ_LATE for each in group):
        return None
    return Match(
        f"{count} connections after {came:,} B: {group[0].endOrSilence}",
        Confidence.LIKELY,
        [byCheck(group), f"{sum(each.came > came for each in evidence.connections)} connections get beyond"],
        numbers(group),
        count,
        len(evidence.connections),
        title="some connections end after a number of bytes",
    )


def _findTotal(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds connections that end, or go silent, after the same number of bytes; none gets beyond it."""
    return _findWholeTotal(evidence, rest) or _findSomeTotal(evidence, rest)


def _findFlowDies(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds connections whose packets are lost after the same number of bytes, without an end."""
    group = _wholeGroup(evidence, rest)
    lost = [each for each in group if isUnacknowledged(each.silent)]
    if not lost or not all(each.silence and each.end is None for each in group):
        return None
    came = sorted(each.came for each in group)
    return Match(
        f"{len(group)} connections, after {came[0]:,} to {came[-1]:,} B came back",
        Confidence.LIKELY,
        [byCheck(group), f"on {len(lost)} of them our segments are not acknowledged any more"],
        numbers(each for each in rest if each.isShort and each.sent > came[-1]),
        len(group),
        len(evidence.connections),
    )


def _findWholeTotal(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    group = _wholeGroup(evidence, rest)
    if not group:
        return None
    most = max(each.came for each in group)
    return Match(
        f"{len(group)} connections after {binarySize(int(median(each.came for each in group)))}: "
        f"{group[0].endOrSilence}",
        Confidence.LIKELY,
        [byCheck(group)],
        # A reset destroys what had come before it.
        numbers(each for each in rest if each.isShort and each.sent > most),
        len(group),
        len(evidence.connections),
        title="connections go silent after a number of bytes" if all(each.silence for each in group) else "",
    )


def _wholeGroup(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> list[ConnectionRecord]:
    """Returns the connections that are over after the same number of bytes, if none gets beyond it."""
    most = max((each.came for each in evidence.connections), default=0)
    least = most - max(BYTES, most * BYTES_SHARE)
    group = [each for each in rest if isOver(each) or (each.isShort and each.isHalfClosed)]
    group = [each for each in group if each.came >= least]
    # Connections that are read late, and dropped before, bring as much as the path stores.
    if len(group) < 2 or most <= BYTES or all(each.check in READ_LATE for each in group):
        return []
    if any(each.came >= least and each not in group for each in evidence.connections):
        return []
    # Connections that end with fewer bytes, and are read at once, have another cause, and so may these.
    others = [each for each in rest if isOver(each) and each not in group and each.check not in READ_LATE]
    if len(others) >= len(group):
        return []
    return group


def _findMessages(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds connections that end after the same number of messages, whatever their bytes and ages."""
    ended = [each for each in rest if each.end is not None and not each.isHalfClosed]
    ((count, _),) = Counter(each.answered for each in ended).most_common(1) or ((0, 0),)
    group = sorted((each for each in ended if each.answered == count), key=lambda each: each.came)
    if (
        count < _MESSAGES
        or len(group) < _EXACT
        or any(each.answered > count for each in evidence.connections)
    ):
        return None
    ages = [each.age or 0.0 for each in group]
    if group[-1].came < 2 * group[0].came or max(ages) < _OLDER * min(ages):
        return None
    return Match(
        f"{len(group)} connections after {count} messages, of {group[0].came:,} to {group[-1].came:,} B: "
        f"{group[0].end}",
        Confidence.LIKELY,
        [byCheck(group), f"at ages of {min(ages):.2g} to {max(ages):.2g} s"],
        # Messages in two writes may have counted twice.
        numbers(each for each in ended if each.check == "small-writes" and 2 * each.answered >= count),
        len(group),
        len(evidence.connections),
    )


MESSAGES = Rule(
    "message-limit",
    Severity.WARN,
    "connections end after a number of messages",
    "Clients must expect the end, and connect again: proxies limit the requests of a connection.",
    "Three connections end after exactly the same number of answered messages, and none has more answers. "
    "Their bytes differ by a factor of two, and their ages by half.",
    "Messages count that fit into a segment, and are sent when all before are answered. A number above those "
    "that are sent, 48 on one connection, is not found.",
    _findMessages,
)
SILENT_TOTAL = Rule(
    "flow-dies-after-bytes",
    Severity.FAIL,
    "packets of a connection are lost after a number of bytes",
    "Transfers beyond that hang until a time-out: something on the way loses the flow.",
    "Connections go silent after the same number of bytes, none gets beyond it, and segments of ours are not "
    "acknowledged any more on one at the least (tcpi_unacked, tcpi_retransmits).",
    "A limit on the time looks the same where transfers are equally fast.",
    _findFlowDies,
)
TOTAL = Rule(
    "byte-limit",
    Severity.FAIL,
    "connections end after a number of bytes",
    "Transfers beyond that break off.",
    "Connections end after the same number of bytes, and none gets beyond it; or three end after exactly the "
    "same number.",
    "A limit on the time looks the same where transfers are equally fast.",
    _findTotal,
)
