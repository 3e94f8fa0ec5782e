"""The examples work as they are."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from functools import partial
from pathlib import Path
from shutil import copytree
from textwrap import indent
from unittest import SkipTest

from twisted.trial.unittest import TestCase

from tests import ROOT
from tests.support import programs
from tests.support.ci import onlyInCI
from tests.support.service import PATIENCE, ServiceTestCase, exchanged, reactorName, together

if reactorName() != "epoll":
    skip = "the examples have processes of their own: the tests' reactor does not matter"

EXAMPLES = ROOT / "examples"
TWISTD = ("-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile=", "-y")
LISTENING = re.compile(r"(?:listening on \S+:|Site starting on |listening on .*port=)(\d+)")


class ExampleTests(ServiceTestCase):
    def _start(self, listeners: int, *command: str, **env: str) -> list[int]:
        """Runs an example until the test's end; returns the ports that it says it listens on."""
        process = programs.start(
            self,
            *(sys.executable, *command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **env},
        )
        self._process = process
        assert process.stdout is not None
        printed = ""
        while len(ports := LISTENING.findall(printed)) < listeners:
            line = process.stdout.readline().decode()
            self.assertTrue(line, f"ended early:\n{printed}")
            printed += line
        return [int(port) for port in ports]

    def _stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(PATIENCE)

    def _echoes(self, host: str, port: int, data: bytes = b"hello") -> bytes:
        peer = self.connect((host, port))
        return exchanged(peer, data)

    def test_tac(self) -> None:
        """The application echoes over IPv4 and IPv6, and stops."""
        ports = self._start(3, *TWISTD, str(EXAMPLES / "echo.tac"), ECHO_PORT="0")
        self.assertEqual(self._echoes("127.0.0.1", ports[0]), b"hello")
        self.assertEqual(self._echoes("::1", ports[1]), b"hello")
        self.assertEqual(self._stop(), -signal.SIGTERM)

    def test_besideWeb(self) -> None:
        """The web site beside the echo shows the counts of the echo."""
        tac = str(EXAMPLES / "web_and_echo.tac")
        ports = self._start(2, *TWISTD, tac, ECHO_PORT="0", WEB_PORT="0")
        self.assertEqual(self._echoes("127.0.0.1", ports[0]), b"hello")
        with urllib.request.urlopen(f"http://127.0.0.1:{ports[1]}/", timeout=PATIENCE) as answer:
            self.assertEqual(json.load(answer)["accepted"], 1)
        self.assertEqual(self._stop(), -signal.SIGTERM)

    def test_bareFactory(self) -> None:
        """A subclass of the protocol answers on any endpoint, and half-closes."""
        script = str(EXAMPLES / "bare_factory.py")
        (port,) = self._start(1, script, "tcp:0:interface=127.0.0.1")
        self.assertEqual(self._echoes("127.0.0.1", port), b"HELLO")
        self._stop()

    def test_clientLibrary(self) -> None:
        """The client library is reset, tries again, and times out, as docs/quickstart.rst shows it."""
        for spec, retries, expected in (
            ("reset,connections=1-2", "0", ["ConnectionError", "ConnectionError", "three"]),
            ("reset,connections=1-2", "3", ["one", "two", "three"]),
            ("stall,after=150B,connections=1", "0", ["one", "TimeoutError", "three"]),
        ):
            server = self.serve("--port", "0", "--fault", spec)
            command = [sys.executable, str(EXAMPLES / "client_library.py"), str(server.address()[1]), retries]
            lines = programs.run(*command, text=True).stdout.splitlines()
            self.assertEqual([re.findall(r"one|two|three|\w+Error", line)[0] for line in lines], expected)


# The runs of the examples' tests: what each prints when they pass, its runner, and its files. Those with
# other people's servers have runs of their own, since the programs may be missing.
OWN = (
    ("11 passed", "pytest", "test_asyncio_client.py", "test_in_memory.py"),
    ("4 passed", "pytest", "test_socket_client.py"),
    ("4 passed", "pytest", "test_twisted_client.py", "test_twisted_in_pytest.py"),
    ("successes=3", "twisted.trial", "test_twisted_client"),
)
HTTP = ("3 passed", "pytest", "test_http.py")
POSTGRES = ("7 passed", "pytest", "test_postgres.py")
REDIS = ("3 passed", "pytest", "test_redis.py")


class TestingExampleTests(TestCase):
    """Tests, with the clients that they test."""

    timeout = 150

    def setUp(self) -> None:
        self._folder = Path(self.mktemp()).absolute()
        copytree(EXAMPLES / "testing", self._folder)

    def _test(self, passing: str, runner: str, *files: str) -> None:
        """Runs tests, as a user does in the folder of the examples."""
        command = [
            sys.executable,
            "-W",
            "error",
            "-m",
            runner,
            *(["-rs"] if runner == "pytest" else []),
            *files,
        ]
        # The caches of pytest stay there, and it prints the reason of a skip.
        environment = {**os.environ, "TMPDIR": str(self._folder), "PYTEST_ADDOPTS": "-rs"}
        run = programs.run(*command, cwd=self._folder, env=environment, text=True, timeout=120)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        # As ``needs`` does: CI installs all programs.
        missing = re.search(r"not installed: .*", run.stdout)
        if missing and not os.environ.get("CI"):
            raise SkipTest(missing[0])
        self.assertIn(passing, run.stdout)

    def test_examples(self) -> None:
        """The examples pass unchanged."""
        together(*(partial(self._test, *run) for run in OWN))

    test_examples.skip = onlyInCI("it runs pytest three times, and trial")  # type: ignore[attr-defined]

    def test_http(self) -> None:
        """So do those with HTTP."""
        self._test(*HTTP)

    test_http.skip = onlyInCI("it runs pytest")  # type: ignore[attr-defined]

    def test_postgres(self) -> None:
        """So do those with PostgreSQL."""
        self._test(*POSTGRES)

    test_postgres.skip = onlyInCI("it runs PostgreSQL for 20 seconds")  # type: ignore[attr-defined]

    def test_redis(self) -> None:
        """So do those with Redis."""
        self._test(*REDIS)

    test_redis.skip = onlyInCI("it runs pytest and Redis")  # type: ignore[attr-defined]

    def test_complete(self) -> None:
        """No file of tests is left out."""
        files = {file.removesuffix(".py") for _, _, *files in (*OWN, HTTP, POSTGRES, REDIS) for file in files}
        self.assertEqual(files, {path.stem for path in self._folder.glob("test_*.py")})

    def test_documented(self) -> None:
        """The documentation shows the examples as they are."""
        for document, name in (("testing-examples", "asyncio_client"), ("testing-memory", "in_memory")):
            shown = (EXAMPLES.parent / "docs" / f"{document}.rst").read_text()
            file = (EXAMPLES / "testing" / f"test_{name}.py").read_text()
            self.assertIn(f"::\n\n{indent(file, '    ')}", shown)
