"""Faults of forwarded datagrams, in both directions."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.faults.fault import BadSpec
from echo_app.faults.faultset import FaultSet
from echo_app.faults.messages import REORDER_WAIT
from echo_app.faults.plan import FaultPlan
from echo_app.faults.spec import parseFault
from echo_app.forward.datagrams import ForwardedDatagrams
from echo_app.udp.port import DatagramEndpoint
from echo_app.udp.protocol import DatagramRules, EchoDatagramProtocol
from tests.support.fakes import FakePort
from tests.unit.forward.test_datagrams import HERE, THERE, ForwardTestCase

NUMBERS = [b"%d" % number for number in range(200)]


class ForwardedFaultsTestCase(ForwardTestCase):
    def startWith(self, *specs: str, seed: int = 1, rate: float | None = None) -> None:
        """Starts a port that forwards with these faults."""
        self.plan = FaultPlan(map(parseFault, specs), seed=seed)
        self.faults = FaultSet(self.plan, self.clock, False, forwardsDatagrams=True)
        self.rules = DatagramRules(rate, self.clock.seconds)
        self.start()

    def listen(self, number: int = 7007) -> tuple[FakePort, ForwardedDatagrams]:
        port: Any = FakePort(number)
        protocol: Any = self.faults.before(lambda: ForwardedDatagrams(self.sessions, self.rules))()
        protocol.makeConnection(port)
        self.addCleanup(lambda: protocol.numPorts and protocol.doStop())
        return port, cast(ForwardedDatagrams, protocol)

    def asked(self, *datagrams: bytes) -> list[bytes]:
        """Has a client send datagrams; returns what the upstream has got."""
        for each in datagrams:
            self.ask(each)
        return self.datagrams()

    def answered(self, *datagrams: bytes) -> list[bytes]:
        """Has the upstream answer a datagram; returns what the client has got."""
        self.ask()
        self.answer(*datagrams)
        # A session has a batch of answers in a turn.
        for _ in range(1 + len(datagrams) // 16):
            self.turn()
        return [data for data, _ in self.port.sent]


class InwardTests(ForwardedFaultsTestCase):
    """Faults with ``direction=in``: towards the upstream."""

    def test_loss(self) -> None:
        """A datagram that is lost reaches neither the upstream nor a session, and answers pass."""
        self.startWith("loss=1,direction=in,messages=1-2")
        self.assertEqual(self.asked(b"a", b"b"), [])
        self.assertEqual(self.sessions.made, 0)
        self.assertEqual((self.rules.answered, self.rules.dropped.byReason), (0, {"fault-loss": 2}))
        self.assertEqual(self.answered(b"c", b"d"), [b"c", b"d"])
        self.assertEqual(self.port.noted, {("loss", HERE): 2})

    def test_change(self) -> None:
        """Datagrams are cut and corrupted on their way in, and no answer is."""
        self.startWith("truncate=2B,direction=in", "corrupt=1,direction=in")
        (changed,) = self.asked(b"hello")
        self.assertEqual((len(changed), changed == b"he"), (2, False))
        self.assertEqual(self.answered(b"hello"), [b"hello"])

    def test_duplicate(self) -> None:
        """The upstream gets a second copy, if the rules admit it."""
        self.startWith("duplicate=1,direction=in", rate=3)
        self.assertEqual(self.asked(b"a", b"b"), [b"a", b"a", b"b"])
        self.assertEqual((self.rules.answered, self.rules.dropped.byReason), (0, {"rate": 1}))

    def test_unsolicited(self) -> None:
        """The upstream gets a datagram again later; no answer is counted for it."""
        self.startWith("unsolicited=1s,direction=in")
        self.assertEqual(self.asked(b"a"), [b"a"])
        self.clock.advance(1)
        self.assertEqual((self.datagrams(), self.rules.answered), ([b"a"], 0))

    def test_latency(self) -> None:
        """A datagram goes later, in its client's session, also when others have asked since."""
        self.startWith("latency=1s,direction=in")
        self.assertEqual(self.asked(b"a"), [])
        self.ask(b"b", THERE)
        self.clock.advance(1)
        got = dict(self.taken())
        for data, session in got.items():
            self.upstream.sendto(data, session)
        self.turn()
        self.assertEqual(sorted(self.port.sent), [(b"a", HERE), (b"b", THERE)])

    def test_lateSource(self) -> None:
        """The answer to a datagram that went late leaves from the address that was asked."""
        self.startWith("latency=1s,direction=in")
        make = self.faults.before(lambda: ForwardedDatagrams(self.sessions, self.rules))
        port: Any = DatagramEndpoint(self.reactor, 0, "0.0.0.0").listen(make())
        self.addCleanup(port.connectionLost)
        clients = {host: self.bound() for host in ("127.0.0.2", "127.0.0.3")}
        for host, client in clients.items():
            client.sendto(host.encode(), (host, port.getHost().port))
        port.doRead()
        self.clock.advance(1)
        for data, session in self.taken():
            self.upstream.sendto(data, session)
        for reader in self.sessions.poller.getReaders():
            reader.doRead()
        for host, client in clients.items():
            data, source = client.recvfrom(100)
            self.assertEqual((data.decode(), source[0]), (host, host))

    def test_reorder(self) -> None:
        """A datagram goes after the next one of its client, or alone after a while."""
        self.startWith("reorder=1,direction=in")
        self.assertEqual(self.asked(b"a", b"b"), [b"b", b"a"])
        self.assertEqual(self.asked(b"c"), [])
        self.clock.advance(REORDER_WAIT)
        self.assertEqual(self.datagrams(), [b"c"])

    def test_stop(self) -> None:
        """A port that stops drops the datagrams that are held, of both directions."""
        self.startWith("latency=1s,direction=in,after=1s", "latency=1s")
        self.ask()
        self.clock.advance(1)
        self.answer(b"answer")
        self.turn()
        self.ask()
        self.protocol.doStop()
        self.assertEqual((self.port.sent, self.datagrams()), ([], []))
        self.assertEqual((self.rules.answered, self.rules.dropped.byReason), (0, {"fault-held": 2}))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class OutwardTests(ForwardedFaultsTestCase):
    """Faults towards the client: with ``direction=out``, and without a direction."""

    def test_out(self) -> None:
        """Answers have the faults, and requests do not."""
        for direction in ("", ",direction=out"):
            self.startWith(f"truncate=2B{direction}", f"duplicate=1{direction}")
            self.ask(b"hello")
            (_, session) = self.upstream.recvfrom(100)
            self.upstream.sendto(b"hello", session)
            self.turn()
            self.assertEqual(self.port.sent, [(b"he", HERE)] * 2)
            self.assertEqual(self.rules.answered, 2)

    def test_session(self) -> None:
        """A client has one session, also with faults."""
        self.startWith("latency=0ms")
        self.assertEqual(self.asked(b"a", b"b"), [b"a", b"b"])
        self.assertEqual(self.sessions.made, 1)


