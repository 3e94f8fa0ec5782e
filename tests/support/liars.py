"""Peers of the benchmark for its tests: those that can be built here, and one that lies."""

from __future__ import annotations

import os
import sys
import unittest
from collections.abc import Callable
from typing import TypeVar

from benchmarks.builds import Missing
from benchmarks.peers import ALL, Peer
from tests import SUPPORT

LIAR = SUPPORT / "lying_server.py"

T = TypeVar("T")


def orSkip(make: Callable[[], T]) -> T:
    """Builds something; skips the test where that can't be, which in CI is a failure."""
    try:
        return make()
    except Missing as error:
        if os.environ.get("CI"):
            raise AssertionError(f"CI must install what is missing: {error}") from None
        raise unittest.SkipTest(str(error)) from None


def liar(lie: str) -> Peer:
    """Returns the server that lies once."""
    return Peer("liar", "Liar", (sys.executable, str(LIAR), lie), "1", ALL)
