"""Rules about certificates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.handshake import Agreement, Handshakes
from echo_app.probe.judge.certificaterules import SOON
from echo_app.probe.judge.finding import Confidence
from echo_app.probe.net.errors import ErrorKind, Reason
from echo_app.probe.results.severity import Severity
from tests.support.certificates import Authority
from tests.support.evidence import JudgeTestCase, connection, evidenceOf

DAY = timedelta(days=1)
FAIL, WARN = Severity.FAIL, Severity.WARN

UNKNOWN = "unable to get local issuer certificate"
PRIVATE = "self-signed certificate in certificate chain"


def load(path: str) -> x509.Certificate:
    """Returns the certificate of a file."""
    return x509.load_pem_x509_certificate(Path(path).read_bytes())


class CertificateTestCase(JudgeTestCase):
    def setUp(self) -> None:
        folder = Path(self.mktemp())
        self.root = Authority(folder)
        self.between = Authority(folder, "between", self.root)
        # It is of yesterday, and ends in 80 days.
        self.certificate = load(self.root.issue("server")[0])
        self.below = load(self.between.issue("below")[0])
        self.now = datetime.now(UTC)

    def made(self, name: str = "localhost", later: int = 0) -> Evidence:
        """Returns evidence of handshakes that were completed, some days later."""
        der = self.certificate.public_bytes(Encoding.DER)
        agreement = Agreement("TLSv1.3", "TLS_AES_256_GCM_SHA384", None, der)
        seen = Handshakes(name, agreement, self.certificate, now=self.now + later * DAY)
        seen.chain = [self.certificate, load(self.root.path)]
        return evidenceOf("tls://localhost:7", tls=seen)

    def refused(self, words: str, chain: Sequence[x509.Certificate] = (), later: int = 0) -> Evidence:
        """Returns evidence of connections whose handshakes we ended with this reason."""
        seen = Handshakes("lb.example", now=self.now + later * DAY, chain=chain)
        seen.certificate = chain[0] if chain else None
        evidence = evidenceOf("tls://lb.example:7", tls=seen)
        connection(evidence, "resolve")
        for _ in range(3):
            connection(evidence, "connect", failure=Reason(ErrorKind.CERTIFICATE, words))
        return evidence


class RefusedTests(CertificateTestCase):
    def test_dates(self) -> None:
        """A certificate that has ended, or has not begun, is named with its day, and with the chain."""
        for words, later, cause, said in (
            ("certificate has expired", 90, "certificate-expired", "the certificate has expired on"),
            ("certificate is not yet valid", -3, "certificate-not-yet-valid", "not valid before"),
        ):
            found = self.one(self.refused(words, [self.certificate], later), cause, FAIL, said, "3 of 3")
            self.assertIn(f"OpenSSL: {words}", found.match.evidence)
            self.assertIn("'server' by 'authority', ", found.match.evidence[1])

    def test_otherDates(self) -> None:
        """Where the server's own certificate is valid, OpenSSL's words are said: another one has ended."""
        self.one(
            self.refused("certificate has expired", [self.certificate]),
            "certificate-expired",
            FAIL,
            "certificate has expired;",
        )

    def test_name(self) -> None:
        """A certificate for other names is named with them."""
        self.one(
            self.refused("Hostname mismatch, certificate is not valid for 'lb.example'.", [self.certificate]),
            "certificate-name",
            FAIL,
            "names 'localhost', '127.0.0.1', '::1', not lb.example",
        )

    def test_selfSigned(self) -> None:
        """A certificate that signed itself is told from one by a private authority, which may intercept."""
        own = self.one(
            self.refused("self-signed certificate", [load(self.root.path)]),
            "certificate-untrusted",
            FAIL,
            "'authority' has signed itself",
        )
        self.assertNotIn("intercepts", " ".join(own.match.evidence))
        private = self.one(
            self.refused(PRIVATE, [self.certificate, load(self.root.path)]),
            "certificate-untrusted",
            FAIL,
            "the chain ends in the private authority 'authority'",
        )
        self.assertIn("possible: a proxy that intercepts TLS", " ".join(private.match.evidence))

    def test_unknown(self) -> None:
        """An unknown authority is named; a chain of one certificate may be incomplete."""
        found = self.one(
            self.refused(UNKNOWN, [self.certificate]),
            "certificate-untrusted",
            FAIL,
            "the authority 'authority' is not known here",
        )
        self.assertIn("possible: an incomplete chain", " ".join(found.match.evidence))

    def test_incomplete(self) -> None:
        """An issuer that is not sent, and is no root, makes an incomplete chain."""
        for chain in ([self.below], [self.below, self.certificate]):
            found = self.one(
                self.refused(UNKNOWN, chain),
                "chain-incomplete",
                FAIL,
                "the certificate of 'between', which has signed it, is not sent",
            )
            self.assertIs(found.match.confidence, Confidence.LIKELY)
        whole = [self.below, load(self.between.path)]
        self.one(self.refused(UNKNOWN, whole), "certificate-untrusted", FAIL, "'authority' is not known here")

    def test_unknownChain(self) -> None:
        """Without the chain, OpenSSL's words are said, and that it is not known."""
        found = self.one(self.refused(UNKNOWN), "certificate-untrusted", FAIL, UNKNOWN)
        self.assertIn("the chain is not known", found.match.evidence)
        self.one(self.refused("certificate revoked"), "certificate-untrusted", FAIL, "certificate revoked")

    def test_some(self) -> None:
        """A backend of several may have another certificate."""
        evidence = self.refused("certificate has expired")
        for _ in range(6):
            connection(evidence, "connect", shaken=0.01)
        self.one(evidence, "certificate-expired", FAIL, "3 of 9 connections")


