"""The benchmark's servers echo, its loads find every wrong byte, and its command runs from end to end."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import unittest
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from benchmarks.builds import HERE, Missing
from benchmarks.certificate import removeCertificate
from benchmarks.compiledload import compiledLoad
from benchmarks.cores import Cores
from benchmarks.loads import Load, LoadError, Outcome, Phase, Usage
from benchmarks.measuring import BenchmarkError, Laboratory
from benchmarks.peers import ALL, CANDIDATES, Peer, makePeer, versions
from benchmarks.probeload import ProbeLoad
from benchmarks.results import Results
from benchmarks.rows import Row
from tests import SUPPORT
from tests.support import programs
from tests.support.ci import onlyInCI
from tests.support.kernel import waitUntil
from tests.support.service import PATIENCE, ServiceTestCase, reactorName
from tests.support.tls import TLSPeer, clientContext

skip = onlyInCI("it compiles other people's servers")
if reactorName() != "epoll":
    skip = "the benchmark has processes of its own: the tests' reactor does not matter"

LIAR = SUPPORT / "lying_server.py"
BRIEFLY = Phase(0.02, 0.1)

# The load in Python goes by the clock: a message is due at once, unless the machine stops for the whole time.
A_SECOND = Phase(0, 1)

# A load ends with what it notices: on a busy machine the lie comes later.
UNTIL_NOTICED = Phase(0.02, PATIENCE)

STREAM = Row("stream", "", "stream", 1024, 3)
TLS = Row("tls", "", "stream", 1024, 3, transport="tls")
DATAGRAM = Row("datagram", "", "datagram", 64, 3, transport="udp")
ACCEPT = Row("accept", "", "accept", 1, 3)
IDLE = Row("idle", "", "idle", 1024, 500)
RATE = Row("rate", "", "rate", 1024, 3)

# Errors of streams, and the line of the load in C for each.
_CHANGED = r"byte \d+ is \d+ and should be \d+"
LIES = {
    "flip": _CHANGED,
    "lose": _CHANGED,
    "add": r"1 bytes too many came after byte \d+",
    "end": r"the end came after byte \d+ of \d+",
}

# The same of the load in Python.
_DIFFERENT = r"message \d+, byte \d+: 0x\w\w came, 0x\w\w was sent \(byte \d+ of connection \d, .*\)"
_SURPLUS = r"1 bytes too many came after byte \d+ .*"
_UNKNOWN = r"\d\d bytes came that answer no datagram of connection \d, .*"

SILENCES = ((STREAM, "hold"), (DATAGRAM, "drop"), (ACCEPT, "hold"))

T = TypeVar("T")


def tearDownModule() -> None:
    removeCertificate()


def orSkip(make: Callable[[], T]) -> T:
    """Builds something; skips the test where that can't be, which in CI is a failure."""
    try:
        return make()
    except Missing as error:
        if os.environ.get("CI"):
            raise AssertionError(f"CI must install what is missing: {error}") from None
        raise unittest.SkipTest(str(error)) from None


def loadOverTLS() -> Load:
    """Returns the load in C, which here does TLS.

    :raise Missing: when it does not.
    """
    load = compiledLoad()
    if load.missing:
        raise Missing(load.missing)
    return load


def run(load: Load, peer: Peer, row: Row, phase: Phase = BRIEFLY) -> Outcome:
    """Runs a load against a peer."""
    with peer.process(row.transport) as server:
        return load.run(row, server.address(row.transport), phase, lambda: Usage.of(server.pid))


def liar(lie: str) -> Peer:
    """Returns the server that lies once."""
    return Peer("liar", "Liar", (sys.executable, str(LIAR), lie), "1", ALL)


class PeerTests(ServiceTestCase):
    def start(self, name: str, transport: str) -> socket.socket:
        """Starts a peer, and connects to it."""
        server = orSkip(lambda: makePeer(name)).process(transport)
        self.addCleanup(server.kill)
        return self.connect(server.start().address(transport))

    def echoes(self, name: str) -> None:
        """Sends 1 MiB to a peer, in pieces that it has to take in pieces, and then the end of the stream."""
        sock = self.start(name, "tcp")
        received = sock.makefile("rb")
        self.addCleanup(received.close)
        for piece in range(16):
            data = random.Random(piece).randbytes(1 << 16)
            sock.sendall(data)
            self.assertEqual(received.read(len(data)), data)
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(received.read(), b"")

    def echoesTLS(self, name: str) -> None:
        """Sends 1 MiB over TLS, and then its end, which is answered."""
        peer = TLSPeer(self.start(name, "tls"), clientContext(ssl.TLSVersion.TLSv1_3)).shake()
        for piece in range(64):
            data = random.Random(piece).randbytes(1 << 14)
            peer.send(data)
            self.assertEqual(peer.receive(len(data)), data)
        peer.sock.sendall(peer.end())
        self.assertEqual(peer.receiveAll(), b"")
        self.assertTrue(peer.isEnded)


