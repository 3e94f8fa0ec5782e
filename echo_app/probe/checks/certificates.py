"""Certificates in words: subjects, issuers, dates and names, which their maker chose."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from echo_app.text import escaped

# In place of a name that is not encoded as its type says.
_UNREADABLE = "a name that can't be read"


def subjectOf(certificate: x509.Certificate) -> str:
    """Returns the subject's common name in quotes, or the whole subject without one."""
    try:
        return _nameOf(certificate.subject)
    except ValueError:
        return _UNREADABLE


def issuerOf(certificate: x509.Certificate) -> str:
    """Returns the issuer's common name in quotes, or the whole issuer without one."""
    try:
        return _nameOf(certificate.issuer)
    except ValueError:
        return _UNREADABLE


def _nameOf(name: x509.Name) -> str:
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return f"'{escaped(str(common[-1].value) if common else name.rfc4514_string())}'"


def namesOf(certificate: x509.Certificate) -> list[str]:
    """Returns the hosts that a certificate names."""
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    addresses = [str(each) for each in alternatives.get_values_for_type(x509.IPAddress)]
    return alternatives.get_values_for_type(x509.DNSName) + addresses


def isIssuedBy(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Says whether a certificate names another one, or itself, as its issuer."""
    try:
        return certificate.issuer == issuer.subject
    except ValueError:
        return False


def namesIssuersAddress(certificate: x509.Certificate) -> bool:
    """Says whether a certificate has the address of its issuer's certificate (caIssuers, RFC 5280, 4.2.2.1).

    Certificates by an authority below a root have it, for clients that look for what is not sent.
    """
    try:
        found = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    return any(each.access_method == AuthorityInformationAccessOID.CA_ISSUERS for each in found)


def described(certificate: x509.Certificate) -> dict[str, str]:
    """Returns subject, issuer and dates for JSON."""
    return {
        "subject": subjectOf(certificate),
        "issuer": issuerOf(certificate),
        "from": certificate.not_valid_before_utc.isoformat(),
        "until": certificate.not_valid_after_utc.isoformat(),
    }


def lineOf(certificate: x509.Certificate) -> str:
    """Returns subject, issuer and dates in a line."""
    since, until = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    dates = f"{since:%Y-%m-%d} to {until:%Y-%m-%d}"
    return f"{subjectOf(certificate)} by {issuerOf(certificate)}, {dates}"
