"""The list of percentiles, and the outputs that print them."""

from __future__ import annotations

from array import array
from random import Random
from runpy import run_path

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.cli.pingreport import PingStatistics
from echo_app.probe.cli.progress import figuresOf
from echo_app.probe.load.run import Running
from echo_app.probe.report.overtime import latencyLegend, latencyOverTime
from echo_app.probe.report.percentilecurve import percentileCurve
from echo_app.probe.report.scales import Nines
from echo_app.probe.report.summary import figures, summary
from echo_app.probe.report.svg import flattened
from echo_app.probe.results import figures as figuresModule
from echo_app.probe.results import statistics
from echo_app.probe.results.figures import subjects
from echo_app.probe.results.results import LoadSettings
from echo_app.probe.results.statistics import PERCENTILES, Output, nameOf, shownIn, spread
from echo_app.targets import parseTarget
from tests.support.loads import makeResults, makeRun, steady
from tests.unit.probe.load.test_totals import second, times

TARGET = parseTarget("127.0.0.1:7")


def outputs() -> dict[str, str]:
    """Returns every output that prints percentiles, of thousands of answers."""
    runs = [makeRun(Random(n), steady(), seconds=2, rate=1500, connections=3000) for n in range(2)]
    results = makeResults(*runs, duration=2.0)
    compared = subjects([results])
    curve, (latency,) = percentileCurve(compared), latencyOverTime(compared)
    assert curve is not None
    running = Running(None, TARGET, LoadSettings())
    running.totals.second(0, second(0, 3000, latency=times(*[0.002] * 3000)))
    samples = [n / 1000 for n in range(3000)]
    # A copy of the module, as it is when a process starts.
    made = run_path(figuresModule.__file__)["FIGURES"]
    return {
        "check": spread(samples),
        "ping": str(PingStatistics(3000, times=array("d", samples)).lines(TARGET)),
        "progress": figuresOf(running),
        "repeat that has ended": figures(runs[0]),
        "run": "\n".join(summary(makeResults(runs[0]))),
        "repeats": "\n".join(summary(results)),
        "figures": str([figure.name for figure in made]),
        "picture over time": flattened(latency.tag("x")),
        "legend over time": latencyLegend(),
        "curve's text": curve.description,
        "axis": str([f"p{tick.text}" for tick in Nines(99.99).ticks()]),
    }


class PercentileTests(SynchronousTestCase):
    def test_oneList(self) -> None:
        """A percentile that is added to the list is in every output that its line names."""
        for name, text in outputs().items():
            self.assertNotIn("p95", text, name)
        more = {**PERCENTILES, 95.0: ~Output.MINOR}
        self.patch(statistics, "PERCENTILES", dict(sorted(more.items())))
        for name, text in outputs().items():
            self.assertIn("p95", text, name)

    def test_removed(self) -> None:
        """A percentile without outputs is in the row of a run, its interval and the curve's text alone."""
        self.patch(statistics, "PERCENTILES", {50.0: ~Output.MINOR, 95.0: Output(0)})
        shown = {name for name, text in outputs().items() if "p95" in text}
        self.assertEqual(shown, {"run", "curve's text"})

    def test_order(self) -> None:
        """Percentiles rise, as columns and labels do."""
        self.assertEqual(list(PERCENTILES), sorted(PERCENTILES))

    def test_names(self) -> None:
        """A name has all digits of its percentile."""
        self.assertEqual(nameOf(50.0), "p50")
        self.assertEqual(nameOf(99.99999), "p99.99999")

    def test_minor(self) -> None:
        """A label that may be omitted is one of the labels."""
        self.assertLessEqual(set(shownIn(Output.MINOR)), set(shownIn(Output.AXIS)))
