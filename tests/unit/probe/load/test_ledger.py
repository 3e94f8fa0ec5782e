"""The counts of a running load."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.load.ledger import Ledger, Second, Times
from echo_app.probe.net.errors import ErrorKind, Reason
from echo_app.probe.results.histogram import Histogram


class TimesTests(SynchronousTestCase):
    def test_histogram(self) -> None:
        """The times become the histogram that all of them would have made at once."""
        random, times, direct = Random(1), Times(), Histogram()
        samples = [random.lognormvariate(-8, 3) for _ in range(20_000)]
        for sample in samples:
            times.record(sample)
            direct.record(int(sample * 1e9) / 1e9)
        histogram = Histogram("".join(times.encoded()))
        self.assertEqual(len(histogram), len(direct))
        self.assertEqual(histogram.percentiles(), direct.percentiles())
        samples.sort()
        for rank, seconds in histogram.percentiles().items():
            exact = samples[math.ceil(len(samples) * rank / 100) - 1]
            self.assertLess(abs(seconds - exact), exact / 1000 + 1e-7, rank)

    def test_steps(self) -> None:
        """The histogram is made in steps, each of which is short."""
        times = Times()
        for number in range(5000):
            times.record(number / 1000)
        steps = list(times.encoded())
        self.assertGreater(len(steps), 50)
        self.assertEqual(set(steps[:-1]), {""})

    def test_none(self) -> None:
        """None are no histogram."""
        self.assertEqual("".join(Times().encoded()), "")

    def test_bounded(self) -> None:
        """Any number of any times takes bounded memory: a few thousand places for each power of ten."""
        times, random = Times(), Random(1)
        for _ in range(200_000):
            times.record(random.uniform(0.0, 10.0))
        # A step of the histogram takes twenty places.
        self.assertLess(20 * len(list(times.encoded())), 15_000)


class LedgerTests(SynchronousTestCase):
    def ledger(self) -> Ledger:
        ledger = Ledger()
        ledger.begin(100.0, 102.5)
        return ledger

    def data(self, second: Second) -> dict[str, Any]:
        parts: dict[str, Any] = {}
        for part in second.data():
            parts |= part
        return parts

    def test_seconds(self) -> None:
        """A message is in the second in which it was due."""
        ledger = self.ledger()
        self.assertEqual(ledger.count, 3)
        for due in (100.0, 100.999, 101.0, 102.4, 102.5, 200.0):
            ledger.second(due).ask()
        self.assertEqual([ledger.take(number).due for number in range(4)], [2, 1, 3, 0])

    def test_bounds(self) -> None:
        """A message that is due when a second ends belongs to the next one, with any rounding."""
        for start in (100.1, 4321.7, 98765.432):
            ledger = Ledger()
            ledger.begin(start, start + 50)
            for number in range(50):
                ledger.second(start + number).ask()
                self.assertTrue(ledger.isPending(number))

    def test_warmup(self) -> None:
        """A message that is due before the measured part counts nowhere."""
        ledger = self.ledger()
        ledger.second(99.999).ask()
        self.assertEqual(ledger.take(0).due, 0)
        self.assertEqual(Ledger().second(5.0).due, 0)

    def test_pending(self) -> None:
        """A second is open while something that was sent in it is."""
        ledger = self.ledger()
        for _ in range(2):
            ledger.second(100.5).ask()
        ledger.second(100.5).answer(0.1, 64)
        self.assertTrue(ledger.isPending(0))
        ledger.second(100.5).fail(Reason(ErrorKind.RESET))
        self.assertFalse(ledger.isPending(0))
        self.assertFalse(ledger.isPending(1))

    def test_data(self) -> None:
        """The report of a second has its counts."""
        second = Second()
        second.ask()
        second.answer(0.25, 64)
        second.giveUp(Reason(ErrorKind.REFUSED))
        data = self.data(second)
        self.assertApproximates(Histogram(data.pop("latency")).most, 0.25, 0.001)
        counts: dict[str, Any] = {"due": 2, "sent": 1, "answered": 1, "bytes": 64}
        counts |= {
            "carried": 0,
            "outstanding": 0,
            "unbegun": 0,
            "unserved": 0,
            "dropped": 0,
            "came": [0] * 10,
        }
        self.assertEqual(data, {**counts, "errors": {"refused": 1}})
