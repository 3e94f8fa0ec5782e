"""Rules about names, addresses, and connections that are not made or not served."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.reach import Addresses, Connects
from echo_app.probe.judge.finding import Confidence
from echo_app.probe.judge.reachrules import BAN, IN_BAN
from echo_app.probe.net.errors import ErrorKind, Reason, timedOut
from echo_app.probe.results.severity import Severity
from tests.support.evidence import (
    FLIPPED,
    REFUSED,
    RESET,
    JudgeTestCase,
    connection,
    evidenceOf,
    whole,
)

CONNECT_TIMED_OUT = timedOut(10).whileConnecting


class ResolveTests(JudgeTestCase):
    def tried(self, tried: dict[str, Reason | None], host: str = "lb.example") -> Evidence:
        """Returns evidence of these addresses, each tried once, and of good connections if one works."""
        evidence = evidenceOf(resolve=(seen := Addresses(host, tried)))
        for reason in tried.values():
            connection(evidence, "resolve", **{"failure": reason} if reason else {})
        if seen.address:
            whole(evidence, "connect")
        return evidence

    def test_good(self) -> None:
        """Addresses that work are no finding; both families are named, and one without an address."""
        evidence = self.tried({"203.0.113.9": None})
        self.none(evidence)
        self.assertEqual(str(evidence.observations["resolve"]), "A 203.0.113.9, no AAAA")
        both = self.tried({"2001:db8::9": None, "203.0.113.9": None})
        self.assertEqual(str(both.observations["resolve"]), "A 203.0.113.9, AAAA 2001:db8::9")

    def test_excused(self) -> None:
        """A loopback sibling that refuses and a family without a route are no findings; the rest works."""
        for address, reason in (("::1", REFUSED), ("2001:db8::9", Reason(ErrorKind.UNREACHABLE))):
            evidence = self.tried({address: reason, "203.0.113.9": None})
            self.none(evidence)
            self.assertEqual(
                str(evidence.observations["resolve"]), f"A 203.0.113.9, AAAA {address}; {address}: {reason}"
            )

    def test_oneOfSeveral(self) -> None:
        """An address that does not work beside one that does is a warning."""
        evidence = self.tried({"203.0.113.9": CONNECT_TIMED_OUT, "203.0.113.10": None})
        self.one(
            evidence,
            "address-fails",
            Severity.WARN,
            "1 of 2 addresses: 203.0.113.9: connect timed out after 10 s",
        )

    def test_none(self) -> None:
        """Where no address works, that is the one finding."""
        evidence = self.tried({"203.0.113.9": REFUSED, "203.0.113.10": CONNECT_TIMED_OUT})
        self.one(
            evidence, "unreachable", Severity.FAIL, "1 of 2 refused, 1 of 2 connect timed out after 10 s"
        )

    def test_unresolved(self) -> None:
        """A name without an address is a failure."""
        found = self.one(self.tried({}), "unresolved", Severity.FAIL, "lb.example: the name does not resolve")
        self.assertIs(found.match.confidence, Confidence.CERTAIN)

    def test_interrupted(self) -> None:
        """A name whose addresses were being tried when Ctrl-C came does resolve."""
        evidence = self.tried({})
        evidence.unfinished["resolve"] = "interrupted"
        self.none(evidence)


class UnreachableTests(JudgeTestCase):
    def test_meanings(self) -> None:
        """The common reasons have meanings of their own."""
        meanings = set()
        for reason in (REFUSED, CONNECT_TIMED_OUT, Reason(ErrorKind.UNREACHABLE)):
            evidence = evidenceOf("lb.example:7", resolve=Addresses("lb.example", {"203.0.113.9": None}))
            connection(evidence, "resolve")
            for _ in range(3):
                connection(evidence, "connect", failure=reason)
            found = self.one(evidence, "unreachable", Severity.FAIL, f"3 of 3 {reason}")
            meanings.add(found.meaning)
        self.assertEqual(len(meanings), 3)

    def test_some(self) -> None:
        """Some that are not made are a warning."""
        evidence = evidenceOf()
        whole(evidence, "connect", 19)
        connection(evidence, "connect", failure=REFUSED)
        found = self.one(evidence, "connections-fail", Severity.WARN, "1 of 20: refused")
        self.assertEqual(found.match.evidence, ["connect 1"])

    def test_givenUp(self) -> None:
        """A connection that was being made when the check was ended is no failure."""
        evidence = evidenceOf()
        evidence.newRecord("connect", 0.0)
        self.none(evidence)


class UnservedTests(JudgeTestCase):
    def test_unserved(self) -> None:
        """A connection that is made, and on which nothing comes back, beside served ones, is a failure."""
        for values, seen in (
            ({"end": RESET}, "1 of 3: reset"),
            ({"silence": 10.0}, "1 of 3: nothing for 10 s"),
        ):
            evidence = evidenceOf()
            whole(evidence, count=2)
            connection(evidence, sent=260, **values)
            self.one(evidence, "connections-unserved", Severity.FAIL, seen)


class BannedTests(JudgeTestCase):
    def evidence(self, count: int, seconds: float, **values: Any) -> Evidence:
        """Returns evidence of connections that are refused for some seconds, between ones that are served."""
        evidence = evidenceOf()
        whole(evidence, count=3)
        for n in range(count):
            record = connection(evidence, "burst", sent=64, **values or {"end": RESET})
            record.began = 5 + n * seconds / count
        whole(evidence, count=3)
        for record in evidence.connections[-3:]:
            record.began = 5 + seconds
        return evidence

    def test_banned(self) -> None:
        """Ten refused connections in a row, for two seconds, are a time in which all are refused."""
        for values in ({"end": RESET}, {"failure": REFUSED}):
            evidence = self.evidence(IN_BAN, BAN, **values)
            self.one(evidence, "refused-for-a-while", Severity.FAIL, f"{IN_BAN} connections in a row")

    def test_pause(self) -> None:
        """A pause of the probe's own after refusals in quick succession is no time of refusals."""
        evidence = self.evidence(IN_BAN, 0.5)
        for record in evidence.connections[-3:]:
            record.began += 3.0
        self.assertNotIn("refused-for-a-while", [each.rule.cause for each in self.findings(evidence)])

    def test_thresholds(self) -> None:
        """Fewer, or for a shorter time, or silent ones, or one that is served between them, are not."""
        served = self.evidence(2 * IN_BAN - 2, BAN * 2)
        served.connections[3 + IN_BAN - 1].came, served.connections[3 + IN_BAN - 1].end = 64, None
        for evidence in (
            self.evidence(IN_BAN - 1, BAN),
            self.evidence(IN_BAN, BAN - 0.1),
            self.evidence(IN_BAN, BAN, silence=10.0),
            served,
        ):
            self.assertNotIn("refused-for-a-while", [each.rule.cause for each in self.findings(evidence)])


