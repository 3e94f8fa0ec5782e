"""The programs that tests start end with them."""

from __future__ import annotations

import subprocess
import sys
import unittest

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.test_testing import hasEnded
from tests.support import programs
from tests.support.kernel import waitUntil

# Forks a child that never ends, says its number, and ends if it is told to.
FORKING = """
import os, signal, sys
child = os.fork()
if not child:
    signal.pause()
print(child, flush=True)
if sys.argv[1] == "stay":
    signal.pause()
"""


class ProgramsTests(SynchronousTestCase):
    def test_start(self) -> None:
        """A program's forked processes end with it, whether it still runs or has ended before."""
        for then in ("stay", "leave"):
            case = unittest.TestCase()
            process = programs.start(case, sys.executable, "-c", FORKING, then, stdout=subprocess.PIPE)
            assert process.stdout is not None
            child = int(process.stdout.readline())
            self.assertEqual(programs.hasEnded(process, 0.1 if then == "stay" else 60), then == "leave")
            self.assertFalse(hasEnded(child))
            case.doCleanups()
            self.assertTrue(hasEnded(process.pid))
            self.assertTrue(waitUntil(lambda: hasEnded(child)))  # noqa: B023

    def test_late(self) -> None:
        """A program that does not end in time is killed, with its forked processes."""
        with self.assertRaises(subprocess.TimeoutExpired) as raised:
            programs.run(sys.executable, "-c", FORKING, "stay", timeout=2)
        assert raised.exception.stdout is not None
        child = int(raised.exception.stdout)
        self.assertTrue(waitUntil(lambda: hasEnded(child)))

    def test_input(self) -> None:
        """A program reads its given input, and nothing else."""
        command = (sys.executable, "-c", "import sys; print(sys.stdin.read())")
        self.assertEqual(programs.run(*command, text=True).stdout, "\n")
        self.assertEqual(programs.run(*command, input="hello", text=True).stdout, "hello\n")
        self.assertRaises(subprocess.CalledProcessError, programs.run, "false", check=True)
