"""Rules about TLS that works."""

from __future__ import annotations

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.handshake import ENDS, Agreement, Handshakes
from echo_app.probe.net.errors import ErrorKind, Reason
from echo_app.probe.results.severity import Severity
from echo_app.targets import ClientTLS, parseTarget
from tests.support.evidence import CLOSE_NOTIFY, RESET, TRUNCATED, JudgeTestCase, connection, evidenceOf

WARN = Severity.WARN
REFUSED = Reason(ErrorKind.TLS, "tlsv1 alert internal error")


def seen(**values: object) -> Evidence:
    """Returns evidence of what the check ``tls`` has seen."""
    return evidenceOf("tls://localhost:7", tls=Handshakes("localhost", **values))  # type: ignore[arg-type]


class EndTests(JudgeTestCase):
    def test_truncation(self) -> None:
        """One end without close_notify is a warning; a reset, or no end, only if no other end was seen."""
        for ends, words in (
            ([CLOSE_NOTIFY, TRUNCATED, CLOSE_NOTIFY], "1 of 3: FIN without close_notify"),
            ([RESET] * ENDS, "3 of 3: reset"),
            ([None] * ENDS, "3 of 3: no end"),
        ):
            self.one(seen(ends=ends), "no-close-notify", WARN, words)
        self.none(seen(ends=[RESET, None, CLOSE_NOTIFY]))
        self.none(seen(ends=[]))


class SomeSlowTests(JudgeTestCase):
    def evidence(self, *seconds: float, check: str = "connect") -> Evidence:
        """Returns evidence of handshakes that take so long."""
        evidence = evidenceOf("tls://localhost:7")
        for each in seconds:
            connection(evidence, check, sent=64, came=64, connected=0.001, shaken=0.001 + each)
        return evidence

    def test_some(self) -> None:
        """Two handshakes that take far longer than the others are a finding; in a burst all wait."""
        seen = "2 of 22, up to 1500 ms; the median is 3.00 ms"
        self.one(self.evidence(*[0.003] * 20, 1.5, 1.5), "some-handshakes-slow", WARN, seen)
        self.none(self.evidence(*[0.003] * 21, 1.5))
        self.none(self.evidence(*[0.003] * 20, 1.5, 1.5, check="burst"))

    def test_thresholds(self) -> None:
        """They must take a quarter of a second, and ten times the median."""
        for usual, slow, isFound in ((0.003, 0.24, False), (0.003, 0.26, True), (0.05, 0.4, False)):
            found = self.findings(self.evidence(*[usual] * 20, slow, slow))
            self.assertEqual(bool(found), isFound, (usual, slow))

    def test_late(self) -> None:
        """A probe that was late itself has no finding."""
        evidence = self.evidence(*[0.003] * 20, 0.4, 0.4)
        evidence.lateness.append((0.4, 0.35))
        self.none(evidence)


class ProtocolTests(JudgeTestCase):
    def evidence(self, offered: tuple[str, ...], chosen: str | None) -> Evidence:
        """Returns evidence of a handshake with protocols; its certificate is looked at elsewhere."""
        evidence = evidenceOf("tls://localhost:7")
        evidence.target = parseTarget("tls://localhost:7", ClientTLS(protocols=offered))
        agreement = Agreement("TLSv1.3", "cipher", chosen, b"")
        evidence.observations["tls"] = Handshakes("localhost", agreement)
        return evidence

    def test_ignored(self) -> None:
        """A protocol that is offered and not chosen is a warning."""
        found = {each.rule.cause: each for each in self.findings(self.evidence(("h2", "echo"), None))}
        self.assertEqual(found["alpn-ignored"].match.seen, "'h2', 'echo' offered, none chosen")
        self.assertIs(found["alpn-ignored"].severity, WARN)

    def test_chosen(self) -> None:
        """A chosen protocol is none, and neither is one that was not offered."""
        for offered, chosen in ((("h2", "echo"), "echo"), ((), None)):
            causes = [each.rule.cause for each in self.findings(self.evidence(offered, chosen))]
            self.assertNotIn("alpn-ignored", causes)

    def test_shown(self) -> None:
        """The protocol is part of what is seen, and a peer's bytes are escaped."""
        said = str(self.evidence(("h2",), "h2\x1b").observations["tls"])
        self.assertIn("'h2\\x1b'", said)


class ResumptionTests(JudgeTestCase):
    def test_none(self) -> None:
        """A ticket that is not taken is a warning; some that are not say that backends differ."""
        never = self.one(
            seen(isTicketed=True, resumed=[False] * 3),
            "no-resumption",
            WARN,
            "3 of 3 connections with a ticket",
        )
        some = self.one(seen(isTicketed=True, resumed=[True, False, True]), "no-resumption", WARN, "1 of 3")
        self.assertNotEqual(never.meaning, some.meaning)

    def test_good(self) -> None:
        """Resumed sessions, and a server without tickets, are no finding."""
        self.none(seen(isTicketed=True, resumed=[True] * 3))
        self.none(seen())

    def test_refused(self) -> None:
        """Connections that are refused because of their ticket are a failure, and explained."""
        evidence = seen(isTicketed=True, refusals=[REFUSED] * 3)
        connection(evidence, "tls", shaken=0.01, sent=9, came=9)
        for _ in range(3):
            connection(evidence, "tls", failure=REFUSED)
        self.one(
            evidence, "resumption-refused", Severity.FAIL, f"3 of 3 connections with a ticket: {REFUSED}"
        )


class SlowTests(JudgeTestCase):
    def evidence(self, connecting: float, *handshakes: float) -> Evidence:
        """Returns evidence of handshakes that took so many seconds."""
        evidence = seen()
        for each in handshakes:
            made = connecting + each
            connection(evidence, "connect", connected=connecting, shaken=made, sent=64, came=64)
        return evidence

    def test_slow(self) -> None:
        """Handshakes that all take 100 ms, and several round trips, are a warning."""
        found = self.one(self.evidence(0.01, 0.3, 0.25, 0.4), "handshake-slow", WARN, "250 ms or more in 3")
        self.assertIn("10.0 ms to connect", found.match.seen)

    def test_good(self) -> None:
        """A single slow one is none, nor are some milliseconds, nor a far service."""
        self.none(self.evidence(0.01, 0.3, 0.02, 0.4))
        self.none(self.evidence(0.0001, 0.05, 0.05, 0.05))
        self.none(self.evidence(0.2, 0.4, 0.4, 0.4))
        self.none(self.evidence(0.01, 0.3))
