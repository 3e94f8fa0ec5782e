"""Rules about TLS: certificates, and ends."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.handshake import Handshakes, namesOf
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.judge.finding import Match, Rule
from echo_app.probe.net.errors import ErrorKind
from echo_app.probe.results.severity import Severity
from echo_app.targets import isLiteral
from echo_app.text import quoted

# A certificate that ends sooner should have been replaced: automatic renewal begins 30 days before.
SOON = timedelta(days=14)


def _seen(evidence: Evidence) -> Handshakes | None:
    seen = evidence.observations.get("tls")
    return seen if isinstance(seen, Handshakes) and seen.agreement is not None else None


def _findDistrusted(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = _seen(evidence)
    if seen is None:
        return None
    certificate = seen.certificate
    if certificate is None:
        return Match("no certificate that can be read")
    if seen.now < certificate.not_valid_before_utc:
        return Match(f"the certificate is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}")
    if seen.now > certificate.not_valid_after_utc:
        return Match(f"the certificate has expired on {certificate.not_valid_after_utc:%Y-%m-%d}")
    try:
        verify = verify_certificate_ip_address if isLiteral(seen.name) else verify_certificate_hostname
        verify(certificate, seen.name)
    except (VerificationError, CertificateError, ValueError):
        names = ", ".join(quoted(each.encode()) for each in namesOf(certificate)) or "no host"
        return Match(f"the certificate names {names}, not {seen.name}")
    return None


def _findExpiring(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = _seen(evidence)
    if seen is None or seen.certificate is None:
        return None
    left = seen.certificate.not_valid_after_utc - seen.now
    return Match(f"the certificate ends in {left.days} days") if timedelta(0) <= left < SOON else None


def _findAmbiguousEnd(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds ends without close_notify.

    One FIN without ``close_notify`` is enough, as only software makes it. A reset, or no end, may be an
    accident, unless every connection has it.
    """
    seen = _seen(evidence)
    if seen is None or not seen.ends:
        return None
    kinds = [end.kind if end else ErrorKind.NO_END for end in seen.ends]
    if truncated := kinds.count(ErrorKind.TRUNCATED):
        return Match(f"{truncated} of {len(kinds)}: {ErrorKind.TRUNCATED}", hits=truncated, tries=len(kinds))
    if ErrorKind.CLOSE_NOTIFY not in kinds:
        return Match(f"{len(kinds)} of {len(kinds)}: {seen.ends[-1] or ErrorKind.NO_END}", tries=len(kinds))
    return None


DISTRUSTED = Rule(
    "certificate-distrusted",
    Severity.WARN,
    "the certificate is not valid for this name now",
    "Clients that check certificates do not connect.",
    "Dates and names of the server's certificate. One that no authority signed makes no connection, unless "
    "--insecure is given.",
    "The clock of this machine may be wrong.",
    _findDistrusted,
)
EXPIRING = Rule(
    "certificate-expires",
    Severity.WARN,
    "the certificate expires soon",
    "Clients will soon not connect any more.",
    "The certificate's last day is within 14 days: automatic renewal begins 30 days before.",
    "The clock of this machine may be wrong.",
    _findExpiring,
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
