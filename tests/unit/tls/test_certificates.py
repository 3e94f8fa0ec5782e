"""From certificate files to contexts, and the errors of wrong files."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID
from OpenSSL.crypto import X509
from twisted.trial.unittest import SynchronousTestCase

from echo_app.tls.certificates import (
    GROUPS,
    BadCredentials,
    contexts,
    fingerprint,
    readAuthorities,
    readIdentity,
    subjectName,
    throwAway,
    throwAwayWithAuthority,
)
from tests.support.certificates import Authority, ellipticKey, pem, rsaKey


class ReadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.authority = Authority(self.folder)
        self.certificate, self.key = self.authority.issue("server")

    def write(self, content: bytes) -> str:
        """Writes a file; returns its path."""
        path = self.folder / os.urandom(4).hex()
        path.write_bytes(content)
        return str(path)

    def refused(self, *paths: str) -> tuple[str, str, str]:
        """Returns which setting is refused, whose file, and why."""
        return self._refused(readIdentity, *paths)

    def _refused(self, read: Callable[..., object], *paths: str) -> tuple[str, str, str]:
        error = self.assertRaises(BadCredentials, read, *paths)
        self.assertEqual(str(error), f"{error.path}: {error.reason}")
        return error.setting, error.path, error.reason

    def test_pair(self) -> None:
        """A certificate and its key load from two files or from one, in any order."""
        other = Path(self.authority.path).read_bytes()
        chain, key = Path(self.certificate).read_bytes(), Path(self.key).read_bytes()
        found = {
            fingerprint(readIdentity(self.certificate, self.key)),
            fingerprint(readIdentity(self.write(chain + key))),
            fingerprint(readIdentity(self.write(key + chain))),
            fingerprint(readIdentity(self.write(key + chain), self.key)),
            fingerprint(readIdentity(self.certificate, self.write(other + key))),
        }
        self.assertEqual(len(found), 1)
        for path in (self.write(chain + key), self.write(key + chain)):
            self.assertEqual(set(contexts(readIdentity(path))), set(GROUPS))

    def test_rsa(self) -> None:
        """RSA is as good."""
        contexts(readIdentity(*self.authority.issue("other", rsaKey())))

    def test_missing(self) -> None:
        """A file that is not there."""
        reason = "No such file or directory"
        self.assertEqual(self.refused("none"), ("certificate", "none", reason))
        self.assertEqual(self.refused(self.certificate, "none"), ("key", "none", reason))
        self.assertEqual(self._refused(readAuthorities, "none"), ("client-ca", "none", reason))

    def test_directory(self) -> None:
        """A directory in place of a file."""
        self.assertEqual(self.refused(str(self.folder))[2], "Is a directory")

    def test_junk(self) -> None:
        """A file without a certificate or a key is refused."""
        junk = self.write(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        certificate = "no usable certificate in PEM form"
        for path in (junk, self.key, self.write(b""), self.write(b"\xff\x00")):
            self.assertEqual(self.refused(path), ("certificate", path, certificate))
            self.assertEqual(self._refused(readAuthorities, path), ("client-ca", path, certificate))
        for path in (junk, self.certificate, self.write(b"")):
            self.assertEqual(
                self.refused(self.certificate, path), ("key", path, "no usable private key in PEM form")
            )
        self.assertEqual(
            self.refused(self.certificate),
            ("certificate", self.certificate, "no usable private key in PEM form"),
        )

    def test_encrypted(self) -> None:
        """A key with a passphrase is refused, without a question."""
        path = self.write(pem(ellipticKey(), b"secret"))
        self.assertEqual(self.refused(self.certificate, path), ("key", path, "the key is encrypted"))

    def test_mismatch(self) -> None:
        """Another certificate's key is refused."""
        _, other = self.authority.issue("other")
        reason = f"not the key of {self.certificate}"
        self.assertEqual(self.refused(self.certificate, other), ("key", other, reason))

    def test_chain(self) -> None:
        """The certificates of the chain are sent too."""
        chain = self.write(Path(self.certificate).read_bytes() + Path(self.authority.path).read_bytes())
        identity = readIdentity(chain, self.key)
        self.assertEqual(len(x509.load_pem_x509_certificates(identity)), 2)
        contexts(identity)


