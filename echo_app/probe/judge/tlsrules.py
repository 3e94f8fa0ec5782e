"""Rules about TLS: handshakes that fail or are slow, ALPN, resumption, client certificates, and ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.handshake import FAILURES
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.judge.certificaterules import handshakesOf
from echo_app.probe.judge.finding import Confidence, Match, Rule, byCheck, numbers
from echo_app.probe.net.errors import ErrorKind, Reason
from echo_app.probe.results.severity import Severity
from echo_app.probe.results.statistics import milliseconds
from echo_app.text import quoted

# A handshake is one round trip, or two in TLS 1.2 (RFC 8446, 2), and some milliseconds of computing. Seconds, and
# times the time to connect, from which on it is slow.
SLOW, TIMES = 0.1, 4.0

# Handshakes at the least, for their time.
_FEW = 3

# OpenSSL's words for a record whose bytes were changed (RFC 8446, 5.2), and for alerts (RFC 8446, 6.2).
_CHANGED = ("bad record mac", "bad_record_mac", "decryption failed")
_NO_PROTOCOL = "no application protocol"
_FAILURE_ALERT = "handshake failure"


def _kindOf(reason: Reason | None) -> ErrorKind | None:
    return reason.kind if reason else None


def _tried(evidence: Evidence) -> list[ConnectionRecord]:
    """Returns the connections that tried a handshake."""
    return [each for each in evidence.connections if each.shaken is not None or _isShakingFailure(each)]


def _isShakingFailure(record: ConnectionRecord) -> bool:
    return _kindOf(record.failure) in FAILURES


def _failures(found: Sequence[ConnectionRecord], evidence: Evidence) -> Match:
    """Returns the match of handshakes that failed."""
    tried = len(_tried(evidence))
    reasons = Counter(str(each.failure) for each in found)
    said = ", ".join(f"{count} of {tried} {reason}" for reason, count in reasons.most_common())
    return Match(said, Confidence.CERTAIN, [byCheck(found)], numbers(found), len(found), tried)


def _findPlain(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    found = [each for each in rest if _kindOf(each.failure) is ErrorKind.NO_TLS]
    return _failures(found, evidence) if found else None


def _findRequired(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    return None if evidence.target.tls.certificate else _clientCertificate(evidence, rest)


def _findRefused(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    return _clientCertificate(evidence, rest) if evidence.target.tls.certificate else None


def _clientCertificate(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds alerts about our certificate: in the handshake, or under TLS 1.3 at the first read."""
    seen = handshakesOf(evidence)
    found = {each.number: reason for each in rest if (reason := _alertOf(each, seen.asks))}
    if not found:
        return None
    reason, _ = Counter(map(str, found.values())).most_common(1)[0]
    return Match(
        f"{len(found)} of {len(evidence.connections)} connections; {reason}",
        Confidence.LIKELY if _FAILURE_ALERT in reason else Confidence.CERTAIN,
        [
            byCheck(each for each in rest if each.number in found),
            *(["the server asks for a certificate"] if seen.asks else []),
        ],
        found,
        len(found),
        len(evidence.connections),
    )


def _alertOf(record: ConnectionRecord, isAsked: bool) -> Reason | None:
    """Returns the alert about a client's certificate that ended a connection; None if there was none.

    :param isAsked: the server asks for a certificate. One of TLS 1.2 says no more than that the handshake fails.
    """
    for reason in (record.failure, record.end):
        if reason is None:
            continue
        if reason.kind is ErrorKind.CERTIFICATE_REFUSED:
            return reason
        if isAsked and reason.kind is ErrorKind.TLS and _FAILURE_ALERT in reason.detail:
            return reason
    return None


