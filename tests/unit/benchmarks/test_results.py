"""The benchmark's judgement of its samples."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.peers import CANDIDATES
from benchmarks.results import Results, Sample
from benchmarks.rows import CPU, MEMORY, OURS, RELAY, TAIL, TARGETS, Target, rowNamed
from tests.unit.benchmarks.samples import costs, results

TENTH = Target("1k-10", CPU, "textbook", 0.4)
MEMORY_TARGET = Target("idle", MEMORY, None, 1000)


def grade(*ratios: float) -> str:
    """Returns the grade of rounds with these ratios to the other server."""
    samples = {OURS: costs(*(10 * ratio for ratio in ratios)), "textbook": costs(*[10] * len(ratios))}
    return results(_1k_10=samples).verdict(TENTH).grade()


class ResultsTests(SynchronousTestCase):
    def test_median(self) -> None:
        """The median of the rounds counts; where there is no sample, or no such number, there is none."""
        measured = results(_1k_10={OURS: costs(5, 4, 9)})
        self.assertEqual(measured.estimate("1k-10", OURS, CPU), (5, None, None))
        for nothing in (("1k-10", OURS, TAIL), ("1k-10", "go", CPU), ("udp", OURS, CPU)):
            self.assertIsNone(measured.estimate(*nothing))

    def test_ratio(self) -> None:
        """A ratio is the median of the ratios of the rounds, not the ratio of two medians."""
        samples = {OURS: costs(1, 20, 3, 8, 5), "textbook": costs(2, 10, 4, 8, 4)}
        verdict = results(_1k_10=samples).verdict(TENTH)
        self.assertEqual(verdict.estimate, (1, 0.5, 2))

    def test_met(self) -> None:
        """A target is met when the whole interval is below the target plus 3 %."""
        self.assertEqual(grade(0.3, 0.3, 0.3, 0.3, 0.411), "met")
        self.assertEqual(grade(*[0.4119] * 15), "met")

    def test_missed(self) -> None:
        """A target is missed when the whole interval is above the target plus 3 %."""
        self.assertEqual(grade(0.413, 0.5, 0.5, 0.5, 0.5), "missed")

    def test_undecided(self) -> None:
        """An interval with the target plus 3 % in it decides nothing, wherever its median is."""
        self.assertEqual(grade(0.3, 0.3, 0.3, 0.3, 0.413), "undecided")
        self.assertEqual(grade(0.411, 0.5, 0.5, 0.5, 0.5), "undecided")

    def test_outliers(self) -> None:
        """Of 15 rounds, three that are off on either side change no verdict."""
        self.assertEqual(grade(*[0.3] * 12, 9, 9, 9), "met")
        self.assertEqual(grade(*[0.3] * 11, 9, 9, 9, 9), "undecided")

    def test_tooFew(self) -> None:
        """Rounds without an interval give no verdict, however clear they are."""
        self.assertEqual(grade(0.1, 0.1, 0.1, 0.1), "too few rounds")

    def test_absolute(self) -> None:
        """A target without a peer is about our own figure, with the same tolerance."""
        for memory, graded in ((1029, "met"), (1031, "missed")):
            verdict = results(idle={OURS: [Sample(1, 1, memory=memory)] * 5}).verdict(MEMORY_TARGET)
            self.assertEqual((verdict.estimate, verdict.grade()), ((memory,) * 3, graded))

    def test_base(self) -> None:
        """A target on a row with a base is about the ratio of our own figures, round by round."""
        (target,) = (target for target in TARGETS if target.row == "1k-18000")
        few, many = {OURS: costs(1, 2, 4, 8, 16)}, {OURS: costs(1, 3, 4, 8, 16)}
        verdict = results(_1k_1000=few, _1k_18000=many).verdict(target)
        self.assertEqual((verdict.estimate, verdict.grade()), ((1, 1, 1.5), "undecided"))
        self.assertEqual(verdict.asJson()["against"], "1k-1000")
        self.assertEqual(results(_1k_18000=many).verdict(target).grade(), "not measured")

    def test_notMeasured(self) -> None:
        """Without the other's figure, or without ours, there is no ratio."""
        for samples in ({OURS: costs(1)}, {"textbook": costs(1)}, {}):
            verdict = results(_1k_10=samples).verdict(TENTH)
            self.assertEqual((verdict.estimate, verdict.grade()), (None, "not measured"))

    def test_notJudged(self) -> None:
        """A slow load, and one core for both, give ratios that say nothing; memory is memory anyway."""
        samples = {OURS: costs(*[1] * 5), "textbook": costs(*[1] * 5)}
        for measured in (results("Python", _1k_10=samples), results(cores=1, _1k_10=samples)):
            self.assertEqual(measured.verdict(TENTH).grade(), "not judged")
            measured.samples["idle"] = {OURS: [Sample(cpu=1, rate=1, memory=1)] * 5}
            self.assertEqual(measured.verdict(MEMORY_TARGET).grade(), "met")

    def test_fewer(self) -> None:
        """A row that was measured with fewer connections has that number in its title, and no verdict."""
        measured = results(idle={OURS: [Sample(1, 1, memory=1)] * 5})
        measured.fewer = {"idle": 2000}
        self.assertEqual(measured.rows()[0].title, "Idle, 2,000 connections")
        self.assertEqual(measured.verdict(MEMORY_TARGET).grade(), "not judged")
        self.assertEqual(Results.fromJson(measured.toJson()), measured)

    def test_fellBehind(self) -> None:
        """A server that fell behind has no bound on its latency, which neither helps it nor is left out."""
        target = Target("latency", TAIL, "uvloop", 1)
        timed, behind = Sample(1, 1, 10, 20), Sample(1, 1)
        for ours, other, graded in (
            ([behind] * 5, [timed] * 5, "missed"),
            ([timed] * 4 + [behind], [timed] * 5, "undecided"),
            ([timed] * 5, [behind] * 5, "met"),
            ([behind] * 5, [behind] * 5, "not measured"),
        ):
            verdict = results(latency={OURS: ours, "uvloop": other}).verdict(target)
            self.assertEqual(verdict.grade(), graded)

    def test_asked(self) -> None:
        """The targets of the rows that were asked for have verdicts, those of a missing row too."""
        measured = results(udp={OURS: costs(1)})
        measured.wanted = ["1k-1000"]
        rows = [verdict.target.row for verdict in measured.verdicts()]
        self.assertEqual(sorted(set(rows)), ["1k-1000", "udp"])
        self.assertEqual({verdict.grade() for verdict in measured.verdicts()}, {"not measured"})
        del measured.peers[OURS]
        self.assertEqual(measured.verdicts(), [])

    def test_jsonVerdicts(self) -> None:
        """The JSON has each ratio with its interval and verdict, and no number that JSON lacks."""
        samples = {OURS: [Sample(1, 1)] * 5, "uvloop": [Sample(1, 1, 10, 20)] * 5}
        (verdict,) = json.loads(results(latency=samples).toJson(), parse_constant=self.fail)["verdicts"]
        names = {"row": "latency", "figure": "tail", "against": "uvloop", "target": 1, "verdict": "missed"}
        self.assertEqual(verdict, {**names, "median": None, "low": None, "high": None})

    def test_json(self) -> None:
        """Results survive being written and read."""
        measured = results(_1k_10={OURS: costs(5, 4)}, latency={OURS: [Sample(1, 2, 3, 4)]})
        self.assertEqual(Results.fromJson(measured.toJson()), measured)

    def test_comparison(self) -> None:
        """Pythons are compared with the first one, round by round; peers are not compared that way."""
        measured = results(_1k_10={"3.11.2": costs(1, 2, 4, 8, 16), "3.13.0": costs(2, 4, 8, 8, 48)})
        measured.peers = {"3.11.2": "3.11.2", "3.13.0": "3.13.0"}
        self.assertEqual(measured.comparison(), [])
        measured.reference = "3.11.2"
        self.assertEqual(measured.comparison(), [(rowNamed("1k-10"), CPU, "3.13.0", (2, 1, 3))])
        (ratio,) = json.loads(measured.toJson())["ratios"]
        names = {"row": "1k-10", "figure": "cpu", "peer": "3.13.0"}
        self.assertEqual(ratio, {**names, "median": 2, "low": 1, "high": 3})
        self.assertEqual(Results.fromJson(measured.toJson()), measured)

    def test_relays(self) -> None:
        """The targets of a row of relays are about our relay, and its base is our echo."""
        samples = {RELAY: costs(*[4] * 5), "portforward": costs(*[16] * 5), OURS: costs(*[9] * 5)}
        measured = results(_1k_10={OURS: costs(*[2] * 5)}, forward_1k=samples)
        measured.peers[RELAY] = "a relay"
        verdicts = [verdict for verdict in measured.verdicts() if verdict.target.row == "forward-1k"]
        found = {verdict.target.against: verdict.estimate for verdict in verdicts}
        self.assertEqual(found, {None: (2, 2, 2), "portforward": (0.25, 0.25, 0.25), "uvloop-relay": None})

    def test_noRelay(self) -> None:
        """Without our relay its rows have no verdict, and the others have theirs."""
        measured = results(_1k_10={OURS: costs(1)}, forward_1k={"portforward": costs(1)})
        self.assertEqual({verdict.target.row for verdict in measured.verdicts()}, {"1k-10"})

    def test_badJson(self) -> None:
        """A file that is no results is refused with one clear error."""
        good = results(_1k_10={OURS: costs(1)}).toJson()
        for bad in ("", "[]", "{}", "null", good.replace("1k-10", "2k"), good.replace('"cpu"', '"cup"')):
            self.assertRaises(ValueError, Results.fromJson, bad)

    def test_targets(self) -> None:
        """Each target names a row, a figure that it has, and a peer that has the row's transport."""
        for target in TARGETS:
            self.assertIn(target.figure, rowNamed(target.row).figures)
            if target.against is not None:
                self.assertIn(rowNamed(target.row).transport, CANDIDATES[target.against].options)
