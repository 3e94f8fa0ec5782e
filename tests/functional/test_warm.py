"""A process that was started warm is signalled like a child: its number is its own until its end is known."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.test_testing import hasEnded
from tests.support import warm
from tests.support.kernel import waitUntil
from tests.support.service import PATIENCE


class WarmProcessTests(SynchronousTestCase):
    def start(self, script: str) -> warm.WarmProcess:
        """Starts a script of one line; it is killed at the test's end."""
        path = Path(self.mktemp()).absolute()
        path.write_text(script)
        with open(os.devnull, "r+b") as null:
            process = warm.start((sys.executable, "-P", str(path)), ".", *[null.fileno()] * 3)
        self.addCleanup(process.kill)
        return process

    def test_status(self) -> None:
        """The exit status is the process's own, and negative for a signal's number."""
        self.assertEqual(self.start("raise SystemExit(3)").wait(PATIENCE), 3)
        process = self.start("import signal; signal.pause()")
        self.assertIsNone(process.poll())
        process.kill()
        self.assertEqual(process.wait(PATIENCE), -signal.SIGKILL)

    def test_number(self) -> None:
        """Until the status was asked for no other process can have the number, and afterwards it is free."""
        process = self.start("")
        self.assertTrue(waitUntil(lambda: hasEnded(process.pid)))
        # Time enough to be forgotten.
        self.start("").wait(PATIENCE)
        self.assertTrue(os.path.exists(f"/proc/{process.pid}"))
        self.assertEqual(process.wait(PATIENCE), 0)
        process.send_signal(signal.SIGKILL)
        self.assertTrue(waitUntil(lambda: not os.path.exists(f"/proc/{process.pid}")))
