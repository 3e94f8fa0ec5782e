"""Commands without the extra ``probe``, and the error of those that need it."""

from __future__ import annotations

import subprocess
import sys
from unittest.mock import patch

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.cli.compare import CompareOptions

# None in sys.modules is a module that can't be imported.
WITHOUT = "import sys; sys.modules.update(hdrh=None, rich=None); "
PROBE = WITHOUT + "from echo_app.probe.cli.command import main; main(sys.argv[1:])"
SERVICE = (
    WITHOUT
    + "import echo_app.cli.tap, echo_app.testing, echo_app.testing.plugin; "
    + "from twisted.scripts.twistd import ServerOptions; ServerOptions().parseOptions(['echo', '--version'])"
)


def run(code: str, *arguments: str) -> tuple[int, str, str]:
    """Runs Python; returns its status, its output, and its errors."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


class MissingTests(SynchronousTestCase):
    def test_load(self) -> None:
        """Without the extra, a load ends with one line that says how to install it."""
        status, output, errors = run(PROBE, "load", "127.0.0.1:1")
        self.assertEqual((status, output, errors.count("\n")), (2, "", 1), errors)
        self.assertRegex(errors, r"^echo-probe: not installed: hdrhistogram, rich; .*'echo_app\[probe\]'")

    def test_compare(self) -> None:
        """Without it, a comparison does not begin either."""
        with patch.dict(sys.modules, hdrh=None, rich=None):
            error = self.assertRaises(UsageError, CompareOptions().parseOptions, ["a.json"])
        self.assertSubstring("not installed: hdrhistogram, rich", str(error))

    def test_help(self) -> None:
        """Without it, its commands still have their help."""
        status, output, errors = run(PROBE, "load", "--help")
        self.assertEqual((status, errors), (0, ""))
        self.assertIn("Usage: ", output)

    def test_check(self) -> None:
        """Without it, a path can be examined: here one on which nothing listens."""
        status, output, errors = run(PROBE, "check", "127.0.0.1:1", "--quick", "--only", "connect")
        self.assertEqual((status, errors), (1, ""))
        self.assertIn("FAIL  no connection is made", output)

    def test_service(self) -> None:
        """The service and the fixture do without it."""
        status, output, errors = run(SERVICE)
        self.assertEqual((status, errors), (0, ""))
        self.assertIn("echo", output)
