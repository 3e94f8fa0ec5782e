"""The summary at a load's end."""

from __future__ import annotations

import os
from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.report.remarks import remarksOfRuns
from echo_app.probe.report.summary import describe, figures, summary
from echo_app.probe.results.results import Interval, LoadSettings, Results, Run

OPEN = LoadSettings(connections=10, rate=100.0, arrivals="uniform", maxInflight=1000)


def run(count: int = 1000, seconds: float = 10.0, latency: float = 0.002, late: float = 0.0) -> Run:
    made = Run("127.0.0.1:7", "", seconds, count, count, count, 1024 * count)
    for _ in range(count):
        made.latency.record(latency)
        made.lateness.record(late)
    made.connects.record(0.0005)
    return made


def growing(*latencies: float, came: int = 100) -> Run:
    made = run(100 * len(latencies), float(len(latencies)))
    made.intervals = [
        Interval(n, 1.0, 100, {50.0: each}, came=[came] + [0] * 9) for n, each in enumerate(latencies)
    ]
    return made


def said(settings: LoadSettings, *runs: Run) -> list[str]:
    return list(summary(Results("", {}, {}, settings, list(runs))))


class DescribeTests(SynchronousTestCase):
    def test_describe(self) -> None:
        """The settings are a line; defaults are left out."""
        self.assertEqual(
            describe(LoadSettings()), "closed loop, 1 connection, 1 KiB; 10 s after 1 s of warm-up"
        )
        self.assertEqual(
            describe(OPEN), "open loop of 100/s (uniform), 10 connections, 1 KiB; 10 s after 1 s of warm-up"
        )
        everything = LoadSettings(((64, 1.0), (1024, 3.0)), 20, 2500.0, "poisson", 500, 1, 300.0, 0.0, 1.0, 2)
        self.assertEqual(
            describe(everything),
            "open loop of 2,500/s (poisson), 20 connections, 25% 64 B + 75% 1 KiB, up to 500 under way on "
            "each, 1 message on each, 2 processes; 300 s without a warm-up",
        )


class SingleTests(SynchronousTestCase):
    def test_good(self) -> None:
        """A good run is its figures, aligned, and nothing else."""
        self.assertEqual(
            said(OPEN, run())[1:],
            [
                "127.0.0.1:7",
                "  sent       1,000 messages, 100/s",
                "  answered   1,000, 100/s, 100 KiB/s each way",
                "  latency           p50       p75       p90       p99       max",
                "                2.00 ms   2.00 ms   2.00 ms   2.00 ms   2.00 ms",
                "  connects   1, max 0.500 ms",
                "  probe      p99 0.0000630 ms late",
                "  errors     none",
            ],
        )

    def test_nothing(self) -> None:
        """A run without an answer says so."""
        nothing = Run("x:1", "", 10.0, 5, 5, errors={"timed out": 5})
        lines = said(LoadSettings(), nothing)
        self.assertIn("  answered   0, 0/s, 0 B/s each way", lines)
        self.assertIn("  errors     5 timed out", lines)

    def test_errors(self) -> None:
        """Errors are said by kind, with when they were; and where bytes differ, escaped."""
        bad = run()
        bad.errors = {"reset": 2, "timed out": 1000}
        bad.intervals = [Interval(3, 1, errors={"reset": 2}), Interval(4, 1, errors={"timed out": 1000})]
        bad.differences = ["byte 7 is \x1b"]
        lines = said(LoadSettings(), bad)
        self.assertIn("  errors     1,000 timed out, 2 reset; between 3 s and 5 s", lines)
        self.assertIn(r"  wrong      byte 7 is \x1b", lines)

    def test_notSent(self) -> None:
        """Messages that were due and not sent are seen."""
        late = run(900)
        late.due = 1000
        self.assertIn("  sent       900 messages of 1,000 that were due, 90/s", said(OPEN, late))


class RepeatTests(SynchronousTestCase):
    def test_repeats(self) -> None:
        """Each repeat of each target has a row, and the spread has one."""
        runs = [run(1000, latency=0.002), run(1100, latency=0.003)]
        runs[1].errors = {"reset": 3}
        self.assertEqual(
            said(LoadSettings(), *runs)[1:],
            [
                "127.0.0.1:7",
                "               answered       p50       p99       max    errors",
                "  1               100/s   2.00 ms   2.00 ms   2.00 ms         0",
                "  2               110/s   3.00 ms   3.00 ms   3.00 ms         3",
                "  lowest          100/s   2.00 ms   2.00 ms   2.00 ms",
                "  highest         110/s   3.00 ms   3.00 ms   3.00 ms",
                "  errors     3 reset",
            ],
        )

    def test_targets(self) -> None:
        """Each target is said by itself, as it was typed."""
        other = run()
        other.target = "udp://a:1"
        lines = said(LoadSettings(), run(), other, run(), other)
        self.assertEqual([line for line in lines if line[0] != " "][1:], ["127.0.0.1:7", "udp://a:1"])


