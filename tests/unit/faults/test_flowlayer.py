"""A layer of flows is a whole transport to the protocol above, and holds no more than it may."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IPushProducer, ISSLTransport
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides
from zope.interface.verify import verifyObject

from echo_app.faults.faulty import Faulty
from echo_app.faults.shaping import TURN
from echo_app.faults.spec import parseFault
from echo_app.interfaces import IStreamTransport, ITLSTransport
from echo_app.stream.protocol import EchoProtocol
from echo_app.transport.sockets import canHalfClose
from tests.support.ends import Producer
from tests.support.fakes import numbered
from tests.support.faulty import Above, FaultyConnection, Wire, sizes


class EndTests(SynchronousTestCase):
    def test_interfaces(self) -> None:
        """A layer has all interfaces of a stream's transport, and hears of a half-close."""
        layer = FaultyConnection("latency=1s").below
        for interface in (IStreamTransport, IProtocol, IHalfCloseableProtocol):
            self.assertTrue(verifyObject(interface, layer))
        self.assertTrue(verifyObject(IPushProducer, layer._in))

    def test_input(self) -> None:
        """The peer's end comes behind the peer's bytes, as late."""
        connection = FaultyConnection("latency=1s,direction=in").receive(b"last")
        connection.below.readConnectionLost()
        self.assertEqual(connection.above.told, [])
        connection.clock.advance(1)
        self.assertEqual(connection.above.received, b"last")
        self.assertEqual(connection.above.told, ["end of input"])

    def test_echo(self) -> None:
        """A half-closed peer gets all of its echo, and then our end; only then is the connection closed."""
        connection = FaultyConnection("latency=1s", "chop=3", protocol=EchoProtocol()).receive(b"0123456789")
        connection.below.readConnectionLost()
        self.assertNotIn("close", connection.wire.done)
        connection.run(1.1)
        self.assertEqual(connection.wire.written, b"0123456789")
        self.assertEqual(connection.wire.done[-1], "close")

    def test_closeWhileEnding(self) -> None:
        """A close that comes while our end is under way closes when that has passed."""
        connection = FaultyConnection("latency=1s")
        connection.transport.write(b"last")
        connection.transport.loseWriteConnection()
        connection.transport.loseConnection()
        connection.clock.advance(1)
        self.assertEqual(connection.wire.written, b"last")
        self.assertEqual(connection.wire.done[-1], "close")

    def test_plainProtocol(self) -> None:
        """A protocol without half-closes is closed at the peer's end, when its output has passed."""
        protocol = Protocol()
        connection = FaultyConnection("latency=1s", protocol=protocol)
        connection.transport.write(b"last")
        connection.below.readConnectionLost()
        connection.clock.advance(1)
        self.assertEqual(connection.wire.written, b"last")
        self.assertEqual(connection.wire.done[-1], "close")

    def test_abort(self) -> None:
        """An abort discards held bytes, at once, and leaves no timer."""
        connection = FaultyConnection("latency=1s", "reset,after=10s")
        connection.transport.write(b"held")
        connection.below.dataReceived(b"x")
        connection.transport.abortConnection()
        self.assertEqual(connection.wire.done[-1], "abort")
        self.assertEqual(connection.below.held, 0)
        self.assertEqual(connection.clock.getDelayedCalls(), [])

    def test_lost(self) -> None:
        """The end of the connection tells the producer, then the protocol, and leaves no timer."""
        specs = "latency=1s", "stall,for=1s", "reset,after=10s", "close,after=20s"
        connection = FaultyConnection(*specs)
        producer = Producer()
        connection.transport.registerProducer(producer, True)
        connection.transport.write(b"held")
        connection.below.dataReceived(b"held")
        connection.lose()
        self.assertEqual(producer.events, ["stop"])
        self.assertEqual(connection.above.told, ["lost"])
        self.assertEqual(connection.clock.getDelayedCalls(), [])


