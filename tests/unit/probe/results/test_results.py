"""The results of a load, and its histogram."""

from __future__ import annotations

import base64
import json
import math
import struct
import zlib
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.results.histogram import Histogram
from echo_app.probe.results.results import Interval, LoadSettings, Results, Run


class HistogramTests(SynchronousTestCase):
    def test_percentiles(self) -> None:
        """The histogram's percentiles agree with those of the sorted samples, to a thousandth."""
        random, histogram = Random(1), Histogram()
        samples = sorted(random.lognormvariate(-9, 2) for _ in range(50_000))
        for sample in samples:
            histogram.record(sample)
        stated = histogram.percentiles()
        self.assertEqual(list(stated), [50, 75, 90, 99, 99.9])
        for rank, seconds in stated.items():
            exact = samples[math.ceil(len(samples) * rank / 100) - 1]
            self.assertLess(abs(seconds - exact), exact / 1000 + 1e-7, rank)

    def test_tooFew(self) -> None:
        """A percentile that fewer than ten samples exceed is none."""
        histogram = Histogram()
        for _ in range(999):
            histogram.record(0.001)
        self.assertIsNone(histogram.percentile(99))
        histogram.record(0.001)
        self.assertIsNotNone(histogram.percentile(99))

    def test_extremes(self) -> None:
        """Nothing is too short or too long to be counted."""
        histogram = Histogram()
        for seconds in (-1e-9, 0.0, 1e9):
            histogram.record(seconds)
        self.assertEqual(len(histogram), 3)
        self.assertApproximates(histogram.most, 3600, 4)

    def test_add(self) -> None:
        """Histograms add up, through their encoded form."""
        one, other = Histogram(), Histogram()
        one.record(0.001)
        other.record(0.002)
        one.add(other.encode())
        self.assertEqual(len(one), 2)
        self.assertApproximates(one.most, 0.002, 2e-6)

    def test_notEncoded(self) -> None:
        """A wrong histogram is a ValueError."""
        for text in ("", "abc", "AAAA", "HISTFAAA"):
            self.assertRaises(ValueError, Histogram, text)

    def test_tooLarge(self) -> None:
        """A histogram that is compressed from more bytes than ours can have is none."""
        bomb = zlib.compress(bytes(10_000_000))
        text = base64.b64encode(struct.pack(">ii", 0x1C849304, len(bomb)) + bomb).decode()
        with self.assertRaises(ValueError) as caught:
            Histogram(text)
        self.assertEqual(str(caught.exception.__cause__), "too large")

    def test_full(self) -> None:
        """A histogram with every count is read."""
        histogram, seconds = Histogram(), 1e-7
        while seconds < 3600:
            histogram.record(seconds, 1 << 40)
            seconds *= 1.0004
        self.assertEqual(len(Histogram(histogram.encode())), len(histogram))

    def test_none(self) -> None:
        """An empty histogram has no values."""
        histogram = Histogram()
        self.assertEqual((histogram.percentiles(), histogram.most), ({}, 0))


class ResultsTests(SynchronousTestCase):
    def _results(self) -> Results:
        run = Run("127.0.0.1:7", "2026-01-01T00:00:00+00:00", 2.0, 12, 12, 10, 640, errors={"reset": 2})
        run.latency.record(0.001)
        run.intervals.append(Interval(0.0, 1.0, 10, {50.0: 0.001}, 0.001, {"reset": 2}))
        settings = LoadSettings(((64, 1.0), (1024, 0.5)), rate=6.0, arrivals="poisson")
        return Results("echo-probe load 127.0.0.1:7", {"echo_app": "1"}, {"cores": "2"}, settings, [run])

    def test_json(self) -> None:
        """Written results are read unchanged."""
        results = self._results()
        again = Results.fromJson(results.toJson())
        self.assertEqual(again.settings, results.settings)
        self.assertEqual(again.runs[0].intervals, results.runs[0].intervals)
        self.assertEqual(again.toJson(), results.toJson())
        self.assertEqual(again.runs[0].rate, 5.0)

    def test_somethingElse(self) -> None:
        """Another file, or half of one, is a ValueError."""
        whole = json.loads(self._results().toJson())
        broken = [{**whole, "format": "x"}, {**whole, "runs": [{}]}, {**whole, "more": 1}, [], "x"]
        del whole["settings"]
        for text in ["", "{", *map(json.dumps, [*broken, whole])]:
            self.assertRaises(ValueError, Results.fromJson, text)

    def test_probeIsLate(self) -> None:
        """The probe is the bottleneck when its p99 is over 1 ms and over a tenth of the result's."""
        for late, result, expected in ((0.002, 0.01, True), (0.002, 0.03, False), (0.0009, 0.001, False)):
            run = Run("x", "")
            for _ in range(1000):
                run.lateness.record(late)
                run.latency.record(result)
            self.assertEqual(run.isProbeLate, expected)
        self.assertTrue(Run("x", "", busy=0.96).isProbeLate)
        self.assertFalse(Run("x", "", busy=0.9).isProbeLate)
