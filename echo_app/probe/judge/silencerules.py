"""Rules about silence: bytes that do not come, told apart by what this kernel knows of the far end.

Bytes may be not acknowledged, or acknowledged and not answered. The kernel's counts tell the two apart, but
only as far as the next TCP end: a proxy that acknowledges looks like the service, and so does a way back that
loses everything after the acknowledgement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from echo_app.probe.checks.burst import Bursts
from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.record import ConnectionRecord, TCPSample
from echo_app.probe.checks.segments import Segments, isWhole
from echo_app.probe.checks.times import SMALL, Times
from echo_app.probe.judge.finding import Confidence, Match, Rule, byCheck, numbers
from echo_app.probe.results.severity import Severity
from echo_app.probe.results.statistics import interval

# The share of segments of our own that are sent again, from which on a path is called lossy.
LOSSY = 0.005

# Checks that read all the time: where a receiver's buffer is full, segments are sent again without any loss.
_READ = ("connect", "identity", "segments", "small-writes", "times", "burst")

# Checks whose connections are silent for seconds. What is dropped for that does not acknowledge: rules about
# idle connections, and those about late readers, judge them.
SILENT = ("idle", "lifetimes", "late-reader")

# How often reordering must be seen: the kernel takes a late acknowledgement for it now and then.
_REORDERINGS = 5

# Segments at the least, for a share.
_ENOUGH = 200

# Connections at the least whose arrivals have holes.
_WITH_HOLES = 3

# Seconds by which a lone packet that was lost is late at the least: the far end sends it again after 200 ms
# (TCP_RTO_MIN of Linux, net/tcp.h), and this process measures a little less. And such packets at the least
# that show that packets are lost at any rate.
_LATE, FEW_LONE = 0.19, 3

# Checks whose connections are made one after the other, so that their SYNs are alone.
_ALONE = ("connect", "identity", "half-close", "small-writes", "times")


def isUnacknowledged(sample: TCPSample | None) -> bool:
    """Says whether segments of ours wait for an acknowledgement, and were sent again."""
    return sample is not None and sample.unacked > 0 and (sample.retransmits > 0 or sample.backoff > 0)


def thenOf(record: ConnectionRecord) -> str:
    """Returns how a connection went on that is short of bytes: its end, or the silence."""
    return str(record.end or f"nothing for {record.silence:.3g} s")


def silenceOf(record: ConnectionRecord) -> str:
    """Returns what the kernel says of a silence, in a few words; empty where it says nothing."""
    sample = record.silent
    if sample is None:
        return ""
    if isUnacknowledged(sample):
        times = f"sent {sample.retransmits} more times"
        return f"{sample.unacked} segments are not acknowledged, the oldest {times}"
    if sample.notSent:
        return f"the far end takes no more: {sample.notSent:,} B wait here"
    if not sample.unacked:
        return "everything is acknowledged, and not answered"
    return ""


def _findBlackHole(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = evidence.observations.get("segments")
    if not isinstance(seen, Segments) or not seen.passing or not seen.hanging:
        return None
    hanging, largest = seen.hanging, max(seen.passing)
    isSome = largest > min(hanging)
    if isSome:
        if not _doesSizeMatter(seen):
            return None
        largest = min(seen.passing)
    isOurs = any(isUnacknowledged(seen.bySize[size].silent) for size in hanging)
    way = (
        "our large segments are not acknowledged"
        if isOurs
        else "all is acknowledged: those of the far end get lost"
    )
    # What fits into the largest segment that passes has another cause.
    stuck = [each for each in rest if each.silence and each.sent > largest - seen.stamps]
    least, most = largest + seen.headers, min(hanging) + seen.headers - 1
    lost, tried = _hangingOf(seen.large), len(seen.large)
    return Match(
        f"{lost} of {tried} connections with segments of {max(seen.bySize)} B hang, none of {tried} with "
        f"{largest} B"
        if isSome
        else f"segments of {largest} B pass, of {min(hanging)} B hang: an MTU of {least:,} to {most:,} B",
        Confidence.LIKELY,
        [way, byCheck(stuck)],
        numbers(stuck),
        lost if isSome else len(hanging),
        tried if isSome else len(seen.bySize),
        title="large segments get lost on some connections" if isSome else "",
    )


def _hangingOf(records: Sequence[ConnectionRecord]) -> int:
    return sum(each.silence > 0 and not isWhole(each) for each in records)


def _doesSizeMatter(seen: Segments) -> bool:
    """Says whether connections with large segments hang at times, and none with small ones."""
    small, large = _hangingOf(seen.small), _hangingOf(seen.large)
    return not small and interval(large, len(seen.large))[0] > interval(small, len(seen.small))[1]


def _findUnacknowledged(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    stuck = [
        each for each in rest if each.silence and isUnacknowledged(each.silent) and each.check not in SILENT
    ]
    # Where nothing but half-closed connections is lost, it is the half-close.
    if not stuck or all(each.isHalfClosed for each in stuck):
        return None
    return Match(
        f"{len(stuck)} of {len(evidence.connections)} connections; {silenceOf(stuck[0])}",
        Confidence.CERTAIN,
        [byCheck(stuck)],
        numbers(stuck),
        len(stuck),
        len(evidence.connections),
    )


def _lostOf(record: ConnectionRecord) -> int:
    """Returns the segments that were lost, as far as known. A full queue of the service drops SYNs, too."""
    made, last = record.made, record.last
    if last is None:
        return 0
    return max(0, last.allRetransmits - last.needless - (made.allRetransmits if made else 0))


def findReordered(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds segments that came to the far end behind later ones."""
    samples = [each.last for each in evidence.connections if each.check in _READ and each.last is not None]
    seen = [each for each in samples if each.reorderings]
    count = sum(each.reorderings for each in seen)
    if len(seen) < 2 or count < _REORDERINGS:
        return None
    back = sum(each.outOfOrder for each in samples)
    lines = [f"{sum(each.allRetransmits for each in seen)} segments were sent again, most of them needlessly"]
    if back:
        lines.append(f"{back} segments came out of order: the way back loses or reorders some, too")
    return Match(
        f"seen {count} times on {len(seen)} of {len(samples)} connections",
        Confidence.LIKELY,
        lines,
        hits=len(seen),
        tries=len(samples),
    )


