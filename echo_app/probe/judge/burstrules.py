"""Rules about many connections: caps, limits on their rate, and SYNs that are lost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from echo_app.probe.checks.burst import (
    TOLERATED,
    Bursts,
    Series,
    failureOf,
    isRetransmitted,
    isSilent,
    secondsOf,
)
from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.reach import Connects
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.judge.finding import Confidence, Match, Rule, byCheck, numbers
from echo_app.probe.results.severity import Severity
from echo_app.probe.results.statistics import interval, milliseconds

# Connections that are served one after the other: their number, and the seconds between two of them, at the
# least; and the share of these times that is alike.
QUEUE, APART, ALIKE = 10, 0.02, 0.8


def _findQueued(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds connections that were made together, and were answered at equal intervals."""
    seen = evidence.observations.get("burst")
    for records in seen.atOnce.rounds if isinstance(seen, Bursts) else ():
        served = [each for each in records if not failureOf(each)]
        waiting = [each for each in records if isSilent(each)]
        if len(served) < QUEUE or len(served) + len(waiting) < len(records):
            continue
        waits = sorted(secondsOf(each) + (each.firstAnswer or 0.0) for each in served)
        gaps = [later - one for one, later in pairwise(waits)]
        apart = median(gaps)
        alike = sum(apart / 2 <= gap <= 2 * apart for gap in gaps)
        begin = served[0].began
        if apart < max(APART, evidence.latenessIn(begin, begin + waits[-1])) or alike < ALIKE * len(gaps):
            continue
        late = f", {len(waiting)} not in time" if waiting else ""
        return Match(
            f"of {len(records)} that come together, {1 / apart:.2g} a second are served; the last one served "
            f"waits {milliseconds(waits[-1])}{late}",
            Confidence.LIKELY,
            explains=numbers(waiting),
            hits=len(served),
            tries=len(records),
        )
    return None


# Seconds, and times the answer of a connection that is alone, from which on an answer beside others is slow.
SLOW, TIMES_ALONE = 0.1, 10.0


