"""What only CI runs, since a run before a commit should take three minutes at most."""

from __future__ import annotations

import os

# ``ECHO_APP_TEST_ALL`` in the environment runs everything everywhere.
RUNS_ALL = bool(os.environ.get("ECHO_APP_TEST_ALL"))


def onlyInCI(reason: str) -> str | None:
    """Returns the value for the ``skip`` of a test, a class or a module whose tests are CI's alone.

    :param reason: why a run before a commit does without them.
    """
    return None if RUNS_ALL else f"only in CI, or with ECHO_APP_TEST_ALL=1: {reason}"
