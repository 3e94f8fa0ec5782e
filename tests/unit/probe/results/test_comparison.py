"""The certainty of a difference."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.results.comparison import FigureDifference, Verdict, difference, percent, unlike, verdict
from echo_app.probe.results.figures import FIGURES, Subject, perSecond, subjects, summary
from echo_app.probe.results.results import LoadSettings, Run
from echo_app.text import escaped
from tests.support.loads import STARTED, makeResults, makeRun, steady


class VerdictTests(SynchronousTestCase):
    def test_oneRepeat(self) -> None:
        """Of one repeat alone nothing can be said."""
        for first, other in (([1.0], [9.0, 9.0, 9.0]), ([1.0, 1.0, 1.0], [9.0]), ([], [1.0])):
            self.assertIs(verdict(first, other), Verdict.UNKNOWN)

    def test_overlap(self) -> None:
        """Ranges that overlap are no difference, however many repeats there are."""
        for first, other in (
            ([1.0, 2.0], [1.5, 9.0]),
            ([1.0, 2.0, 3.0], [3.0, 8.0, 9.0]),
            ([float(n) for n in range(10)], [9.0 + n for n in range(10)]),
        ):
            self.assertIs(verdict(first, other), Verdict.NONE)
            self.assertIs(verdict(other, first), Verdict.NONE)

    def test_twoRepeats(self) -> None:
        """Two repeats can show that there is no difference, but not that there is one."""
        self.assertIs(verdict([1.0, 1.1], [9.0, 9.1]), Verdict.UNKNOWN)

    def test_threeRepeats(self) -> None:
        """Of three, the ranges must be further apart than the wider one is wide."""
        first = [1.0, 1.1, 1.2]
        self.assertIs(verdict(first, [1.35, 1.36, 1.37]), Verdict.NONE)
        self.assertIs(verdict(first, [1.5, 1.6, 1.75]), Verdict.HIGHER)
        self.assertIs(verdict(first, [1.5, 1.6, 1.9]), Verdict.NONE)
        self.assertIs(verdict([1.5, 1.6, 1.6], first), Verdict.LOWER)

    def test_fiveRepeats(self) -> None:
        """Of five, it is enough that the ranges do not overlap."""
        first, other = [1.0, 1.1, 1.2, 1.3, 1.4], [1.45, 1.5, 1.6, 1.7, 1.8]
        self.assertIs(verdict(first, other), Verdict.HIGHER)
        self.assertIs(verdict(first[:4], other), Verdict.NONE)

    def test_slight(self) -> None:
        """Less than one per cent is none, even where every repeat is the same."""
        self.assertIs(verdict([1000.0] * 5, [1009.0] * 5), Verdict.NONE)
        self.assertIs(verdict([1000.0] * 5, [1011.0] * 5), Verdict.HIGHER)

    def test_zero(self) -> None:
        """No errors before and some in each repeat after is a difference."""
        self.assertIs(verdict([0.0] * 5, [1.0, 30.0, 2.0, 5.0, 9.0]), Verdict.HIGHER)

    def test_falseAlarms(self) -> None:
        """Repeats of the same thing are rarely called different."""
        random = Random(1)
        for count in (3, 4, 5):
            said = [
                verdict(*([random.lognormvariate(0, 0.2) for _ in range(count)] for _ in range(2)))
                for _ in range(2000)
            ]
            self.assertLess(2000 - said.count(Verdict.NONE), 2000 * 0.015, count)


class DifferenceTests(SynchronousTestCase):
    def test_said(self) -> None:
        """A difference is reported with its size and its certainty."""
        for verdict_, change, word, said in (
            (Verdict.NONE, 0.3, "", "none"),
            (Verdict.HIGHER, 0.124, "worse", "+12 % worse"),
            (Verdict.LOWER, -0.034, "better", "-3.4 % better"),
            (Verdict.HIGHER, 7.2, "worse", "x8.2 worse"),
            (Verdict.HIGHER, None, "worse", "worse"),
            (Verdict.HIGHER, None, "", "higher"),
            (Verdict.UNKNOWN, 0.5, "", "+50 % (?)"),
            (Verdict.UNKNOWN, None, "", "(?)"),
        ):
            self.assertEqual(str(FigureDifference(verdict_, change, word)), said)

    def test_percent(self) -> None:
        """Large ones are factors."""
        self.assertEqual([percent(each) for each in (1.0, 98.5, 12344.0)], ["x2", "x99.5", "x12,345"])

    def test_notStated(self) -> None:
        """A figure that not every repeat can state says nothing: it is the fast ones that can."""
        random = Random(1)

        def subject(rates: list[int]) -> Subject:
            runs = [makeRun(random, steady(1 / rate), seconds=1, rate=rate) for rate in rates]
            return subjects([makeResults(*runs)])[0]

        fast, mixed = subject([1100] * 5), subject([1100, 1100, 1100, 900, 900])
        p99 = next(figure for figure in FIGURES if figure.name == "p99")
        for one, two in ((fast, mixed), (mixed, fast)):
            found = difference(p99, one, two)
            assert found is not None
            self.assertIs(found.verdict, Verdict.UNKNOWN)

    def test_nobody(self) -> None:
        """A figure with one value has no difference."""
        (subject,) = subjects([makeResults(makeRun(Random(1), steady(), seconds=1, rate=2))])
        self.assertIsNone(difference(FIGURES[1], subject, subject))


class UnlikeTests(SynchronousTestCase):
    def test_unlike(self) -> None:
        """The first setting that differs is named, with both values."""
        settings = LoadSettings()
        self.assertIsNone(unlike(settings, LoadSettings()))
        self.assertEqual(unlike(settings, replace(settings, rate=5.0)), ("rate", "none", "5"))
        mixed = replace(settings, sizes=((64, 1.0), (1024, 2.5)))
        self.assertEqual(unlike(settings, mixed), ("sizes", "1024:1", "64:1,1024:2.5"))


class SubjectTests(SynchronousTestCase):
    def test_names(self) -> None:
        """A subject has the name that tells it from the others."""
        one, two = (makeResults(makeRun(Random(1), steady(), each)) for each in ("a:1", "b:1"))
        both = makeResults(*one.runs, *two.runs)
        self.assertEqual([each.name for each in subjects([both])], ["a:1", "b:1"])
        self.assertEqual([each.name for each in subjects([one, one], ["x", "y"])], ["x", "y"])
        self.assertEqual([each.name for each in subjects([one, two], ["x", "y"])], ["x: a:1", "y: b:1"])
        self.assertEqual([each.key for each in subjects([both] * 14)][-3:], ["Z", "27", "28"])

    def test_label(self) -> None:
        """A label stands behind the name of its result."""
        results = [makeResults(Run("a:1", STARTED)) for _ in range(2)]
        results[1].label = "version 2"
        self.assertEqual([each.name for each in subjects(results, ["x", "y"])], ["x", "y: version 2"])
        self.assertEqual([each.name for each in subjects(results[1:])], ["version 2: a:1"])

    def test_escaped(self) -> None:
        """A file's control characters are escaped."""
        self.assertEqual(escaped("a\x1b[2J\u202e\nb"), "a\\x1b[2J\\u202e\\nb")

    def test_interrupted(self) -> None:
        """An interrupted repeat is left out of the figures, unless there is no other."""
        runs = [makeRun(Random(n), steady(), seconds=2) for n in range(2)]
        runs[1].isInterrupted = True
        (subject,) = subjects([makeResults(*runs)])
        self.assertEqual([len(subject.values(figure)) for figure in FIGURES[:2]], [1, 1])
        runs[0].isInterrupted = True
        self.assertEqual(len(subject.values(FIGURES[0])), 2)

    def test_summary(self) -> None:
        """A figure of several repeats is their median, and its spread."""
        figure = FIGURES[1]
        self.assertEqual(summary(figure, [0.003, 0.001, 0.002]), ("2.00 ms", "1.00 ms to 3.00 ms"))
        self.assertEqual(summary(figure, [0.001]), ("1.00 ms", ""))
        self.assertEqual(summary(figure, []), ("-", ""))

    def test_perSecond(self) -> None:
        """A rate has four digits."""
        self.assertEqual([perSecond(each) for each in (0, 9.8761, 12340)], ["0.000/s", "9.876/s", "12,340/s"])
