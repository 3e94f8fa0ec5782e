"""What a load measures of the server's process."""

from __future__ import annotations

import os
import subprocess
import sys

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.loads import Rest, Usage


class RestTests(SynchronousTestCase):
    def test_share(self) -> None:
        """The share is that of the time after the server has settled, in % of a core."""
        clock = Clock()

        def usage() -> Usage:
            # 5 ms a second, after 500 ms a second in which the server settles.
            settling = min(clock.seconds(), 10)
            return Usage(round(5e8 * settling + 5e6 * (clock.seconds() - settling)), 0)

        self.assertAlmostEqual(Rest(10, 30).share(usage, clock.advance, clock.seconds), 0.5)

    def test_late(self) -> None:
        """The time that passed counts, not the time that was asked for."""
        clock = Clock()
        usage = lambda: Usage(round(1e9 * clock.seconds()), 0)  # noqa: E731
        share = Rest(10, 30).share(usage, lambda seconds: clock.advance(2 * seconds), clock.seconds)
        self.assertAlmostEqual(share, 100)


class UsageTests(SynchronousTestCase):
    def begin(self, script: str) -> int:
        """Starts a Python program that prints a line when it is ready; returns its process id."""
        process = subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.addCleanup(process.__exit__, None, None, None)
        self.addCleanup(process.kill)
        assert process.stdout is not None
        process.stdout.readline()
        return process.pid

    def test_tree(self) -> None:
        """The usage of a relay is that of its descendants too."""
        wait = "print('ready', flush=True); import sys; sys.stdin.read()"
        pid = self.begin(f"import os; os.fork() and os.wait() or os.fork() and os.wait(); {wait}")
        alone, tree = Usage.of(pid), Usage.ofTree(pid)
        self.assertGreater(tree.memory, 2 * alone.memory)
        self.assertGreater(tree.cpu, alone.cpu)

    def test_ended(self) -> None:
        """A child that has ended, and was not waited for, counts nothing."""
        ended = "os.fork() or os._exit(0); os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)"
        pid = self.begin(f"import os, sys; {ended}; print('ready', flush=True); sys.stdin.read()")
        self.assertEqual(len(os.listdir(f"/proc/{pid}/task")), 1)
        # The process itself may still run a little.
        before, tree, after = Usage.of(pid), Usage.ofTree(pid), Usage.of(pid)
        self.assertTrue(before.cpu <= tree.cpu <= after.cpu, (before, tree, after))
        self.assertIn(tree.memory, (before.memory, after.memory))
