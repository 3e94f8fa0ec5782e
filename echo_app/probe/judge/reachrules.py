"""Rules about reaching the service: names, addresses, and connections that are not made."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Sequence

from echo_app.probe.checks.burst import TOLERATED, Bursts, Series, failureOf, isRetransmitted, secondsOf
from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.reach import Addresses, Connects
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.judge.finding import Confidence, Match, Rule, byCheck, numbers
from echo_app.probe.judge.silencerules import silenceOf
from echo_app.probe.net.errors import ErrorKind, Reason
from echo_app.probe.results.severity import Severity
from echo_app.probe.results.statistics import interval, milliseconds

# A host without a family's route says one of these, without asking anybody: it is no finding about the path.
_LOCAL = (ErrorKind.UNREACHABLE, ErrorKind.NO_LOCAL_ADDRESS)

# Connections in a row that are not served for a finding.
_IN_A_ROW = 3

_MEANINGS = {
    ErrorKind.REFUSED: "No server listens there, or a firewall refuses it.",
    ErrorKind.UNRESOLVED: "No client that uses this name gets anywhere.",
    ErrorKind.CONNECT_TIMED_OUT: (
        "Packets are dropped on the way, or the host is down, or it does not accept."
    ),
    ErrorKind.CERTIFICATE: "Clients that check certificates do not connect.",
    ErrorKind.CERTIFICATE_REFUSED: "The service wants another client certificate.",
    ErrorKind.NO_TLS: "What answers there does not speak TLS.",
}


def _findUnresolved(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = evidence.observations.get("resolve")
    isDone = "resolve" not in evidence.unfinished
    if isinstance(seen, Addresses) and isDone and seen.host and not seen.tried:
        return Match(f"{seen.host}: {ErrorKind.UNRESOLVED}")
    return None


def _findUnreachable(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    failures = [each for each in rest if each.failure]
    if not failures or any(each.isMade for each in rest if each.check != "resolve"):
        return None
    if all(each.check == "resolve" for each in rest) and any(each.isMade for each in rest):
        return None
    # The connections of resolve are without TLS.
    tries = sum(1 for each in rest if not each.isMade)
    reasons = Counter(str(each.failure) for each in failures)
    first = failures[-1].failure
    assert first is not None
    seen = ", ".join(f"{count} of {tries} {reason}" for reason, count in reasons.most_common())
    return Match(
        seen,
        explains=numbers(failures),
        hits=len(failures),
        tries=tries,
        meaning=_MEANINGS.get(first.kind, ""),
    )


def _findAddress(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = evidence.observations.get("resolve")
    if not isinstance(seen, Addresses) or seen.address is None:
        return None
    failures = {address: reason for address, reason in seen.tried.items() if reason}
    findings = {address for address, reason in failures.items() if not _isExcused(address, reason)}
    # The attempts are explained also where they are excused.
    explained = numbers(each for each in rest if each.check == "resolve" and each.failure)
    if not findings:
        return Match("", explains=explained) if explained else None
    said = "; ".join(f"{address}: {reason}" for address, reason in failures.items())
    return Match(
        f"{len(findings)} of {len(seen.tried)} addresses: {said}",
        explains=explained,
        hits=len(findings),
        tries=len(seen.tried),
    )


def _isExcused(address: str, reason: Reason) -> bool:
    """Says whether an address that does not work tells nothing: localhost has two, and servers take one."""
    isRefused = reason.kind is ErrorKind.REFUSED
    return reason.kind in _LOCAL or (isRefused and ipaddress.ip_address(address).is_loopback)


def _findRefusedAtFirst(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = evidence.observations.get("connect")
    if not isinstance(seen, Connects) or not seen.records:
        return None
    tries = [*seen.records, *seen.later]
    first = next((n for n, each in enumerate(tries) if each.isServed), None)
    unserved = tries[:first] if first else []
    if len(unserved) < _IN_A_ROW or any(each.difference for each in unserved):
        return None
    if not all(each.isServed for each in tries[len(unserved) :]):
        # Connections that fail now and then may do so three times in a row.
        return None
    reasons = Counter(str(each.failure or each.endOrSilence) for each in unserved)
    reason, _ = reasons.most_common(1)[0]
    waited = tries[len(unserved)].began - unserved[0].began
    before = [each for each in rest if each.number <= unserved[-1].number and not each.isServed]
    return Match(
        f"the first {len(unserved)} connections: {reason}; served after {waited:.3g} s",
        Confidence.LIKELY,
        explains=numbers(before),
        hits=len(unserved),
        tries=len(tries),
    )


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


def _findUnmade(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    failures = [each for each in rest if each.failure]
    if not failures:
        return None
    return Match(
        f"{len(failures)} of {len(evidence.connections)}: {failures[0].failure}",
        Confidence.CERTAIN,
        [byCheck(failures)],
        numbers(failures),
        len(failures),
        len(evidence.connections),
    )


def _findUnserved(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    silent = [each for each in rest if _isUnserved(each) and not each.failure]
    if not silent:
        return None
    example = silent[0].end or f"nothing for {silent[0].silence:.3g} s"
    return Match(
        f"{len(silent)} of {len(evidence.connections)}: {example}",
        evidence=[*filter(None, [byCheck(silent), silenceOf(silent[0])])],
        explains=numbers(silent),
        hits=len(silent),
        tries=len(evidence.connections),
    )


def _isUnserved(record: ConnectionRecord) -> bool:
    """Says whether a connection was made, and no byte came of those that were due, or it was not made."""
    return bool(record.failure) or (record.isShort and not record.came and record.difference is None)


UNRESOLVED = Rule(
    "unresolved",
    Severity.FAIL,
    "the name does not resolve",
    _MEANINGS[ErrorKind.UNRESOLVED],
    "The resolver of this machine gives no address in ten seconds.",
    "Another machine's resolver may know the name.",
    _findUnresolved,
)
UNREACHABLE = Rule(
    "unreachable",
    Severity.FAIL,
    "no connection is made",
    "No client connects.",
    "Every attempt to connect failed: refused, timed out (four SYNs), unreachable, or in the TLS handshake.",
    "A service that is down for a moment looks the same.",
    _findUnreachable,
)
ADDRESS = Rule(
    "address-fails",
    Severity.WARN,
    "an address of the name does not work",
    "Clients that try this address first wait, or fail.",
    "An address of the name is tried three times, while another one works. A refused loopback address is "
    "excused, and a family without a route from this machine.",
    "Addresses may change from query to query.",
    _findAddress,
)
REFUSED_AT_FIRST = Rule(
    "refused-at-first",
    Severity.FAIL,
    "connections are refused at first, and served later",
    "A client that does not try again takes a service that is starting, or full, for one that is down.",
    "The first connections, three or more in a row, were refused or ended without an answer; all later ones, "
    "after pauses of up to four seconds, were served.",
    "A service that was started at that moment looks the same as one that was full.",
    _findRefusedAtFirst,
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
UNMADE = Rule(
    "connections-fail",
    Severity.WARN,
    "some connections are not made",
    "Some connections fail or wait.",
    "Attempts to connect that failed, while others were made.",
    "One failure may be an accident of this machine.",
    _findUnmade,
)
UNSERVED = Rule(
    "connections-unserved",
    Severity.FAIL,
    "some connections are made, and not served",
    "Some clients connect, and get no answer.",
    "No byte came back on a connection that was made, while other connections were served.",
    "A service that starts, or stops, at that moment looks the same.",
    _findUnserved,
)