def _peerTest(name: str, echoes: Callable[[PeerTests, str], None], how: str) -> Callable[[PeerTests], None]:
    def test(self: PeerTests) -> None:
        echoes(self, name)

    test.__doc__ = f"{CANDIDATES[name].title} sends back 1 MiB{how}."
    return test


for _name, _candidate in CANDIDATES.items():
    _test = f"test_{_name.replace('-', '_')}"
    setattr(PeerTests, _test, _peerTest(_name, PeerTests.echoes, ""))
    if "tls" in _candidate.options:
        setattr(PeerTests, f"{_test}_tls", _peerTest(_name, PeerTests.echoesTLS, " over TLS"))


# A mixin, so that runners find no tests in it; a test case for those who check types.
if TYPE_CHECKING:
    _Base = ServiceTestCase
else:
    _Base = object


class LoadRuns(_Base):
    """Runs a load."""

    phase = BRIEFLY

    def load(self) -> Load:
        """Returns the load."""
        raise NotImplementedError

    def run_(self, peer: Peer, row: Row, phase: Phase | None = None) -> Outcome:
        """Runs the load against a peer."""
        return run(self.load(), peer, row, phase or self.phase)

    def assertNoticed(self, lies: dict[tuple[Row, str], str]) -> None:
        """Checks that each lie in a row ends the load with one line, of this pattern."""
        with ThreadPoolExecutor(len(lies)) as pool:
            runs = {each: pool.submit(self._lied, *each) for each in lies}
        for each, line in lies.items():
            self.assertRegex(str(runs[each].exception()), rf"\A{line}\Z", each)
            self.assertIsInstance(runs[each].exception(), LoadError)

    def _lied(self, row: Row, lie: str) -> Outcome:
        # Other connections would keep the machine busy while one waits.
        alone = replace(row, connections=1)
        # One is told at the end, which has to come.
        return self.run_(liar(lie), alone, self.phase if lie == "late" else UNTIL_NOTICED)


class LoadTestsMixin(LoadRuns):
    """The tests of both loads.

    :cvar lies: what each says of a lie in a row.
    """

    lies: dict[tuple[Row, str], str]

    def test_streams(self) -> None:
        """Streams are echoed and counted, and the server's CPU is seen."""
        outcome = self.run_(makePeer("asyncio"), STREAM)
        self.assertGreaterEqual(outcome.echoes, 3)
        self.assertGreater(outcome.cpu, 1000 * outcome.echoes)
        self.assertLess(outcome.cpu, 2e9 * outcome.seconds)

    def test_large(self) -> None:
        """Messages that no buffer holds are echoed too."""
        row = Row("large", "", "stream", 8 << 20, 2)
        self.assertGreaterEqual(self.run_(makePeer("asyncio"), row).echoes, 2)

    def test_datagrams(self) -> None:
        """Datagrams are echoed and counted."""
        self.assertGreaterEqual(self.run_(makePeer("asyncio"), DATAGRAM).echoes, 3)

    def test_accept(self) -> None:
        """Connections are opened and ended, one after the other."""
        self.assertGreaterEqual(self.run_(makePeer("asyncio"), ACCEPT).echoes, 3)

    def test_idle(self) -> None:
        """Connections are opened and left."""
        self.assertEqual(self.run_(makePeer("asyncio"), IDLE).echoes, 500)

    def test_wrong(self) -> None:
        """Data that is changed, cut, lost, too much, too late, sent twice, or missing is noticed."""
        self.assertNoticed(self.lies)

    def test_nobody(self) -> None:
        """A load without a listening server reports the refused connection."""
        with makePeer("asyncio").process("tcp") as server:
            address = server.address()
        usage = Usage(0, 0)
        error = self.assertRaises(LoadError, self.load().run, STREAM, address, BRIEFLY, lambda: usage)
        self.assertIn(str(error), ("connect: Connection refused", "no connection: refused"))


