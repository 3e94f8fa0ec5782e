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
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from echo_app.text import reasonOf
from echo_app.tls.pemfiles import publicBytes

if TYPE_CHECKING:
    from OpenSSL.crypto import X509

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


class BadCredentials(ValueError):
    """A file that can't be used; the text has the reason, in one line.

    :ivar setting: the setting that names the file: ``certificate``, ``key`` or ``client-ca``.
    :ivar path: the file's path.
    """

    def __init__(self, setting: str, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.setting = setting
        self.path = path
        self.reason = reason


def readIdentity(certificate: str, key: str | None = None) -> bytes:
    """Reads a certificate chain and its key, and checks that they match.

    :param certificate: the path of the certificate chain.
    :param key: the path of the key; None is the certificate's file.
    :return: the key and the certificates, in PEM form.
    :raise BadCredentials: when one of them can't be read or used.
    """
    chain = _certificates("certificate", certificate)
    setting, path = ("certificate", certificate) if key is None else ("key", key)
    pem = _read(setting, path)
    try:
        private = load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        isEncrypted = isinstance(error, TypeError)
        reason = "the key is encrypted" if isEncrypted else "no usable private key in PEM form"
        raise BadCredentials(setting, path, reason) from error
    if publicBytes(private.public_key()) != publicBytes(chain[0].public_key()):
        raise BadCredentials(setting, path, f"not the key of {certificate}")
    return _pem(private, chain)


def readAuthorities(path: str) -> str:
    """Reads the authorities that may sign clients' certificates.

    :return: the certificates, in PEM form.
    :raise BadCredentials: when they can't be read or used.
    """
    found = _certificates("client-ca", path)
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in found)


def fingerprint(identity: bytes) -> str:
    """Returns a certificate's SHA-256 fingerprint, written as by browsers and ``openssl x509``."""
    return x509.load_pem_x509_certificate(identity).fingerprint(hashes.SHA256()).hex(":").upper()


def throwAway() -> bytes:
    """Makes a key and a self-signed certificate for ``localhost`` and the loopback addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    return _pem(key, [_leaf(key, key, _name("localhost"))])


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
    return authority.public_bytes(Encoding.PEM), _pem(key, [_leaf(key, root, name)])


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


def contexts(identity: bytes, authorities: str | None = None) -> dict[int, ssl.SSLContext]:
    """Returns the contexts of a server, by the group for the key exchange.

    With client certificates, all groups share one context with all of OpenSSL's groups: over TLS 1.2, the
    groups of a context also restrict the keys of clients' certificates.

    :param identity: a private key and its certificate chain, in PEM form.
    :param authorities: the authorities that may sign clients' certificates; None asks for no certificate.
    :raise ssl.SSLError: when OpenSSL does not take a certificate, such as one with too short a key.
    """
    if authorities is not None:
        context = _context(identity)
        context.load_verify_locations(cadata=authorities)
        context.verify_mode = ssl.CERT_REQUIRED
        return dict.fromkeys(GROUPS, context)
    made = {}
    for group, name in GROUPS.items():
        made[group] = _context(identity)
        made[group].set_ecdh_curve(name)
    return made


def _context(identity: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    # All suites are good, and the client knows which one its hardware computes fast.
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    with _file(identity) as path:
        context.load_cert_chain(path)
    return context


def subjectName(certificate: X509) -> str:
    """Returns the common name of a certificate's subject, or else the whole subject (RFC 4514)."""
    subject = certificate.to_cryptography().subject
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else subject.rfc4514_string()


@contextmanager
def _file(content: bytes) -> Iterator[str]:
    """Makes a file in memory, because Python loads keys only from files, and keys must not be on a disk."""
    descriptor = os.memfd_create("echo_app")
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _read(setting: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BadCredentials(setting, path, error.strerror or reasonOf(error)) from error


def _certificates(setting: str, path: str) -> list[x509.Certificate]:
    pem = _read(setting, path)
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise BadCredentials(setting, path, "no usable certificate in PEM form") from error


def _pem(key: PrivateKeyTypes, chain: list[x509.Certificate]) -> bytes:
    """Returns a key and its certificates in PEM form, without other contents of their files."""
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + b"".join(each.public_bytes(Encoding.PEM) for each in chain)
