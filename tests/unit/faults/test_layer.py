"""Faults that end a connection, or one side of it."""

from __future__ import annotations

from typing import Any
from unittest import mock

from twisted.internet.abstract import FileDescriptor
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.stream.protocol import EchoProtocol
from echo_app.transport import closing
from echo_app.transport.closing import FIRST_LOOK, LAST_LOOK, LINGER
from echo_app.transport.sockets import Progress
from tests.support.faulty import Above, FaultyConnection

DATA = bytes(range(100))


class ResetTests(SynchronousTestCase):
    def acknowledge(self, *progress: Progress | None) -> None:
        """Has the kernel say this, one after the other, and the last one from then on."""
        rest = list(progress)
        look = mock.Mock(side_effect=lambda _transport: rest.pop(0) if len(rest) > 1 else rest[0])
        self.patch(closing, "progressOf", look)

    def test_atOnce(self) -> None:
        """Without ``after`` it comes at once, and the protocol was connected."""
        connection = FaultyConnection("reset")
        self.assertEqual(connection.wire.done, ["abort"])
        connection.below.dataReceived(b"x")
        connection.lose()
        self.assertEqual((connection.above.received, connection.above.told), (b"", ["lost"]))

    def test_afterSeconds(self) -> None:
        """A reset after seconds comes then, also with bytes held or unacknowledged."""
        connection = FaultyConnection("reset,after=5s", "latency=1min").write(DATA, 4.9)
        self.assertEqual(connection.wire.done, [])
        connection.run(0.2)
        self.assertEqual(connection.wire.done, ["abort"])
        self.assertEqual(connection.wire.pieces, [])

    def test_afterBytes(self) -> None:
        """After bytes it comes when those are acknowledged, and not one more is sent."""
        self.acknowledge(Progress(0, 0, 10, 0), Progress(0, 3, 7, 0), Progress(0, 10, 0, 0))
        connection = FaultyConnection("reset,after=10B", protocol=EchoProtocol()).receive(DATA)
        self.assertEqual(connection.wire.written, DATA[:10])
        self.assertNotIn("abort", connection.wire.done)
        connection.below.dataReceived(DATA)
        connection.run(FIRST_LOOK + 2 * FIRST_LOOK + 4 * FIRST_LOOK)
        self.assertEqual(connection.wire.written, DATA[:10])
        self.assertEqual(connection.wire.done[-1], "abort")

    def test_unsent(self) -> None:
        """A reset waits for the transport's unsent bytes: a single look with nothing owed is not enough."""
        self.acknowledge(Progress(0, 0, 0, 0), Progress(0, 10, 0, 0))
        connection = FaultyConnection("reset,after=10B", protocol=EchoProtocol()).receive(DATA)
        connection.run(FIRST_LOOK)
        self.assertNotIn("abort", connection.wire.done)
        connection.run(2 * FIRST_LOOK)
        self.assertEqual(connection.wire.done[-1], "abort")

    def test_neverAcknowledged(self) -> None:
        """A peer that does not read is looked at a few times a second; nothing outlives the connection."""
        self.acknowledge(Progress(0, 0, 10, 0))
        connection = FaultyConnection("reset,after=10B", protocol=EchoProtocol()).receive(DATA)
        connection.run(100)
        self.assertNotIn("abort", connection.wire.done)
        looks = closing.progressOf.call_count  # type: ignore[attr-defined]
        self.assertLess(looks, 100 / LAST_LOOK + 10)
        connection.lose()
        self.assertEqual(connection.clock.getDelayedCalls(), [])

    def test_in(self) -> None:
        """Counted in input, all of it up to there is answered first, however late."""
        self.acknowledge(None)
        connection = FaultyConnection(
            "reset,after=10B,direction=in", "latency=1s", protocol=EchoProtocol()
        ).receive(DATA)
        connection.run(0.9)
        self.assertNotIn("abort", connection.wire.done)
        connection.run(0.2)
        self.assertEqual(connection.wire.written, DATA[:10])
        self.assertEqual(connection.wire.done[-1], "abort")

    def test_lostAtOnce(self) -> None:
        """A connection that is refused while the protocol is connected has no fault after that."""

        class Refused(Protocol):
            def connectionMade(self) -> None:
                connectionLost: Any = self.transport
                connectionLost.connectionLost(None)

            def connectionLost(self, reason: Any = None) -> None:
                pass

        connection = FaultyConnection("reset,after=5s", "close", "blackhole,after=1s", protocol=Refused())
        self.assertEqual(connection.wire.done, [])
        self.assertEqual(connection.clock.getDelayedCalls(), [])


