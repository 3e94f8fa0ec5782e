"""Marks tests that only CI runs, since a run before a commit should take three minutes at most."""

from __future__ import annotations

import os

# The variable ``ECHO_APP_TEST_ALL`` runs these tests everywhere.
RUNS_ALL = bool(os.environ.get("ECHO_APP_TEST_ALL"))


def onlyInCI(reason: str) -> str | None:
    """Returns the value for the ``skip`` of a test, a class or a module that only CI runs.

    :param reason: the reason why a run before a commit skips it.
    """
    return None if RUNS_ALL else f"only in CI, or with ECHO_APP_TEST_ALL=1: {reason}"