class InsecureTests(CertificateTestCase):
    """Connections that are made."""

    def test_good(self) -> None:
        """The certificate's end, issuer and chain are reported, and its names."""
        for name in ("localhost", "127.0.0.1", "::1"):
            evidence = self.made(name)
            self.none(evidence)
            seen = evidence.observations["tls"]
            until = f"certificate until {self.now + 80 * DAY:%Y-%m-%d} by 'authority', chain of 2"
            self.assertEqual(str(seen), f"TLSv1.3, TLS_AES_256_GCM_SHA384, {until}")
            data = seen.data()
            self.assertEqual(data["names"], ["localhost", "127.0.0.1", "::1"])
            self.assertEqual([each["issuer"] for each in data["chain"]], ["'authority'"] * 2)  # type: ignore[attr-defined]

    def test_dates(self) -> None:
        """A certificate that has ended, has not begun, or ends soon, is a warning."""
        for later, cause, words in (
            (90, "certificate-expired", "expired"),
            (-3, "certificate-not-yet-valid", "not valid before"),
            (80 - SOON.days + 1, "certificate-ends-soon", "in 12 days"),
        ):
            self.one(self.made(later=later), cause, WARN, words)
        self.none(self.made(later=80 - SOON.days - 2))

    def test_names(self) -> None:
        """A certificate for another name is reported."""
        for name in ("echo.example", "192.0.2.1"):
            words = "names 'localhost', '127.0.0.1', '::1', not " + name
            self.one(self.made(name), "certificate-name", WARN, words)

    def test_unreadable(self) -> None:
        """A certificate that can't be parsed is reported."""
        agreement = Agreement("TLSv1.3", "cipher", None, b"junk")
        evidence = evidenceOf("tls://localhost:7", tls=Handshakes("localhost", agreement))
        self.one(evidence, "certificate-untrusted", WARN, "no certificate that can be read")

    def test_noHandshake(self) -> None:
        """Without a handshake there is nothing to say about a certificate."""
        self.none(evidenceOf("tls://localhost:7", tls=Handshakes("localhost")))


class InterceptedTests(CertificateTestCase):
    def test_otherIssuer(self) -> None:
        """Another authority than that of the direct route signs what a proxy on the way presents."""
        evidence, direct = self.made(), self.made()
        for each in (evidence, direct):
            connection(each, "connect", shaken=0.01, sent=9, came=9)
        evidence.baseline = direct
        self.none(evidence)
        seen = evidence.observations["tls"]
        assert isinstance(seen, Handshakes)
        seen.certificate = self.below
        seen.chain = ()
        self.one(evidence, "intercepted", FAIL, "'between' has signed the certificate, directly 'authority'")