class CloseTests(SynchronousTestCase):
    def test_afterBytes(self) -> None:
        """The peer gets so many bytes and our end; its input is discarded until its own end."""
        connection = FaultyConnection("close,after=10B", protocol=EchoProtocol()).receive(DATA, DATA)
        self.assertEqual(connection.wire.written, DATA[:10])
        self.assertEqual(connection.wire.done, ["end", "resume"])
        connection.below.readConnectionLost()
        self.assertEqual(connection.wire.done, ["end", "resume", "close"])

    def test_deafPeer(self) -> None:
        """A peer that goes on is closed a second later."""
        connection = FaultyConnection("close")
        self.assertEqual(connection.wire.done, ["end", "resume"])
        connection.run(LINGER)
        self.assertEqual(connection.wire.done, ["end", "resume", "close"])
        connection.lose()
        self.assertEqual(connection.clock.getDelayedCalls(), [])

    def test_in(self) -> None:
        """Counted in input, all of it up to there is answered first, also to a peer that has ended."""
        connection = FaultyConnection(
            "close,after=10B,direction=in", "latency=1s", protocol=EchoProtocol()
        ).receive(DATA)
        connection.below.readConnectionLost()
        connection.run(0.9)
        self.assertNotIn("close", connection.wire.done)
        connection.run(0.2)
        self.assertEqual(connection.wire.written, DATA[:10])
        self.assertEqual(connection.wire.done[-1], "close")

    def test_afterSeconds(self) -> None:
        """After seconds nothing more passes, in either direction."""
        connection = FaultyConnection("close,after=1s", "latency=2s", protocol=EchoProtocol()).receive(DATA)
        connection.run(1.5)
        self.assertEqual(connection.wire.done, ["end", "resume"])
        connection.run(5)
        self.assertEqual(connection.wire.written, b"")

    def test_ended(self) -> None:
        """An end of our side that has ended already has no effect."""
        connection = FaultyConnection("close,after=1s", "half-close,after=500ms")
        connection.transport.loseWriteConnection()
        connection.run(1.5)
        self.assertEqual(connection.wire.done, ["end", "end", "resume"])

    def test_finish(self) -> None:
        """A stop that finishes the protocol meanwhile closes the connection at once."""
        protocol = EchoProtocol()
        connection = FaultyConnection("close", protocol=protocol)
        protocol.finish()
        self.assertEqual(connection.wire.done[-1], "close")


