"""Options of twistd itself that would fail after the service listens: docs/dev/contract.rst, 6."""

from __future__ import annotations

import os
import unittest
from subprocess import CompletedProcess

from tests.support import programs, warm
from tests.support.service import PATIENCE, REACTOR, SCRIPTS, ServiceTestCase, needs

LATER = ("echo", "--port", "0", "--listen", "unix:s", "--ready-file", "ready")


class RehearsalTests(ServiceTestCase):
    def setUp(self) -> None:
        self.folder = self.makeFolder()

    def command(self, typed: str) -> tuple[str, ...]:
        return (str(SCRIPTS / "twistd"), REACTOR, *typed.split(), *LATER)

    def assertRefused(self, ended: CompletedProcess[str], typed: str, reason: str) -> None:
        """Asserts that a start ended with one line, and left no file."""
        self.assertEqual((ended.returncode, ended.stdout), (1, ""), typed)
        self.assertRegex(ended.stderr, rf"\Aecho: {reason}.*\n\Z", typed)
        self.assertEqual(os.listdir(self.folder), [], typed)

    def test_folders(self) -> None:
        """A log, a folder or a pid file that twistd can't have is one line, in a daemon and without one."""
        cases = {
            "-n --pidfile= --rundir=none": "--rundir 'none': No such file",
            "--rundir=none": "--rundir 'none': No such file",
            "-n --pidfile= --logfile=none/log": "--logfile 'none/log': No such file",
            "--logfile=none/log": "--logfile 'none/log': No such file",
            "--logfile=.": "--logfile '.': Is a directory",
            "--logfile=-": "--logfile '-': a daemon has no standard output",
            "--pidfile=none/pid": "pid file '.*/none/pid': No such file",
        }
        for typed, reason in cases.items():
            ended = warm.run(self.command(typed), str(self.folder), PATIENCE)
            self.assertRefused(ended, typed, reason)

    def test_root(self) -> None:
        """A root that is not there, or that has no ``/dev/null`` for a daemon, is one line."""
        if os.getuid() != 0:
            raise unittest.SkipTest("only root can change the root")
        empty = self.makeFolder()
        cases = {
            "-n --pidfile= --chroot=none": "--chroot 'none': No such file",
            f"--pidfile= --chroot={empty}": f"/dev/null in --chroot '{empty}': No such file",
            f"-n --pidfile=/none/pid --chroot={empty}": f"pid file '/none/pid' in --chroot '{empty}'",
            f"-n --pidfile= --chroot={empty} --uid=nobody": f"--uid [0-9]+ in --chroot '{empty}': ",
        }
        for typed, reason in cases.items():
            ended = warm.run(self.command(typed), str(self.folder), PATIENCE)
            self.assertRefused(ended, typed, reason)

    def test_user(self) -> None:
        """A user that the process may not become is one line; a daemon's command would never end."""
        needs("setpriv")
        unprivileged = ("setpriv", "--reuid=nobody", "--clear-groups") if os.getuid() == 0 else ()
        self.folder.chmod(0o777)
        for typed in ("--uid=0", "-n --pidfile= --uid=0"):
            ended = programs.run(*unprivileged, *self.command(typed), cwd=self.folder, text=True)
            if "echo: " not in ended.stderr:
                raise unittest.SkipTest(f"this Python is not for every user: {ended.stderr[-200:]}")
            self.assertRefused(ended, typed, "--uid 0: Operation not permitted")

    def test_own(self) -> None:
        """The user's own id, and a folder that is there, are no problem."""
        (self.folder / "run").mkdir()
        server = self.serve(
            *("--port", "0"),
            command=(
                *(str(SCRIPTS / "twistd"), REACTOR, "-n", "--pidfile=", f"--uid={os.getuid()}"),
                *(f"--rundir={self.folder}/run", "echo"),
            ),
        )
        self.assertEqual(server.stop(), -15)
