"""TLS contexts, from certificate files or from a throw-away certificate.

The contexts follow Mozilla's intermediate profile (version 5.7): TLS 1.2 with forward secrecy and AEAD, TLS
1.3, and three groups for the key exchange. In Python 3.11, a context has either one group or all of
OpenSSL's. So there is a context for each group.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from echo_app.tls.credentials import UNREADABLE, asPEM

if TYPE_CHECKING:
    from echo_app.tls.revocation import Revocation

# Cipher suites of TLS 1.2: those of the profile without Diffie-Hellman parameters. OpenSSL's default suites
# of TLS 1.3 are the profile's.
CIPHERS = ":".join(
    f"ECDHE-{signature}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for signature in ("ECDSA", "RSA")
)

# Groups of the key exchange, by their number (RFC 8446, 4.2.7), with OpenSSL's names.
GROUPS = {29: "X25519", 23: "prime256v1", 24: "secp384r1"}

# The group for a client whose offer can't be read: every implementation of TLS 1.3 has it (RFC 8446, 9.1).
DEFAULT_GROUP = 23

# Where Linux shows the open descriptors of a process as files.
_DESCRIPTORS = "/proc/self/fd"

# Validity of a throw-away certificate: longer than the process is likely to run.
_VALIDITY = timedelta(days=365)

# Key usage of an authority: it signs certificates only (RFC 5280, 4.2.1.3).
_CERTIFICATE_SIGNING = x509.KeyUsage(
    key_cert_sign=True,
    crl_sign=False,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


def fingerprint(identity: bytes) -> str:
    """Returns a certificate's SHA-256 fingerprint, written as by browsers and ``openssl x509``."""
    return x509.load_pem_x509_certificate(identity).fingerprint(hashes.SHA256()).hex(":").upper()


def throwAway() -> bytes:
    """Makes a key and a self-signed certificate for ``localhost`` and the loopback addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    return asPEM(key, [_leaf(key, key, _name("localhost"))])


def throwAwayWithAuthority() -> tuple[bytes, bytes]:
    """Makes a key and a certificate as :func:`throwAway`, signed by an authority whose key is discarded.

    :return: the authority's certificate; and the key with its certificate, in PEM form.
    """
    root, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    name = _name("echo_app throw-away authority")
    authority = (
        _certificate(root, name, name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_CERTIFICATE_SIGNING, critical=True)
        .sign(root, hashes.SHA256())
    )
    return authority.public_bytes(Encoding.PEM), asPEM(key, [_leaf(key, root, name)])


def _leaf(
    key: ec.EllipticCurvePrivateKey, issuer: ec.EllipticCurvePrivateKey, name: x509.Name
) -> x509.Certificate:
    return (
        _certificate(key, _name("localhost"), name)
        .add_extension(
            x509.SubjectAlternativeName(
                [
                    x509.DNSName("localhost"),
                    *(x509.IPAddress(ip_address(host)) for host in ("127.0.0.1", "::1")),
                ]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False
        )
        .sign(issuer, hashes.SHA256())
    )


def _certificate(
    key: ec.EllipticCurvePrivateKey, subject: x509.Name, issuer: x509.Name
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # The client's clock may be behind.
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALIDITY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def contexts(
    identity: bytes,
    authorities: str | None = None,
    revocation: Revocation | None = None,
    files: tuple[str, str | None] | None = None,
) -> dict[int, ssl.SSLContext]:
    """Returns the contexts of a server, by the group for the key exchange.

    With client certificates, all groups share one context with all of OpenSSL's groups: over TLS 1.2, the
    groups of a context also restrict the keys of clients' certificates.

    :param identity: a private key and its certificate chain, in PEM form.
    :param authorities: the authorities that may sign clients' certificates; None asks for no certificate.
    :param revocation: the lists that clients' certificates are checked against; None is no check.
    :param files: the paths of the certificate and the key, for a process that has no ``/proc``, such as after
        a chroot; None raises FileNotFoundError there.
    :raise ssl.SSLError: when OpenSSL does not take a certificate, such as one with too short a key.
    """
    if authorities is not None:
        context = _context(identity, files)
        context.load_verify_locations(cadata=authorities)
        context.verify_mode = ssl.CERT_REQUIRED
        if revocation is not None:
            _check(context, revocation)
        return dict.fromkeys(GROUPS, context)
    made = {}
    for group, name in GROUPS.items():
        made[group] = _context(identity, files)
        made[group].set_ecdh_curve(name)
    return made


def _check(context: ssl.SSLContext, revocation: Revocation) -> None:
    isForChain = revocation.isForChain
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN if isForChain else ssl.VERIFY_CRL_CHECK_LEAF
    try:
        # Python takes lists from a file only.
        with _file(revocation.pem) as path:
            context.load_verify_locations(path)
    except FileNotFoundError:
        for path in revocation.paths:
            context.load_verify_locations(path)


def contextWithoutSessions(shared: ssl.SSLContext) -> ssl.SSLContext:
    """Returns a context for one connection, whose client's certificate is always checked in full.

    OpenSSL resumes a session without a check of the client's certificate, and then knows neither its chain
    nor whether it is still valid. Without tickets, clients still resume sessions of TLS 1.2 by their number,
    and no public setting of Python's turns that off. A session belongs to the context in which its handshake
    began. So each handshake begins in a new context, and goes on in the shared one, which has the
    certificates. The new context takes 0.14 ms and 8 KiB.

    :param shared: a context of :func:`contexts`, with authorities.
    """
    context = _emptyContext()
    context.verify_mode = shared.verify_mode
    context.verify_flags = shared.verify_flags
    # Without tickets, there are no sessions to resume over TLS 1.3.
    context.num_tickets = 0
    # OpenSSL calls this for each ClientHello, with a server's name or without.
    context.sni_callback = lambda tls, _name, _context: setattr(tls, "context", shared)
    return context


def _emptyContext() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    # All suites are good, and the client knows which one its hardware computes fast.
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    return context


def _context(identity: bytes, files: tuple[str, str | None] | None) -> ssl.SSLContext:
    context = _emptyContext()
    try:
        with _file(identity) as path:
            context.load_cert_chain(path)
    except FileNotFoundError:
        if files is None:
            raise
        # The empty password stops OpenSSL from asking for one on the terminal.
        context.load_cert_chain(*files, password="")
    return context


def subjectName(tls: ssl.SSLObject) -> str | None:
    """Returns the common name in the subject of a peer's verified certificate, or else the whole subject.

    The package cryptography rejects certificates that OpenSSL accepts, such as those with a name in Latin-1.
    There the text is OpenSSL's.

    :return: the whole subject in the form of RFC 4514; None without a certificate.
    """
    der = tls.getpeercert(binary_form=True)
    if der is None:
        return None
    try:
        subject = x509.load_der_x509_certificate(der).subject
        names = [each.value for each in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        return str(names[0]) if names else subject.rfc4514_string()
    except UNREADABLE:
        found: Any = (tls.getpeercert() or {}).get("subject", ())
        # A BIT STRING comes as bytes.
        pairs: list[tuple[str, str]] = [(name, str(value)) for each in found for name, value in each]
        return dict(reversed(pairs)).get("commonName", ",".join(map("=".join, pairs)))


@contextmanager
def _file(content: bytes) -> Iterator[str]:
    """Makes a file in memory, because Python loads keys only from files, and keys must not be on a disk."""
    descriptor = os.memfd_create("echo_app")
    try:
        os.write(descriptor, content)
        yield f"{_DESCRIPTORS}/{descriptor}"
    finally:
        os.close(descriptor)
