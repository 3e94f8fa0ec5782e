"""The benchmark's servers echo, and its loads find every wrong byte."""

from __future__ import annotations

import random
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.builds import Missing
from benchmarks.certificate import removeCertificate
from benchmarks.compiledload import compiledLoad
from benchmarks.loads import Load, LoadError, Outcome, Phase, Usage
from benchmarks.peers import CANDIDATES, UPSTREAM, Peer, makePeer
from benchmarks.probeload import ProbeLoad
from benchmarks.rows import FORWARD, Row
from tests.support.ci import onlyInCI
from tests.support.liars import liar, orSkip
from tests.support.service import PATIENCE, ServiceTestCase, reactorName
from tests.support.tls import TLSPeer, clientContext

skip = onlyInCI("it compiles other people's servers")
if reactorName() != "epoll":
    skip = "the benchmark has processes of its own: the tests' reactor does not matter"

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


def tearDownModule() -> None:
    removeCertificate()


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


class PeerTests(ServiceTestCase):
    def start(self, name: str, transport: str) -> socket.socket:
        """Starts a peer, and connects to it."""
        peer = orSkip(lambda: makePeer(name))
        if FORWARD in peer.options:
            upstream = orSkip(lambda: makePeer(UPSTREAM)).process(transport)
            self.addCleanup(upstream.kill)
            server = peer.process(FORWARD, upstream=upstream.start().address())
        else:
            server = peer.process(transport)
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
    _how = " of its upstream" if FORWARD in _candidate.options else ""
    setattr(PeerTests, _test, _peerTest(_name, PeerTests.echoes, _how))
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

    def test_relay(self) -> None:
        """A relay is loaded over TCP."""
        behind = orSkip(lambda: makePeer(UPSTREAM)).process("tcp")
        self.addCleanup(behind.kill)
        relay = makePeer("portforward").process(FORWARD, upstream=behind.start().address())
        with relay as server:
            row = replace(STREAM, transport=FORWARD)
            usage = lambda: Usage.ofTree(server.pid)  # noqa: E731
            outcome = self.load().run(row, server.address(row.listener), self.phase, usage)
        self.assertGreaterEqual(outcome.echoes, 3)

    def test_datagrams(self) -> None:
        """Datagrams are echoed and counted."""
        self.assertGreaterEqual(self.run_(makePeer("asyncio"), DATAGRAM).echoes, 3)

    def test_accept(self) -> None:
        """Connections are opened and ended, one after the other."""
        self.assertGreaterEqual(self.run_(makePeer("asyncio"), ACCEPT).echoes, 3)

    def test_idle(self) -> None:
        """Connections are opened and left."""
        # The first tenth is not counted.
        self.assertEqual(self.run_(makePeer("asyncio"), IDLE).echoes, 450)

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
        self.assertEqual(self.run_(makePeer("asyncio"), row).echoes, 45)

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