class DrawTests(ForwardedFaultsTestCase):
    def echoed(self, *datagrams: bytes) -> list[bytes]:
        """Returns what an echo with the same faults and seed answers."""
        port: Any = FakePort()
        faults = FaultSet(self.plan, self.clock, False)
        protocol = faults.before(lambda: EchoDatagramProtocol(self.rules))()
        protocol.makeConnection(port)
        for each in datagrams:
            protocol.datagramReceived(each, HERE)
        return [data for data, _ in port.sent]

    def test_directions(self) -> None:
        """Each direction has draws and numbers of its own; those of answers are the echo's."""
        self.startWith("loss=50%,direction=in")
        inward = self.asked(*NUMBERS)
        self.startWith("loss=50%,direction=in", "loss=50%")
        self.assertEqual(self.asked(*NUMBERS), inward)
        self.startWith("loss=50%")
        outward = self.answered(*NUMBERS)
        self.assertNotEqual(outward, inward)
        self.assertEqual(outward, self.echoed(*NUMBERS))
        self.assertLess(abs(len(inward) - 100), 3 * (200 * 0.25) ** 0.5)

    def test_replaced(self) -> None:
        """Faults that replace the others number the datagrams of both directions anew."""
        self.startWith("loss=1,messages=2,direction=in")
        self.assertEqual(self.asked(b"a", b"b", b"c"), [b"a", b"c"])
        self.faults.set([parseFault("loss=1,messages=2,direction=in")], 0)
        self.assertEqual(self.asked(b"a", b"b", b"c"), [b"a", b"c"])


class SpecTests(SynchronousTestCase):
    """What a fault of messages needs, with ``direction=in``."""

    def test_needs(self) -> None:
        """A fault of messages with ``direction=in`` needs forwarded datagrams."""
        for spec in ("loss=1,direction=in", "latency=1s,direction=in,each=2", "truncate=1B,direction=in"):
            fault = parseFault(spec)
            for framed in (False, True):
                reason = fault.lacks(framed, True)
                self.assertIn("direction=in", reason)
                self.assertIn("--forward", reason)
                self.assertIn("--forward", fault.lacks(framed, False, forwardsDatagrams=True))
            self.assertEqual(fault.lacks(False, True, forwardsDatagrams=True), "")
            self.assertEqual((fault.isForDatagrams, fault.isForForwarded), (False, True))

    def test_refused(self) -> None:
        """A set of faults that forwards nothing refuses it."""
        fault = parseFault("loss=1,direction=in")
        self.assertRaises(BadSpec, FaultSet, FaultPlan([fault]), Clock(), False, True)

    def test_listeners(self) -> None:
        """A fault with a direction applies to datagrams only if they are forwarded."""
        for spec in ("latency=1s,direction=in", "latency=1s,direction=out", "corrupt=1,direction=in"):
            fault = parseFault(spec)
            self.assertEqual(
                (fault.hasListener(False, True), fault.hasListener(False, True, True)), (False, True)
            )
        for spec in ("latency=1s,after=1B", "loss=1,connections=2", "stall,direction=in"):
            fault = parseFault(spec)
            self.assertEqual(fault.hasListener(False, True, True), False)
