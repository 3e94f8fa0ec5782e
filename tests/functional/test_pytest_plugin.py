"""The plugin in a foreign project with only a file of tests, under pytest in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.functional.test_testing import processesIn
from tests.support import programs
from tests.support.ci import onlyInCI
from tests.support.kernel import waitUntil
from tests.support.service import PATIENCE, reactorName, together

# As the README has it, and what goes wrong with tests, all in one project.
TESTS = """
import socket

import pytest

def shout(line):
    return line.upper()

def ask(server, data=b"hello"):
    with socket.create_connection(server.address(), 30) as client:
        client.sendall(data)
        return client.recv(100)

def test_echo(echo_server):
    assert ask(echo_server) == b"hello"
    (record,) = echo_server.waitForRecords(1)
    assert record.bytes_out == 5

class TestMarked:
    pytestmark = pytest.mark.echo_server(faults=["reset,connections=1"])

    def test_ofClass(self, echo_server):
        with pytest.raises(ConnectionError):
            ask(echo_server)
        assert ask(echo_server) == b"hello"

    @pytest.mark.echo_server(responder=shout)
    def test_closest(self, echo_server):
        assert ask(echo_server, b"hello\\n") == b"HELLO\\n"

def test_several(echo_server, make_echo_server):
    assert ask(make_echo_server("--responder", "lines"), b"a\\n") == b"a\\n"
    assert ask(echo_server) == b"hello"

@pytest.mark.echo_server(responder=shout)
def test_path(echo_server, faulty_path):
    path = faulty_path(*echo_server.address(), faults=["reset,connections=1"])
    with pytest.raises(ConnectionError):
        ask(path)
    assert ask(path, b"hello\\n") == b"HELLO\\n"

def test_fails(echo_server):
    assert ask(echo_server) == b"other"

@pytest.fixture
def broken(echo_server):
    raise ZeroDivisionError

def test_brokenFixture(broken):
    pass

@pytest.mark.echo_server("--port", "70000")
def test_wrongOption(echo_server):
    pass

@pytest.mark.echo_server(nonsense=True)
def test_wrongArgument(echo_server):
    pass
"""

# Those of them that pass in parallel, too.
PASSING = ("test_echo", "TestMarked::test_ofClass", "TestMarked::test_closest")

# A test that never ends by itself, and says when it has begun.
ENDLESS = """
import os, threading, time

def test_endless(echo_server):
    open("begun", "w").close()
    if {crash}:
        os.abort()
    if {fork} and not os.fork():
        time.sleep(100)
        os._exit(0)
    threading.Event().wait()
"""

# Says at its end what is loaded.
LOADED = """
import sys

def pytest_unconfigure():
    print("loaded", [name for name in sys.modules if name.startswith(("twisted", "zope.", "echo_app"))])
"""


# The modules that this project's own tests load have no place there.
UNLOADED = [f"-pno:{name}" for name in ("twisted", "hypothesispytest", "cacheprovider")]


class Project:
    """A folder with a file of tests, in which pytest can be run.

    :param folder: where it is, with a folder for everything temporary.
    """

    def __init__(self, folder: Path, tests: str) -> None:
        self.folder = folder
        self.temporary = folder / "temporary"
        self.temporary.mkdir(parents=True)
        (folder / "test_client.py").write_text(tests)

    @contextlib.contextmanager
    def start(self, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        """Starts pytest, and kills it at the block's end, with all that it has forked."""
        with open(self.folder / "output", "wb") as output:
            process = programs.begin(
                # The modules that this project's own runs load have no place there.
                *(sys.executable, "-m", "pytest", "-p", "no:twisted", "-p", "no:cacheprovider", "-rA"),
                *options,
                cwd=self.folder,
                env={**os.environ, "TMPDIR": str(self.temporary)},
                stdout=output,
                stderr=output,
            )
        try:
            yield process
        finally:
            programs.end(process)

    def run(self, *options: str) -> str:
        """Runs pytest to its end; returns what it printed."""
        with self.start(*options) as process:
            programs.hasEnded(process, 4 * PATIENCE)
        return self.output()

    def output(self) -> str:
        """Returns what pytest has printed."""
        return (self.folder / "output").read_text()

    def left(self) -> list[str]:
        """Returns the processes and folders of services that are still there."""
        folders = [str(path) for path in self.temporary.rglob("echo_app-*")]
        return folders + [f"process {pid}" for pid in processesIn(self.temporary)]


