"""``bin/setup`` makes the environment once, and again when it can't work any more."""

from __future__ import annotations

import os
import shutil
import sys
import unittest
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support import programs

SETUP = Path(__file__).parents[2] / "bin" / "setup"

# In place of uv, so that nothing is downloaded.
UV = """#!/bin/sh
echo "$@" >>"$INSTALLED"
"""


class SetupTests(SynchronousTestCase):
    def setUp(self) -> None:
        if not SETUP.exists():
            raise unittest.SkipTest("not in a checkout")
        folder = Path(self.mktemp()).absolute()
        self.clone = folder / "clone"
        (self.clone / "bin").mkdir(parents=True)
        shutil.copy(SETUP, self.clone / "bin")
        for name in ("setup.cfg", "constraints.txt"):
            (self.clone / name).touch()
            os.utime(self.clone / name, (0, 0))
        self.path = folder / "path"
        self.path.mkdir()
        (self.path / "uv").write_text(UV)
        (self.path / "uv").chmod(0o755)
        (self.path / "python3").symlink_to(sys.executable)
        self.installed = folder / "installed"

    def set(self, *extras: str) -> list[str]:
        """Runs ``bin/setup``; returns what it installs."""
        self.installed.write_text("")
        path = f"{self.path}:{os.environ['PATH']}"
        env = {**os.environ, "PATH": path, "INSTALLED": str(self.installed)}
        ended = programs.run(self.clone / "bin" / "setup", *extras, env=env, text=True)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        installed = [line.split()[-1] for line in self.installed.read_text().splitlines()]
        self.assertEqual(bool(installed), bool(ended.stderr), "it says what it does")
        return installed

    def test_once(self) -> None:
        """It installs what serving needs, once, and extras when they are asked for."""
        self.assertEqual([self.set(), self.set()], [["."], []])
        self.assertEqual([self.set("[test]"), self.set("[test]"), self.set()], [[".[test]"], [], []])
        os.utime(self.clone / "setup.cfg")
        os.utime(self.clone / ".echo-venv" / "installed", (0, 0))
        self.assertEqual(self.set(), ["."])

    def test_moved(self) -> None:
        """A clone that was moved gets a new environment, whose scripts have the new path in them."""
        self.set()
        self.clone = self.clone.rename(self.clone.with_name("moved"))
        left = self.clone / ".echo-venv" / "left"
        left.touch()
        self.assertEqual([self.set(), self.set(), left.exists()], [["."], [], False])

    def test_otherPython(self) -> None:
        """So does one whose Python is gone, or is another version now."""
        self.set()
        python = self.clone / ".echo-venv" / "bin" / "python"
        for other in ("/none/python", self._fakePython()):
            python.unlink()
            python.symlink_to(other)
            self.assertEqual([self.set(), self.set()], [["."], []])

    def _fakePython(self) -> Path:
        fake = self.path / "other"
        fake.write_text("#!/bin/sh\necho Python 3.99.1\n")
        fake.chmod(0o755)
        return fake

    def test_interrupted(self) -> None:
        """One that was not finished is made again."""
        self.set()
        (self.clone / ".echo-venv" / "unfinished").touch()
        self.assertEqual(self.set(), ["."])
