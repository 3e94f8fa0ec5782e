"""Rules about reaching the service: names, addresses, and connections that are not made."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.reach import IN_A_ROW, Addresses, Connects
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.judge.finding import Confidence, Match, Rule, byCheck, numbers
from echo_app.probe.judge.silencerules import silenceOf, thenOf
from echo_app.probe.net.errors import ErrorKind, Reason
from echo_app.probe.results.severity import Severity

# A host without a family's route says one of these, without asking anybody: it is no finding about the path.
_LOCAL = (ErrorKind.UNREACHABLE, ErrorKind.NO_LOCAL_ADDRESS)

# Connections in a row, and seconds, for a time in which all are refused.
IN_BAN, BAN = 10, 2.0

_MEANINGS = {
    ErrorKind.REFUSED: "No server listens there, or a firewall refuses it.",
    ErrorKind.UNRESOLVED: "No client that uses this name gets anywhere.",
    ErrorKind.CONNECT_TIMED_OUT: (
        "Packets are dropped on the way, or the host is down, or it does not accept."
    ),
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
    if len(unserved) < IN_A_ROW or any(each.difference for each in unserved):
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


def _findBanned(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds a time in which every connection is refused, and before and after which they are served."""
    ordered = sorted(
        (each for each in evidence.connections if each.check != "resolve"), key=lambda each: each.began
    )
    served = [n for n, each in enumerate(ordered) if each.isServed]
    for before, after in pairwise(served):
        refused = [each for each in ordered[before + 1 : after] if _isRefused(each)]
        seconds = ordered[after].began - refused[0].began if refused else 0.0
        if len(refused) < IN_BAN or seconds < BAN:
            continue
        if refused[-1].began - refused[0].began < seconds / 2:
            # The probe itself has paused before the next one.
            continue
        reason = refused[0].failure or refused[0].end
        return Match(
            f"{len(refused)} connections in a row, for up to {seconds:.2g} s: {reason}",
            Confidence.LIKELY,
            [byCheck(refused), f"{refused[0].began:.3g} s after the examination began"],
            numbers(each for each in rest if _isRefused(each)),
            len(refused),
            len(evidence.connections),
        )
    return None


def _isRefused(record: ConnectionRecord) -> bool:
    reason = record.failure or record.end
    return (
        not record.isServed and record.difference is None and reason is not None and not reason.kind.isTimeOut
    )


def _findUnserved(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    silent = [each for each in rest if each.isShort and not each.came and each.difference is None]
    if not silent:
        return None
    return Match(
        f"{len(silent)} of {len(evidence.connections)}: {thenOf(silent[0])}",
        evidence=[*filter(None, [byCheck(silent), silenceOf(silent[0])])],
        explains=numbers(silent),
        hits=len(silent),
        tries=len(evidence.connections),
    )


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
BANNED = Rule(
    "refused-for-a-while",
    Severity.FAIL,
    "all connections are refused for a while",
    "Clients that connect often are shut out: a ban, or a limit on the rate of connections.",
    "Ten connections in a row, over two seconds and more, are refused or ended without an answer; those "
    "before and after them are served.",
    "A service that restarts at that moment looks the same.",
    _findBanned,
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
