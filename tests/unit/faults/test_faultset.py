"""Faults in a service: their place, the start of their times, and their limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock, LoopingCall
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.addresses import describe
from echo_app.faults.fault import BadSpec
from echo_app.faults.layer import FaultLayer
from echo_app.faults.plan import MAX_FAULTS, FaultPlan
from echo_app.faults.preamble import PreambleGate
from echo_app.faults.spec import parseFault
from echo_app.forward.forwarder import Forwarder, ForwardFactory
from echo_app.service.echoservice import EchoService
from echo_app.stream.protocol import EchoProtocol
from echo_app.transport.layer import protocolOf
from echo_app.udp.port import DatagramEndpoint
from tests.support.fakes import opened
from tests.unit.service.test_echoservice import FakeEndpoint, FakePort


class FaultSetTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.path = Path(self.mktemp()).absolute()

    def serve(self, *specs: str, **settings: Any) -> EchoService:
        """Returns a service that was started, with these faults beside those of a file."""
        self.path.touch()
        plan = FaultPlan(map(parseFault, specs), seed=1, path=str(self.path))
        return self.start(faults=plan, **settings)

    def start(self, **settings: Any) -> EchoService:
        """Returns a service that was started."""
        endpoint = FakeEndpoint(FakePort())
        service = EchoService(self.clock, [endpoint], **settings)
        service.startService()
        self.factory, _ = endpoint.calls[0]
        return service

    def connect(self, data: bytes = b"") -> Any:
        """Returns a transport of a connection that such data has come from."""
        transport: Any = opened(self.factory)
        if data:
            transport.protocol.dataReceived(data)
        return transport

    def times(self) -> list[float]:
        """Returns when something is to happen, apart from the sweep of the time-outs and the watch."""
        calls: Any = self.clock.getDelayedCalls()
        wanted = [call for call in calls if not isinstance(call.func, LoopingCall)]
        return [call.getTime() for call in wanted if "TimeoutSweep" not in call.func.__qualname__]

    def test_none(self) -> None:
        """Without a plan the protocol of a connection is the plain one."""
        self.start()
        self.assertIs(type(protocolOf(self.connect())), EchoProtocol)

    def test_some(self) -> None:
        """A connection that no fault applies to has a layer, too, without faults."""
        self.serve("corrupt=1,connections=2")
        transport = self.connect(b"hello")
        self.assertIsInstance(transport.protocol, FaultLayer)
        self.assertEqual(transport.value(), b"hello")
        transport = self.connect(b"hello")
        self.assertIsInstance(transport.protocol, FaultLayer)
        self.assertEqual(len(transport.value()), 5)
        self.assertNotEqual(transport.value(), b"hello")

    def test_set(self) -> None:
        """New faults are for new connections, whose numbers count from then, until a reload."""
        service = self.serve("corrupt=1")
        first = self.connect()
        service.setFaults([parseFault("corrupt=1,connections=2")])
        for transport in (first, self.connect(), self.connect()):
            transport.protocol.dataReceived(b"hello")
            self.assertEqual(transport.value() == b"hello", not transport.protocol.faults)
        self.assertEqual(list(map(str, first.protocol.faults)), ["corrupt=1"])
        self.assertEqual(self.connect(b"hello").value(), b"hello")
        self.path.write_text("corrupt=1,connections=5")
        service.reload()
        self.assertNotEqual(self.connect(b"hello").value(), b"hello")

    def test_setTooMany(self) -> None:
        """Too many are refused, and so are any where the service was made without; nothing has changed."""
        service = self.serve("corrupt=1")
        self.assertRaises(BadSpec, service.setFaults, [parseFault("stall")] * (MAX_FAULTS + 1))
        self.assertEqual(len(self.connect(b"hello").value()), 5)
        self.assertRaises(ValueError, EchoService(self.clock).setFaults, [])

    def test_messages(self) -> None:
        """Faults of messages need a responder with a framing, or datagrams, also at a change and a reload."""
        plan = FaultPlan([parseFault("loss=1,each=2")])
        error = self.assertRaises(ValueError, self.start, faults=plan)
        self.assertEqual(
            str(error), "fault 'loss=1,each=2': each needs messages: --responder with a framing, or --udp"
        )
        reactor: Any = MemoryReactorClock()
        datagrams = DatagramEndpoint(reactor, 0, "")
        EchoService(self.clock, faults=plan, datagramEndpoints=[datagrams])
        service = self.serve("corrupt=1")
        self.assertRaises(BadSpec, service.setFaults, [parseFault("close,messages=2")])
        self.path.write_text("close,messages=2")
        service.reload()
        self.assertEqual(len(self.connect(b"hello").value()), 5)
        self.start(faults=plan, responder="lines")
        self.assertEqual(self.connect(b"a\nb\nc\n").value(), b"a\nc\n")

    def test_setRefuse(self) -> None:
        """Times of listeners begin anew."""
        service = self.serve("refuse,after=5s")
        self.clock.advance(1)
        service.setFaults([parseFault("refuse,after=3s")])
        self.assertEqual(self.times(), [4])

    def test_preamble(self) -> None:
        """A preamble replaces the plan's faults, and the connection keeps its number."""
        self.serve("corrupt=1,connections=2", faultPreamble=True)
        first, second, third = (self.connect(line) for line in (b"!fault corrupt=1\n", b"", b"!fault\n"))
        self.assertIsInstance(protocolOf(second), PreambleGate)
        for transport in (first, second, third):
            transport.protocol.dataReceived(b"hello")
        self.assertNotEqual(first.value(), b"hello")
        self.assertNotEqual(second.value(), b"hello")
        self.assertEqual(third.value(), b"hello")

    def echoed(self, *transports: Any) -> list[bool]:
        """Returns for each connection whether it echoes."""
        for each in transports:
            each.clear()
            each.protocol.dataReceived(b"hello")
        return [each.value() == b"hello" for each in transports]

    def test_live(self) -> None:
        """Open connections have new faults at once, as new ones do, but none of later connections."""
        service = self.serve()
        first, second = self.connect(), self.connect()
        self.assertEqual(self.echoed(first, second), [True, True])
        service.setFaults([parseFault("corrupt=1")], live=True)
        self.assertEqual(self.echoed(first, second, self.connect()), [False, False, False])
        service.setFaults([parseFault("corrupt=1,connections=1-2")], live=True)
        self.assertEqual(self.echoed(first, second, self.connect()), [True, True, False])

    def test_liveOfOne(self) -> None:
        """A connection that is chosen has new faults alone: by its number, peer or listener."""
        service = self.serve()
        first = self.connect()
        second = opened(self.factory, IPv4Address("TCP", "192.0.2.7", 4242))
        corrupt = [parseFault("corrupt=1")]
        for pick, expected in (
            ({"number": 1}, [False, True]),
            ({"peer": "192.0.2.7:4242"}, [True, False]),
            ({"number": 2, "peer": "192.0.2.7:4242"}, [True, False]),
            ({"listener": describe(first.getHost())}, [False, False]),
        ):
            service.setFaults([], live=True)
            service.setFaults(corrupt, live=True, **pick)
            self.assertEqual(self.echoed(first, second), expected, pick)
            self.assertEqual(self.echoed(self.connect()), [True])
        for pick in ({"number": 9}, {"peer": "192.0.2.7:1"}, {"listener": "x"}, {"number": 1, "peer": "x"}):
            error = self.assertRaises(ValueError, service.setFaults, corrupt, live=True, **pick)
            self.assertIn("no open connection has ", str(error))
        for spec in ("refuse", "corrupt=1,connections=1", "loss=1", "connect=2s"):
            self.assertRaises(BadSpec, service.setFaults, [parseFault(spec)], live=True, number=1)
        self.assertRaises(BadSpec, service.setFaults, corrupt * (MAX_FAULTS + 1), live=True, number=1)
        self.assertRaises(ValueError, service.setFaults, corrupt, number=1)

    def test_liveWithPreamble(self) -> None:
        """A connection whose preamble is pending has new faults by its own choice, or from its beginning."""
        service = self.serve(faultPreamble=True)
        first, second = self.connect(), self.connect()
        service.setFaults([parseFault("corrupt=1")], live=True)
        first.protocol.dataReceived(b"!fault\n")
        self.assertEqual(self.echoed(first, second), [True, False])
        self.connect()
        self.assertRaises(ValueError, service.setFaults, [], live=True, number=3)

    def test_liveSeed(self) -> None:
        """The same bytes after a change have the same faults again."""

        def passed() -> bytes:
            service = self.serve()
            transport = self.connect(b"hello")
            service.setFaults([parseFault("corrupt=0.5")], live=True)
            transport.clear()
            transport.protocol.dataReceived(bytes(100))
            return bytes(transport.value())

        self.assertEqual(passed(), passed())

    def test_liveWithout(self) -> None:
        """A service without faults has no place for them; one that forwards has."""
        self.assertRaises(ValueError, self.start().setFaults, [], live=True)
        self.assertIs(type(protocolOf(self.connect())), EchoProtocol)
        upstream: Any = None
        service = self.start(forwarder=Forwarder(streams=ForwardFactory(upstream, self.clock)))
        service.setFaults([parseFault("connect=refused")], live=True)
        transport = self.connect()
        self.clock.advance(0)
        self.assertTrue(transport.ended)

    def test_preambleAlone(self) -> None:
        """The preamble needs no plan."""
        self.start(faultPreamble=True)
        transport = self.connect(b"!fault truncate=5B\n")
        self.assertIn(b"!fault error", transport.value())
        self.assertEqual(self.connect(b"hello").value(), b"hello")

    def test_cap(self) -> None:
        """The bytes held back for a connection are bounded as the plan says."""
        plan = FaultPlan([parseFault("latency=1s")], cap=1000)
        self.start(faults=plan)
        transport = self.connect()
        transport.protocol.dataReceived(bytes(500))
        self.assertEqual(transport.producerState, "producing")
        transport.protocol.dataReceived(bytes(500))
        self.assertEqual(transport.producerState, "paused")

    def test_times(self) -> None:
        """Listeners are refused by times from the start on, and from each reading; not after a stop."""
        service = self.serve("refuse,after=5s")
        self.assertEqual(self.times(), [5])
        self.clock.advance(1)
        service.reload()
        self.assertEqual(self.times(), [6])
        self.path.write_text("refuse,after=2s")
        service.reload()
        self.assertEqual(self.times(), [3])
        self.path.write_text("junk")
        service.reload()
        self.assertEqual(self.times(), [3])
        service.stopService()
        self.assertEqual(self.times(), [])
        service.reload()
        self.assertEqual(self.times(), [])
        service.startService()
        self.assertEqual(self.times(), [3])