def _findALPNRefused(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    found = [each for each in rest if each.failure and _NO_PROTOCOL in each.failure.detail]
    return _failures(found, evidence) if found else None


def _findALPNIgnored(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen, offered = handshakesOf(evidence), evidence.target.tls.protocols
    if seen.agreement is None or not offered or seen.agreement.protocol in offered:
        return None
    names = ", ".join(quoted(each.encode()) for each in offered)
    return Match(f"{names} offered, none chosen")


def _findHandshake(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    found = [each for each in rest if _isShakingFailure(each)]
    if not found or any(each.shaken is not None for each in evidence.connections):
        return None
    return _failures(found, evidence)


def _findChanged(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds connections that one of both ends gave up, as a record was not what the other end had sent."""
    found = [each for each in rest if _isChanged(each)]
    if not found:
        return None
    first = found[0]
    return Match(
        f"{len(found)} of {len(evidence.connections)} connections; {first.end or first.failure}, after "
        f"{first.came:,} B",
        Confidence.CERTAIN,
        [byCheck(found)],
        numbers(found),
        len(found),
        len(evidence.connections),
    )


def _isChanged(record: ConnectionRecord) -> bool:
    reasons = (record.failure, record.end)
    return any(
        reason is not None and reason.kind is ErrorKind.TLS and any(each in reason.detail for each in _CHANGED)
        for reason in reasons
    )


def _findSlow(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds handshakes that all are slow: the fastest one is compared, as a busy machine slows some."""
    times = [
        (each.shaken - each.connected, each.connected)
        for each in evidence.of("connect") or evidence.of("tls")
        if each.shaken is not None and each.connected is not None
    ]
    if len(times) < _FEW:
        return None
    fastest, connecting = min(took for took, _ in times), median(before for _, before in times)
    if fastest < SLOW or fastest < TIMES * connecting:
        return None
    return Match(
        f"{milliseconds(fastest)} at the least in {len(times)} handshakes, {milliseconds(connecting)} to connect",
        Confidence.LIKELY,
        hits=len(times),
        tries=len(times),
    )


def _findNotResumed(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = handshakesOf(evidence)
    again = seen.resumed.count(False)
    if not again:
        return None
    tries = len(seen.resumed)
    return Match(
        f"{again} of {tries} connections with a ticket shake hands in full",
        Confidence.LIKELY,
        hits=again,
        tries=tries,
        meaning="" if again == tries else "Some backends do not know the tickets of others.",
    )


def _findResumptionRefused(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = handshakesOf(evidence)
    if not seen.refusals:
        return None
    tries = len(seen.refusals) + len(seen.resumed)
    refused = [each for each in rest if each.check == "tls" and _isShakingFailure(each)]
    return Match(
        f"{len(seen.refusals)} of {tries} connections with a ticket: {seen.refusals[0]}",
        Confidence.CERTAIN if len(seen.refusals) > 1 else Confidence.LIKELY,
        explains=numbers(refused),
        hits=len(seen.refusals),
        tries=tries,
    )


def _findAmbiguousEnd(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds ends without close_notify.

    One FIN without ``close_notify`` is enough, as only software makes it. A reset, or no end, may be an
    accident, unless every connection has it.
    """
    seen = handshakesOf(evidence)
    if not seen.ends:
        return None
    kinds = [end.kind if end else ErrorKind.NO_END for end in seen.ends]
    if truncated := kinds.count(ErrorKind.TRUNCATED):
        return Match(f"{truncated} of {len(kinds)}: {ErrorKind.TRUNCATED}", hits=truncated, tries=len(kinds))
    if ErrorKind.CLOSE_NOTIFY not in kinds:
        return Match(f"{len(kinds)} of {len(kinds)}: {seen.ends[-1] or ErrorKind.NO_END}", tries=len(kinds))
    return None


PLAIN = Rule(
    "service-is-plain",
    Severity.FAIL,
    "the service does not speak TLS",
    "No client of TLS connects.",
    "The first bytes of the server are no TLS record (RFC 8446, 5.1); HTTP, SSH, and our own bytes are named.",
    "Never for the first bytes. What stands before the service may have sent them.",
    _findPlain,
)
_ALERTS = "The server's alert (RFC 8446, 6.2), in the handshake, or under TLS 1.3 at the first read"
_VAGUE = (
    "A TLS 1.2 server may say only that the handshake fails; that counts if the server asks for a certificate."
)
CLIENT_CERTIFICATE_REQUIRED = Rule(
    "client-certificate-required",
    Severity.FAIL,
    "the service requires a client certificate",
    "Clients without a certificate are not served.",
    _ALERTS + ", without --cert.",
    _VAGUE,
    _findRequired,
)
CLIENT_CERTIFICATE_REFUSED = Rule(
    "client-certificate-refused",
    Severity.FAIL,
    "the service refuses our client certificate",
    "Clients with this certificate are not served.",
    _ALERTS + ", with --cert.",
    _VAGUE,
    _findRefused,
)
ALPN_REFUSED = Rule(
    "alpn-refused",
    Severity.FAIL,
    "the service refuses the offered protocols",
    "Clients that offer only these protocols do not connect (RFC 7301, 3.2).",
    "With --alpn: the handshake ends with the alert no_application_protocol.",
    "Never: only this alert is looked for.",
    _findALPNRefused,
)
ALPN_IGNORED = Rule(
    "alpn-ignored",
    Severity.WARN,
    "the service chooses none of the offered protocols",
    "Clients that need the protocol give up, or speak another one.",
    "With --alpn: the handshake is complete, and no protocol is agreed on (RFC 7301).",
    "What ends TLS before the service may not know its protocols.",
    _findALPNIgnored,
)
HANDSHAKE = Rule(
    "handshake-fails",
    Severity.FAIL,
    "no TLS handshake succeeds",
    "No client connects.",
    "Every handshake was ended, reset, not answered, or failed for another reason that OpenSSL names.",
    "A service that is full for a moment looks the same, and a service that wants a PROXY header first.",
    _findHandshake,
)
CHANGED = Rule(
    "records-changed",
    Severity.FAIL,
    "TLS records are changed",
    "Something on the way changes data. TLS sees it, and ends the connection.",
    "A record did not match its checksum (bad_record_mac), here or at the far end.",
    "A fault in the TLS of either end looks the same. An echo can't tell on which way they were changed.",
    _findChanged,
)
SLOW_HANDSHAKE = Rule(
    "handshake-slow",
    Severity.WARN,
    "TLS handshakes are slow",
    "Each new connection waits: a slow server, or one that asks others, such as about a certificate (OCSP).",
    "The fastest handshake, of three or more, takes 100 ms, and four times the median time to connect.",
    "What accepts connections near here, in place of a far service, looks the same.",
    _findSlow,
)
NOT_RESUMED = Rule(
    "no-resumption",
    Severity.WARN,
    "sessions are not resumed",
    "Each connection costs a whole handshake: the server forgets its keys, or backends do not share them.",
    "The server gives a ticket, and does not take it in up to three connections that follow (RFC 8446, 4.6.1).",
    "A server may refuse a ticket for reasons of its own, such as a restart.",
    _findNotResumed,
)
RESUMPTION_REFUSED = Rule(
    "resumption-refused",
    Severity.FAIL,
    "connections with a ticket are refused",
    "Clients that resume a session do not connect; those that try again without one do.",
    "Connections that offer the server's ticket fail in the handshake, and others do not.",
    "A failure may be an accident, if it is one.",
    _findResumptionRefused,
)
AMBIGUOUS_END = Rule(
    "no-close-notify",
    Severity.WARN,
    "TLS connections end without close_notify",
    "Clients can't tell the end of an answer from a cut (RFC 8446, 6.1).",
    "A connection that had sent close_notify was ended by FIN alone; or all were reset, or did not end.",
    "If no echo came back, the end is not looked at.",
    _findAmbiguousEnd,
)
