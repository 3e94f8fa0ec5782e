"""Rules about services that speak another protocol."""

from __future__ import annotations

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.protocol import PROXY, TLS, Protocols
from echo_app.probe.results.difference import StreamDifference
from echo_app.probe.results.severity import Severity
from tests.support.evidence import FIN, JudgeTestCase, connection, evidenceOf

FAIL = Severity.FAIL


def answered(data: bytes, offset: int = 0, kind: str = "foreign") -> Evidence:
    """Returns evidence of three connections on which these bytes came."""
    evidence = evidenceOf()
    for _ in range(3):
        difference = StreamDifference(kind, offset, 0, data[:40])
        connection(evidence, sent=100, came=offset, difference=difference, foreign=data, end=FIN)
    return evidence


def silent(**tried: bool) -> Evidence:
    """Returns evidence of three connections that end without a byte, and of the check ``protocol``."""
    evidence = evidenceOf(protocol=Protocols(tried, {TLS: "TLSv1.3"} if tried.get(TLS) else {}))
    for _ in range(3):
        connection(evidence, sent=100, end=FIN)
    return evidence


class ForeignTests(JudgeTestCase):
    def test_other(self) -> None:
        """The protocol of the first bytes is named; a peer's bytes are escaped."""
        found = self.one(
            answered(b"HTTP/1.1 400 Bad\r\n\x1b"), "other-service", FAIL, "HTTP came first on 3 of 3"
        )
        self.assertIn(r"Bad\r\n\x1b", found.match.seen)
        self.one(answered(b"SSH-2.0-OpenSSH"), "other-service", FAIL, "SSH came first")

    def test_unknown(self) -> None:
        """Bytes that are not known are no echo."""
        self.one(answered(b"\x00\x01\x02\x03"), "no-echo", FAIL)

    def test_later(self) -> None:
        """The text of a protocol in the midst of a stream, before its end, is no other service."""
        self.one(answered(b"HTTP/1.1 400 Bad", 50, "inserted"), "ended-with-text", FAIL)

    def test_chance(self) -> None:
        """The first byte of a connection may be the one that was due: it is the other service, too."""
        evidence = answered(b"HTTP/1.1 400 Bad")
        record = connection(evidence, sent=64, came=1, end=FIN)
        record.difference, record.foreign = (
            StreamDifference("foreign", 1, 0, b"HTTP/1.1 400"),
            b"HTTP/1.1 400",
        )
        self.one(evidence, "other-service", FAIL, "HTTP came first on 3 of 4 connections")

    def test_firstDue(self) -> None:
        """The first byte of a protocol may be the one that was due: the rest is as on other connections."""
        for data, kind, cause, seen in (
            (b"HTTP/1.1 400 Bad Request", "foreign", "other-service", "on 4 of 4"),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "inserted", "proxy-header-echoed", "on 4 of 4"),
            (b"\x15\x03\x01\x00\x02\x02\x46", "foreign", "service-speaks-tls", "on 4 connections"),
        ):
            evidence = answered(data, kind=kind)
            difference = StreamDifference(kind, 1, 0, data[1:])
            connection(evidence, sent=64, came=1, difference=difference, foreign=data[1:], end=FIN)
            self.one(evidence, cause, FAIL, seen)

    def test_firstDueOfOthers(self) -> None:
        """Other text behind a first byte that was due is no part of it."""
        evidence = answered(b"HTTP/1.1 400 Bad Request")
        difference = StreamDifference("foreign", 1, 0, b"ello there")
        connection(evidence, sent=64, came=1, difference=difference, foreign=b"ello there", end=FIN)
        self.assertEqual(
            [each.rule.cause for each in self.findings(evidence)], ["other-service", "ended-with-text"]
        )

    def test_header(self) -> None:
        """A PROXY header that comes back first was sent by a proxy, and taken for data."""
        evidence = answered(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nabc", kind="inserted")
        self.one(evidence, "proxy-header-echoed", FAIL, "a PROXY header came first")

    def test_alert(self) -> None:
        """An alert to our plain bytes comes from TLS."""
        found = self.one(answered(b"\x15\x03\x01\x00\x02\x02\x46"), "service-speaks-tls", FAIL)
        self.assertIn("a TLS alert came on 3 connections", found.match.evidence)

    def test_handshake(self) -> None:
        """A service that ends plain connections, and shakes hands, speaks TLS."""
        found = self.one(silent(TLS=True), "service-speaks-tls", FAIL, "not answered on 3 connections; FIN")
        self.assertIn("a handshake succeeds: TLSv1.3", found.match.evidence)

    def test_headerWanted(self) -> None:
        """A service that answers after a PROXY header alone expects one."""
        self.one(silent(**{TLS: False, PROXY: True}), "proxy-header-expected", FAIL, "on 3 connections")

    def test_neither(self) -> None:
        """A service that answers neither is no echo."""
        self.one(silent(**{TLS: False, PROXY: False}), "no-echo", FAIL)
