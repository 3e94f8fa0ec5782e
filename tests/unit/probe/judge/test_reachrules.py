"""Rules about names, addresses, and connections that are not made or not served."""

from __future__ import annotations

from collections.abc import Sequence

from echo_app.probe.checks.burst import CALM_COUNT, COUNT, ROUNDS, Attempt, Bursts, Series
from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.reach import Addresses
from echo_app.probe.judge.finding import Confidence
from echo_app.probe.net.errors import ErrorKind, Reason, timedOut
from echo_app.probe.results.severity import Severity
from tests.support.evidence import REFUSED, RESET, JudgeTestCase, connection, evidenceOf, whole

CONNECT_TIMED_OUT = timedOut(10).whileConnecting


def attempts(count: int, retransmitted: int = 0, failed: int = 0) -> list[Attempt]:
    """Returns that many, of which the first ones were retransmitted, and the last ones failed."""
    return [
        Attempt(
            1.002 if n < retransmitted else 0.002, n < retransmitted, RESET if n >= count - failed else None
        )
        for n in range(count)
    ]


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
            evidence = evidenceOf("tls://lb.example:7", resolve=Addresses("lb.example", {"203.0.113.9": None}))
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
        for values, seen in (({"end": RESET}, "1 of 3: reset"), ({"silence": 10.0}, "1 of 3: nothing for 10 s")):
            evidence = evidenceOf()
            whole(evidence, count=2)
            connection(evidence, sent=260, **values)
            self.one(evidence, "connections-unserved", Severity.FAIL, seen)


class BurstTests(JudgeTestCase):
    def bursts(
        self,
        rounds: Sequence[Sequence[Attempt]],
        manner: str = "at once",
        calm: tuple[int, int] | None = None,
    ) -> Evidence:
        """Returns evidence of these rounds and their connections.

        :param calm: retransmitted, and failed connections that were made one by one.
        """
        evidence = evidenceOf(burst=(seen := Bursts([Series(manner, rounds)])))
        if calm is not None:
            seen.calm = Series("one by one", [attempts(CALM_COUNT, *calm)])
        for attempt in (*seen.series[0].attempts, *seen.calm.attempts):
            if attempt.failure:
                connection(evidence, "burst", sent=32, end=attempt.failure)
            else:
                whole(evidence, "burst")
        return evidence

    def test_good(self) -> None:
        """A round without a fault ends the matter."""
        evidence = self.bursts([attempts(COUNT)])
        self.none(evidence)
        self.assertEqual(str(evidence.observations["burst"]), "100 at once in 2.00 ms at most")

    def test_once(self) -> None:
        """SYNs that are not lost again are no finding; the last round is reported."""
        evidence = self.bursts([attempts(COUNT, 50), attempts(COUNT, 1)])
        self.none(evidence)
        self.assertIn("1 SYNs retransmitted", str(evidence.observations["burst"]))

    def test_retransmits(self) -> None:
        """SYNs that are lost in every burst, and not otherwise, are a finding."""
        evidence = self.bursts([attempts(COUNT, 8)] * ROUNDS, calm=(0, 0))
        found = self.one(
            evidence, "burst-slowed", Severity.WARN, "24 of 300 SYNs at once retransmitted, up to 1002 ms"
        )
        self.assertEqual((found.match.hits, found.match.tries), (24, 300))

    def test_lossy(self) -> None:
        """SYNs that are lost as often without a burst are not the burst's doing."""
        self.none(self.bursts([attempts(COUNT, 3)] * ROUNDS, calm=(6, 0)))

    def test_turnedAway(self) -> None:
        """Failures in every burst, and not otherwise, are one finding with their reason."""
        evidence = self.bursts([attempts(COUNT, failed=20)] * ROUNDS, "in succession", (0, 0))
        self.one(
            evidence, "burst-turned-away", Severity.WARN, "60 of 300 connections in succession fail: reset"
        )

    def test_always(self) -> None:
        """Failures that need no burst, or are too few to be its doing, are another finding."""
        for failed, calm in ((2, 6), (1, 0)):
            evidence = self.bursts([attempts(COUNT, failed=failed)] * ROUNDS, calm=(0, calm))
            self.one(
                evidence,
                "connections-unserved",
                Severity.FAIL,
                f"{3 * failed + calm} of {ROUNDS * COUNT + CALM_COUNT}: reset",
            )

    def test_failedOnce(self) -> None:
        """A failure in one round is told from the SYNs that were lost in all rounds."""
        rounds = [attempts(COUNT, 8), attempts(COUNT, 8, 1), attempts(COUNT, 8)]
        found = {each.rule.cause for each in self.findings(self.bursts(rounds, calm=(0, 0)))}
        self.assertEqual(found, {"burst-slowed", "connections-unserved"})