def _findSlowTogether(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds first answers that are all late where many connections are open, in each round."""
    seen = evidence.observations.get("burst")
    if not isinstance(seen, Bursts) or _findQueued(evidence, rest) is not None:
        return None
    alone = [each.firstAnswer for each in seen.inSuccession.records if each.firstAnswer is not None]
    match = None
    for records in seen.atOnce.rounds:
        answers = sorted(each.firstAnswer for each in records if each.firstAnswer is not None)
        if len(answers) < QUEUE or len(alone) < QUEUE:
            return None
        begin = min(each.began for each in records)
        late = evidence.latenessIn(begin, begin + max(map(secondsOf, records)) + answers[-1])
        # Nearly all: a few that come first are answered before the others are there.
        least, usual = answers[len(answers) // 10] - late, median(alone)
        if least < SLOW or least < TIMES_ALONE * usual:
            return None
        match = Match(
            f"the median is {milliseconds(median(answers))} beside {len(records) - 1} others, and "
            f"{milliseconds(usual)} alone",
            Confidence.LIKELY,
            hits=len(answers),
            tries=len(records),
        )
    return match


def _findCap(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = evidence.observations.get("burst")
    if not isinstance(seen, Bursts) or not seen.atOnce.alwaysFails or seen.inSuccession.isBad:
        return None
    if _findAcceptRate(evidence, rest) is not None:
        return None
    least, most = min(seen.atOnce.served), max(seen.atOnce.served)
    tried = len(seen.atOnce.rounds[-1])
    many = f"{most}" if least == most else f"{least} to {most}"
    # Without a second round that agrees, the number may be chance.
    isSteady = len(seen.atOnce.rounds) > 1 and most - least <= 1
    failures = [record for record in seen.atOnce.records if failureOf(record)]
    if not any(record in rest for record in failures):
        return None
    # A connection just after them may still be one too many.
    after = [record for record in seen.inSuccession.records if failureOf(record)]
    return Match(
        f"{many} of {tried} are served; the others: {failureOf(failures[0])}",
        Confidence.LIKELY if isSteady else Confidence.POSSIBLE,
        explains=numbers([*failures, *after]),
        hits=len(failures),
        tries=len(seen.atOnce.records),
        title=f"only {many} connections at a time are served" if isSteady else "",
    )


def _findAcceptRate(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds connections that are refused after some in quick succession, and served again after a pause."""
    seen = evidence.observations.get("connect")
    served = seen.servedFirst if isinstance(seen, Connects) else 0
    if not isinstance(seen, Connects) or not served:
        return _findBurstRate(evidence, rest)
    refused = [each for each in seen.records if not each.isServed]
    later = [each for each in evidence.connections if each.number > refused[-1].number and each.isServed]
    if not later:
        return None
    seconds = seen.records[served].began - seen.records[0].began
    failures = [each for each in rest if each.check in ("connect", "burst") and not each.isServed]
    return Match(
        f"after {served} in {seconds:.2g} s: {refused[0].failure or refused[0].end}; later ones are served",
        Confidence.LIKELY,
        explains=numbers(failures),
        hits=len(refused),
        tries=len(seen.records),
    )


def _findBurstRate(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = evidence.observations.get("burst")
    if not isinstance(seen, Bursts) or not seen.inSuccession.alwaysFails:
        return None
    _, calm = interval(len(seen.calm.failures), len(seen.calm.records))
    failed, tried = len(seen.inSuccession.failures), len(seen.inSuccession.records)
    if interval(failed, tried)[0] <= calm:
        return None
    records = seen.inSuccession.rounds[-1]
    served = [record for record in records if not failureOf(record)]
    seconds = records[-1].began - records[0].began
    failures = [record for record in (*seen.atOnce.records, *seen.inSuccession.records) if failureOf(record)]
    if not any(record in rest for record in failures):
        return None
    return Match(
        f"after {len(served)} in {seconds:.2g} s: {seen.inSuccession.failures[0]}",
        Confidence.LIKELY,
        [f"one by one, with pauses: {len(seen.calm.failures)} of {len(seen.calm.records)} fail"],
        numbers(failures),
        failed,
        tried,
    )


def _single(evidence: Evidence) -> list[ConnectionRecord]:
    """Returns the connections that were made one by one, and not in a burst."""
    return [
        each for each in evidence.connections if each.check not in ("burst", "idle") and each.made is not None
    ]


def findSYNLoss(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds SYNs that were sent again for connections that were made one by one."""
    single = _single(evidence)
    again = [each for each in single if isRetransmitted(each)]
    if evidence.target.kind != "tcp" or len(again) < 2 or interval(len(again), len(single))[0] <= TOLERATED:
        return None
    slowest = milliseconds(max(map(secondsOf, again)))
    return Match(
        f"{len(again)} of {len(single)} connections, made one by one, took up to {slowest}",
        Confidence.LIKELY,
        [byCheck(again)],
        hits=len(again),
        tries=len(single),
    )


def _findSlowed(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = evidence.observations.get("burst")
    if not isinstance(seen, Bursts) or findSYNLoss(evidence, rest) is not None:
        return None
    _, calm = interval(seen.calm.retransmitted, len(seen.calm.records))
    for each in (seen.atOnce, seen.inSuccession):
        if each.isBad and interval(each.retransmitted, len(each.records))[0] > calm:
            return _slowed(each, seen.what)
    return None


def _slowed(series: Series, what: str) -> Match:
    again, tried = series.retransmitted, len(series.records)
    slowest = milliseconds(max(map(secondsOf, series.records)))
    seen = f"{again} of {tried} {what} {series.manner} retransmitted, up to {slowest}"
    return Match(seen, Confidence.LIKELY, hits=again, tries=tried)


QUEUED = Rule(
    "burst-queued",
    Severity.WARN,
    "clients that connect together are served one after the other",
    "The more clients come together, such as after a restart, the longer each of them waits.",
    "Connections that are made together are answered at equal intervals, of 20 ms at the least.",
    "A limit on the rate of new connections that lets them wait looks the same, and so do handshakes of "
    "TLS on a slow line.",
    _findQueued,
)
SLOW_TOGETHER = Rule(
    "slower-together",
    Severity.WARN,
    "answers are slower the more connections are open",
    "The service, or what stands before it, does work for each open connection, or lets them share little.",
    "In each of three rounds, nine in ten first answers of connections that are open together take ten times "
    "as long as those of connections one after the other, and 100 ms.",
    "A machine that is slow to make the connections looks the same.",
    _findSlowTogether,
)
CAP = Rule(
    "connection-cap",
    Severity.WARN,
    "only some connections at a time are served",
    "More clients than that are turned away together.",
    "Of connections that are open together the same number is served in each round, and all are served that "
    "come one after the other.",
    "Other clients' connections count, too: the cap may be larger.",
    _findCap,
)
ACCEPT_RATE = Rule(
    "accept-rate",
    Severity.WARN,
    "connections in quick succession are turned away",
    "Clients that connect in quick succession are turned away.",
    "Connections without a pause, each closed before the next, fail in three rounds, more often than "
    "connections with pauses.",
    "A slow machine can lose connections of its own, such as by a full table of a NAT in front of it.",
    _findAcceptRate,
)
SYN_LOSS = Rule(
    "syns-lost",
    Severity.WARN,
    "connecting waits for lost SYNs",
    "Connecting takes a second longer, or three: the SYN is sent again (RFC 6298, 2).",
    "Connections that were made one by one had sent their SYN again (tcpi_total_retrans), more than 1 % of "
    "them with 95 % confidence.",
    "A service whose queue of connections is full drops SYNs, too. Not looked for over TLS.",
    findSYNLoss,
)
SLOWED = Rule(
    "burst-slowed",
    Severity.WARN,
    "clients that connect together wait",
    "Clients that connect together may wait a second or more: SYNs are sent again.",
    "SYNs of a burst are sent again in three rounds (tcpi_total_retrans), more often than chance and "
    "connections one by one explain.",
    "Over TLS the segments of the handshake are counted with the SYNs.",
    _findSlowed,
)
