"""Rules about TLS."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.handshake import ENDS, Agreement, Handshakes
from echo_app.probe.judge.tlsrules import SOON
from echo_app.probe.net.errors import Reason
from echo_app.probe.results.severity import Severity
from tests.support.certificates import Authority
from tests.support.evidence import CLOSE_NOTIFY, RESET, TRUNCATED, JudgeTestCase, evidenceOf

GOOD = (CLOSE_NOTIFY,) * ENDS
DAY = timedelta(days=1)


class CertificateTestCase(JudgeTestCase):
    def setUp(self) -> None:
        path, _ = Authority(Path(self.mktemp())).issue("server")
        certificate = ssl.PEM_cert_to_DER_cert(Path(path).read_text())
        self.agreement = Agreement("TLSv1.3", "TLS_AES_256_GCM_SHA384", None, certificate)
        # The certificate is of yesterday, and ends in 80 days.
        self.certificate = x509.load_der_x509_certificate(certificate)
        self.now = datetime.now(UTC)

    def evidence(
        self, name: str = "localhost", ends: tuple[Reason | None, ...] = GOOD, later: int = 0
    ) -> Evidence:
        """Returns evidence of handshakes, some days later."""
        now = self.now + later * DAY
        return evidenceOf(
            "tls://localhost:7", tls=Handshakes(name, self.agreement, self.certificate, list(ends), now)
        )


class CertificateTests(CertificateTestCase):
    def test_good(self) -> None:
        """The negotiated values are reported, with the certificate's end and names."""
        for name in ("localhost", "127.0.0.1", "::1"):
            evidence = self.evidence(name)
            self.none(evidence)
            seen = evidence.observations["tls"]
            until = f"{self.now + 80 * DAY:%Y-%m-%d}"
            self.assertEqual(str(seen), f"TLSv1.3, TLS_AES_256_GCM_SHA384, certificate until {until}")
            self.assertEqual(seen.data()["names"], ["localhost", "127.0.0.1", "::1"])

    def test_dates(self) -> None:
        """A certificate that has ended, has not begun, or ends soon, is a warning."""
        for later, cause, words in (
            (90, "certificate-distrusted", "expired"),
            (-3, "certificate-distrusted", "not valid before"),
            (80 - SOON.days + 1, "certificate-expires", "in 12 days"),
        ):
            self.one(self.evidence(later=later), cause, Severity.WARN, words)
        self.none(self.evidence(later=80 - SOON.days - 2))

    def test_names(self) -> None:
        """A certificate for another name is reported."""
        for name in ("echo.example", "192.0.2.1"):
            words = "names 'localhost', '127.0.0.1', '::1', not " + name
            self.one(self.evidence(name), "certificate-distrusted", Severity.WARN, words)

    def test_unreadable(self) -> None:
        """A certificate that can't be parsed is reported."""
        evidence = evidenceOf("tls://localhost:7", tls=Handshakes("localhost", self.agreement))
        self.one(evidence, "certificate-distrusted", Severity.WARN, "no certificate that can be read")

    def test_noHandshake(self) -> None:
        """Without a handshake there is nothing to say about a certificate."""
        self.none(evidenceOf("tls://localhost:7", tls=Handshakes("localhost")))


class EndTests(CertificateTestCase):
    def test_truncation(self) -> None:
        """One end without close_notify is a warning; a reset, or no end, only if no other end was seen."""
        for ends, words in (
            ((CLOSE_NOTIFY, TRUNCATED, CLOSE_NOTIFY), "1 of 3: FIN without close_notify"),
            ((RESET,) * ENDS, "3 of 3: reset"),
            ((None,) * ENDS, "3 of 3: no end"),
        ):
            self.one(self.evidence(ends=ends), "no-close-notify", Severity.WARN, words)
        self.none(self.evidence(ends=(RESET, None, CLOSE_NOTIFY)))
        self.none(self.evidence(ends=()))