class CompiledLoadTests(LoadTestsMixin, ServiceTestCase):
    lies = {
        **{(STREAM, lie): line for lie, line in LIES.items()},
        (STREAM, "late"): LIES["add"],
        (DATAGRAM, "flip"): LIES["flip"],
        (DATAGRAM, "lose"): "a datagram of 63 bytes came for one of 64",
        (DATAGRAM, "add"): LIES["add"],
        (DATAGRAM, "twice"): rf"64 bytes too many came after byte \d+|{LIES['flip']}",
        (ACCEPT, "flip"): LIES["flip"],
        (ACCEPT, "add"): "1 bytes too many .*",
        **dict.fromkeys(SILENCES, "an answer is lost: nothing came for 5 s"),
    }

    def load(self) -> Load:
        """Returns the load in C."""
        return orSkip(compiledLoad)

    def test_rate(self) -> None:
        """At a fixed rate there are as many round trips as were due, and their times."""
        outcome = self.run_(makePeer("asyncio"), RATE, Phase(0.05, 0.2, 1000))
        self.assertEqual(outcome.echoes, 200)
        self.assertGreater(outcome.median, 0)
        self.assertGreaterEqual(outcome.tail, outcome.median)

    def test_wrongRate(self) -> None:
        """A wrong byte is noticed at a fixed rate too."""
        phase = Phase(0.05, 0.2, 1000)
        error = self.assertRaises(LoadError, self.run_, liar("flip"), RATE, phase)
        self.assertRegex(str(error), r"\Abyte \d+ is \d+ and should be \d+\Z")


class TLSLoadTests(LoadRuns, ServiceTestCase):
    def load(self) -> Load:
        """Returns the load in C, of which TLS is asked."""
        return orSkip(loadOverTLS)

    def test_streams(self) -> None:
        """Streams over TLS are echoed and counted."""
        self.assertGreaterEqual(self.run_(makePeer("asyncio"), TLS).echoes, 3)

    def test_large(self) -> None:
        """Messages of many records, which no buffer holds, are echoed too."""
        row = Row("large", "", "stream", 8 << 20, 2, transport="tls")
        self.assertGreaterEqual(self.run_(makePeer("asyncio"), row).echoes, 2)

    def test_idle(self) -> None:
        """Connections are opened and left."""
        row = Row("idle", "", "idle", 1024, 50, transport="tls")
        self.assertEqual(self.run_(makePeer("asyncio"), row).echoes, 50)

    def test_wrong(self) -> None:
        """A byte that is changed, lost, too many, or missing at the end is noticed."""
        self.assertNoticed({(TLS, lie): line for lie, line in LIES.items()})

    def test_noTLS(self) -> None:
        """A server that answers something else than TLS is told in one line."""
        load = self.load()
        with makePeer("asyncio").process("tcp") as server:
            address = server.address()
            usage = Usage(0, 0)
            error = self.assertRaises(LoadError, load.run, TLS, address, BRIEFLY, lambda: usage)
        self.assertRegex(str(error), r"\ATLS: .+\Z")


class ProbeLoadTests(LoadTestsMixin, ServiceTestCase):
    phase = A_SECOND
    lies = {
        **dict.fromkeys(((STREAM, "flip"), (STREAM, "lose"), (ACCEPT, "flip")), _DIFFERENT),
        **dict.fromkeys(((STREAM, "add"), (STREAM, "late"), (ACCEPT, "add")), _SURPLUS),
        (STREAM, "end"): "FIN: 1",
        **dict.fromkeys(((DATAGRAM, "flip"), (DATAGRAM, "lose")), _UNKNOWN),
        (DATAGRAM, "add"): r"message \d+, 65 bytes came, 64 were sent .*",
        (DATAGRAM, "twice"): "duplicate: 1",
        **dict.fromkeys(SILENCES, "(timed out|lost): 1"),
    }

    def load(self) -> Load:
        """Returns the load in Python."""
        return ProbeLoad()

    def test_tls(self) -> None:
        """The load of the probe connects over TLS."""
        self.assertGreaterEqual(self.run_(makePeer("asyncio"), TLS).echoes, 3)

    def test_nothing(self) -> None:
        """A load fails if no message was due in the measured time."""
        error = self.assertRaises(LoadError, self.run_, makePeer("asyncio"), STREAM, Phase(1, 1e-9))
        self.assertEqual(str(error), "nothing was answered in 1e-09 s")


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
