"""The benchmark measures its servers one by one, and its command runs from end to end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from benchmarks.builds import HERE
from benchmarks.certificate import removeCertificate
from benchmarks.compiledload import compiledLoad
from benchmarks.cores import Cores
from benchmarks.loads import Phase
from benchmarks.measuring import BenchmarkError, Laboratory
from benchmarks.peers import makePeer, versions
from benchmarks.results import Results
from benchmarks.rows import Row
from tests.support import programs
from tests.support.ci import onlyInCI
from tests.support.kernel import waitUntil
from tests.support.liars import liar, orSkip
from tests.support.service import PATIENCE, ServiceTestCase, reactorName

skip = onlyInCI("it compiles other people's servers")
if reactorName() != "epoll":
    skip = "the benchmark has processes of its own: the tests' reactor does not matter"

BRIEFLY = Phase(0.02, 0.1)

# A load ends with what it notices: on a busy machine the lie comes later.
UNTIL_NOTICED = Phase(0.02, PATIENCE)

STREAM = Row("stream", "", "stream", 1024, 3)
IDLE = Row("idle", "", "idle", 1024, 500)


def tearDownModule() -> None:
    removeCertificate()


class LaboratoryTests(ServiceTestCase):
    def setUp(self) -> None:
        core = min(os.sched_getaffinity(0))
        self.laboratory = Laboratory(orSkip(compiledLoad), Cores(core, core))

    def test_measure(self) -> None:
        """A measurement has the cost of an echo, and nothing that was not asked for."""
        sample = self.laboratory.measure(makePeer("asyncio"), STREAM, BRIEFLY)
        self.assertGreater(sample.cpu, 1)
        self.assertGreater(sample.rate, 0)
        self.assertEqual((sample.median, sample.tail, sample.memory), (None, None, None))

    def test_memory(self) -> None:
        """Idle connections cost memory."""
        sample = self.laboratory.measure(makePeer("asyncio"), IDLE, BRIEFLY)
        assert sample.memory is not None
        self.assertGreater(sample.memory, 100)
        self.assertLess(sample.memory, 100_000)

    def test_wrong(self) -> None:
        """A server that is wrong, or does not start, ends everything with one line that names it."""
        measure = self.laboratory.measure
        error = self.assertRaises(BenchmarkError, measure, liar("flip"), STREAM, UNTIL_NOTICED)
        self.assertRegex(str(error), r"\Aliar, stream: byte \d+ is \d+ and should be \d+\Z")
        error = self.assertRaises(BenchmarkError, measure, liar("?"), STREAM, BRIEFLY)
        self.assertRegex(str(error), r"\Aliar, stream: .+\Z")


class CommandTests(ServiceTestCase):
    def setUp(self) -> None:
        orSkip(lambda: versions("matplotlib", "rich"))

    def start(self, *options: str) -> subprocess.Popen[str]:
        """Starts the command, in a process group of its own."""
        return programs.start(
            self,
            *(sys.executable, "-m", "benchmarks", *options),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(HERE.parent), "COLUMNS": "120"},
        )

    def test_wholeRun(self) -> None:
        """The command measures, prints, and writes its report; and reports again from its own file."""
        rows = ("--only", "1k-10", "--only", "accept", "--peer", "direct", "--peer", "asyncio")
        brief = ("--rounds", "2", "--seconds", "0.05")
        process = self.start(*rows, *brief, "--json", "samples.json", "--output", ".")
        # It measures for a second, and starts many processes.
        printed, errors = process.communicate(timeout=3 * PATIENCE)
        self.assertEqual((process.returncode, errors), (0, ""))
        self.assertIn("1k-10, round 2\n", printed)
        results = Results.fromJson(Path("samples.json").read_text())
        self.assertEqual(list(results.samples), ["1k-10", "accept"])
        self.assertEqual([len(each) for each in results.samples["accept"].values()], [2, 2])
        for name in ("performance.rst", "performance.png", "performance.svg"):
            self.assertTrue(Path(name).stat().st_size)
        tables = printed[printed.index("accept, round 2\n") + len("accept, round 2\n") :]
        again, _ = self.start("--read", "samples.json").communicate(timeout=PATIENCE)
        self.assertEqual(again, tables)
        json.loads(Path("samples.json").read_text())

    def test_nothing(self) -> None:
        """The command ends with one line if nothing can be measured."""
        process = self.start("--only", "latency", "--peer", "direct")
        _, errors = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 1)
        self.assertRegex(errors, r"\Abenchmark: nothing can be measured; .*\n\Z")

    def test_interrupted(self) -> None:
        """SIGTERM ends it with one line, and ends its servers and loads."""
        process = self.start("--only", "1k-10", "--peer", "direct", "--seconds", "60")
        assert process.stdout is not None
        while process.stdout.readline() != "1k-10, round 1\n":
            self.assertIsNone(process.poll())
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE)
        self.assertEqual((process.returncode, errors), (1, "benchmark: interrupted\n"))
        # The process that inherits its children takes a moment to notice their end.
        self.assertTrue(waitUntil(lambda: not self._hasMembers(process.pid)))

    def _hasMembers(self, group: int) -> bool:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        return True
