"""Rules about certificates of servers: those that clients do not accept, and those that they soon will not.

A connection that is refused says why in OpenSSL's words (X509_verify_cert_error_string(3)), and each reason
is a cause. Connections of ``--insecure`` are made whatever the certificate is. The rules look at its dates
and names then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta

from cryptography import x509
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address

from echo_app.probe.checks.certificates import (
    isIssuedBy,
    issuerOf,
    lineOf,
    namesIssuersAddress,
    namesOf,
    subjectOf,
)
from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.handshake import Handshakes
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.judge.finding import Confidence, Find, Match, Rule, numbers
from echo_app.probe.net.errors import ErrorKind
from echo_app.probe.results.severity import Severity
from echo_app.targets import isLiteral
from echo_app.text import quoted

# A certificate that ends sooner should have been replaced: automatic renewal begins 30 days before.
SOON = timedelta(days=14)

# OpenSSL's words for a reason, and the cause. Other words are of a certificate that is not trusted.
_REASONS = (
    (re.compile("has expired"), "certificate-expired"),
    (re.compile("not yet valid"), "certificate-not-yet-valid"),
    (re.compile("mismatch"), "certificate-name"),
)
_OWN, _PRIVATE = re.compile("self.signed certificate$"), re.compile("self.signed certificate in")
_NO_ISSUER = re.compile("issuer certificate|verify the first certificate")

_CHAIN = "the server sends"


def handshakesOf(evidence: Evidence) -> Handshakes:
    """Returns what the check ``tls`` has seen; nothing, where it did not run."""
    seen = evidence.observations.get("tls")
    return seen if isinstance(seen, Handshakes) else Handshakes()


def _chainLines(seen: Handshakes) -> list[str]:
    if not seen.chain:
        return ["the chain is not known"]
    return [f"{_CHAIN} {lineOf(each)}" for each in seen.chain]


def _refused(records: Sequence[ConnectionRecord]) -> list[ConnectionRecord]:
    """Returns the connections whose handshake was ended by us, because of the certificate."""
    return [each for each in records if each.failure and each.failure.kind is ErrorKind.CERTIFICATE]


def _wordsOf(record: ConnectionRecord) -> str:
    return record.failure.detail if record.failure else ""


def _causeOf(record: ConnectionRecord, seen: Handshakes) -> str:
    words = _wordsOf(record)
    found = next((cause for pattern, cause in _REASONS if pattern.search(words)), "")
    return found or ("chain-incomplete" if _isIncomplete(words, seen) else "certificate-untrusted")


def _isIncomplete(words: str, seen: Handshakes) -> bool:
    """Says whether the issuer of the server's certificate is not sent, and is no root.

    A root need not be sent (RFC 8446, 4.4.2). So the other certificates that are sent, or the address of the
    issuer's certificate, must tell that there is one between.
    """
    if not (_NO_ISSUER.search(words) and seen.chain):
        return False
    first, *others = seen.chain
    if any(isIssuedBy(first, each) for each in seen.chain):
        return False
    return bool(others) or namesIssuersAddress(first)


def _observed(evidence: Evidence) -> tuple[str, str]:
    """Returns the cause for which clients refuse the certificate of connections that are made, and words."""
    seen = handshakesOf(evidence)
    certificate = seen.certificate
    if seen.agreement is None:
        return "", ""
    if certificate is None:
        return "certificate-untrusted", "no certificate that can be read"
    if seen.now < certificate.not_valid_before_utc:
        return "certificate-not-yet-valid", _begins(certificate)
    if seen.now > certificate.not_valid_after_utc:
        return "certificate-expired", _ended(certificate)
    try:
        verify = verify_certificate_ip_address if isLiteral(seen.name) else verify_certificate_hostname
        verify(certificate, seen.name)
    except (VerificationError, CertificateError, ValueError):
        return "certificate-name", _named(seen, certificate)
    return "", ""


def _begins(certificate: x509.Certificate) -> str:
    return f"the certificate is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}"


def _ended(certificate: x509.Certificate) -> str:
    return f"the certificate has expired on {certificate.not_valid_after_utc:%Y-%m-%d}"


def _named(seen: Handshakes, certificate: x509.Certificate) -> str:
    names = ", ".join(quoted(each.encode()) for each in namesOf(certificate)) or "no host"
    return f"the certificate names {names}, not {seen.name}"


def _described(cause: str, words: str, seen: Handshakes) -> str:
    """Returns what is wrong with a refused certificate; OpenSSL's words, where it is not known better."""
    certificate = seen.certificate
    if certificate is None:
        return words
    if cause == "certificate-not-yet-valid" and seen.now < certificate.not_valid_before_utc:
        return _begins(certificate)
    if cause == "certificate-expired" and seen.now > certificate.not_valid_after_utc:
        return _ended(certificate)
    if cause == "certificate-name":
        return _named(seen, certificate)
    if cause == "chain-incomplete":
        return f"the certificate of {issuerOf(certificate)}, which has signed it, is not sent"
    if cause == "certificate-untrusted":
        return _untrusted(words, seen, certificate)
    return words