class RefusedAtFirstTests(JudgeTestCase):
    def connects(self, served: str, later: str = "") -> Evidence:
        """Returns evidence of connections one second apart, of which those with a 1 were served."""
        evidence = evidenceOf(connect=(seen := Connects()))
        for n, each in enumerate(served + later):
            values = {"sent": 64, "came": 64} if each == "1" else {"sent": 64, "end": RESET}
            record = connection(evidence, "connect", **values)
            record.began = float(n)
            (seen.records if n < len(served) else seen.later).append(record)
        return evidence

    def test_later(self) -> None:
        """A service that serves only after a while is told from one that is no echo."""
        evidence = self.connects("000", "01")
        self.one(
            evidence,
            "refused-at-first",
            Severity.FAIL,
            "the first 4 connections: reset; served after 4 s",
        )

    def test_few(self) -> None:
        """Two connections that are not served are just that; three in a row at the begin are not."""
        self.one(self.connects("0011"), "connections-unserved", Severity.FAIL, "2 of 4: reset")
        self.one(self.connects("00011"), "refused-at-first", Severity.FAIL, "the first 3 connections")

    def test_nowAndThen(self) -> None:
        """Connections that are served now and then may begin with three that are not."""
        self.one(self.connects("000110101"), "connections-unserved", Severity.FAIL, "5 of 9: reset")

    def test_otherBytes(self) -> None:
        """A service that sent other bytes at first was there."""
        evidence = self.connects("00011")
        for record in evidence.connections[:3]:
            record.difference = FLIPPED
        self.one(evidence, "bytes-changed", Severity.FAIL)

    def test_resolve(self) -> None:
        """Attempts of the check before have the same cause."""
        evidence = evidenceOf()
        connection(evidence, "resolve", failure=REFUSED)
        evidence.connections += [
            replace(each, number=each.number + 1) for each in self.connects("0001").connections
        ]
        evidence.observations["connect"] = Connects(evidence.connections[1:])
        self.one(evidence, "refused-at-first", Severity.FAIL, "the first 3 connections: reset")

    def test_never(self) -> None:
        """A service that never serves is no echo."""
        self.one(self.connects("000", "000"), "no-echo", Severity.FAIL)
