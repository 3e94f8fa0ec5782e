"""The benchmark measures its servers one by one, and its command runs from end to end."""

from __future__ import annotations

import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

from benchmarks.builds import HERE
from benchmarks.certificate import removeCertificate
from benchmarks.compiledload import compiledLoad
from benchmarks.cores import Cores
from benchmarks.loads import LoadError, Phase, Rest, Usage
from benchmarks.measuring import BenchmarkError, Laboratory
from benchmarks.peers import makePeer, versions
from benchmarks.results import Results
from benchmarks.rows import FORWARD, MEMORY, OURS, RELAY, SHARE, Row
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


class Echo(socketserver.BaseRequestHandler):
    """Echoes a stream, and counts its bytes in the server, by the client's address."""

    def handle(self) -> None:
        """Echoes until the stream ends."""
        server: Any = self.server
        server.connections.append(self.request)
        while data := self.request.recv(1 << 16):
            server.counts[self.client_address] += len(data)
            self.request.sendall(data)


class OwnServerTests(ServiceTestCase):
    """The load in C, of a server in the test's own process."""

    def setUp(self) -> None:
        self.load = orSkip(compiledLoad)
        server: Any = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)
        server.daemon_threads = True
        server.counts = Counter()
        server.connections = []
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        self.server = server

    def test_each(self) -> None:
        """Of the connections only each n-th speaks; the others have had their first echo."""
        row = Row("half", "", "stream", 100, 6, each=2)
        self.load.run(row, self.server.server_address, BRIEFLY, lambda: Usage(0, 0))
        quiet = [count for count in self.server.counts.values() if count == 100]
        self.assertEqual((len(quiet), len(self.server.counts)), (3, 6))

    def test_sources(self) -> None:
        """Connections come from several addresses, since one has too few ports."""
        row = Row("sources", "", "stream", 100, 8)
        self.load.run(row, self.server.server_address, BRIEFLY, lambda: Usage(0, 0))
        hosts = Counter(host for host, _ in self.server.counts)
        self.assertEqual(hosts, {f"127.0.0.{last}": 2 for last in (1, 2, 3, 4)})

    def test_ended(self) -> None:
        """A server that ends an idle connection is noticed, since then fewer are measured."""
        row = Row("idle", "", "idle", 100, 20)
        usages = iter((False, True))

        def usage() -> Usage:
            if next(usages):
                self.server.connections.pop().shutdown(socket.SHUT_WR)
            return Usage(0, 0)

        error = self.assertRaises(LoadError, self.load.run, row, self.server.server_address, BRIEFLY, usage)
        self.assertEqual(str(error), "an idle connection did not stay as it was")


class LaboratoryTests(ServiceTestCase):
    def setUp(self) -> None:
        core = min(os.sched_getaffinity(0))
        self.cores = Cores(core, core)
        self.laboratory = Laboratory(orSkip(compiledLoad), self.cores)

    def test_measure(self) -> None:
        """A measurement has the cost of an echo, and nothing that was not asked for."""
        sample = self.laboratory.measure(makePeer("asyncio"), STREAM, BRIEFLY)
        self.assertGreater(sample.cpu, 1)
        self.assertGreater(sample.rate, 0)
        self.assertEqual((sample.median, sample.tail, sample.memory), (None, None, None))

    def test_relay(self) -> None:
        """A relay is measured in front of an upstream, with its children: socat has one for a connection."""
        row = replace(STREAM, transport=FORWARD)
        for name in (RELAY, "socat"):
            peer = orSkip(partial(makePeer, name))
            self.assertGreater(self.laboratory.measure(peer, row, BRIEFLY).cpu, 1)

    def test_memory(self) -> None:
        """Idle connections cost memory."""
        sample = self.laboratory.measure(makePeer("asyncio"), IDLE, BRIEFLY)
        assert sample.memory is not None
        self.assertGreater(sample.memory, 100)
        self.assertLess(sample.memory, 100_000)

    def test_rest(self) -> None:
        """The CPU time of our own idle connections is a share of a core; of other servers it is not asked."""
        row = replace(IDLE, figures=(SHARE, MEMORY))
        laboratory = Laboratory(orSkip(compiledLoad), self.cores, Rest(0.01, 0.2))
        sample = laboratory.measure(makePeer(OURS), row, BRIEFLY)
        # It may have nothing to do in so short a time.
        self.assertIsNotNone(sample.share)
        self.assertIsNone(laboratory.measure(makePeer("asyncio"), row, BRIEFLY).share)

    def test_options(self) -> None:
        """A row's own options are given to the server."""
        row = replace(IDLE, options=("--idle-timeout", "wrong"))
        error = self.assertRaises(BenchmarkError, self.laboratory.measure, makePeer(OURS), row, BRIEFLY)
        self.assertIn("wrong", str(error))

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
        process = self.start(*rows, *brief, "--json", "samples.json", "--output", "new/folder")
        # It measures for a second, and starts many processes.
        printed, errors = process.communicate(timeout=3 * PATIENCE)
        self.assertEqual((process.returncode, errors), (0, ""))
        self.assertIn("1k-10, round 2\n", printed)
        results = Results.fromJson(Path("samples.json").read_text())
        self.assertEqual(list(results.samples), ["1k-10", "accept"])
        self.assertEqual([len(each) for each in results.samples["accept"].values()], [2, 2])
        for name in ("performance.rst", "performance.png", "performance.svg"):
            self.assertTrue(Path("new/folder", name).stat().st_size)
        tables = printed[printed.index("accept, round 2\n") + len("accept, round 2\n") :]
        again, _ = self.start("--read", "samples.json").communicate(timeout=PATIENCE)
        self.assertEqual(again, tables)
        json.loads(Path("samples.json").read_text())

    def test_pythons(self) -> None:
        """The command compares our own server under one Python with that under another."""
        pythons = ("--python", sys.executable) * 2
        brief = ("--only", "1k-10", "--rounds", "1", "--seconds", "0.05")
        printed, errors = self.start(*pythons, *brief).communicate(timeout=PATIENCE)
        self.assertRegex(printed, r"\n 1k-10, µs +[0-9.]+ +[0-9.]+ *\n")
        self.assertEqual(errors, "")

    def test_unablePython(self) -> None:
        """The command ends with one line if a Python can't run the server."""
        process = self.start("--python", "false")
        _, errors = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 1)
        self.assertRegex(errors, r"\Abenchmark: \S+false can't run echo_app: .*\n\Z")

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
