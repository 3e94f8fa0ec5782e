"""The package's own names."""

from __future__ import annotations

import sys

from twisted.trial.unittest import SynchronousTestCase

import echo_app
from tests.support import programs


class NamesTests(SynchronousTestCase):
    def test_resolve(self) -> None:
        """Each public name is the object of that name in its module, and is listed."""
        for name in echo_app.__all__:
            self.assertEqual(getattr(echo_app, name).__name__, name)
            self.assertIn(name, dir(echo_app))

    def test_unknown(self) -> None:
        """Another name is an AttributeError with the package's name."""
        with self.assertRaisesRegex(AttributeError, "module 'echo_app' has no attribute 'frob'"):
            echo_app.frob  # noqa: B018

    def test_whenAsked(self) -> None:
        """Importing the package imports none of its modules."""
        loaded = "any(name.startswith(('echo_app.', 'twisted')) for name in sys.modules)"
        code = f"import sys, echo_app; sys.exit({loaded})"
        self.assertEqual(programs.run(sys.executable, "-c", code).returncode, 0)
