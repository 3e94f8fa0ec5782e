"""Conditions on the figures of a load."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.results.conditions import conditionOf, outcomesOf
from echo_app.probe.results.results import LoadSettings, Run
from tests.support.loads import STARTED, makeResults, makeRun, steady

SETTINGS = LoadSettings()


def runOf(*milliseconds: float, seconds: float = 1.0, target: str = "a:1", **counts: object) -> Run:
    """Returns a run with these latencies, a thousand of each."""
    run = Run(target, STARTED, seconds, **counts)  # type: ignore[arg-type]
    for each in milliseconds:
        run.latency.record(each / 1000, 1000)
    run.answered = len(run.latency)
    run.due = run.answered + sum(run.errors.values())
    return run


class ParsingTests(SynchronousTestCase):
    def test_good(self) -> None:
        """Times have units, counts may be shares, and spaces around the sign are allowed."""
        for text, name, sign, limit, isShare in (
            ("p99>50ms", "p99", ">", 0.05, False),
            (" p99.9 >= 1.5s ", "p99.9", ">=", 1.5, False),
            ("connect-p50<2ms", "connect-p50", "<", 0.002, False),
            ("max>1min", "max", ">", 60, False),
            ("rate<5k", "rate", "<", 5000, False),
            ("rate<5k/s", "rate", "<", 5000, False),
            ("errors>10", "errors", ">", 10, False),
            ("errors>0.1%", "errors", ">", 0.001, True),
            ("unanswered>=1", "unanswered", ">=", 1, False),
            ("busy>90%", "busy", ">", 0.9, False),
            ("answered<1k", "answered", "<", 1000, False),
        ):
            found = conditionOf(text)
            self.assertEqual((found.name, found.sign, found.isShare), (name, sign, isShare))
            self.assertAlmostEqual(found.limit, limit)

    def test_wrong(self) -> None:
        """An error names the part that is wrong, and what was probably meant."""
        for text, part in (
            ("p99", "not FIGURE>VALUE or FIGURE<VALUE"),
            ("p99=5ms", "not FIGURE>VALUE"),
            ("p100>5ms", "no figure 'p100'"),
            ("p0>5ms", "no figure 'p0'"),
            ("error>5", "no figure 'error'; did you mean errors?"),
            ("xyz>5", "no figure 'xyz'; there are p50, "),
            ("p99>50", "'50' is not a time up to a day, such as 50ms, 1.5s, 2min or 1h; did you mean 50s"),
            ("errors>5ms", "'5ms' is not "),
            ("errors>5/s", "'5/s' is not a count"),
            ("errors>500%", "'500%' is not a probability"),
            ("rate<5%", "'5%' is not "),
        ):
            self.assertIn(part, str(self.assertRaises(ValueError, conditionOf, text)))


class ValueTests(SynchronousTestCase):
    def check(self, text: str, runs: list[Run], said: str, isMet: bool) -> None:
        (outcome,) = outcomesOf([conditionOf(text)], makeResults(*runs, rate=None))
        self.assertEqual((str(outcome), outcome.isMet), (f"{text}: {said}", isMet))

    def test_figures(self) -> None:
        """Each kind of figure, with its unit."""
        run = runOf(1, 3, seconds=2.0, errors={"refused": 500}, busy=0.5)
        run.connects.record(0.004)
        for text, said, isMet in (
            ("p50>2ms", "p50 is 1.00 ms", False),
            ("p50<2ms", "p50 is 1.00 ms", True),
            ("p75.5>2ms", "p75.5 is 3.00 ms", True),
            ("max>=3ms", "max is 3.00 ms", True),
            ("connect-max>5ms", "connect-max is 4.00 ms", False),
            ("rate<1k", "rate is 1,000/s", False),
            ("rate<=1k", "rate is 1,000/s", True),
            ("errors>499", "errors is 500", True),
            ("errors>20%", "errors is 20%", False),
            ("unanswered>19%", "unanswered is 20%", True),
            ("busy>50%", "busy is 50%", False),
            ("held>0", "held is 0", False),
            ("held-max>0s", "held-max is 0 ms", False),
        ):
            self.check(text, [run], said, isMet)

    def test_repeats(self) -> None:
        """The figure of repeats is their median, but errors of all of them count."""
        runs = [runOf(1), runOf(9), runOf(2, errors={"reset": 3})]
        self.check("p50>5ms", runs, "p50 is 2.00 ms", False)
        self.check("errors>2", runs, "errors is 3", True)

    def test_notStated(self) -> None:
        """A figure that a repeat can't state is known of none of them, and no condition on it holds."""
        runs = [runOf(1), runOf(1)]
        runs[1].latency = Run("", "").latency
        said = "p99 can't be stated: it takes 10 longer times in each repeat"
        for text in ("p99>1ms", "p99<1ms"):
            self.check(text, runs, said, False)

    def test_targets(self) -> None:
        """Each target has an outcome of its own."""
        random = Random(1)
        runs = [makeRun(random, steady(median), f"{name}:1") for name, median in (("a", 0.001), ("b", 0.1))]
        found = outcomesOf([conditionOf("p50>10ms")], makeResults(*runs))
        self.assertEqual([(each.target, each.isMet) for each in found], [("a:1", False), ("b:1", True)])
