"""What the two legs of a forwarded stream ask of their transports, in cases that sockets rarely show."""

from __future__ import annotations

# By its name alone it would be trial's, for the whole module.
import contextlib
import ssl
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from echo_app.faults.faulty import Faulty
from echo_app.faults.spec import parseFault
from echo_app.forward.forwarder import ForwardFactory
from echo_app.forward.legs import ALONE, EARLY, ClientLeg, Leg
from echo_app.tls.connection import TLSConnection
from echo_app.tls.server import ServerTLS
from tests.support import fakes
from tests.support.tls import clientContext


class Transport(StringTransport):
    """A transport that notes the calls that end it or a part of it."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[str] = []

    def loseConnection(self) -> None:
        self.ends.append("close")

    def loseWriteConnection(self) -> None:
        self.ends.append("end")

    def abortConnection(self) -> None:
        self.ends.append("reset")

    def unregisterProducer(self) -> None:
        if self.producer is not None:
            super().unregisterProducer()


@implementer(IStreamClientEndpoint)
class Upstream:
    """An endpoint that a test connects, or lets fail.

    :ivar asked: the Deferreds of the attempts.
    :ivar cancelled: how many of them were cancelled.
    """

    def __init__(self) -> None:
        self.asked: list[Deferred[Any]] = []
        self.cancelled = 0

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        self._factory = protocolFactory
        self.asked.append(Deferred(self._cancel))
        return self.asked[-1]

    def _cancel(self, _: object) -> None:
        self.cancelled += 1

    def reach(self, transport: Transport) -> Leg:
        """Connects the last attempt."""
        leg = self._factory.buildProtocol(None)
        leg.makeConnection(transport)
        self.asked[-1].callback(leg)
        return leg  # type: ignore[no-any-return]


class LegTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.upstream = Upstream()
        self.factory = ForwardFactory(self.upstream, self.clock)
        self.near, self.far = Transport(), Transport()
        leg = self.factory.buildProtocol(None)
        assert isinstance(leg, ClientLeg)
        self.client = leg
        self.client.makeConnection(self.near)

    def reach(self) -> Leg:
        return self.upstream.reach(self.far)

    def test_early(self) -> None:
        """What came before the upstream was there is sent first, in its order."""
        self.client.dataReceived(b"one")
        self.client.dataReceived(b"two")
        self.reach()
        self.client.dataReceived(b"three")
        self.assertEqual(self.far.value(), b"onetwothree")

    def test_earlyIsBounded(self) -> None:
        """Input pauses when enough is kept, and resumes when it is sent."""
        self.client.dataReceived(bytes(EARLY - 1))
        self.assertEqual(self.near.producerState, "producing")
        self.client.dataReceived(b"!")
        self.assertEqual(self.near.producerState, "paused")
        self.reach()
        self.assertEqual(self.near.producerState, "producing")
        self.assertEqual(len(self.far.value()), EARLY)

    def test_endsEarly(self) -> None:
        """A client that has ended its stream before the upstream was there is still answered."""
        self.client.dataReceived(b"question")
        self.client.readConnectionLost()
        leg = self.reach()
        self.assertEqual((self.far.value(), self.far.ends, self.near.ends), (b"question", ["end"], []))
        leg.dataReceived(b"answer")
        self.assertEqual(self.near.value(), b"answer")

    def test_leavesEarly(self) -> None:
        """A client that leaves ends the attempt, which is no failure."""
        self.client.connectionLost(Failure(ConnectionLost()))
        self.assertEqual((self.upstream.cancelled, self.factory.unreached.byReason), (1, {}))

    def test_unreached(self) -> None:
        """A client whose upstream refuses is reset, and counted."""
        self.upstream.asked[0].errback(Failure(ConnectionRefusedError()))
        self.assertEqual((self.near.ends, self.factory.unreached.byReason), (["reset"], {"refused": 1}))

    def test_broken(self) -> None:
        """An endpoint that fails by an error of its own is logged, and resets the client."""
        self.upstream.asked[0].errback(Failure(ZeroDivisionError("oops")))
        self.assertEqual((self.near.ends, self.factory.unreached.byReason), (["reset"], {"error": 1}))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_pushBack(self) -> None:
        """Each leg's input pauses with the other one's output."""
        self.reach()
        for full, source in ((self.far, self.near), (self.near, self.far)):
            assert full.producer is not None
            full.producer.pauseProducing()
            self.assertEqual(source.producerState, "paused")
            full.producer.resumeProducing()
            self.assertEqual(source.producerState, "producing")

    def test_closeOrder(self) -> None:
        """When both directions have ended, the upstream's leg is closed, and the client's after it."""
        leg = self.reach()
        leg.readConnectionLost()
        self.client.readConnectionLost()
        self.assertEqual((self.near.ends, self.far.ends), (["end"], ["close"]))
        leg.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.near.ends, ["end", "close"])

    def test_nothingUnderWay(self) -> None:
        """A client's leg is closed at once when the upstream has everything, its end too."""
        leg = self.reach()
        self.client.readConnectionLost()
        leg.writeConnectionLost()
        leg.readConnectionLost()
        self.assertEqual((self.near.ends, self.far.ends), (["close"], ["end", "close"]))

    def test_closeOrderOtherwise(self) -> None:
        """So it is when the upstream's direction ends last."""
        leg = self.reach()
        self.client.readConnectionLost()
        leg.readConnectionLost()
        self.assertEqual((self.near.ends, self.far.ends), (["end"], ["end", "close"]))
        leg.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.near.ends, ["end", "close"])

    def test_resets(self) -> None:
        """A reset of either leg is one of the other."""
        for number in range(2):
            self.setUp()
            leg = self.reach()
            (self.client, leg)[number].connectionLost(Failure(ConnectionLost()))
            self.clock.pump([0.1] * 20)
            self.assertEqual((self.far, self.near)[number].ends, ["reset"])
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_finish(self) -> None:
        """A drain closes the upstream's leg first, and a connection without one at once."""
        leg = self.reach()
        self.client.finish()
        self.assertEqual((self.near.ends, self.far.ends), ([], ["close"]))
        leg.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.near.ends, ["close"])
        self.setUp()
        self.client.finish()
        self.assertEqual(self.near.ends, ["close"])

    def test_alone(self) -> None:
        """An upstream that does not take the rest is reset when its client is long gone."""
        self.reach()
        self.client.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.far.ends, ["close"])
        self.clock.advance(ALONE)
        self.assertEqual(self.far.ends, ["close", "reset"])

    def test_notAlone(self) -> None:
        """One that takes the rest leaves no call behind."""
        leg = self.reach()
        self.client.connectionLost(Failure(ConnectionDone()))
        leg.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_afterTheEnd(self) -> None:
        """What still comes from a leg whose other one has ended is dropped."""
        leg = self.reach()
        self.client.connectionLost(Failure(ConnectionLost()))
        leg.dataReceived(b"too late")
        self.assertEqual(self.near.value(), b"")


