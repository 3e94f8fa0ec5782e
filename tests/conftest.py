"""What pytest needs to run what trial runs. It must not import the reactor."""

from __future__ import annotations

import unittest
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts ``TestCase`` methods first: a function-style test leaves pytest-twisted's reactor running."""

    def isFunction(item: pytest.Item) -> bool:
        cls = getattr(item, "cls", None)
        return not (isinstance(cls, type) and issubclass(cls, unittest.TestCase))

    items.sort(key=isFunction)


@pytest.fixture(autouse=True)
def _ownFolder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs each test in a folder of its own, as trial does."""
    monkeypatch.chdir(tmp_path)
