"""Rules about TLS that fails: handshakes that are not completed, and records that are changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.handshake import FAILURES
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.judge.certificaterules import handshakesOf
from echo_app.probe.judge.finding import Confidence, Match, Rule, byCheck, numbers
from echo_app.probe.net.errors import ErrorKind, Reason
from echo_app.probe.results.severity import Severity

# OpenSSL's words for a record whose bytes were changed (RFC 8446, 5.2), and for alerts (RFC 8446, 6.2).
_CHANGED = ("bad record mac", "decryption failed")
_NO_PROTOCOL = "no application protocol"
_FAILURE_ALERT = "handshake failure"


def _kindOf(reason: Reason | None) -> ErrorKind | None:
    return reason.kind if reason else None


def _tried(evidence: Evidence) -> list[ConnectionRecord]:
    """Returns the connections that tried a handshake."""
    return [each for each in evidence.connections if each.shaken is not None or isShakingFailure(each)]


def isShakingFailure(record: ConnectionRecord) -> bool:
    """Says whether a connection failed in its TLS handshake."""
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
    found = {each.number: alert for each in rest if (alert := _alertOf(each, seen.asks))}
    if not found:
        return None
    reason = Counter(map(str, found.values())).most_common(1)[0][0]
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

    :param isAsked: the server asks for a certificate: one of TLS 1.2 may say only that the handshake fails.
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


def _findHandshake(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    found = [each for each in rest if isShakingFailure(each)]
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
        reason is not None
        and reason.kind is ErrorKind.TLS
        and any(each in reason.detail for each in _CHANGED)
        for reason in reasons
    )


PLAIN = Rule(
    "service-is-plain",
    Severity.FAIL,
    "the service does not speak TLS",
    "No client of TLS connects.",
    "The first bytes of the server are no TLS record (RFC 8446, 5.1), such as HTTP, or our own bytes.",
    "Never for the first bytes. What stands before the service may have sent them.",
    _findPlain,
    ("tls",),
)
_ALERTS = "The server's alert (RFC 8446, 6.2), in the handshake, or under TLS 1.3 at the first read"
_VAGUE = "A TLS 1.2 server may say only that the handshake fails. It counts if the server asks for one."
CLIENT_CERTIFICATE_REQUIRED = Rule(
    "client-certificate-required",
    Severity.FAIL,
    "the service requires a client certificate",
    "Clients without a certificate are not served.",
    _ALERTS + ", without --cert.",
    _VAGUE,
    _findRequired,
    ("tls",),
)
CLIENT_CERTIFICATE_REFUSED = Rule(
    "client-certificate-refused",
    Severity.FAIL,
    "the service refuses our client certificate",
    "Clients with this certificate are not served.",
    _ALERTS + ", with --cert.",
    _VAGUE,
    _findRefused,
    ("tls",),
)
ALPN_REFUSED = Rule(
    "alpn-refused",
    Severity.FAIL,
    "the service refuses the offered protocols",
    "Clients that offer only these protocols do not connect (RFC 7301, 3.2).",
    "With --alpn: the handshake ends with the alert no_application_protocol.",
    "Never: only this alert is looked for.",
    _findALPNRefused,
    ("tls",),
)
HANDSHAKE = Rule(
    "handshake-fails",
    Severity.FAIL,
    "no TLS handshake succeeds",
    "No client connects.",
    "Every handshake was ended, reset, not answered, or failed for another reason that OpenSSL names.",
    "A service that is full for a moment looks the same, and a service that wants a PROXY header first.",
    _findHandshake,
    ("tls",),
)
CHANGED = Rule(
    "records-changed",
    Severity.FAIL,
    "TLS records are changed",
    "Something on the way changes data. TLS sees it, and ends the connection.",
    "A record did not match its checksum (bad_record_mac), here or at the far end.",
    "A fault in the TLS of either end looks the same. An echo can't tell on which way they were changed.",
    _findChanged,
    ("tls",),
)
