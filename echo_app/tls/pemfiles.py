"""PEM files of keys and certificates: reading, and the reason why one cannot be used."""

from __future__ import annotations

import os
import re
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import DNSName, SubjectAlternativeName, load_pem_x509_certificates
from OpenSSL import crypto

_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.S)


def publicBytes(key: Any) -> bytes:
    """Returns a public key in a form that can be compared."""
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def readFile(path: str) -> bytes:
    """Returns what is in a file."""
    with open(path, "rb") as file:
        return file.read()


def unusableFile(key: str, certificate: str) -> str:
    """Says which of two files OpenSSL can't use.

    :param key: the path of a private key.
    :param certificate: the path of its certificate; it may be the same file.
    """
    try:
        crypto.load_privatekey(crypto.FILETYPE_PEM, readFile(key), b"")
    except (crypto.Error, ValueError, TypeError):
        return f"{key}: no usable private key in PEM form"
    try:
        crypto.load_certificate(crypto.FILETYPE_PEM, readFile(certificate))
    except (crypto.Error, ValueError):
        return f"{certificate}: no usable certificate in PEM form"
    return "a certificate or parameter file is not usable"


def checkDirectory(path: str) -> None:
    """Reads a ``tls:`` directory as Twisted will at the first handshake, when it is too late to say.

    It chooses among the certificates that have a DNS name and their key beside them.

    :raise OSError: when it, or a file in it, can't be read.
    :raise ValueError: when there is none, or a key or a certificate is no such thing; the text says which.
    """
    files = sorted(entry.path for entry in os.scandir(path) if entry.name.endswith(".pem"))
    text = b"\n".join(readFile(file) for file in files)
    keys = {publicBytes(load_pem_private_key(key, None).public_key()) for key in _PRIVATE_KEY.findall(text)}
    if not keys:
        raise ValueError(f"{path}: no private key in any .pem file")
    if b"-----BEGIN CERTIFICATE-----" not in text:
        raise ValueError(f"{path}: no certificate in any .pem file")
    for certificate in load_pem_x509_certificates(text):
        named = any(
            isinstance(extension.value, SubjectAlternativeName)
            and extension.value.get_values_for_type(DNSName)
            for extension in certificate.extensions
        )
        if named and publicBytes(certificate.public_key()) in keys:
            return
    raise ValueError(f"{path}: no certificate with a DNS name whose key is there")
