"""Rules about many connections."""

from __future__ import annotations

from typing import Any

from echo_app.probe.checks.burst import CALM_COUNT, COUNT, ROUNDS, Bursts
from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.reach import Connects
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.judge.finding import Confidence
from echo_app.probe.judge.judge import judge
from echo_app.probe.net.errors import Reason
from echo_app.probe.results.severity import Severity
from tests.support.evidence import RESET, JudgeTestCase, causes, connection, evidenceOf, sampled, whole


class ServedFirstTests(JudgeTestCase):
    def connects(self, served: str, later: str = "", end: Reason | None = RESET) -> Evidence:
        """Returns evidence of connections 0.1 s apart, of which those with a 1 were served."""
        evidence = evidenceOf(connect=(seen := Connects()))
        for n, each in enumerate(served + later):
            ending = {"end": end} if end else {"silence": 10.0}
            record = connection(evidence, "connect", sent=64, **({"came": 64} if each == "1" else ending))
            record.began = n / 10
            (seen.records if n < len(served) else seen.later).append(record)
        return evidence

    def test_rate(self) -> None:
        """Connections that are refused after some were served, and served again later, are too many."""
        evidence = self.connects("11111000000")
        whole(evidence)
        seen = "after 5 in 0.5 s: reset; later ones are served"
        found = self.one(evidence, "accept-rate", Severity.WARN, seen)
        self.assertEqual((found.match.hits, found.match.tries), (6, 11))

    def test_noCap(self) -> None:
        """A burst that such a limit turns away shows no cap as well."""
        evidence = self.connects("11111000000")
        evidence.observations["burst"] = burst = Bursts()
        for count in (80, 80, 80):
            values = [{"came": 64}] * (100 - count) + [{"end": RESET}] * count
            burst.atOnce.rounds.append([connection(evidence, "burst", sent=64, **each) for each in values])
        whole(evidence)
        self.one(evidence, "accept-rate", Severity.WARN)

    def test_stopped(self) -> None:
        """A service that serves none after that has stopped."""
        evidence = self.connects("11111000000")
        self.one(evidence, "connections-unserved", Severity.FAIL, "6 of 11: reset")

    def test_few(self) -> None:
        """Two in a row that are refused, or three that are silent, are no limit on the rate."""
        for evidence, count in ((self.connects("1110011"), 2), (self.connects("1110001", end=None), 3)):
            whole(evidence)
            self.one(evidence, "connections-unserved", Severity.FAIL, f"{count} of ")


class SYNLossTests(JudgeTestCase):
    def evidence(self, again: int, count: int = 60, target: str = "lb.example:7") -> Evidence:
        """Returns evidence of connections one by one, of which so many sent a SYN again."""
        evidence = evidenceOf(target)
        for n in range(count):
            made = sampled(allRetransmits=int(n < again))
            connected = 1.002 if n < again else 0.002
            connection(evidence, "connect", sent=64, came=64, made=made, connected=connected)
        return evidence

    def test_lost(self) -> None:
        """SYNs that are sent again, of connections one by one, are lost."""
        seen = "6 of 60 connections, made one by one, took up to 1002 ms"
        self.one(self.evidence(6), "syns-lost", Severity.WARN, seen)

    def test_thresholds(self) -> None:
        """More than one per cent must be lost, with confidence, and two at the least."""
        for again, count, isFound in ((3, 60, True), (2, 60, False), (1, 4, False), (2, 4, True)):
            self.assertEqual(bool(self.findings(self.evidence(again, count))), isFound, (again, count))

    def test_handshakes(self) -> None:
        """Over TLS the segments of a handshake are among them, and say nothing of SYNs."""
        self.none(self.evidence(6, target="tls://lb.example:7"))

    def test_burst(self) -> None:
        """SYNs that a burst loses are the burst's."""
        evidence = self.evidence(6)
        for record in evidence.connections:
            record.check = "burst"
        self.none(evidence)


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

    def queue(self, apart: float, late: int = 0, jump: float = 0.0) -> Evidence:
        """Returns evidence of connections together, answered one after the other, the last ones not in time.

        :param jump: seconds by which the second half comes later.
        """
        records = self.round_(COUNT)
        for n, record in enumerate(records):
            record.firstAnswer = n * apart + (jump if n > COUNT / 2 else 0.0)
            if n >= COUNT - late:
                record.came, record.silence = 0, 10.0
        self.seen.atOnce.rounds.append(records)
        self.seen.inSuccession.rounds.append(self.round_())
        return self.evidence

    def test_queued(self) -> None:
        """Connections that are answered at equal intervals wait for each other, also those not in time."""
        for late, parts in ((0, ("of 100", "10 a second", "waits 9902 ms")), (40, ("40 not in time",))):
            self.setUp()
            self.one(self.queue(0.1, late), "burst-queued", Severity.WARN, *parts)

    def together(self, answer: float, alone: float = 0.001) -> Evidence:
        """Returns evidence of first answers of connections that are open together, and one by one."""
        for series, seconds in ((self.seen.atOnce, answer), (self.seen.inSuccession, alone)):
            series.rounds.append(self.round_())
            for record in series.records:
                record.firstAnswer = seconds
        return self.evidence

    def test_slowTogether(self) -> None:
        """Answers that are all late beside many others, and not alone, are a finding."""
        seen = "the median is 400 ms beside 99 others, and 1.00 ms alone"
        self.one(self.together(0.4), "slower-together", Severity.WARN, seen)
        for answer, alone in ((0.09, 0.001), (0.4, 0.05)):
            self.setUp()
            self.assertNotIn("slower-together", causes(judge(self.together(answer, alone))))
        self.setUp()
        evidence = self.together(0.4)
        evidence.lateness.append((0.35, 0.35))
        self.assertNotIn("slower-together", causes(judge(evidence)))

    def test_slowOnce(self) -> None:
        """A later round whose answers are in time withdraws the finding: the machine was busy."""
        evidence = self.together(0.4)
        self.seen.atOnce.rounds.append(self.round_())
        for record in self.seen.atOnce.rounds[-1]:
            record.firstAnswer = 0.001
        self.assertNotIn("slower-together", causes(judge(evidence)))

    def test_notQueued(self) -> None:
        """Short intervals are the machine's own, and one long one is no queue."""
        for apart, jump in ((0.01, 0.0), (0.0, 3.0)):
            self.setUp()
            self.assertNotIn("burst-queued", causes(judge(self.queue(apart, jump=jump))))
        self.setUp()
        evidence = self.queue(0.03)
        evidence.lateness.append((1.0, 0.04))
        self.none(evidence)

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
