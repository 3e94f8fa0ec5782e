"""Certificate revocation lists (CRL, RFC 5280, 5) of the authorities that sign clients' certificates.

OpenSSL refuses every client of an authority whose list can't be used: one that has expired, is not signed by
it, or holds for a part of its certificates. So such a list is an error when it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from echo_app.tls.credentials import UNREADABLE, BadCredentials, parseCertificates, readPEM
from echo_app.tls.validity import Deadline, dateOf, nameOf

_LIST = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.S)

# The effect of a list's end, as OpenSSL has it.
_CLOSED = "no client with a certificate of this authority is admitted until the file has a new list"


@dataclass(frozen=True, slots=True)
class Revocation:
    """The revocation lists that clients' certificates are checked against.

    :param pem: the lists, in PEM form.
    :param paths: the files that they are from.
    :param isForChain: there is a list of each authority, and each certificate of a chain is checked;
        otherwise only the client's own certificate is.
    :param deadlines: when they expire.
    :param warnings: lines for the operator.
    """

    pem: bytes
    paths: tuple[str, ...]
    isForChain: bool
    deadlines: tuple[Deadline, ...]
    warnings: tuple[str, ...]


def readRevocation(clientCA: str, crl: str | None, now: datetime) -> Revocation | None:
    """Reads the revocation lists in the file of the authorities, and in a file of their own.

    :param clientCA: the path of the authorities.
    :param crl: the path of the lists; None is no such file.
    :return: None if there are no lists.
    :raise BadCredentials: when a list can't be used.
    """
    pem = readPEM("client-ca", clientCA)
    authorities = parseCertificates("client-ca", clientCA, pem)
    lists = [("client-ca", clientCA, each) for each in _parsed("client-ca", clientCA, pem)]
    if crl is not None:
        own = [("client-crl", crl, each) for each in _parsed("client-crl", crl, readPEM("client-crl", crl))]
        if not own:
            raise BadCredentials("client-crl", crl, "no usable CRL in PEM form")
        lists += own
    if not lists:
        return None
    try:
        subjects = [each.subject for each in authorities]
    except UNREADABLE as error:
        raise BadCredentials("client-ca", clientCA, "the name of an authority can't be read") from error
    for setting, path, each in lists:
        reason = _defectOf(each, authorities, now)
        if reason is not None:
            raise BadCredentials(setting, path, f"the CRL of {nameOf(each.issuer)} {reason}")
    issuers = {each.issuer for _, _, each in lists}
    without = [nameOf(each) for each in subjects if each not in issuers]
    return Revocation(
        b"".join(each.public_bytes(Encoding.PEM) for _, _, each in lists),
        tuple({path: None for _, path, _ in lists}),
        not without,
        tuple(
            Deadline(f"{path}: the CRL of {nameOf(each.issuer)}", each.next_update_utc, _CLOSED)
            for _, path, each in lists
            if each.next_update_utc is not None
        ),
        tuple(f"{clientCA}: no CRL of {name}: a certificate that it signed is refused" for name in without),
    )


def _parsed(setting: str, path: str, pem: bytes) -> Iterator[x509.CertificateRevocationList]:
    for block in _LIST.findall(pem):
        try:
            yield x509.load_pem_x509_crl(block)
        except UNREADABLE as error:
            raise BadCredentials(setting, path, "no usable CRL in PEM form") from error


def _defectOf(
    crl: x509.CertificateRevocationList, authorities: list[x509.Certificate], now: datetime
) -> str | None:
    """Returns why OpenSSL would refuse all clients over a list; None if it would not."""
    signers = [each for each in authorities if each.subject == crl.issuer]
    if not signers:
        return "is of no authority in --client-ca"
    if not any(_isSignedBy(crl, each) for each in signers):
        return "is not signed by this authority, or with a key that may not sign CRLs"
    if any(each.critical for each in crl.extensions):
        return "holds for a part of the certificates only, or changes another list"
    if crl.last_update_utc > now:
        return f"is not valid before {dateOf(crl.last_update_utc)}"
    if crl.next_update_utc is not None and crl.next_update_utc <= now:
        return f"has expired, on {dateOf(crl.next_update_utc)}"
    return None


def _isSignedBy(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    try:
        usage = authority.extensions.get_extension_for_class(x509.KeyUsage).value
        if not usage.crl_sign:
            return False
    except x509.ExtensionNotFound:
        # Without this extension a key may sign everything (RFC 5280, 4.2.1.3).
        pass
    except UNREADABLE:
        return False
    try:
        return crl.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
    except UNREADABLE:
        return False
