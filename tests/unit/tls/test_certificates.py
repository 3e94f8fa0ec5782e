"""From certificate files to contexts, and the errors of wrong files."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID
from twisted.trial.unittest import SynchronousTestCase

from echo_app.tls import certificates
from echo_app.tls.certificates import (
    DEFAULT_GROUP,
    GROUPS,
    BadCredentials,
    contexts,
    contextWithoutSessions,
    fingerprint,
    readAuthorities,
    readIdentity,
    subjectName,
    throwAway,
    throwAwayWithAuthority,
)
from tests.support.certificates import LATIN, Authority, ellipticKey, pem, rsaKey
from tests.support.tls import VERSIONS, clientContext, shake

# A key on a curve that OpenSSL knows and the package cryptography does not, and its certificate: made by
# "openssl ecparam -name secp112r1 -genkey" and "openssl req -x509".
UNKNOWN_KEY = b"""-----BEGIN PRIVATE KEY-----
ME4CAQAwEAYHKoZIzj0CAQYFK4EEAAYENzA1AgEBBA7BSSwtDL9Q/QNgECIVD6Eg
Ax4ABDkITUdjrsa9hu/yTlvXEJkUTmnmftNShC9Y4xY=
-----END PRIVATE KEY-----
"""
UNKNOWN_CERTIFICATE = b"""-----BEGIN CERTIFICATE-----
MIIBJTCB8KADAgECAhRVcJXa8pUWf+SgkF+MATDaDzQNJzAKBggqhkjOPQQDAjAO
MQwwCgYDVQQDDANvZGQwHhcNMjYxMTI5MTQzODM0WhcNMzYxMTI2MTQzODM0WjAO
MQwwCgYDVQQDDANvZGQwMjAQBgcqhkjOPQIBBgUrgQQABgMeAAQ5CE1HY67GvYbv
8k5b1xCZFE5p5n7TUoQvWOMWo1MwUTAdBgNVHQ4EFgQUdErUyBr5EJjUbGxGQ+1E
M2ClLy8wHwYDVR0jBBgwFoAUdErUyBr5EJjUbGxGQ+1EM2ClLy8wDwYDVR0TAQH/
BAUwAwEB/zAKBggqhkjOPQQDAgMkADAhAg8AhUKvj55c0bPPu+NeygsCDi+Xpggi
AiK9o7/nO5Qo
-----END CERTIFICATE-----
"""


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

    def test_unknownCurve(self) -> None:
        """A key, or a certificate's key, on a curve that the package cryptography does not know."""
        key, certificate = self.write(UNKNOWN_KEY), self.write(UNKNOWN_CERTIFICATE)
        self.assertEqual(
            self.refused(self.certificate, key), ("key", key, "no usable private key in PEM form")
        )
        self.assertEqual(
            self.refused(certificate, self.key), ("certificate", certificate, "no usable public key")
        )

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


class WithoutProcTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(certificates, "_DESCRIPTORS", "/nonexistent")

    def test_files(self) -> None:
        """A process without /proc uses the files themselves."""
        paths = Authority(Path(self.mktemp())).issue("server")
        self.assertEqual(set(contexts(readIdentity(*paths), None, paths)), set(GROUPS))

    def test_throwAway(self) -> None:
        """A throw-away certificate has no files, and is an error."""
        self.assertRaises(FileNotFoundError, contexts, throwAway())


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

    def test_withoutSessions(self) -> None:
        """A client's certificate is checked in each handshake, whatever session the client offers."""
        authority, other = Authority(Path(self.mktemp())), Authority(Path(self.mktemp()))
        shared = contexts(throwAway(), readAuthorities(authority.path))[DEFAULT_GROUP]
        for version in VERSIONS:
            context = clientContext(version)
            context.load_cert_chain(*authority.issue("client"))
            session = None
            for _ in range(2):
                server, client = shake(contextWithoutSessions(shared), context, session)
                self.assertFalse(server.session_reused)
                session = client.session
            context.load_cert_chain(*other.issue("stranger"))
            error = self.assertRaises(ssl.SSLError, shake, contextWithoutSessions(shared), context, session)
            self.assertEqual(error.reason, "CERTIFICATE_VERIFY_FAILED")

    def test_descriptors(self) -> None:
        """Nothing stays open, also when OpenSSL takes offence."""
        before = os.listdir("/proc/self/fd")
        contexts(throwAway())
        self.assertRaises(ssl.SSLError, contexts, b"junk")
        self.assertEqual(os.listdir("/proc/self/fd"), before)


class SubjectTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.authority = Authority(Path(self.mktemp()))

    def nameOf(self, *issued: str) -> str | None:
        """Returns the name of a client with this certificate, after a handshake."""
        context = clientContext()
        context.load_cert_chain(*issued)
        shared = contexts(throwAway(), readAuthorities(self.authority.path))[DEFAULT_GROUP]
        return subjectName(shake(shared, context)[0])

    def test_name(self) -> None:
        """A subject is called by its common name, by all of it where it has none, and may be nothing."""
        unit = x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "echo")
        common = x509.NameAttribute(NameOID.COMMON_NAME, "žofie")
        for attributes, name in (([unit, common], "žofie"), ([unit], "OU=echo"), ([], "")):
            self.assertEqual(
                self.nameOf(*self.authority.issue("client", subject=x509.Name(attributes))), name
            )

    def test_none(self) -> None:
        """Without a certificate there is no name."""
        server, _ = shake(contexts(throwAway())[DEFAULT_GROUP], clientContext())
        self.assertIsNone(subjectName(server))

    def test_rejected(self) -> None:
        """A certificate that the package cryptography rejects has the name that OpenSSL reads."""
        for replacement, name in (
            (LATIN, "zéd"),
            ((b"\x0c\x03z?d", b"\x13\x03z*d"), "z*d"),
            ((b"\x0c\x03z?d", b"\x03\x03\0?d"), "b'?d'"),
            # Version 6, and an organizational unit.
            ((b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05"), "z?d"),
            ((b"\x04\x03\x0c\x03z?d", b"\x04\x0b\x13\x03z*d"), "organizationalUnitName=z*d"),
        ):
            self.assertEqual(self.nameOf(*self.authority.issueChanged(*replacement)), name)
