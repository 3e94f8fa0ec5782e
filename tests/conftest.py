"""Configures pytest to run the tests of trial. It must not import the reactor."""

from __future__ import annotations

import os
import unittest
from typing import Any

import pytest

from tests.support.leaks import Leaks

LEAKS = pytest.StashKey[Leaks]()
LEFT = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Starts the search for leaks; each of xdist's workers does so for itself."""
    worker: dict[str, Any] = getattr(config, "workerinput", {})
    run = worker.get("testrunuid", os.urandom(8).hex())
    config.stash[LEAKS] = Leaks(".".join([run, *filter(None, [worker.get("workerid")])]))
    config.stash[LEFT] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts ``TestCase`` methods first: a function-style test leaves pytest-twisted's reactor running."""

    def isFunction(item: pytest.Item) -> bool:
        cls = getattr(item, "cls", None)
        return not (isinstance(cls, type) and issubclass(cls, unittest.TestCase))

    items.sort(key=isFunction)


@pytest.fixture(scope="session", autouse=True)
def temporaryFolder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Makes temporary files in a folder that is checked for leaks, except pytest's own folders."""
    tmp_path_factory.getbasetemp()
    request.config.stash[LEAKS].ownFolder()


@pytest.fixture(autouse=True, scope="session")
def _ownFolder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Runs each test in a folder of its own, as trial does."""
    os.chdir(tmp_path_factory.mktemp("tests"))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Takes the leaks that one of xdist's workers reports."""
    node.config.stash[LEFT] += getattr(node, "workeroutput", {}).get("left", [])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fails a run with leaks."""
    config = session.config
    leaks = config.stash[LEAKS]
    left = config.stash[LEFT]
    left += leaks.left()
    leaks.remove()
    if hasattr(config, "workeroutput"):
        config.workeroutput["left"] = left
    elif left and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints the leaks."""
    if config.stash[LEFT]:
        terminalreporter.section("left behind by the tests", red=True)
        for each in config.stash[LEFT]:
            terminalreporter.line(each)
