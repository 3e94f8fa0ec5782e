"""The check that runs is shown on a terminal."""

from __future__ import annotations

import io

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.cli.checkprogress import CheckProgress


class Terminal(io.StringIO):
    """Standard error that is a terminal."""

    def isatty(self) -> bool:
        return True


class Broken(Terminal):
    """A terminal that is gone."""

    def write(self, text: str) -> int:
        raise OSError("gone")


class ProgressTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def test_long(self) -> None:
        """A check that goes on is shown with its time and limit, each second, and erased at its end."""
        terminal = Terminal()
        progress = CheckProgress(self.clock, terminal)
        progress.began("idle", 45)
        self.assertEqual(terminal.getvalue(), "")
        self.clock.pump([1, 1])
        self.assertEqual(
            terminal.getvalue(), "\r\x1b[Kidle: 1 s of at most 45 s\r\x1b[Kidle: 2 s of at most 45 s"
        )
        progress.ended()
        self.assertTrue(terminal.getvalue().endswith("\r\x1b[K"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_short(self) -> None:
        """Checks that end within a second leave no trace."""
        terminal = Terminal()
        progress = CheckProgress(self.clock, terminal)
        for name in ("resolve", "connect"):
            progress.began(name, 30)
            self.clock.advance(0.5)
        progress.ended()
        self.assertEqual((terminal.getvalue(), self.clock.getDelayedCalls()), ("", []))

    def test_line(self) -> None:
        """The line is erased before another one is written, once."""
        terminal = Terminal()
        progress = CheckProgress(self.clock, terminal)
        progress.began("idle", 45)
        self.clock.advance(1)
        progress.clear()
        progress.clear()
        self.assertEqual(terminal.getvalue().count("\x1b[K"), 2)
        progress.ended()

    def test_noTerminal(self) -> None:
        """Elsewhere nothing is shown."""
        output = io.StringIO()
        progress = CheckProgress(self.clock, output)
        progress.began("idle", 45)
        self.clock.advance(2)
        progress.ended()
        self.assertEqual((output.getvalue(), self.clock.getDelayedCalls()), ("", []))

    def test_gone(self) -> None:
        """A terminal that is gone does not end the examination."""
        progress = CheckProgress(self.clock, Broken())
        progress.began("idle", 45)
        self.clock.advance(1)
        progress.ended()
