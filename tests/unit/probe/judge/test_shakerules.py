"""Rules about TLS that fails."""

from __future__ import annotations

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.handshake import Handshakes
from echo_app.probe.judge.finding import Confidence
from echo_app.probe.net.errors import ErrorKind, Reason
from echo_app.probe.results.severity import Severity
from echo_app.targets import ClientTLS, parseTarget
from tests.support.evidence import JudgeTestCase, connection, evidenceOf, whole

FAIL = Severity.FAIL
REFUSED = Reason(ErrorKind.CERTIFICATE_REFUSED, "certificate required")
FAILED = Reason(ErrorKind.TLS, "sslv3 alert handshake failure")


def failing(reason: Reason, tls: ClientTLS = ClientTLS(), asks: bool = False) -> Evidence:
    """Returns evidence of connections whose handshake failed."""
    evidence = evidenceOf(tls=Handshakes("lb.example", asks=asks))
    evidence.target = parseTarget("tls://lb.example:7", tls)
    # Its TCP connection is not one over TLS.
    connection(evidence, "resolve")
    for _ in range(3):
        connection(evidence, "connect", failure=reason)
    return evidence


class HandshakeTests(JudgeTestCase):
    def test_kinds(self) -> None:
        """Handshakes that fail are told apart from connections that are not made."""
        for reason, cause in (
            (Reason(ErrorKind.NO_TLS, "HTTP came"), "service-is-plain"),
            (Reason(ErrorKind.TLS, "tlsv1 alert no application protocol"), "alpn-refused"),
            (Reason(ErrorKind.TLS, "tlsv1 alert protocol version"), "handshake-fails"),
            (Reason(ErrorKind.HANDSHAKE_FIN), "handshake-fails"),
            (Reason(ErrorKind.HANDSHAKE_TIMED_OUT, "after 10 s"), "handshake-fails"),
            (FAILED, "handshake-fails"),
        ):
            self.one(failing(reason), cause, FAIL, f"3 of 3 {reason}")

    def test_some(self) -> None:
        """Some handshakes that fail are a warning."""
        evidence = failing(Reason(ErrorKind.HANDSHAKE_RESET))
        for _ in range(20):
            connection(evidence, "connect", shaken=0.01)
        self.one(evidence, "connections-fail", Severity.WARN, "3 of 24")

    def test_changed(self) -> None:
        """A record that does not match its checksum tells of changed bytes, not of an end."""
        evidence = failing(Reason(ErrorKind.TLS, "decryption failed or bad record mac"))
        whole(evidence, count=20)
        ended = Reason(ErrorKind.TLS, "sslv3 alert bad record mac")
        connection(evidence, "identity", sent=9000, came=500, end=ended, shaken=0.1)
        self.one(evidence, "records-changed", FAIL, "4 of 25 connections")


class ClientCertificateTests(JudgeTestCase):
    def test_handshake(self) -> None:
        """An alert in the handshake says that a certificate is required, or that ours is refused."""
        self.one(failing(REFUSED), "client-certificate-required", FAIL, "3 of 4", "certificate required")
        given = ClientTLS(certificate="client.pem")
        self.one(failing(REFUSED, given), "client-certificate-refused", FAIL, "3 of 4")

    def test_firstRead(self) -> None:
        """Under TLS 1.3 the alert comes after our handshake, and no byte comes back."""
        evidence = evidenceOf("tls://lb.example:7", tls=Handshakes("lb.example", asks=True))
        for _ in range(3):
            connection(evidence, "connect", sent=64, end=REFUSED, shaken=0.1)
        found = self.one(evidence, "client-certificate-required", FAIL, "3 of 3")
        self.assertIn("the server asks for a certificate", found.match.evidence)

    def test_vague(self) -> None:
        """An alert without a reason counts if the server asks for a certificate, and is less sure."""
        found = self.one(failing(FAILED, asks=True), "client-certificate-required", FAIL)
        self.assertIs(found.match.confidence, Confidence.LIKELY)
