"""Rules about time: rounds of small writes, which differ in our acknowledgements."""

from __future__ import annotations

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.smallwrites import PAIRS, Pair, SmallRounds, doWait
from echo_app.probe.results.severity import Severity
from tests.support.evidence import JudgeTestCase, evidenceOf

# Seconds of the rounds: without a delay, and late by a delayed acknowledgement, or by the machine.
GOOD, LATE = 0.002, 0.046


def pairs(longer: int, shorter: int = 0, both: int = 0) -> list[Pair]:
    """Returns a batch: pairs of which one or the other round is late, or both are."""
    late = [Pair(LATE, GOOD)] * longer + [Pair(GOOD, LATE)] * shorter
    late += [Pair(LATE, LATE)] * both
    return late + [Pair(GOOD, GOOD)] * (PAIRS - len(late))


class DelayedTests(JudgeTestCase):
    def rounds(self, *batches: list[Pair], whole: float = GOOD, pieces: int = 1) -> Evidence:
        """Returns evidence of batches, and of rounds in one write that all took as long."""
        return evidenceOf(small_writes=SmallRounds(list(batches), [whole] * PAIRS, [pieces] * PAIRS))

    def seen(self, evidence: Evidence) -> str:
        return str(evidence.observations["small-writes"])

    def test_good(self) -> None:
        """Times are said, and pieces."""
        evidence = self.rounds(pairs(0))
        self.none(evidence)
        seen = "p50 2.00 ms, max 2.00 ms of 24 in two writes; p50 2.00 ms, max 2.00 ms of 24 in one"
        self.assertEqual(self.seen(evidence), seen)
        self.assertEqual(self.seen(self.rounds(pairs(0), pieces=3)), f"{seen}; 64 B in 3 pieces")

    def test_delayed(self) -> None:
        """Delayed acknowledgements alone make rounds longer: that is the far end's algorithm."""
        found = self.one(
            self.rounds(pairs(24)),
            "nagle-delays",
            Severity.WARN,
            "24 of 24 rounds wait 44.0 ms more where we delay acknowledgements",
        )
        self.assertIn("in one piece", found.meaning)

    def test_uncured(self) -> None:
        """An answer in pieces waits, however it was asked for: one write is no advice then."""
        found = self.one(self.rounds(pairs(24), whole=LATE), "nagle-delays", Severity.WARN)
        self.assertNotIn("in one piece", found.meaning)

    def test_sometimes(self) -> None:
        """A far end that delays one answer of four is found when there are enough of them."""
        batches = [pairs(6)] * 4
        self.assertEqual([doWait(batches[:n]) for n in range(5)], [None, None, None, None, True])
        self.one(self.rounds(*batches), "nagle-delays", Severity.WARN, "24 of 96 rounds wait 44.0 ms more")

    def test_delayedOnLateMachine(self) -> None:
        """A delay is found also beside rounds that are late by themselves."""
        self.assertIs(doWait([pairs(20, shorter=1, both=2)] * 2), True)

    def test_lateMachine(self) -> None:
        """A machine that is late now and then is so in rounds of either kind, which pairs in plenty tell."""
        batches = [pairs(1, shorter=2, both=3), pairs(2, shorter=2), pairs(0)]
        self.assertEqual([doWait(batches[:n]) for n in (1, 2, 3)], [None, None, False])
        self.none(self.rounds(*batches))

    def test_unsteady(self) -> None:
        """With rounds that are late too often there is no conclusion."""
        self.none(self.rounds(*[pairs(9, shorter=5, both=10)] * 3, pieces=2))

    def test_slowPath(self) -> None:
        """A path whose round trip takes as long as a delay has no delay of its own."""
        for seconds in (0.041, 0.3):
            self.none(self.rounds([Pair(seconds, seconds)] * PAIRS, whole=seconds))