class HandshakeTests(SynchronousTestCase):
    """Clients over TLS."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.upstream = Upstream()
        self.leg: Any = ForwardFactory(self.upstream, self.clock).buildProtocol(None)
        self.server = ServerTLS(self.clock)

    def connect(self, above: Any) -> None:
        """Connects a client, on a TLS layer below a layer or a leg."""
        self.transport = fakes.Transport()
        self.transport.protocol = self.tls = TLSConnection(self.server, above)
        self.tls.makeConnection(self.transport)

    def shake(self) -> None:
        """Does the handshake."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = clientContext().wrap_bio(incoming, outgoing)
        for _ in range(2):
            with contextlib.suppress(ssl.SSLWantReadError):
                client.do_handshake()
            self.tls.dataReceived(outgoing.read())
            incoming.write(self.transport.value())
            self.transport.clear()

    def test_waits(self) -> None:
        """The upstream is asked for when the client's handshake is complete, once."""
        self.connect(self.leg)
        self.assertEqual(self.upstream.asked, [])
        self.shake()
        self.assertEqual(len(self.upstream.asked), 1)
        self.leg.dataReceived(b"data")
        self.leg.readConnectionLost()
        self.assertEqual(len(self.upstream.asked), 1)

    def test_throughFaults(self) -> None:
        """So it is through a layer of faults."""
        build = Faulty(
            lambda *_: self.leg, self.clock, lambda: [parseFault("latency=1s")], seed=0, hasMessages=False
        )
        self.connect(build(None, fakes.numbered(1)))
        self.assertEqual(self.upstream.asked, [])
        self.shake()
        self.assertEqual(len(self.upstream.asked), 1)

    def test_unshaken(self) -> None:
        """A client whose handshake fails has no upstream."""
        self.connect(self.leg)
        self.transport.end(ConnectionDone())
        self.assertEqual(self.upstream.asked, [])

    def test_shakenBefore(self) -> None:
        """A leg that comes behind the handshake, as after a login, asks at once."""
        self.connect(Protocol())
        self.shake()
        self.leg.makeConnection(self.tls)
        self.assertEqual(len(self.upstream.asked), 1)
        self.leg.handshakeCompleted()
        self.assertEqual(len(self.upstream.asked), 1)

    def test_untold(self) -> None:
        """A leg that is not told of the handshake asks at the first data, or at the end of the stream."""
        for tell in (lambda: self.leg.dataReceived(b"data"), lambda: self.leg.readConnectionLost()):
            self.setUp()
            self.connect(Protocol())
            self.leg.makeConnection(self.tls)
            tell()
            self.assertEqual(len(self.upstream.asked), 1)
            far = Transport()
            self.upstream.reach(far)
            isEnded = self.leg.isInputEnded
            self.assertEqual((far.value(), far.ends), (b"" if isEnded else b"data", ["end"] * isEnded))
