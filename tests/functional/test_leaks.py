"""A run of tests that leaves something behind fails, and names it."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests import ROOT
from tests.support import programs
from tests.support.ci import onlyInCI
from tests.support.leaks import VARIABLE
from tests.support.service import reactorName, together

# This project's own, with less patience.
CONFTEST = """
from tests.support import leaks
from tests.conftest import *

leaks.ENDING = 0.5
"""

LEAKING = """
import socket, subprocess, tempfile, threading

kept = []

def test_leaks():
    # An orphan, in a session of its own.
    subprocess.run(["sh", "-c", "setsid sleep 1234 &"], check=True)
    kept.append(socket.create_server(("127.0.0.1", 0)))
    tempfile.mkdtemp(prefix="echo_app-")
    threading.Thread(target=threading.Event().wait, daemon=True, name="endless").start()
"""

TIDY = "def test_tidy(tmp_path): (tmp_path / 'file').touch()"


class LeaksTests(SynchronousTestCase):
    skip = onlyInCI("it runs pytest, some times over")
    if reactorName() != "epoll":
        skip = "it runs pytest: the tests' own reactor does not matter"

    def setUp(self) -> None:
        # Here, and not on the threads: trial's mktemp() may make the same folder twice.
        self.folder = Path(self.mktemp()).absolute()

    def runTests(self, name: str, test: str, *options: str) -> tuple[int, str]:
        """Runs a test under this project's conftest.py; returns pytest's status, and what it printed."""
        folder = self.folder / name
        folder.mkdir(parents=True)
        (folder / "conftest.py").write_text(CONFTEST)
        (folder / "test_one.py").write_text(test)
        command = (
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:twisted",
            "-p",
            "no:cacheprovider",
            *options,
        )
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
        # It is a run of its own: what it leaves is its business.
        environment.pop(VARIABLE, None)
        done = programs.run(*command, cwd=folder, env=environment, text=True)
        self.assertEqual(list(folder.glob("e-*")), [])
        return done.returncode, done.stdout

    def _checkLeaking(self, *options: str) -> None:
        status, printed = self.runTests("".join(["leaking", *options]), LEAKING, *options)
        self.assertIn("1 passed", printed)
        for left in (
            r"process \d+: sleep 1234",
            "thread: endless",
            r"socket: tcp port \d+",
            r"file: \S+/echo_app-\w+",
        ):
            self.assertRegex(printed, rf"(?m)^{left}$")
        self.assertEqual(status, 1)

    def test_all(self) -> None:
        """Processes, threads, sockets and folders are found, by xdist's workers too; and nothing else."""

        def checkTidy() -> None:
            status, printed = self.runTests("tidy", TIDY)
            self.assertEqual((status, "left behind" in printed), (0, False), printed)

        together(self._checkLeaking, partial(self._checkLeaking, "-n1"), checkTidy)
