"""The sum of the workers' measurements."""

from __future__ import annotations

from math import ceil
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.load.totals import INTERVALS, Totals
from echo_app.probe.results.histogram import Histogram
from echo_app.probe.results.results import DIFFERENCES, LoadSettings, Run


def times(*seconds: float) -> str:
    histogram = Histogram()
    for each in seconds:
        histogram.record(each)
    return histogram.encode()


def second(number: int, answered: int = 1, **more: Any) -> dict[str, Any]:
    counts = {"due": 2, "sent": 2, "answered": answered, "bytes": 64 * answered}
    return {"second": number, **counts, "came": [answered] + [0] * 9, **more}


def totals(duration: float = 3.0, processes: int = 2) -> Totals:
    return Totals(Run("x", ""), LoadSettings(duration=duration, connections=processes, processes=processes))


class SumTests(SynchronousTestCase):
    def test_sum(self) -> None:
        """The run is the sum of all seconds of all workers."""
        it = totals()
        it.connected({"connects": times(0.01), "errors": {"refused": 1}})
        for number in range(3):
            for worker in range(2):
                it.second(worker, second(number, latency=times(0.001 * (number + 1)), errors={"reset": 1}))
        run = it.end(3.0)
        self.assertEqual((run.due, run.sent, run.answered, run.bytes, run.seconds), (12, 12, 6, 384, 3.0))
        self.assertEqual((len(run.latency), len(run.connects), len(run.lateness)), (6, 1, 0))
        self.assertEqual((run.errors, it.errors), ({"refused": 1, "reset": 6}, 7))
        self.assertEqual(
            [(i.start, i.seconds, i.answered) for i in run.intervals], [(0, 1, 2), (1, 1, 2), (2, 1, 2)]
        )
        self.assertEqual(run.intervals[1].errors, {"reset": 2})
        self.assertApproximates(run.intervals[2].most, 0.003, 1e-5)

    def test_percentilesOfAnInterval(self) -> None:
        """An interval's percentiles are those of all workers together."""
        it = totals(1.0)
        it.second(0, second(0, 15, latency=times(*[0.001] * 15)))
        it.second(1, second(0, 15, latency=times(*[0.002] * 15)))
        percentiles = it.end(1.0).intervals[0].percentiles
        self.assertEqual(list(percentiles), [50.0])
        self.assertApproximates(percentiles[50.0], 0.001, 1e-5)

    def test_workersApart(self) -> None:
        """The rate is that of the last second that all have reported."""
        it = totals()
        it.second(0, second(0, 10))
        it.second(0, second(1, 20))
        self.assertIsNone(it.rate)
        it.second(1, second(0, 5))
        self.assertEqual(it.rate, 15)

    def test_rateOfLateAnswers(self) -> None:
        """The rate is that of the answers that came in the second, not of those that were due in it."""
        it = totals(3.0, 1)
        it.second(0, second(0, 100, came=[3] * 10))
        self.assertEqual(it.rate, 30)

    def test_lastSecond(self) -> None:
        """The last second may be shorter, and so is its interval."""
        it = totals(1.5, 1)
        it.second(0, second(0))
        it.second(0, second(1, 10))
        self.assertEqual(it.rate, 20)
        self.assertEqual([each.seconds for each in it.end(1.5).intervals], [1.0, 0.5])

    def test_interrupted(self) -> None:
        """An interrupted run counts the reports until then, and their seconds."""
        it = totals(10.0)
        it.second(0, second(0))
        it.second(1, second(0))
        it.second(0, second(1))
        it.second(1, second(1))
        run = it.end(1.25)
        self.assertEqual((run.answered, run.seconds), (4, 1.25))
        self.assertEqual([(each.start, each.seconds) for each in run.intervals], [(0.0, 1.0), (1.0, 0.25)])

    def test_heardLater(self) -> None:
        """No interval is empty when a worker heard of the end in the next second."""
        it = totals(10.0, 1)
        it.second(0, second(0))
        it.second(0, second(1))
        self.assertTrue(all(each.seconds > 0 for each in it.end(0.9999).intervals))


class BoundTests(SynchronousTestCase):
    def test_intervals(self) -> None:
        """Of hours there are no more intervals than of ten minutes; together they are the whole."""
        hours = 3601 * 3
        length = ceil(hours / INTERVALS)
        it = totals(float(hours), 1)
        for number in range(hours):
            it.second(0, second(number, errors={"reset": 1}))
            if number % 100 == 99:
                # All that is whole is closed: its latencies take no memory any more.
                closed = sum(each.answered for each in it.run.intervals)
                self.assertEqual(closed, (number + 1) // length * length)
        run = it.end(float(hours))
        self.assertLessEqual(len(run.intervals), INTERVALS)
        self.assertGreater(len(run.intervals), INTERVALS / 2)
        self.assertEqual(sum(each.answered for each in run.intervals), hours)
        self.assertEqual(sum(each.seconds for each in run.intervals), hours)
        self.assertEqual(run.errors, {"reset": hours})
        self.assertEqual(len({each.seconds for each in run.intervals[:-1]}), 1)

    def test_differences(self) -> None:
        """The first differences are kept."""
        it = totals(30.0, 1)
        for number in range(30):
            it.second(0, second(number, differences=[f"line {number}"]))
        self.assertEqual(it.run.differences, [f"line {number}" for number in range(DIFFERENCES)])


class WrongTests(SynchronousTestCase):
    def test_nonsense(self) -> None:
        """A second that is not the next one, or has other things in it, is an error."""
        for wrong in (
            second(1),
            second(0, latency="x"),
            {**second(0), "due": "x"},
            {**second(0), "errors": [1]},
            {"second": 0},
            {"second": None},
        ):
            self.assertRaises(
                (ValueError, TypeError, KeyError, AttributeError), totals(3.0, 1).second, 0, wrong
            )
        it = totals(1.0, 1)
        it.second(0, second(0))
        self.assertRaises(ValueError, it.second, 0, second(1))
