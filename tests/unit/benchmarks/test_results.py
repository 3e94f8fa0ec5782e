"""The benchmark's judgement of its samples."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.peers import CANDIDATES
from benchmarks.results import Results, Sample
from benchmarks.rows import CPU, MEMORY, OURS, TAIL, TARGETS, Target, rowNamed
from tests.unit.benchmarks.samples import costs, results

TENTH = Target("1k-10", CPU, "textbook", 0.4, 0.3)


class ResultsTests(SynchronousTestCase):
    def test_lowest(self) -> None:
        """The lowest of the rounds counts; where there is no sample, or no such number, there is none."""
        measured = results(_1k_10={OURS: costs(5, 4, 6)})
        self.assertEqual(measured.lowest("1k-10", OURS, CPU), 4)
        for nothing in (("1k-10", OURS, TAIL), ("1k-10", "go", CPU), ("udp", OURS, CPU)):
            self.assertIsNone(measured.lowest(*nothing))

    def test_ratio(self) -> None:
        """A ratio is our lowest by the other's lowest, and is graded by both limits."""
        for ours, ratio, grade in ((3, 0.3, "aim met"), (4, 0.4, "must met"), (4.1, 0.41, "not met")):
            verdict = results(_1k_10={OURS: costs(9, ours), "textbook": costs(10, 20)}).verdict(TENTH)
            assert verdict.value is not None
            self.assertAlmostEqual(verdict.value, ratio)
            self.assertEqual(verdict.grade(), grade)

    def test_absolute(self) -> None:
        """A target without a peer is about our own figure."""
        sample = Sample(cpu=1, rate=1, memory=1500)
        verdict = results(memory={OURS: [sample]}).verdict(Target("memory", MEMORY, None, 1536, 1024))
        self.assertEqual((verdict.value, verdict.grade()), (1500, "must met"))

    def test_notMeasured(self) -> None:
        """Without the other's figure, or without ours, there is no ratio."""
        for samples in ({OURS: costs(1)}, {"textbook": costs(1)}, {}):
            verdict = results(_1k_10=samples).verdict(TENTH)
            self.assertEqual((verdict.value, verdict.grade()), (None, "not measured"))

    def test_notJudged(self) -> None:
        """A slow load, and one core for both, give ratios that say nothing; memory is memory anyway."""
        samples = {OURS: costs(1), "textbook": costs(1)}
        for measured in (results("Python", _1k_10=samples), results(cores=1, _1k_10=samples)):
            self.assertEqual(measured.verdict(TENTH).grade(), "not judged")
            memory = Target("memory", MEMORY, None, 1536, 1024)
            measured.samples["memory"] = {OURS: [Sample(cpu=1, rate=1, memory=1)]}
            self.assertEqual(measured.verdict(memory).grade(), "aim met")

    def test_json(self) -> None:
        """Results survive being written and read."""
        measured = results(_1k_10={OURS: costs(5, 4)}, latency={OURS: [Sample(1, 2, 3, 4)]})
        self.assertEqual(Results.fromJson(measured.toJson()), measured)

    def test_badJson(self) -> None:
        """A file that is no results is refused with one clear error."""
        good = results(_1k_10={OURS: costs(1)}).toJson()
        for bad in ("", "[]", "{}", "null", good.replace("1k-10", "2k"), good.replace('"cpu"', '"cup"')):
            self.assertRaises(ValueError, Results.fromJson, bad)

    def test_targets(self) -> None:
        """Each promise names a row, a figure that it has, and a peer that there is."""
        for target in TARGETS:
            self.assertIn(target.figure, rowNamed(target.row).figures)
            self.assertTrue(target.against is None or target.against in CANDIDATES)
            self.assertLess(target.aim, target.must)