class PluginTestCase(TestCase):
    timeout = 240

    skip: str | None = None
    if reactorName() != "epoll":
        skip = "its services have the default reactor: the tests' own does not matter"

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()

    def project(self, tests: str, name: str = "project") -> Project:
        return Project(self.folder / name, tests)

    def assertNothingLeft(self, project: Project) -> None:
        waitUntil(lambda: not project.left())
        self.assertEqual(project.left(), [])


class PluginTests(PluginTestCase):
    def test_project(self) -> None:
        """The fixtures and the marker keep their promises, and leave nothing of any test."""
        output = self._runTests(*PASSING, "test_several", "test_path")
        self.assertIn("FAILED test_client.py::test_fails", output)
        self.assertIn("ERROR test_client.py::test_brokenFixture", output)
        # One line is all that there is about what can't be started.
        for name, line in (
            ("wrongOption", "echo: --port '70000': a port is a number from 0 to 65535, or a range .*"),
            ("wrongArgument", ".*got an unexpected keyword argument 'nonsense'"),
        ):
            self.assertRegex(output, rf"(?m)^_+ ERROR at setup of test_{name} _+\n{line}\n[_=]")

    def test_parallel(self) -> None:
        """The fixtures and the marker work in pytest-xdist's workers."""
        self._runTests(*PASSING, options=("-n2", "-k", "test_echo or Marked"))

    test_parallel.skip = onlyInCI("it differs by the workers alone")  # type: ignore[attr-defined]

    def _runTests(self, *names: str, options: tuple[str, ...] = ()) -> str:
        """Runs the project's tests, of which these pass; returns what pytest printed."""
        project = self.project(TESTS)
        output = project.run("--strict-markers", "-Werror", *options)
        for name in names:
            self.assertIn(f"PASSED test_client.py::{name}", output)
        self.assertIn(f"{len(names)} passed", output)
        self.assertNothingLeft(project)
        return output

    def test_costsNothing(self) -> None:
        """A test without the fixtures imports nothing of Twisted, and no module that starts a service."""
        project = self.project("def test_nothing(): pass")
        (project.folder / "conftest.py").write_text(LOADED)
        output = project.run("--collect-only", "-q")
        self.assertIn("loaded ['echo_app', 'echo_app.testing', 'echo_app.testing.plugin']", output)


class InterruptedTests(PluginTestCase):
    """Nothing is left, however a test ends that does not end."""

    skip = PluginTestCase.skip or onlyInCI("it runs pytest seven times")

    def _end(
        self, name: str, *options: str, signals: tuple[int, ...] = (), crash: bool = False, fork: bool = False
    ) -> None:
        """Runs an endless test, sends pytest signals once it has begun, and looks for what is left."""
        project = self.project(ENDLESS.format(crash=crash, fork=fork), name)
        with project.start(*options) as process:
            if signals:
                self.assertTrue(waitUntil((project.folder / "begun").exists), "never begun")
                self.assertEqual(len(processesIn(project.temporary)), 1)
            for number in signals:
                process.send_signal(number)
                programs.hasEnded(process, 0.02)
            self.assertTrue(programs.hasEnded(process, 4 * PATIENCE))
            self.assertNothingLeft(project)

    def test_all(self) -> None:
        """By SIGINT, once and twice, a time-out of either method, or a crash, alone or with a fork."""
        interrupt, kill = signal.SIGINT, signal.SIGKILL
        together(
            lambda: self._end("once", signals=(interrupt,)),
            lambda: self._end("twice", signals=(interrupt, interrupt)),
            lambda: self._end("killed", signals=(kill,), fork=True),
            lambda: self._end("crashed", crash=True),
            lambda: self._end("worker", "-n1", "--max-worker-restart=0", crash=True),
            lambda: self._end("signal", "--timeout=2", "--timeout-method=signal"),
            lambda: self._end("thread", "--timeout=2", "--timeout-method=thread", fork=True),
        )
