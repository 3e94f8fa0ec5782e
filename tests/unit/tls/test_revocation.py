"""Revocation lists: which are used, and which are refused before they refuse everybody."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from echo_app.tls.certificates import DEFAULT_GROUP, contexts, contextWithoutSessions, throwAway
from echo_app.tls.credentials import BadCredentials
from echo_app.tls.revocation import readRevocation
from tests.support.certificates import Authority
from tests.support.tls import VERSIONS, clientContext, shake

NOW = datetime.now(UTC)


class RevocationTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.authority = Authority(self.folder / "root", "root")

    def bundle(self, *parts: bytes) -> str:
        """Writes a file; returns its path."""
        path = self.folder.absolute() / "bundle.pem"
        path.write_bytes(b"".join(parts))
        return str(path)


class CheckTests(RevocationTestCase):
    """What OpenSSL makes of the lists."""

    def admits(self, path: str, crl: str | None, certificate: str, key: str, *chain: str) -> bool:
        """Returns whether a client is admitted over both versions of TLS."""
        file = self.folder / "client.pem"
        file.write_bytes(b"".join(Path(each).read_bytes() for each in (certificate, *chain)))
        authorities = Path(path).read_text()
        shared = contexts(throwAway(), authorities, readRevocation(path, crl, NOW))[DEFAULT_GROUP]
        results = set()
        for version in VERSIONS:
            context = clientContext(version)
            context.load_cert_chain(file, key)
            try:
                shake(contextWithoutSessions(shared), context)
            except ssl.SSLCertVerificationError as error:
                results.add(error.verify_message)
            else:
                results.add("")
        (result,) = results
        if result:
            self.assertIn(result, ("certificate revoked", "unable to get certificate CRL"))
        return not result

    def test_leaf(self) -> None:
        """A revoked certificate is refused, and another one of the same authority admitted."""
        good, bad = self.authority.issue("good"), self.authority.issue("bad")
        crl = self.authority.revoke(bad[0])
        self.assertEqual(
            [self.admits(self.authority.path, crl, *each) for each in (good, bad)], [True, False]
        )
        self.assertTrue(self.admits(self.authority.path, None, *bad))

    def test_inTheFileOfAuthorities(self) -> None:
        """A list in the file of the authorities counts as well."""
        bad = self.authority.issue("bad")
        both = self.bundle(self.authority.pem, Path(self.authority.revoke(bad[0])).read_bytes())
        self.assertFalse(self.admits(both, None, *bad))
        self.assertTrue(self.admits(both, None, *self.authority.issue("good")))

    def test_chain(self) -> None:
        """With a list of each authority, a revoked authority is refused; otherwise only a revoked leaf is."""
        between = Authority(self.folder / "between", "between", self.authority)
        client = between.issue("client")
        roots = Path(self.authority.revoke(between.path)).read_bytes()
        own = Path(between.revoke()).read_bytes()
        bundle = self.bundle(self.authority.pem, between.pem)
        crl = self.folder / "crl.pem"
        crl.write_bytes(own)
        self.assertTrue(self.admits(bundle, str(crl), *client, between.path))
        crl.write_bytes(own + roots)
        self.assertFalse(self.admits(bundle, str(crl), *client, between.path))
        crl.write_bytes(own + Path(self.authority.revoke()).read_bytes())
        self.assertTrue(self.admits(bundle, str(crl), *client, between.path))

    def test_without(self) -> None:
        """Of an authority without a list no client is admitted, and a line says so."""
        other = Authority(self.folder / "other", "other")
        bundle = self.bundle(self.authority.pem, other.pem)
        crl = self.authority.revoke()
        self.assertTrue(self.admits(bundle, crl, *self.authority.issue("client")))
        self.assertFalse(self.admits(bundle, crl, *other.issue("client")))
        found = readRevocation(bundle, crl, NOW)
        assert found is not None
        self.assertEqual((found.isForChain, len(found.warnings)), (False, 1))
        self.assertIn("no CRL of CN=other", found.warnings[0])


class RefusedTests(RevocationTestCase):
    """Lists over which OpenSSL would refuse every client, or none."""

    def refused(self, crl: str, authorities: str | None = None) -> str:
        """Returns why a list is refused."""
        path = self.authority.path if authorities is None else authorities
        error = self.assertRaises(BadCredentials, readRevocation, path, crl, NOW)
        self.assertEqual((error.setting, error.path), ("client-crl", crl))
        return str(error.reason)

    def test_none(self) -> None:
        """A file without a list, or with junk in place of one."""
        begin, end = b"-----BEGIN X509 CRL-----\n", b"\n-----END X509 CRL-----\n"
        for content in (b"", self.authority.pem, begin + b"AAAA" + end, begin + b"!" + end):
            self.assertEqual(self.refused(self.bundle(content)), "no usable CRL in PEM form")
        self.assertEqual(self.refused("none"), "No such file or directory")
        self.assertIsNone(readRevocation(self.authority.path, None, NOW))

    def test_dates(self) -> None:
        """A list that has expired, or does not hold yet."""
        hour = timedelta(hours=1)
        expired = self.authority.revoke(since=NOW - 2 * hour, until=NOW - hour)
        self.assertIn("CN=root has expired, on ", self.refused(expired))
        early = self.authority.revoke(since=NOW + hour)
        self.assertIn("CN=root is not valid before ", self.refused(early))

    def test_strangers(self) -> None:
        """A list of an authority that is not there, or with its name and another key."""
        other = Authority(self.folder / "other", "other")
        self.assertIn("CN=other is of no authority", self.refused(other.revoke()))
        same = Authority(self.folder / "same", "root")
        self.assertIn("CN=root is not signed by this authority", self.refused(same.revoke()))
        mayNot = Authority(self.folder / "mayNot", "root", mayRevoke=False)
        self.assertIn("may not sign CRLs", self.refused(mayNot.revoke(), mayNot.path))

    def test_parts(self) -> None:
        """A list with a critical extension: for a part of the certificates, or a change of another list."""
        for extension in (
            x509.DeltaCRLIndicator(1),
            x509.IssuingDistributionPoint(None, None, False, True, None, False, False),
        ):
            reason = self.refused(self.authority.revoke(extensions=[extension]))
            self.assertIn("holds for a part of the certificates only", reason)