class ThrowAwayTests(SynchronousTestCase):
    def test_names(self) -> None:
        """A throw-away certificate is for localhost and the loopback addresses, and each one differs."""
        certificate = x509.load_pem_x509_certificate(throwAway())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(names.get_values_for_type(x509.DNSName), ["localhost"])
        self.assertEqual(
            [str(each) for each in names.get_values_for_type(x509.IPAddress)], ["127.0.0.1", "::1"]
        )
        self.assertNotEqual(fingerprint(throwAway()), fingerprint(throwAway()))

    def test_throwAwayWithAuthority(self) -> None:
        """With an authority it is signed by that one, which may sign nothing but such."""
        authority, identity = throwAwayWithAuthority()
        root = x509.load_pem_x509_certificate(authority)
        certificate = x509.load_pem_x509_certificate(identity)
        certificate.verify_directly_issued_by(root)
        constraints = root.extensions.get_extension_for_class(x509.BasicConstraints).value
        self.assertEqual((constraints.ca, constraints.path_length), (True, 0))
        self.assertIn(b"PRIVATE KEY", identity)
        self.assertNotIn(b"PRIVATE KEY", authority)

    def test_fingerprint(self) -> None:
        """The fingerprint is written as openssl does."""
        self.assertRegex(fingerprint(throwAway()), r"\A[0-9A-F]{2}(:[0-9A-F]{2}){31}\Z")


class ContextTests(SynchronousTestCase):
    def test_profile(self) -> None:
        """TLS 1.2 and 1.3, six suites for the former, no renegotiation, and the client's choice."""
        for context in contexts(throwAway()).values():
            self.assertEqual(context.minimum_version, ssl.TLSVersion.TLSv1_2)
            self.assertEqual(context.verify_mode, ssl.CERT_NONE)
            self.assertTrue(context.options & ssl.OP_NO_RENEGOTIATION)
            self.assertFalse(context.options & ssl.OP_CIPHER_SERVER_PREFERENCE)
            old = [each["name"] for each in context.get_ciphers() if each["protocol"] == "TLSv1.2"]
            self.assertEqual(len(old), 6)
            self.assertTrue(all(name.startswith("ECDHE-") for name in old))

    def test_clientCA(self) -> None:
        """With an authority for clients a certificate is required of them."""
        authority = Authority(Path(self.mktemp()))
        made = contexts(throwAway(), readAuthorities(authority.path))
        self.assertEqual({context.verify_mode for context in made.values()}, {ssl.CERT_REQUIRED})

    def test_descriptors(self) -> None:
        """Nothing stays open, also when OpenSSL takes offence."""
        before = os.listdir("/proc/self/fd")
        contexts(throwAway())
        self.assertRaises(ssl.SSLError, contexts, b"junk")
        self.assertEqual(os.listdir("/proc/self/fd"), before)


class SubjectTests(SynchronousTestCase):
    def test_name(self) -> None:
        """A subject is called by its common name, by all of it where it has none, and may be nothing."""
        unit = x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "echo")
        common = x509.NameAttribute(NameOID.COMMON_NAME, "žofie")
        for attributes, name in (([unit, common], "žofie"), ([unit], "OU=echo"), ([], "")):
            self.assertEqual(subjectName(self.certificate(attributes)), name)

    def certificate(self, attributes: list[x509.NameAttribute[str]]) -> X509:
        """Returns one with that subject."""
        key = ellipticKey()
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder(x509.Name([]), x509.Name(attributes), key.public_key(), 1)
            .not_valid_before(now)
            .not_valid_after(now)
            .sign(key, hashes.SHA256())
        )
        return X509.from_cryptography(made)
