"""Files of keys, certificates and authorities, read and checked; an error names the file and its setting."""

from __future__ import annotations

import os

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from echo_app.filewatch import contentsOf
from echo_app.text import reasonOf
from echo_app.tls.pemfiles import publicBytes

# Errors of the package cryptography for keys and certificates that it can't read; OpenSSL reads some of them.
UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion)


class BadCredentials(ValueError):
    """A file that can't be used; the text has the reason, in one line.

    :ivar setting: the setting that names the file: ``certificate``, ``key``, ``client-ca`` or ``client-crl``;
        ``authority`` for the authorities of other servers.
    :ivar path: the file's path.
    """

    def __init__(self, setting: str, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.setting = setting
        self.path = path
        self.reason = reason


def refusePipe(setting: str, path: str) -> None:
    """Refuses a path that can't be read again: to open a pipe whose writer has gone would block.

    :raise BadCredentials: when there is something other than a file.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise BadCredentials(setting, path, "not a file")


def readIdentity(certificate: str, key: str | None = None) -> bytes:
    """Reads a certificate chain and its key, and checks that they match.

    :param certificate: the path of the certificate chain.
    :param key: the path of the key; None is the certificate's file.
    :return: the key and the certificates, in PEM form.
    :raise BadCredentials: when one of them can't be read or used.
    """
    pem = readPEM("certificate", certificate)
    chain = parseCertificates("certificate", certificate, pem)
    if b"-----BEGIN X509 CRL-----" in pem:
        raise BadCredentials(
            "certificate", certificate, "a CRL in it would not be used; --client-crl has CRLs"
        )
    setting, path = ("certificate", certificate) if key is None else ("key", key)
    keyPEM = readPEM(setting, path)
    try:
        private = load_pem_private_key(keyPEM, None)
    except UNREADABLE as error:
        isEncrypted = isinstance(error, TypeError)
        reason = "the key is encrypted" if isEncrypted else "no usable private key in PEM form"
        raise BadCredentials(setting, path, reason) from error
    public = publicBytes(private.public_key())
    try:
        isMatch = publicBytes(chain[0].public_key()) == public
    except UNREADABLE as error:
        raise BadCredentials("certificate", certificate, "no usable public key") from error
    if not isMatch and any(_hasKey(each, public) for each in chain):
        reason = "the order is wrong: the certificate of the key must be the first one"
        raise BadCredentials("certificate", certificate, reason)
    if not isMatch:
        raise BadCredentials(setting, path, f"not the key of {certificate}")
    return asPEM(private, chain)


def _hasKey(certificate: x509.Certificate, public: bytes) -> bool:
    try:
        return publicBytes(certificate.public_key()) == public
    except UNREADABLE:
        return False


def readAuthorities(path: str, setting: str = "client-ca") -> str:
    """Reads the authorities that may sign peers' certificates.

    :param setting: the setting that names the file.
    :return: the certificates, in PEM form.
    :raise BadCredentials: when they can't be read or used.
    """
    found = parseCertificates(setting, path, readPEM(setting, path))
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in found)


def readPEM(setting: str, path: str) -> bytes:
    """Returns the contents of a file.

    :raise BadCredentials: when it can't be read.
    """
    try:
        return contentsOf(path)
    except OSError as error:
        raise BadCredentials(setting, path, error.strerror or reasonOf(error)) from error


def parseCertificates(setting: str, path: str, pem: bytes) -> list[x509.Certificate]:
    """Returns the certificates in a file's contents.

    :raise BadCredentials: when there is none, or one can't be read.
    """
    try:
        return x509.load_pem_x509_certificates(pem)
    except UNREADABLE as error:
        raise BadCredentials(setting, path, "no usable certificate in PEM form") from error


def asPEM(key: PrivateKeyTypes, chain: list[x509.Certificate]) -> bytes:
    """Returns a key and its certificates in PEM form, without other contents of their files."""
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + b"".join(each.public_bytes(Encoding.PEM) for each in chain)
