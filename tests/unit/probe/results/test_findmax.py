"""Search for the highest rate: its steps, and the verdict of each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.results.conditions import conditionOf
from echo_app.probe.results.findmax import FASTEST, PRECISION, StepVerdict, firstRate, judge, ratesOf
from echo_app.probe.results.results import Run
from tests.support.loads import STARTED, makeResults

HOLDS, FAILS = StepVerdict.HOLDS, StepVerdict.FAILS
NOT_EXAMINED, NOT_STATED = StepVerdict.NOT_EXAMINED, StepVerdict.NOT_STATED


def search(first: float, verdict: Callable[[float], StepVerdict]) -> list[float]:
    """Returns the rates of a search whose verdicts come from a function."""
    rates, tried = ratesOf(first), []
    rate = next(rates)
    while True:
        tried.append(rate)
        try:
            rate = rates.send(verdict(rate))
        except StopIteration:
            return tried


class RatesTests(SynchronousTestCase):
    def verdict(self, limit: float, rate: float) -> StepVerdict:
        return HOLDS if rate <= limit else FAILS

    def test_found(self) -> None:
        """The end is between two rates that are 5 % apart, wherever the search begins."""
        for first in (1, 100, 5000, 70_000):
            for limit in (90, 1234.5, 60_000):
                tried = search(first, partial(self.verdict, limit))
                low = max(rate for rate in tried if rate <= limit)
                high = min(rate for rate in tried if rate > limit)
                self.assertLessEqual(high / low, PRECISION)
                self.assertLess(len(tried), 25)
                self.assertEqual(len(set(tried)), len(tried))

    def test_limits(self) -> None:
        """A search without an end ends at the highest rate or the lowest one."""
        rising = search(100, lambda rate: HOLDS)
        self.assertEqual({after / before for before, after in pairwise(rising)}, {2.0})
        self.assertLessEqual(rising[-1], FASTEST)
        falling = search(100, lambda rate: FAILS)
        self.assertGreaterEqual(falling[-1], 0.1)

    def test_notExamined(self) -> None:
        """A step that the probe could not make bounds the search, too."""
        tried = search(100, lambda rate: HOLDS if rate < 1000 else NOT_EXAMINED)
        self.assertLessEqual(min(rate for rate in tried if rate >= 1000) / 1000, PRECISION)

    def test_notStated(self) -> None:
        """Where there are too few answers, a lower rate has fewer."""
        self.assertEqual(search(100, lambda rate: NOT_STATED), [100])

    def test_first(self) -> None:
        """The first rate has enough answers for the percentiles."""
        conditions = [conditionOf("p99<1ms"), conditionOf("max<1s")]
        self.assertEqual(firstRate(conditions, 10.0), 125)
        self.assertEqual(firstRate([conditionOf("p99.9<1ms")], 10.0), 1250)
        self.assertEqual(firstRate([conditionOf("errors<1")], 10.0), 100)


class JudgeTests(SynchronousTestCase):
    def run_(self, latency: float, late: float = 0.0, count: int = 2000, **fields: object) -> Run:
        """Returns a run of ten seconds, in which 200 messages a second were asked for."""
        run = Run("a:1", STARTED, 10.0, count, count, count, **fields)  # type: ignore[arg-type]
        run.latency.record(latency, count)
        run.lateness.record(late, count)
        return run

    def check(self, run: Run, verdict: StepVerdict, reason: str) -> None:
        step = judge([conditionOf("p99<20ms"), conditionOf("max<1s")], makeResults(run))
        self.assertEqual((step.verdict, step.reason, step.rate), (verdict, reason, 200.0))

    def test_verdicts(self) -> None:
        """A step fails by its figures, its errors, or a rate that was not reached."""
        self.check(self.run_(0.01), HOLDS, "")
        self.check(self.run_(0.03), FAILS, "p99 is 30.0 ms")
        self.check(self.run_(0.01, errors={"reset": 2}), FAILS, "2 of 2,000 messages failed")
        self.check(self.run_(0.01, count=1900), FAILS, "190.0/s were sent")

    def test_probe(self) -> None:
        """A step that does not hold while the probe was late, or busy, says nothing of the service."""
        self.check(self.run_(0.03, 0.01), NOT_EXAMINED, "the probe was the limit (p99 is 30.0 ms)")
        self.check(self.run_(0.03, 0.001), FAILS, "p99 is 30.0 ms")
        self.check(
            self.run_(0.01, busy=1.0, count=1500), NOT_EXAMINED, "the probe was the limit (150.0/s were sent)"
        )
        # What the probe adds makes latencies longer: without it they would hold, too.
        self.check(self.run_(0.01, 0.005), HOLDS, "")

    def test_fewAnswers(self) -> None:
        """The lateness at the figure counts, also where its percentile can't be stated."""
        run = self.run_(1.5, 0.3, 3)
        run.latency.record(0.001, 1997)
        run.lateness.record(0.0, 1997)
        run.due = run.sent = run.answered = 2000
        self.check(run, NOT_EXAMINED, "the probe was the limit (max is 1501 ms)")

    def test_notStated(self) -> None:
        """A percentile of too few answers is no failure."""
        run = self.run_(0.01)
        run.latency = Run("", "").latency
        run.latency.record(0.01, 500)
        self.check(run, NOT_STATED, "p99 can't be stated: it takes 10 longer times in each repeat")