def findLoss(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds segments that were sent again, where they were not reordered.

    What is sent again on a connection that hangs is lost for that, and not at times.
    """
    records = [
        each for each in evidence.connections if each.check in _READ and not isUnacknowledged(each.silent)
    ]
    samples = [each.last for each in records if each.last is not None]
    again = sum(map(_lostOf, records))
    sent = sum(each.segmentsOut for each in samples)
    if sent < _ENOUGH or interval(again, sent)[0] <= LOSSY or findReordered(evidence, rest) is not None:
        return None
    connections = sum(1 for each in records if _lostOf(each))
    back = sum(each.outOfOrder for each in samples)
    lines = [f"on {connections} of {len(samples)} connections"]
    if back:
        lines.append(f"{back} segments came out of order: some are lost, or reordered, on the way back, too")
    return Match(
        f"{again} of {sent} segments ({again / sent:.1%}) were sent again",
        Confidence.LIKELY if connections > 1 else Confidence.POSSIBLE,
        lines,
        hits=again,
        tries=sent,
    )


@dataclass(frozen=True, slots=True)
class Holes:
    """Segments that came out of order, on the connections that read all the time.

    :param behind: segments that came behind a hole.
    :param came: segments with payload that came.
    :param connections: those with a hole.
    :param again: segments of our own that were sent again.
    :param sent: segments of our own.
    """

    behind: int
    came: int
    connections: int
    again: int
    sent: int


def findHoles(evidence: Evidence) -> Holes | None:
    """Returns the holes in what arrived, if they are more than the tolerated share."""
    records = [each for each in evidence.connections if each.check in _READ]
    samples = [each.last for each in records if each.last is not None]
    behind, came = sum(each.outOfOrder for each in samples), sum(each.dataSegmentsIn for each in samples)
    connections = sum(each.outOfOrder > 0 for each in samples)
    if connections < _WITH_HOLES or came < _ENOUGH or interval(min(behind, came), came)[0] <= LOSSY:
        return None
    return Holes(
        behind, came, connections, sum(map(_lostOf, records)), sum(each.segmentsOut for each in samples)
    )


def loneLosses(evidence: Evidence) -> tuple[int, int]:
    """Returns how many packets with nothing beside them were late as if sent again, and how many there were.

    They are SYNs, first answers, and answers of one byte: no limit on the rate loses these.
    """
    times, bursts = evidence.observations.get("times"), evidence.observations.get("burst")
    alone = [each for each in evidence.connections if each.check in _ALONE]
    # Those at once are not alone.
    alone += bursts.inSuccession.records if isinstance(bursts, Bursts) else []
    trips = [
        each.firstAnswer - evidence.latenessIn(each.began, each.lastCame or each.began)
        for each in alone
        if each.firstAnswer is not None and each.check in ("connect", "burst")
    ]
    timed = times.connections if isinstance(times, Times) else []
    trips += [trip for each in timed for trip in (*each.net[SMALL], *each.rested)]
    usual = median(trips) if trips else 0.0
    again = sum(each.made.allRetransmits > 0 for each in alone if each.made)
    return again + sum(each >= usual + _LATE for each in trips), len(alone) + len(trips)


BLACK_HOLE = Rule(
    "mtu-black-hole",
    Severity.FAIL,
    "large segments get lost without a word",
    "Small messages pass and large ones hang: an MTU black hole. Lower the MTU here, or let ICMP pass.",
    "Connections with small segments (TCP_MAXSEG, which caps those of the far end as well) bring everything "
    "back, and ones with larger segments hang. Where only some of these do, 16 further ones of the least and "
    "of the largest size differ, with 95 % confidence.",
    "Where this kernel looks for a smaller segment by itself (tcp_mtu_probing), large segments hang only for "
    "a while. Not looked for over TLS, and where segments are larger than 1,460 B.",
    _findBlackHole,
)
UNACKNOWLEDGED = Rule(
    "not-acknowledged",
    Severity.FAIL,
    "bytes are not acknowledged any more",
    "Packets of the connection are dropped: clients hang until a time-out.",
    "While no byte came that was due, segments of ours were not acknowledged, and sent again (tcpi_unacked, "
    "tcpi_retransmits).",
    "Acknowledgements that get lost on the way back look the same.",
    _findUnacknowledged,
)
LOSS = Rule(
    "segments-lost",
    Severity.WARN,
    "TCP segments are lost on the way out",
    "Transfers are slow, and some messages late by a retransmission time-out.",
    "The share of all segments that this kernel sent again (tcpi_total_retrans) is above 0.5 %, with 95 % "
    "confidence. The way back is only hinted at, by segments that came out of order.",
    "A retransmission may be needless, such as after a sudden delay; those that the far end reports as such "
    "(DSACK) do not count. Only our own sending is counted.",
    findLoss,
)
REORDERED = Rule(
    "segments-reordered",
    Severity.WARN,
    "TCP segments are reordered on the way out",
    "Transfers are slower: the sender takes late segments for lost ones, and sends them again.",
    "Acknowledgements on two connections showed that segments of ours came after later ones "
    "(tcpi_reord_seen).",
    "Of the way back only the segments that came out of order are known: lost ones look the same.",
    findReordered,
)
