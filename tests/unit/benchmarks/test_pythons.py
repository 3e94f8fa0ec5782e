"""The Pythons that run our own server."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.builds import Missing
from benchmarks.pythons import findPythons


class PythonTests(SynchronousTestCase):
    def python(self, script: str) -> str:
        """Returns the path of a program that is taken for a Python."""
        path = Path(self.mktemp()).absolute()
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    def test_versions(self) -> None:
        """A Python is named by its version, and has the versions of what the server needs."""
        (peer,) = findPythons([sys.executable])
        self.assertEqual(peer.name, ".".join(map(str, sys.version_info[:3])))
        self.assertRegex(peer.version, rf"\A{sys.executable}, Twisted \d.*, OpenSSL \d.*, \w+ {peer.name}\Z")
        self.assertEqual(peer.command, (sys.executable, "-m", "echo_app"))

    def test_same(self) -> None:
        """Several Pythons of one version are numbered, one that is given twice too."""
        one, two = (self.python(f"echo {version}; echo x") for version in ("3.12.1", "3.13.0"))
        names = [peer.name for peer in findPythons([one, two, one, one])]
        self.assertEqual(names, ["3.12.1", "3.13.0", "3.12.1 (2)", "3.12.1 (3)"])

    def test_unable(self) -> None:
        """A Python without the packages of the server is named, with the reason and a remedy."""
        path = self.python("echo Traceback >&2; echo 'ModuleNotFoundError: no twisted' >&2; exit 1")
        error = self.assertRaises(Missing, findPythons, [path])
        self.assertRegex(
            str(error), rf"\A{path} can't run echo_app: ModuleNotFoundError: no twisted; .*venv .*\Z"
        )
