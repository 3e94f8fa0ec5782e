"""Twisted's own tests of its transports pass on the direct path."""

from __future__ import annotations

import os
import re
import sys

from twisted.trial.unittest import TestCase

from tests import ROOT
from tests.support import programs
from tests.support.ci import RUNS_ALL
from tests.support.service import reactorName

if reactorName() != "epoll":
    skip = "the suite chooses its reactors itself: the tests' own does not matter"

# Seconds that the suite may take; it takes ten on an idle machine. It does not heed SIGTERM.
PATIENCE = 110

# Fewer would mean that Twisted has moved them: on four reactors there are 565 with 26.10, and 509 with 23.10.
FEWEST = 500
if not RUNS_ALL:
    # A run before a commit is on one of them.
    FEWEST //= 4


class TwistedSuiteTests(TestCase):
    timeout = 120

    def test_all(self) -> None:
        """Every test of Twisted's that applies passes, in CI on four reactors, and they are not few."""
        command = [sys.executable, "-m", "twisted.trial", "--temp-directory", "suite"]
        done = programs.run(
            *(*command, "tests.support.twisted_suite"),
            text=True,
            timeout=PATIENCE,
            # Where these tests are found, not where they run.
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.assertEqual(done.returncode, 0, done.stdout)
        successes = re.search(r"successes=(\d+)", done.stdout)
        assert successes is not None, done.stdout
        self.assertGreater(int(successes[1]), FEWEST)
