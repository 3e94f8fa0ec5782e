"""What a pid file would do to a start in the foreground."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from echo_app.cli.pidfile import pidFileProblem


class PidFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.command = {"pidfile": str(self.path), "chroot": None}

    def problem(self, content: str) -> str:
        """Returns the problem of a file with this content, which names the way out."""
        self.path.write_text(content)
        problem = pidFileProblem(self.command) or ""
        self.assertIn("twistd -n --pidfile= needs no such file", problem)
        return problem

    def test_none(self) -> None:
        """There is no problem without a file, without an option, and with a file whose process has ended."""
        self.assertIsNone(pidFileProblem({}))
        self.assertIsNone(pidFileProblem({"pidfile": ""}))
        self.assertIsNone(pidFileProblem(self.command))
        ended = subprocess.Popen(["true"])
        ended.wait()
        self.path.write_text(str(ended.pid))
        self.assertIsNone(pidFileProblem(self.command))
        self.assertIsNone(pidFileProblem({"pidfile": "/none/twistd.pid", "chroot": "/"}))

    def test_process(self) -> None:
        """A process that runs, a file of an earlier process 1 in process 1, and junk are told apart."""
        self.assertIn(f"it names process {os.getppid()}, which runs", self.problem(str(os.getppid())))
        self.assertIn("left behind by a process with the same id", self.problem(str(os.getpid())))
        self.assertIn("no number", self.problem("junk"))
        self.assertIn("which runs", self.problem("1" * 30))

    def test_unwritable(self) -> None:
        """A folder that can't be written to, and a folder in place of the file."""
        self.command["pidfile"] = "/proc/none/twistd.pid"
        self.assertIn("can't be written to", pidFileProblem(self.command) or "")
        self.command["pidfile"] = os.getcwd()
        self.assertIn("Is a directory", pidFileProblem(self.command) or "")