class RemarkTests(SynchronousTestCase):
    def remark(self, settings: LoadSettings, *runs: Run) -> Sequence[str]:
        return list(remarksOfRuns(runs, settings))

    def test_interrupted(self) -> None:
        """An early end is said, and no rate is missed by it."""
        early = run(10, 1.0)
        early.isInterrupted = True
        self.assertEqual(self.remark(OPEN, early), ["interrupted after 1.0 s of 10 s"])

    def test_exact(self) -> None:
        """A rate that is sent within a hundredth needs no remark; nor does chance, of few messages."""
        self.assertEqual(self.remark(OPEN, run(991), run(1000), run(1009)), [])
        self.assertEqual(self.remark(LoadSettings(rate=100.0, arrivals="poisson"), run(920)), [])

    def test_missed(self) -> None:
        """A missed rate is reported, with its cause."""
        settings = LoadSettings(rate=200.0, arrivals="uniform")
        missing = "was too slow: 2.0% of the messages that were asked for were not sent"
        self.assertEqual(self.remark(settings, run(1960)), [f"the service, or the path to it, {missing}"])
        self.assertEqual(self.remark(settings, run(1960, late=0.005))[0], f"the probe {missing}")

    def test_growing(self) -> None:
        """A service that falls behind is told from one that stalls."""
        behind = growing(*(0.5 * second for second in range(10)), came=65)
        self.assertApproximates(behind.growth, 0.5, 0.05)
        self.assertIn("latencies grew by 0.53 s a second", self.remark(OPEN, behind)[0])
        stalls = growing(*(0.5 if second % 5 == 4 else 0.001 for second in range(10)))
        self.assertEqual((self.remark(OPEN, stalls), stalls.growth), ([], 0.0))
        self.assertEqual(growing(0, 1, 2).growth, 0.0)

    def test_pause(self) -> None:
        """A pause of the probe, which no percentile shows, is reported."""
        paused = run()
        paused.latency.record(3.0)
        paused.lateness.record(2.99)
        (said,) = self.remark(LoadSettings(), paused)
        self.assertTrue(said.startswith("the probe stood still for up to 2991 ms: max 3001 ms"), said)
        paused.latency.record(60.0)
        self.assertEqual(self.remark(LoadSettings(), paused), [])

    def test_wrongInWarmUp(self) -> None:
        """Wrong bytes in the warm-up alone do not stand beside "errors none"."""
        wrong = run()
        wrong.differences = ["0x00 came"]
        lines = said(LoadSettings(), wrong)
        self.assertIn("  errors     none in the measured time, but wrong bytes in the warm-up", lines)
        self.assertIn("  wrong      0x00 came", lines)

    def test_dropped(self) -> None:
        """Answers that the probe itself had no room for are told from those that the service lost."""
        full = run()
        full.dropped = 3
        (said,) = self.remark(LoadSettings(), full)
        self.assertTrue(said.startswith("3 answers found the probe's own receive queue full: "), said)

    def test_late(self) -> None:
        """Answers after the measured time are not in the rate, and a remark has their number."""
        behind = growing(1.0, 2.0, 3.0, came=30)
        self.assertEqual(figures(behind).partition(",")[0], "30/s")
        self.assertIn("  answered   300, 30/s, 30 KiB/s each way", said(OPEN, behind))
        late = "210 answers came after the measured time: the rate is without them"
        self.assertEqual(self.remark(OPEN, behind), [late])
        self.assertEqual(self.remark(LoadSettings(), behind), [late])

    def test_fewLate(self) -> None:
        """Few answers after the measured time need no remark, nor do more of the warm-up in it."""
        self.assertEqual(self.remark(OPEN, growing(1.0, 1.0, 1.0, came=90)), [])
        more = growing(1.0, 1.0, 1.0, came=120)
        self.assertEqual((self.remark(OPEN, more), more.rate), ([], 100.0))

    def test_bottleneck(self) -> None:
        """A bottleneck in the probe is reported, with the remedy."""
        self.patch(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
        late = run(latency=0.01, late=0.005)
        late.busy = 0.9
        line, advice = self.remark(OPEN, run(), late)
        self.assertEqual(
            line,
            "the probe was the bottleneck (90% busy, p99 5.00 ms late): up to that much of p99 10.0 ms is "
            "its own",
        )
        self.assertEqual(advice.strip(), "try more --processes (now 1, with 4 cores), or a lower --rate")
        _, advice = self.remark(LoadSettings(connections=2, processes=2), late)
        self.assertEqual(advice.strip(), "try fewer --connections")
        late.busy = 0.1
        self.assertIn("try a quieter one", self.remark(OPEN, late)[1])


class UnansweredTests(SynchronousTestCase):
    def test_noAnswer(self) -> None:
        """A run without an answer says so, and what was under way from the warm-up."""
        lines = said(LoadSettings(), Run("x", "", 3.0, carried=1, errors={"timed out": 1}))
        self.assertIn("  sent       0 messages, 0/s, and 1 under way from the warm-up", lines)
        self.assertIn("  nothing was answered", lines)
        self.assertIn("  errors     no answer", said(LoadSettings(), Run("x", "", 3.0)))

    def test_held(self) -> None:
        """Messages that waited for room are counted, with their waits."""
        made = run()
        for _ in range(1500):
            made.held.record(0.5)
        self.assertEqual(
            said(OPEN, made)[-1],
            "  1,500 messages waited, as 1,000 were under way on a connection (--max-inflight; p99 500 ms, "
            "max 500 ms): the latencies have this wait, too",
        )

    def test_interrupted(self) -> None:
        """An interruption leaves messages without an end, which are counted."""
        made = run()
        made.isInterrupted, made.outstanding, made.unbegun = True, 1, 2
        lines = said(OPEN, made)
        self.assertIn("  at the end 1 message was under way", lines)
        self.assertIn("  at the end 2 messages were due and not sent", lines)


class GoodTests(SynchronousTestCase):
    def test_isGood(self) -> None:
        """Errors are not good, nor are other bytes, nor is a run without an answer."""
        self.assertTrue(Run("", "", answered=1).isGood)
        self.assertFalse(Run("", "").isGood)
        self.assertFalse(Run("", "", errors={"reset": 1}).isGood)
        self.assertFalse(Run("", "", differences=["x"]).isGood)