def _untrusted(words: str, seen: Handshakes, certificate: x509.Certificate) -> str:
    if _OWN.search(words):
        return f"{subjectOf(certificate)} has signed itself"
    if _PRIVATE.search(words) and seen.chain:
        return f"the chain ends in the private authority {subjectOf(seen.chain[-1])}"
    if _NO_ISSUER.search(words):
        last = seen.chain[-1] if seen.chain else certificate
        return f"the authority {issuerOf(last)} is not known here"
    return words


def _hints(cause: str, words: str, seen: Handshakes) -> list[str]:
    """Returns what else may be the reason."""
    if cause != "certificate-untrusted" or _OWN.search(words):
        return []
    if not (_PRIVATE.search(words) or _NO_ISSUER.search(words)):
        return []
    hints = ["possible: a proxy that intercepts TLS, with an authority of its own; --ca names one to trust"]
    if len(seen.chain) == 1:
        hints.append(
            "possible: an incomplete chain, as the server sends no certificate but its own; a root need not "
            "be sent"
        )
    return hints


def _certificate(cause: str) -> Find:
    """Returns the function that finds certificates which clients refuse for one cause."""

    def find(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
        seen = handshakesOf(evidence)
        refused = [each for each in _refused(rest) if _causeOf(each, seen) == cause]
        if refused:
            words = _wordsOf(refused[0])
            tried = [each for each in evidence.connections if each.failure or each.shaken is not None]
            return Match(
                f"{_described(cause, words, seen)}; {len(refused)} of {len(tried)} connections",
                Confidence.LIKELY if cause == "chain-incomplete" else Confidence.CERTAIN,
                [f"OpenSSL: {words}", *_chainLines(seen), *_hints(cause, words, seen)],
                numbers(refused),
                len(refused),
                len(tried),
            )
        observed, said = _observed(evidence)
        if observed != cause:
            return None
        return Match(said, evidence=_chainLines(seen), severity=Severity.WARN)

    return find


def _findEndsSoon(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = handshakesOf(evidence)
    chain = seen.chain or [each for each in (seen.certificate,) if each is not None]
    ending = [each for each in chain if timedelta(0) <= each.not_valid_after_utc - seen.now < SOON]
    if not ending or seen.agreement is None:
        return None
    first = min(ending, key=lambda each: each.not_valid_after_utc)
    days = (first.not_valid_after_utc - seen.now).days
    which = "the certificate" if first is chain[0] else f"the chain's certificate {subjectOf(first)}"
    return Match(f"{which} ends in {days} days", evidence=_chainLines(seen))


def _findIntercepted(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    if evidence.baseline is None:
        return None
    own, direct = handshakesOf(evidence).certificate, handshakesOf(evidence.baseline).certificate
    if own is None or direct is None or issuerOf(own) == issuerOf(direct):
        return None
    return Match(
        f"{issuerOf(own)} has signed the certificate, directly {issuerOf(direct)}",
        Confidence.LIKELY,
        [lineOf(own), f"directly: {lineOf(direct)}"],
    )


def _rule(cause: str, title: str, meaning: str, observation: str, errs: str) -> Rule:
    return Rule(cause, Severity.FAIL, title, meaning, observation, errs, _certificate(cause), ("tls",))


_MEANING = "Clients that check certificates do not connect."
_INSECURE = " With --insecure connections are made, and it is a warning."
_CLOCK = "The clock of this machine may be wrong."

EXPIRED = _rule(
    "certificate-expired",
    "the certificate has expired",
    _MEANING,
    "A certificate of the chain is refused for its last day." + _INSECURE,
    _CLOCK,
)
NOT_YET_VALID = _rule(
    "certificate-not-yet-valid",
    "the certificate is not valid yet",
    _MEANING,
    "A certificate of the chain is refused for its first day." + _INSECURE,
    _CLOCK,
)
NAME = _rule(
    "certificate-name",
    "the certificate is for another name",
    _MEANING,
    "The certificate does not name the host, or the name that --sni gives." + _INSECURE,
    "A service with several names may choose its certificate by --sni.",
)
INCOMPLETE = _rule(
    "chain-incomplete",
    "a certificate between the server's and a root is not sent",
    "Clients that do not have it from elsewhere do not connect; browsers often have it.",
    "The issuer's certificate is neither sent nor known here. Others are sent, or the server's has the "
    "address of its issuer's (caIssuers).",
    "The issuer may be a root that is not trusted here.",
)
UNTRUSTED = _rule(
    "certificate-untrusted",
    "the certificate is not trusted",
    _MEANING,
    "The certificate has signed itself, or its chain ends in an authority that is not known here.",
    "A private authority, a proxy that intercepts TLS, and a chain of which only the first certificate is "
    "sent look alike.",
)
ENDS_SOON = Rule(
    "certificate-ends-soon",
    Severity.WARN,
    "the certificate expires soon",
    "Clients will soon not connect any more.",
    "The last day of a certificate of the chain is within 14 days: automatic renewal begins 30 days before.",
    _CLOCK,
    _findEndsSoon,
    ("tls",),
)
INTERCEPTED = Rule(
    "intercepted",
    Severity.FAIL,
    "another authority signs the certificate than on the direct route",
    "Something on the way ends TLS, and reads everything.",
    "With --baseline: the issuers of both certificates differ.",
    "The direct route may lead to another server, with a certificate of its own.",
    _findIntercepted,
    ("tls",),
)