class BoundTests(SynchronousTestCase):
    def test_cap(self) -> None:
        """At the cap reading stops, and it goes on below it."""
        connection = FaultyConnection("latency=1s,direction=in", cap=1000).receive(bytes(500))
        connection.clock.advance(0.5)
        self.assertEqual(connection.wire.done, [])
        connection.below.dataReceived(bytes(500))
        self.assertEqual(connection.wire.done, ["pause"])
        self.assertEqual(connection.below.held, 1000)
        connection.clock.advance(0.5)
        self.assertEqual(connection.wire.done, ["pause", "resume"])

    def test_echo(self) -> None:
        """An echo's bytes count once, wherever they are held: throughput is the cap by the latency."""
        connection = FaultyConnection("latency=1s", protocol=EchoProtocol(), cap=100_000)
        for _ in range(9):
            connection.below.dataReceived(bytes(10_000))
        self.assertEqual(connection.wire.done, [])
        connection.below.dataReceived(bytes(10_000))
        self.assertEqual(connection.wire.done, ["pause"])
        connection.clock.advance(1)
        self.assertEqual(connection.wire.done, ["pause", "resume"])
        self.assertEqual(len(connection.wire.written), 100_000)

    def test_bothDirections(self) -> None:
        """The bytes held in both directions count together, and output pauses no other producer."""
        connection = FaultyConnection("latency=1s", "latency=1s,direction=in", cap=100_000)
        connection.transport.write(bytes(60_000))
        connection.below.dataReceived(bytes(30_000))
        self.assertEqual(connection.wire.done, [])
        connection.below.dataReceived(bytes(10_000))
        self.assertEqual(connection.wire.done, ["pause"])

    def test_singleBytes(self) -> None:
        """Bytes that come one by one take no more memory than others: the bookkeeping counts."""
        connection = FaultyConnection("latency=1s,direction=in", cap=100_000)
        count = 0
        while not connection.wire.done:
            connection.below.dataReceived(b"x")
            connection.clock.advance(1e-6)
            count += 1
        self.assertLess(count, 1001)

    def test_streamingProducer(self) -> None:
        """A streaming producer is paused at the cap, and while the transport below is full."""
        connection = FaultyConnection("latency=1s", cap=1000)
        producer = Producer()
        connection.transport.registerProducer(producer, True)
        connection.transport.write(bytes(1000))
        self.assertEqual(producer.events, ["pause"])
        connection.clock.advance(1)
        self.assertEqual(producer.events, ["pause", "resume"])
        connection.wire.producer.pauseProducing()
        self.assertEqual(producer.events, ["pause", "resume", "pause"])
        connection.wire.producer.resumeProducing()
        self.assertEqual(producer.events, ["pause", "resume", "pause", "resume"])

    def test_pullProducer(self) -> None:
        """A pull producer is asked once a turn of the reactor, as long as there is room."""
        connection = FaultyConnection("latency=1s", cap=1000)
        producer = Producer(lambda: connection.transport.write(bytes(300)))
        connection.transport.registerProducer(producer, False)
        self.assertEqual(producer.events, [])
        connection.run(0.5)
        # The bookkeeping for three pieces counts, too.
        self.assertEqual(producer.events, ["resume"] * 3)
        connection.run(0.6)
        self.assertEqual(producer.events, ["resume"] * 6)
        connection.transport.unregisterProducer()
        connection.transport.loseConnection()
        connection.run(3)
        self.assertEqual(len(connection.wire.written), 300 * len(producer.events))
        self.assertEqual(connection.wire.done[-1], "close")

    def test_pullWithoutHolding(self) -> None:
        """A pull producer leaves the reactor its turn, also without held bytes."""
        connection = FaultyConnection("corrupt=0.1")
        producer = Producer(lambda: connection.transport.write(bytes(10)))
        connection.transport.registerProducer(producer, False)
        connection.clock.advance(TURN)
        self.assertEqual(producer.events, ["resume"])

    def test_pieces(self) -> None:
        """Bytes that are due together are passed on in pieces no larger than a transport's."""
        connection = FaultyConnection("latency=1s", "latency=1s,direction=in").receive(bytes(1_000_000))
        connection.transport.write(bytes(1_000_000))
        connection.clock.advance(1)
        for pieces in (connection.above.pieces, connection.wire.pieces):
            self.assertEqual((sum(sizes(pieces)), max(sizes(pieces))), (1_000_000, 128 * 1024))

    def test_neverRead(self) -> None:
        """While the transport below is full, an echo stops reading at once, with any cap."""
        connection = FaultyConnection("corrupt=0.1", protocol=EchoProtocol()).receive(bytes(500))
        connection.wire.producer.pauseProducing()
        self.assertEqual(connection.wire.done, ["pause"])
        connection.below.dataReceived(bytes(500))
        self.assertEqual(len(connection.wire.written), 500)
        connection.wire.producer.resumeProducing()
        self.assertEqual(connection.wire.done, ["pause", "resume"])
        self.assertEqual(len(connection.wire.written), 1000)

    def test_afterTheEnd(self) -> None:
        """After the peer's end reading is not resumed: a transport would tell of the end again."""
        connection = FaultyConnection("latency=1s,direction=in", cap=10).receive(bytes(10))
        connection.below.readConnectionLost()
        connection.clock.advance(1)
        self.assertEqual(connection.wire.done, ["pause"])


class LayerTests(SynchronousTestCase):
    def test_addresses(self) -> None:
        """A layer has the addresses, and other attributes, of the transport below."""
        connection = FaultyConnection("latency=1s")
        self.assertEqual(connection.transport.getPeer(), connection.wire.getPeer())
        connection.wire.anything = 42  # type: ignore[attr-defined]
        self.assertEqual(connection.transport.anything, 42)
        self.assertRaises(AttributeError, lambda: connection.transport.nothing)

    def tls(self, interface: Any, clock: Clock) -> Any:
        """Returns a layer over TLS of a kind."""
        wire = Wire(clock)
        directlyProvides(wire, interface)
        faults = [parseFault("latency=1s")]
        above = Above(clock)
        layer: Any = Faulty(lambda *_: above, clock, lambda: faults, 0)(None, numbered(1))
        layer.makeConnection(wire)
        return layer

    def test_tls(self) -> None:
        """Over TLS it is a TLS transport, of the kind that is below, with the two ends that that one has."""
        clock = Clock()
        ours, twisteds = self.tls(ITLSTransport, clock), self.tls(ISSLTransport, clock)
        self.assertTrue(ISSLTransport.providedBy(ours) and canHalfClose(ours))
        self.assertTrue(ISSLTransport.providedBy(twisteds) and not canHalfClose(twisteds))
        for layer in (ours, twisteds):
            layer.loseWriteConnection()
            clock.advance(1)
        self.assertEqual(ours.transport.done, ["end"])
        self.assertEqual(twisteds.transport.done, ["close"])
