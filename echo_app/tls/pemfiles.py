"""PEM files of keys and certificates: reading, and the reason why one cannot be used."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import DNSName, SubjectAlternativeName, load_pem_x509_certificates
from OpenSSL import crypto

_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.S)


def publicBytes(key: Any) -> bytes:
    """Returns a public key in a form that can be compared."""
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def unusableFile(key: str, certificate: str) -> str:
    """Returns an error text that names the one of two files that OpenSSL can't use.

    :param key: the path of a private key.
    :param certificate: the path of its certificate, which may be the same file.
    """
    try:
        crypto.load_privatekey(crypto.FILETYPE_PEM, Path(key).read_bytes(), b"")
    except (crypto.Error, ValueError, TypeError):
        return f"{key}: no usable private key in PEM form"
    try:
        crypto.load_certificate(crypto.FILETYPE_PEM, Path(certificate).read_bytes())
    except (crypto.Error, ValueError):
        return f"{certificate}: no usable certificate in PEM form"
    return "a certificate or parameter file is not usable"


def checkDirectory(path: str) -> None:
    """Checks a ``tls:`` directory at start, because Twisted reads it only at the first handshake.

    Twisted chooses among the certificates that have a DNS name and their key in the directory.

    :raise OSError: when the directory, or a file in it, can't be read.
    :raise ValueError: when no such certificate is there, or a key or certificate is malformed.
    """
    files = sorted(entry.path for entry in os.scandir(path) if entry.name.endswith(".pem"))
    text = b"\n".join(Path(file).read_bytes() for file in files)
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
