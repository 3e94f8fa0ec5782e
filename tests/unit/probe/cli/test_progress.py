"""The progress that a run shows."""

from __future__ import annotations

import io
import os

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.cli.progress import Bar, Lines, figuresOf, phaseOf, showOf
from echo_app.probe.load.run import Running
from echo_app.probe.results.results import LoadSettings
from echo_app.targets import parseTarget
from tests.unit.probe.load.test_totals import second, times


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class ProgressTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(100.0)
        self.run_ = self.running()

    def running(self, duration: float = 20.0) -> Running:
        return Running(None, parseTarget("a:1"), LoadSettings(duration=duration), self.clock.seconds)

    def begin(self) -> None:
        self.run_.start = self.clock.seconds() + 1.0

    def test_phases(self) -> None:
        """The progress has the phase, and its duration."""
        self.assertEqual(phaseOf(self.run_), "connecting")
        self.begin()
        self.assertEqual(phaseOf(self.run_), "warming up")
        self.clock.advance(3.0)
        self.assertEqual(phaseOf(self.run_), "0:18 left")
        self.clock.advance(18.0)
        self.assertEqual(phaseOf(self.run_), "waiting for the last answers")
        self.run_ = self.running(7384.0)
        self.begin()
        self.clock.advance(1.0)
        self.assertEqual(phaseOf(self.run_), "2:03:04 left")

    def test_figures(self) -> None:
        """The rate of the last second, and the latencies and errors so far."""
        self.assertEqual(figuresOf(self.run_), "")
        self.run_.totals.second(0, second(0, 1000, latency=times(*[0.002] * 1000), errors={"reset": 1}))
        self.assertEqual(figuresOf(self.run_), "1,000/s, p50 2.00 ms, p99 2.00 ms, max 2.00 ms, 1 error")
        self.run_.totals.second(0, second(1, 0, errors={"reset": 1}))
        self.assertEqual(figuresOf(self.run_), "0/s, p50 2.00 ms, p99 2.00 ms, max 2.00 ms, 2 errors")

    def test_lines(self) -> None:
        """A line every five seconds, and none of a short run."""
        said: list[str] = []
        lines = Lines(self.run_, "a", said.append)
        lines.look()
        self.begin()
        for _ in range(80):
            self.clock.advance(0.25)
            lines.look()
        lines.end()
        self.assertEqual(said, ["a: 0:15 left", "a: 0:10 left", "a: 0:05 left"])

    def test_linesOfALongRun(self) -> None:
        """A run of hours has a hundred lines."""
        said: list[str] = []
        self.run_ = self.running(7200.0)
        lines = Lines(self.run_, "a", said.append)
        self.begin()
        for _ in range(7201):
            self.clock.advance(1.0)
            lines.look()
        self.assertIn(len(said), range(90, 101))

    def test_bar(self) -> None:
        """On a terminal it is a bar, which is gone at the end."""
        terminal = Terminal()
        self.patch(os, "environ", {**os.environ, "COLUMNS": "120", "TERM": "xterm"})
        bar = Bar(self.run_, "a", terminal)
        self.begin()
        self.clock.advance(2.0)
        self.run_.totals.second(0, second(0, 10, latency=times(*[0.002] * 10)))
        bar.look()
        drawn = terminal.getvalue()
        self.assertIn("0:19 left", drawn)
        self.assertIn("10/s, max 2.00 ms, 0 errors", drawn)
        bar.end()
        # Up, and the line erased (ECMA-48, 8.3.22 and 8.3.41).
        self.assertIn("\x1b[1A\x1b[2K", terminal.getvalue()[len(drawn) :])

    def test_choice(self) -> None:
        """A bar for a terminal, and lines for everybody else."""
        bar = showOf(self.run_, "a", Terminal())
        bar.end()
        self.assertIsInstance(bar, Bar)
        self.assertIsInstance(showOf(self.run_, "a", io.StringIO()), Lines)
