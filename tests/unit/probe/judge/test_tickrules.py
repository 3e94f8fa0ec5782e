"""The rule about answers that come at the ticks of a clock."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.times import ANY_COUNT, LARGE, SEGMENT, SMALL, Times
from echo_app.probe.results.severity import Severity
from tests.support.evidence import JudgeTestCase, timesOf

TICK = 0.08


def atTick(at: float) -> float:
    """Returns the next tick."""
    return at - (at - 0.013) % TICK + TICK


class TickTests(JudgeTestCase):
    def evidence(
        self, answer: Callable[[float], float], count: int = ANY_COUNT, lateness: float = 0.0
    ) -> Evidence:
        """Returns evidence of slow answers, and of messages at any time, which are answered at a moment."""
        trips = {size: [TICK] * 4 for size in (SMALL, SEGMENT, LARGE)}
        evidence = timesOf(*[{"first": TICK, "trips": trips, "rested": [TICK] * 3}] * 4)
        seen, chance, now = evidence.observations["times"], Random(1), 5.0
        assert isinstance(seen, Times)
        for _ in range(count):
            at = now + chance.uniform(0, 0.16)
            now = answer(at)
            seen.atAnyTime.append((at, now))
            evidence.lateness += [(now, lateness)] if lateness else []
        return evidence

    def test_ticks(self) -> None:
        """Answers of one phase are named, with the interval, and are no slow service as well."""
        found = self.one(self.evidence(atTick), "answers-at-ticks", Severity.WARN, "24 of 24 answers come at")
        self.assertIn("ticks of 80.0 ms", found.match.seen)

    def test_near(self) -> None:
        """Some milliseconds beside a tick are one."""
        chance = Random(2)
        near = lambda at: atTick(at) + chance.uniform(0, 0.008)  # noqa: E731
        self.one(self.evidence(near), "answers-at-ticks", Severity.WARN)

    def test_slow(self) -> None:
        """Answers that always take as long, or vary by chance, come at no tick."""
        chance = Random(3)
        self.one(self.evidence(lambda at: at + TICK), "answers-slow", Severity.WARN)
        for _ in range(20):
            varied = self.evidence(lambda at: at + chance.uniform(0.0, TICK))
            self.one(varied, "answers-slow", Severity.WARN)

    def test_lines(self) -> None:
        """Messages that wait without a newline at the end are named, and are no slow service as well."""
        for pairs, cause in (
            ([(0.002, 0.25)] * 6, "answers-wait-for-lines"),
            ([(0.002, 0.25)] * 5, "answers-slow"),
            ([(0.002, 0.25)] * 5 + [(0.25, 0.25)], "answers-slow"),
        ):
            evidence = self.evidence(lambda at: at + TICK)
            seen = evidence.observations["times"]
            assert isinstance(seen, Times)
            seen.lines += pairs
            self.one(evidence, cause, Severity.WARN)

    def test_newlineByChance(self) -> None:
        """A byte that is a newline by chance makes no connections unequal."""
        trips = {SMALL: [0.25] * 3 + [0.002], SEGMENT: [0.25] * 4, LARGE: [0.25] * 4}
        slow = {SMALL: [0.25] * 4, SEGMENT: [0.25] * 4, LARGE: [0.25] * 4}
        evidence = timesOf(
            *[{"first": 0.25, "trips": each, "rested": [0.25] * 3} for each in (slow, slow, trips)]
        )
        seen = evidence.observations["times"]
        assert isinstance(seen, Times)
        seen.lines += [(0.002, 0.25)] * 6
        self.one(evidence, "answers-wait-for-lines", Severity.WARN)

    def test_few(self) -> None:
        """Some answers, and those of a process that was late, tell no clock."""
        self.one(self.evidence(atTick, 11), "answers-slow", Severity.WARN)
        self.one(self.evidence(atTick, lateness=0.01), "answers-slow", Severity.WARN)
