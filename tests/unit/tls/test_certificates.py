"""From certificate files to contexts, and the errors of wrong files."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID
from twisted.trial.unittest import SynchronousTestCase

from echo_app.tls import certificates
from echo_app.tls.certificates import (
    DEFAULT_GROUP,
    GROUPS,
    contexts,
    contextWithoutSessions,
    fingerprint,
    subjectName,
    throwAway,
    throwAwayWithAuthority,
)
from echo_app.tls.credentials import readAuthorities, readIdentity
from tests.support.certificates import LATIN, Authority
from tests.support.tls import VERSIONS, clientContext, shake


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
        self.assertEqual(set(contexts(readIdentity(*paths), files=paths)), set(GROUPS))

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
