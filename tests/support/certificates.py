"""Certificates for tests, signed by an authority of their own."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

# A change of a common name to Latin-1, in a T61String. OpenSSL reads it. The package cryptography wants UTF-8
# there, and rejects it.
LATIN = (b"\x0c\x03z?d", b"\x14\x03z\xe9d")

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def ellipticKey() -> Key:
    """Makes a key on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def rsaKey() -> Key:
    """Makes an RSA key of 2048 bits."""
    return rsa.generate_private_key(65537, 2048)


def pem(key: Key, password: bytes | None = None) -> bytes:
    """Returns a key in PEM form."""
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


class Authority:
    """Signs certificates, and writes them to files in a folder.

    :param folder: the folder, made if needed.
    :param name: its common name.
    :param issuer: the authority that signs its certificate; None is itself, a root.
    :param mayRevoke: its key may sign revocation lists.
    """

    def __init__(
        self,
        folder: Path,
        name: str = "authority",
        issuer: Authority | None = None,
        *,
        mayRevoke: bool = True,
    ) -> None:
        self._folder = folder.absolute()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._key = ellipticKey()
        subject = _name(name)
        signer = self if issuer is None else issuer
        # What is signed below a root has the address of its issuer's certificate, as from public authorities.
        self._address = None if issuer is None else f"http://{name}.example/{name}.crt"
        usage = dict.fromkeys(
            (
                *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
                *("key_agreement", "encipher_only", "decipher_only"),
            ),
            False,
        )
        self._certificate: x509.Certificate = (
            _builder(subject, subject if issuer is None else issuer._certificate.subject, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=mayRevoke, **usage), critical=True)
            .sign(signer._key, hashes.SHA256())
        )
        self.pem = self._certificate.public_bytes(Encoding.PEM)
        self.path = self._write(f"{name}.pem", self.pem)

    def revoke(
        self,
        *certificates: str,
        since: datetime | None = None,
        until: datetime | None = None,
        extensions: Iterable[x509.ExtensionType] = (),
    ) -> str:
        """Makes a list of revoked certificates; returns its path.

        :param certificates: the paths of the certificates.
        :param since: when the list begins to hold; None is an hour ago.
        :param until: when the list expires; None is in 8 days.
        :param extensions: critical extensions of the list.
        """
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder(
            self._certificate.subject, since or now - timedelta(hours=1), until or now + timedelta(days=8)
        )
        for path in certificates:
            serial = x509.load_pem_x509_certificate(Path(path).read_bytes()).serial_number
            revoked = x509.RevokedCertificateBuilder(serial, now - timedelta(hours=1)).build()
            builder = builder.add_revoked_certificate(revoked)
        for each in extensions:
            builder = builder.add_extension(each, critical=True)
        made = builder.sign(self._key, hashes.SHA256())
        return self._write("revoked.pem", made.public_bytes(Encoding.PEM))

    def issue(
        self,
        name: str,
        key: Key | None = None,
        *,
        subject: x509.Name | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> tuple[str, str]:
        """Makes a certificate for localhost and the loopback addresses; returns its path and its key's.

        :param subject: None is the name as a common name.
        :param since: when it begins to hold; None is yesterday.
        :param until: when it expires; None is in 80 days.
        """
        key = ellipticKey() if key is None else key
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        addresses = [x509.IPAddress(ip_address(host)) for host in ("127.0.0.1", "::1")]
        builder = (
            _builder(
                _name(name) if subject is None else subject, self._certificate.subject, key, since, until
            )
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"), *addresses]), False)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(issuer, critical=False)
        )
        if self._address is not None:
            there = x509.UniformResourceIdentifier(self._address)
            access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, there)
            builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return (
            self._write(f"{name}.pem", certificate.public_bytes(Encoding.PEM)),
            self._write(f"{name}-key.pem", pem(key)),
        )

    def issueChanged(self, old: bytes, new: bytes) -> tuple[str, str]:
        """Makes a certificate for ``z?d``, changed before it is signed; returns its path and its key's.

        :param old: bytes of the certificate's DER, such as those of its common name.
        :param new: as many bytes.
        """
        key = ellipticKey()
        made = _builder(_name("z?d"), self._certificate.subject, key).sign(self._key, hashes.SHA256())
        whole, before = made.public_bytes(Encoding.DER), made.tbs_certificate_bytes
        signed = before.replace(old, new, 1)
        assert signed != before
        assert isinstance(self._key, ec.EllipticCurvePrivateKey)
        start = whole.index(before) + len(before)
        # The signature is a BIT STRING without unused bits, behind the algorithm's two bytes and its OID.
        bits = b"\0" + self._key.sign(signed, ec.ECDSA(hashes.SHA256()))
        content = signed + whole[start : start + 2 + whole[start + 1]] + bytes([3, len(bits)]) + bits
        certificate = ssl.DER_cert_to_PEM_cert(b"\x30\x82" + len(content).to_bytes(2) + content)
        return self._write("changed.pem", certificate.encode()), self._write("changed-key.pem", pem(key))

    def _write(self, name: str, content: bytes) -> str:
        (self._folder / name).write_bytes(content)
        return str(self._folder / name)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: Key,
    since: datetime | None = None,
    until: datetime | None = None,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since or now - timedelta(days=1))
        .not_valid_after(until or now + timedelta(days=80))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