class HalfCloseTests(SynchronousTestCase):
    def test_afterBytes(self) -> None:
        """The peer gets so many bytes and our end; the protocol goes on to read, and ends as ever."""
        connection = FaultyConnection("half-close,after=10B")
        connection.transport.registerProducer(connection.transport, True)
        connection.transport.write(DATA)
        self.assertEqual(connection.wire.written, DATA[:10])
        self.assertEqual(connection.wire.done, ["end"])
        connection.transport.write(DATA)
        connection.below.dataReceived(DATA)
        connection.below.readConnectionLost()
        self.assertEqual(connection.above.received, DATA)
        self.assertEqual(connection.above.told, ["end of input"])
        connection.transport.unregisterProducer()
        connection.transport.loseConnection()
        self.assertEqual(connection.wire.written, DATA[:10])
        self.assertEqual(connection.wire.done, ["end", "close"])

    def test_paused(self) -> None:
        """A protocol that waited for the transport below reads on, though that will say nothing any more."""
        connection = FaultyConnection("half-close,after=1s", protocol=EchoProtocol())
        connection.wire.producer.pauseProducing()
        connection.run(1)
        self.assertEqual(connection.wire.done, ["pause", "end", "resume"])

    def test_otherProducer(self) -> None:
        """Any other producer is paused: it would write into nothing for ever."""
        connection = FaultyConnection("half-close,after=1s")
        producer = mock.Mock()
        connection.transport.registerProducer(producer, True)
        connection.run(1)
        producer.pauseProducing.assert_called_once_with()
        connection.run(100)
        producer.resumeProducing.assert_not_called()

    def test_thenReset(self) -> None:
        """Of several, each comes at its own time."""
        connection = FaultyConnection("reset,after=2s", "half-close,after=1s", "blackhole")
        connection.run(1)
        self.assertEqual(connection.wire.done, ["end"])
        connection.run(1)
        self.assertEqual(connection.wire.done, ["end", "abort"])


class AtOnceTests(SynchronousTestCase):
    def test_greeting(self) -> None:
        """Bytes that a protocol writes when it is connected come too late for a fault before them."""

        class Greeting(Above):
            transport: Any

            def connectionMade(self) -> None:
                self.transport.write(b"welcome")

        for spec in ("half-close", "close", "reset", "blackhole", "close,direction=in"):
            connection = FaultyConnection(spec, protocol=Greeting(Clock()))
            connection.run(10)
            self.assertEqual(connection.wire.written, b"", spec)
        late = FaultyConnection("close,after=5B", protocol=Greeting(Clock()))
        self.assertEqual(late.wire.written, b"welco")


class BlackholeTests(SynchronousTestCase):
    def test_never(self) -> None:
        """Input and its end are discarded, and output goes nowhere."""
        connection = FaultyConnection("blackhole").receive(DATA)
        connection.below.readConnectionLost()
        connection.transport.write(DATA)
        connection.run(1000)
        self.assertEqual((connection.above.pieces, connection.above.told), ([], []))
        self.assertEqual((connection.wire.pieces, connection.wire.done), ([], []))
        self.assertEqual(connection.below.held, 0)

    def test_afterBytes(self) -> None:
        """A number of input bytes is answered, and nothing after them."""
        connection = FaultyConnection("blackhole,after=10B", "latency=1s", protocol=EchoProtocol()).receive(
            DATA, DATA
        )
        connection.below.readConnectionLost()
        connection.run(1000)
        self.assertEqual(connection.wire.written, DATA[:10])
        self.assertEqual(connection.wire.done, [])

    def test_finish(self) -> None:
        """Limits and a stop, which finish the protocol, close it."""
        protocol = EchoProtocol()
        connection = FaultyConnection("blackhole", protocol=protocol)
        protocol.finish()
        self.assertEqual(connection.wire.done[-1], "close")

    def test_pausedBefore(self) -> None:
        """A blackhole reads, also if the protocol has paused."""
        connection = FaultyConnection("blackhole,after=1s", protocol=EchoProtocol())
        connection.wire.producer.pauseProducing()
        connection.run(1)
        self.assertEqual(connection.wire.done, ["pause", "resume"])

    def test_tls(self) -> None:
        """Over TLS it is the TCP connection that is not answered: TLS is told of nothing but the end."""
        connection = FaultyConnection("blackhole,after=1s")
        protocol = Above(connection.clock)
        descriptor: Any = FileDescriptor(mock.Mock())
        descriptor.protocol = protocol
        connection.wire.transport = descriptor  # type: ignore[attr-defined]
        connection.run(1)
        discard = descriptor.protocol
        discard.dataReceived(b"hello")
        discard.readConnectionLost()
        self.assertEqual((protocol.received, protocol.told), (b"", []))
        discard.writeConnectionLost()
        discard.connectionLost(None)
        self.assertEqual(protocol.told, ["end of output", "lost"])
