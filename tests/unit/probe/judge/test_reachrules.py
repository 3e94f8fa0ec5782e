"""Rules about names, addresses, and connections that are not made or not served."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from echo_app.probe.checks.burst import CALM_COUNT, COUNT, ROUNDS, Bursts
from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.reach import Addresses, Connects
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.judge.finding import Confidence
from echo_app.probe.net.errors import ErrorKind, Reason, timedOut
from echo_app.probe.results.severity import Severity
from tests.support.evidence import (
    FLIPPED,
    REFUSED,
    RESET,
    JudgeTestCase,
    connection,
    evidenceOf,
    sampled,
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
        for reason in (
            REFUSED,
            CONNECT_TIMED_OUT,
            Reason(ErrorKind.CERTIFICATE, "expired"),
            Reason(ErrorKind.TLS, "wrong version number"),
        ):
            evidence = evidenceOf(
                "tls://lb.example:7", resolve=Addresses("lb.example", {"203.0.113.9": None})
            )
            # Its TCP connection is not one over TLS.
            connection(evidence, "resolve")
            for _ in range(3):
                connection(evidence, "connect", failure=reason)
            found = self.one(evidence, "unreachable", Severity.FAIL, f"3 of 3 {reason}")
            meanings.add(found.meaning)
        self.assertEqual(len(meanings), 4)

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


class BurstTests(JudgeTestCase):
    def setUp(self) -> None:
        self.evidence = evidenceOf(burst=Bursts())
        self.seen: Any = self.evidence.observations["burst"]

    def round_(self, count: int = COUNT, again: int = 0, failed: int = 0) -> list[ConnectionRecord]:
        """Returns so many connections, of which the first sent a SYN again, and the last were reset."""
        return [
            connection(
                self.evidence,
                "burst",
                connected=1.002 if n < again else 0.002,
                made=sampled(allRetransmits=int(n < again)),
                sent=64,
                **({"end": RESET} if n >= count - failed else {"came": 64}),
            )
            for n in range(count)
        ]

    def bursts(
        self, *rounds: tuple[int, int], calm: tuple[int, int] | None = None, others: tuple[int, int] = (0, 0)
    ) -> Evidence:
        """Returns evidence of rounds at once.

        :param rounds: retransmitted, and failed connections of each.
        :param calm: the same of connections that were made one by one.
        :param others: the same of those that were made in succession.
        """
        self.seen.atOnce.rounds.extend(self.round_(COUNT, *each) for each in rounds)
        count = ROUNDS if any(others) else 1
        self.seen.inSuccession.rounds.extend(self.round_(COUNT, *others) for _ in range(count))
        if calm is not None:
            self.seen.calm.rounds.append(self.round_(CALM_COUNT, *calm))
        return self.evidence

    def test_good(self) -> None:
        """A round without a fault ends the matter."""
        self.none(self.bursts((0, 0)))
        self.assertEqual(
            str(self.seen), "100 at once in 2.00 ms at most, 100 in succession in 2.00 ms at most"
        )

    def test_once(self) -> None:
        """SYNs that are not lost again are no finding; the last round is reported."""
        self.none(self.bursts((50, 0), (1, 0)))
        self.assertIn("1 SYNs retransmitted", str(self.seen))

    def test_retransmits(self) -> None:
        """SYNs that are lost in every burst, and not otherwise, are a finding."""
        found = self.one(
            self.bursts(*[(8, 0)] * ROUNDS, calm=(0, 0)),
            "burst-slowed",
            Severity.WARN,
            "24 of 300 SYNs at once retransmitted, up to 1002 ms",
        )
        self.assertEqual((found.match.hits, found.match.tries), (24, 300))

    def test_lossy(self) -> None:
        """SYNs that are lost as often without a burst are not the burst's doing."""
        self.none(self.bursts(*[(3, 0)] * ROUNDS, calm=(6, 0)))

    def test_cap(self) -> None:
        """The same number that is served of each round at once, and of all in succession, is a cap."""
        found = self.one(
            self.bursts(*[(0, 80)] * ROUNDS, calm=(0, 0)),
            "connection-cap",
            Severity.WARN,
            "20 of 100 are served; the others: reset",
        )
        self.assertEqual(found.title, "only 20 connections at a time are served")
        self.assertIs(found.match.confidence, Confidence.LIKELY)

    def test_unsteadyCap(self) -> None:
        """Numbers that differ from round to round may have another cause."""
        found = self.one(
            self.bursts((0, 80), (0, 60), (0, 40), calm=(0, 0)),
            "connection-cap",
            Severity.WARN,
            "20 to 60 of 100 are served",
        )
        self.assertIs(found.match.confidence, Confidence.POSSIBLE)

    def test_steady(self) -> None:
        """Numbers that differ by one are the same cap; one round alone, which timed out, may be chance."""
        for rounds, confidence in (
            ([(0, 80), (0, 79), (0, 80)], Confidence.LIKELY),
            ([(0, 80), (0, 78), (0, 80)], Confidence.POSSIBLE),
        ):
            self.setUp()
            (found,) = self.findings(self.bursts(*rounds, calm=(0, 0)))
            self.assertEqual((found.rule.cause, found.match.confidence), ("connection-cap", confidence))
        self.setUp()
        evidence = self.bursts((0, 80), calm=(0, 0))
        for record in evidence.connections:
            if record.end is not None:
                record.end, record.silence = None, 10.0
        (found,) = self.findings(evidence)
        self.assertEqual((found.rule.cause, found.match.confidence), ("connection-cap", Confidence.POSSIBLE))

    def test_capInSuccession(self) -> None:
        """Where some fail in succession as well, it is no cap."""
        evidence = self.bursts(*[(0, 80)] * ROUNDS, calm=(0, 0), others=(0, 20))
        found = self.one(evidence, "accept-rate", Severity.WARN)
        self.assertEqual((found.match.hits, found.match.tries), (60, 300))

    def test_recovered(self) -> None:
        """One good round ends the matter, for a cap and for a rate; its failures are told as they are."""
        evidence = self.bursts((0, 80), (0, 0))
        self.one(evidence, "connections-unserved", Severity.FAIL)

    def test_rateThreshold(self) -> None:
        """Failures in succession must be more frequent than those of calm connections, beyond chance."""
        for calm, isFound in ((3, True), (30, False)):
            self.setUp()
            evidence = self.bursts((0, 0), others=(0, 10), calm=(0, calm))
            causes = [each.rule.cause for each in self.findings(evidence)]
            self.assertEqual("accept-rate" in causes, isFound, calm)

    def test_acceptRate(self) -> None:
        """Connections in succession that fail, and not those with pauses, are a limit on their rate."""
        found = self.one(
            self.bursts((0, 0), others=(0, 20), calm=(0, 0)),
            "accept-rate",
            Severity.WARN,
            "after 80 in 0 s: reset",
        )
        self.assertEqual(list(found.match.evidence), ["one by one, with pauses: 0 of 300 fail"])

    def test_always(self) -> None:
        """Failures that need no burst are another finding."""
        self.one(
            self.bursts((0, 0), others=(0, 2), calm=(0, 6)),
            "connections-unserved",
            Severity.FAIL,
            f"12 of {(1 + ROUNDS) * COUNT + CALM_COUNT}: reset",
        )
