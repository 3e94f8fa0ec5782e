"""Rules about datagrams; tests/unit/probe/checks/test_udp.py judges whole paths."""

from __future__ import annotations

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.udp import PORTS, ROUNDS, Datagrams, Ports
from echo_app.probe.judge.finding import Confidence
from echo_app.probe.judge.judge import againstBaseline, judge
from echo_app.probe.net.datagrams import Exchange
from echo_app.probe.results.severity import Severity
from tests.support.evidence import REFUSED, JudgeTestCase, evidenceOf


def exchange(sent: int, lost: int = 0, strange: int = 0, cut: int = 0, altered: int = 0) -> Exchange:
    """Returns the exchange of so many datagrams, of which these were lost, cut or altered."""
    each = Exchange(strange=strange)
    for n in range(sent):
        number = n.to_bytes(8, "big")
        each.sent[number] = number + bytes(56)
        if n < cut + altered:
            each.differing[number] = 64, 4 if n < cut else 64
        elif n < sent - lost:
            each.roundTrips[number] = 0.002
    return each


class DatagramTests(JudgeTestCase):
    def seen(self, *rounds: Exchange, **values: object) -> Evidence:
        """Returns evidence of these rounds."""
        return evidenceOf("udp://lb.example:7", udp=Datagrams(rounds=list(rounds), **values))  # type: ignore[arg-type]

    def test_good(self) -> None:
        """Datagrams that come back are no finding."""
        self.none(self.seen(exchange(1000)))

    def test_nothingSent(self) -> None:
        """Where nothing can be sent, the reason is the finding."""
        self.one(
            self.seen(failure=REFUSED), "datagrams-unanswered", Severity.FAIL, "nothing can be sent: refused"
        )

    def test_silent(self) -> None:
        """Where nothing comes back, ICMP's word is said, if there is one; it is likely, and not certain."""
        for refusals, words in ((0, "all 40 datagrams lost"), (3, "all 40 datagrams lost: refused")):
            evidence = self.seen(others=[exchange(40, lost=40)], refusals=refusals)
            found = self.one(evidence, "datagrams-unanswered", Severity.FAIL, words)
            self.assertIs(found.match.confidence, Confidence.LIKELY)
        self.none(self.seen())

    def test_differing(self) -> None:
        """Answers that are all cut are told from altered ones."""
        cut = self.one(
            self.seen(exchange(10, cut=2)),
            "datagrams-changed",
            Severity.FAIL,
            "2 answers: 64 B came back as 4 B",
        )
        altered = self.one(
            self.seen(exchange(10, cut=1, altered=1)), "datagrams-changed", Severity.FAIL, "2 answers"
        )
        self.assertNotEqual((cut.title, cut.meaning), (altered.title, altered.meaning))

    def test_changedNumber(self) -> None:
        """Beside changed answers, one without its number is of the same cause."""
        evidence = self.seen(exchange(10, strange=1, altered=2))
        found = self.one(evidence, "datagrams-changed", Severity.FAIL, "2 answers")
        self.assertIn("1 more answer nothing", found.match.evidence[0])

    def test_strange(self) -> None:
        """Datagrams that answer nothing are a failure, and have a rate, though they may be many."""
        evidence = self.seen(exchange(10, lost=10, strange=640))
        found = self.one(
            evidence, "datagrams-foreign", Severity.FAIL, "640 answers to nothing that was asked"
        )
        self.assertEqual((found.match.hits, found.match.tries), (640, 640))
        verdict = judge(evidence)
        self.assertTrue(againstBaseline(verdict, verdict).findings[0].excuse)

    def test_ports(self) -> None:
        """Source ports that lose everything are named."""
        evidence = self.seen(exchange(1000), ports=Ports((4711, 4719), 2, 620))
        self.one(evidence, "datagrams-by-port", Severity.FAIL, f"2 of {PORTS} source ports: 4711, 4719")

    def test_lossy(self) -> None:
        """Loss is a finding when each of the rounds has it, with its interval."""
        for lost, isFound in (((50, 50, 50), True), ((50, 50, 10), False), ((50, 50), False)):
            evidence = self.seen(*(exchange(1000, lost=each) for each in lost))
            if isFound:
                assert len(lost) == ROUNDS
                self.one(evidence, "datagrams-lost", Severity.WARN, "150 of 3000, 4.3 to 5.8 %")
            else:
                self.none(evidence)
