"""Conformance suite of transports: the promises that a protocol may rely on, whatever is below it.

Each promise holds on Twisted's own TCP transport; what does not hold there is no promise. Two examples: a
write after ``loseConnection`` may arrive or not, and a close need not wait for a producer that is not paused.
A test case mixes :class:`WholeTransportTests` with a :class:`~tests.support.benches.Bench`.
"""

from __future__ import annotations

from contextlib import suppress

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from zope.interface.verify import verifyObject

from tests.support.benches import Bench
from tests.support.ends import FarEnd, Mistake, Producer, Scripted

# Pieces of so many bytes, of which no transport takes that many at once: 16 MiB.
PIECE, BOUND = 1 << 16, 256


class WholeTransportTests(Bench):
    """The promises of a whole transport."""

    async def assertStream(self, end: FarEnd, expected: bytes) -> None:
        """Asserts that the peer receives this, and behind it the end of the stream; ends its own side."""
        received = await self.call(end.receiveAll)
        self.assertEqual(len(received), len(expected))
        self.assertTrue(received == expected, "other bytes, as many")
        self.assertTrue(end.isEnded)
        self.endIfOpen(end)

    def endIfOpen(self, end: FarEnd) -> None:
        """Ends the peer's side, if the connection is not closed already."""
        with suppress(OSError):
            end.end()

    async def assertNothing(self, end: FarEnd, isReset: bool) -> None:
        """Asserts that the peer receives nothing but the end of the connection."""
        try:
            received = await self.call(end.receiveAll)
        except ConnectionResetError:
            self.assertTrue(isReset)
        else:
            self.assertEqual((received, isReset), (b"", False))

    # Facts.

    async def test_interfaces(self) -> None:
        """It has the methods of a TCP transport, of a consumer and of a producer."""
        protocol, _ = await self.connect()
        for interface in (ITCPTransport, IConsumer, IPushProducer):
            verifyObject(interface, protocol.transport)

    async def test_addresses(self) -> None:
        """It knows the addresses of the peer and of the host; the peer's also when the connection ends."""
        protocol, end = await self.connect()
        peer, host = self.addresses(end)
        self.assertEqual((protocol.transport.getPeer(), protocol.transport.getHost()), (peer, host))
        protocol.transport.abortConnection()
        await self.until(protocol.lost)
        self.assertEqual(protocol.lastPeer, peer)

    # Output.

    async def test_order(self) -> None:
        """What is written arrives in that order, also what is written piece by piece, and nothing."""
        protocol, end = await self.connect()
        protocol.transport.write(b"one, ")
        protocol.transport.writeSequence([b"two", b"", b", "])
        protocol.transport.write(b"")
        protocol.transport.writeSequence([])
        protocol.transport.write(b"three")
        self.assertEqual(await self.call(end.receive, 15), b"one, two, three")

    async def test_large(self) -> None:
        """What the kernel does not take comes later, in order, with what was written meanwhile."""
        protocol, end = await self.connect()
        protocol.transport.write(self.much)
        protocol.transport.writeSequence([b"and ", b"more"])
        protocol.transport.write(b"")
        protocol.transport.loseConnection()
        await self.assertStream(end, self.much + b"and more")
        self.assertIs(await self.until(protocol.lost), ConnectionDone)

    async def test_reentrant(self) -> None:
        """A protocol writes and closes from within dataReceived, and what it wrote arrives."""
        protocol, end = await self.connect()

        def answer(data: bytes) -> None:
            protocol.transport.write(data)
            protocol.transport.writeSequence([b"!", b"?"])
            protocol.transport.loseConnection()
            protocol.transport.loseConnection()

        protocol.onData = answer
        end.send(b"x")
        await self.assertStream(end, b"x!?")
        self.assertIs(await self.until(protocol.lost), ConnectionDone)

    async def test_otherConnection(self) -> None:
        """A protocol writes to, pauses and ends another connection."""
        (first, sender), (second, receiver) = await self.connect(), await self.connect()

        def pass_(data: bytes) -> None:
            second.transport.write(data)
            second.transport.pauseProducing()
            second.transport.resumeProducing()
            second.transport.loseConnection()

        first.onData = pass_
        sender.send(b"from the first")
        await self.settle()
        await self.assertStream(receiver, b"from the first")
        self.assertIs(await self.until(second.lost), ConnectionDone)

    # Input.

    async def test_input(self) -> None:
        """What the peer sends is received, in order."""
        protocol, end = await self.connect()
        await self.call(end.send, self.much)
        self.assertTrue(await self.until(protocol.has(len(self.much))) == self.much)

    async def test_pause(self) -> None:
        """A protocol that pauses its transport is told nothing until it resumes, and everything then."""
        protocol, end = await self.connect(Scripted().halfCloseable())
        protocol.transport.pauseProducing()
        end.send(b"one, ")
        await self.settle()
        end.send(b"two")
        end.end()
        await self.settle()
        self.assertEqual((protocol.received, protocol.ends), (b"", []))
        ended: Deferred[None] = Deferred()
        protocol.onReadEnd = lambda: ended.callback(None)
        protocol.transport.resumeProducing()
        await self.until(ended)
        self.assertEqual((protocol.received, protocol.ends), (b"one, two", ["read"]))

    async def test_pauseInside(self) -> None:
        """A protocol that pauses from within dataReceived is told nothing more either."""
        protocol, end = await self.connect()
        protocol.onData = lambda _: protocol.transport.pauseProducing()
        end.send(b"one, ")
        await self.until(protocol.has(5))
        end.send(b"two")
        await self.settle()
        self.assertEqual(protocol.received, b"one, ")
        protocol.transport.resumeProducing()
        self.assertEqual(await self.until(protocol.has(8)), b"one, two")

    # Ends, in order.

    async def test_loseConnection(self) -> None:
        """What was written before is sent, and then the connection closes; ``disconnecting`` says so."""
        protocol, end = await self.connect()
        self.assertFalse(protocol.transport.disconnecting)
        protocol.transport.write(b"last words")
        protocol.transport.loseConnection()
        self.assertTrue(protocol.transport.disconnecting)
        await self.assertStream(end, b"last words")
        self.assertIs(await self.until(protocol.lost), ConnectionDone)

    async def test_stopProducing(self) -> None:
        """As a producer, it is stopped by the same."""
        protocol, end = await self.connect()
        protocol.transport.write(b"last words")
        protocol.transport.stopProducing()
        await self.assertStream(end, b"last words")
        self.assertIs(await self.until(protocol.lost), ConnectionDone)

    async def test_nothingReceivedWhileClosing(self) -> None:
        """From a close on nothing is received, also while there is output to send first."""
        protocol, end = await self.connect()
        protocol.transport.write(self.much)
        protocol.transport.loseConnection()
        end.send(b"too late")
        await self.settle()
        self.assertEqual((protocol.received, protocol.lost.called), (b"", False))

    async def test_loseWriteConnection(self) -> None:
        """The peer sees the end of the stream, and can still send; nothing more is sent to it."""
        protocol, end = await self.connect(Scripted().halfCloseable())
        protocol.transport.write(self.much)
        protocol.transport.loseWriteConnection()
        self.assertTrue(await self.call(end.receiveAll) == self.much)
        self.assertTrue(end.isEnded)
        protocol.transport.write(b"too late")
        end.send(b"heard")
        self.assertEqual(await self.until(protocol.has(5)), b"heard")
        self.assertEqual(protocol.ends, ["write"])
        protocol.transport.loseConnection()
        self.endIfOpen(end)
        self.assertIs(await self.until(protocol.lost), ConnectionDone)
        self.assertEqual(protocol.ends, ["write"])

    async def test_peerEnded(self) -> None:
        """The end of the peer's stream closes the connection of a protocol that knows no half-close."""
        protocol, end = await self.connect()
        end.send(b"last words")
        end.end()
        self.assertIs(await self.until(protocol.lost), ConnectionDone)
        self.assertEqual((protocol.received, protocol.ends), (b"last words", []))
        await self.assertStream(end, b"")

    async def test_writtenAtTheEnd(self) -> None:
        """What a protocol writes when it was told of the peer's end is sent before the close."""
        for last in (b"last words", self.much):
            protocol, end = await self.connect(Scripted().halfCloseable())
            ended: Deferred[None] = Deferred()
            protocol.onReadEnd = lambda ended=ended: ended.callback(None)  # type: ignore[misc]
            end.end()
            await self.until(ended)
            await self.settle()
            protocol.transport.write(last)
            protocol.transport.loseConnection()
            await self.assertStream(end, last)
            self.assertIs(await self.until(protocol.lost), ConnectionDone)
            self.assertEqual(protocol.ends, ["read"])

    async def test_closedAtTheEnd(self) -> None:
        """So is what it writes before it closes while it is told of that end."""
        for last in (b"", b"last words", self.much):
            protocol, end = await self.connect(Scripted().halfCloseable())

            def close(last: bytes = last, protocol: Scripted = protocol) -> None:
                protocol.transport.write(last)
                protocol.transport.loseConnection()

            protocol.onReadEnd = close
            end.end()
            await self.assertStream(end, last)
            self.assertIs(await self.until(protocol.lost), ConnectionDone)

    async def test_halfClosedAtTheEnd(self) -> None:
        """A protocol that then ends its own side is told so, once, and still has its connection."""
        protocol, end = await self.connect(Scripted().halfCloseable())
        protocol.onReadEnd = lambda: protocol.transport.loseWriteConnection()
        end.end()
        await self.assertStream(end, b"")
        await self.settle()
        self.assertFalse(protocol.lost.called)
        protocol.transport.loseConnection()
        self.assertIs(await self.until(protocol.lost), ConnectionDone)
        self.assertEqual(protocol.ends, ["read", "write"])

    # Ends, out of order.

    async def test_abortConnection(self) -> None:
        """The connection ends soon, and not before the call returns; what is written then is not sent."""
        protocol, end = await self.connect()
        protocol.transport.abortConnection()
        protocol.transport.abortConnection()
        protocol.transport.write(b"too late")
        self.assertFalse(protocol.lost.called)
        self.assertIs(await self.until(protocol.lost), ConnectionAborted)
        await self.assertNothing(end, self.hasResets)

    async def test_nothingReceivedAfterAbort(self) -> None:
        """What the kernel has of the peer's then is not received."""
        protocol, end = await self.connect()
        end.send(b"too late")
        protocol.transport.abortConnection()
        self.assertIs(await self.until(protocol.lost), ConnectionAborted)
        self.assertEqual(protocol.received, b"")

    async def test_abortInside(self) -> None:
        """A protocol that aborts from within dataReceived is told nothing but the end."""
        protocol, end = await self.connect(Scripted().halfCloseable())
        protocol.onData = lambda _: protocol.transport.abortConnection()
        end.send(b"one, ")
        with suppress(OSError):
            end.send(b"two")
            end.end()
        self.assertIs(await self.until(protocol.lost), ConnectionAborted)
        await self.settle()
        self.assertIn(protocol.received, (b"one, ", b"one, two"))
        self.assertEqual(protocol.ends, [])

    async def test_abortUnsent(self) -> None:
        """What was not sent until then does not keep the connection, nor does a close."""
        protocol, _ = await self.connect()
        protocol.transport.registerProducer(Producer(), True)
        protocol.transport.write(self.much)
        protocol.transport.loseConnection()
        protocol.transport.abortConnection()
        self.assertIs(await self.until(protocol.lost), ConnectionAborted)

    async def test_peerIsGone(self) -> None:
        """A write to a peer that has reset the connection ends it, and not before the call returns."""
        protocol, end = await self.connect()
        protocol.transport.pauseProducing()
        end.reset()
        protocol.transport.write(b"anybody there?")
        protocol.transport.write(b"hello?")
        self.assertFalse(protocol.lost.called)
        self.assertIs(await self.until(protocol.lost), ConnectionLost)

    async def test_exception(self) -> None:
        """A protocol's exception is reported once, and ends its connection, and no other one."""
        (protocol, end), (other, otherEnd) = await self.connect(), await self.connect()

        def fail(data: bytes) -> None:
            raise Mistake

        protocol.onData = fail
        end.send(b"x")
        self.assertIs(await self.until(protocol.lost), self.mistakeEnds)
        self.assertEqual(self.mistakes(), 1)
        await self.assertNothing(end, self.hasResets and self.mistakeEnds is ConnectionAborted)
        otherEnd.send(b"x")
        self.assertEqual(await self.until(other.has(1)), b"x")

    async def test_afterTheEnd(self) -> None:
        """When the connection has ended, nothing that is asked of it does anything; a producer is stopped."""
        protocol, end = await self.connect()
        end.end()
        await self.until(protocol.lost)
        transport, producer = protocol.transport, Producer()
        transport.write(b"too late")
        transport.writeSequence([b"too", b"late"])
        transport.pauseProducing()
        transport.resumeProducing()
        transport.registerProducer(producer, True)
        self.assertEqual(producer.events, ["stop"])
        transport.unregisterProducer()
        transport.loseConnection()
        transport.abortConnection()
        await self.settle()
        await self.assertStream(end, b"")

    # Producers.

    async def test_pushProducer(self) -> None:
        """A streaming producer is paused while the transport is full, and resumed when it is not."""
        protocol, end = await self.connect()
        producer = Producer()
        protocol.transport.registerProducer(producer, True)
        protocol.transport.write(b"little")
        await self.settle()
        self.assertEqual(producer.events, [])
        protocol.transport.write(self.much)
        await self.settle()
        self.assertEqual(producer.events, ["pause"])
        size = len(b"little" + self.much)
        self.assertTrue(await self.call(end.receive, size) == b"little" + self.much)
        await self.until(producer.resumed)
        self.assertEqual(producer.events, ["pause", "resume"])

    async def test_flood(self) -> None:
        """A streaming producer that writes until it is paused is paused, and from within ``write``."""
        protocol, _ = await self.connect()
        producer = Producer()
        protocol.transport.registerProducer(producer, True)
        for _ in range(BOUND):
            if producer.events:
                break
            protocol.transport.write(self.much[:PIECE])
        self.assertEqual(producer.events, ["pause"])

    async def test_closeWaitsForProducer(self) -> None:
        """A close waits for a streaming producer that is paused, and what it writes when resumed is sent."""
        protocol, end = await self.connect()
        producer = Producer()
        protocol.transport.registerProducer(producer, True)
        protocol.transport.write(self.much)
        await self.settle()
        protocol.transport.loseConnection()

        def finish(_: None) -> None:
            protocol.transport.write(b"last words")
            protocol.transport.unregisterProducer()

        producer.resumed.addCallback(finish)
        await self.assertStream(end, self.much + b"last words")
        self.assertIs(await self.until(protocol.lost), ConnectionDone)
        self.assertEqual(producer.events, ["pause", "resume"])

    async def test_pullProducer(self) -> None:
        """A pull producer is asked until it has nothing more; a close waits for it."""
        protocol, end = await self.connect()
        pieces = iter(range(9, -1, -1))

        def produce() -> None:
            number = next(pieces)
            protocol.transport.write(b"%d" % number)
            if not number:
                protocol.transport.unregisterProducer()

        protocol.transport.registerProducer(Producer(produce), False)
        protocol.transport.loseConnection()
        await self.assertStream(end, b"9876543210")
        self.assertIs(await self.until(protocol.lost), ConnectionDone)

    async def test_oneProducer(self) -> None:
        """A second producer is refused while there is a first one."""
        protocol, _ = await self.connect()
        for _ in range(2):
            protocol.transport.registerProducer(Producer(), True)
            self.assertRaises(RuntimeError, protocol.transport.registerProducer, Producer(), True)
            protocol.transport.unregisterProducer()

    async def test_producerStopped(self) -> None:
        """The end of the connection stops a producer, once."""
        protocol, _ = await self.connect()
        producer = Producer()
        protocol.transport.registerProducer(producer, True)
        protocol.transport.abortConnection()
        await self.until(protocol.lost)
        self.assertEqual(producer.events, ["stop"])

    async def test_ownProducer(self) -> None:
        """A transport that is its own producer reads nothing while it is full, and reads on then."""
        protocol, end = await self.connect()
        protocol.transport.registerProducer(protocol.transport, True)
        protocol.transport.write(self.much)
        await self.settle()
        end.send(b"x")
        await self.settle()
        self.assertEqual(protocol.received, b"")
        self.assertTrue(await self.call(end.receive, len(self.much)) == self.much)
        self.assertEqual(await self.until(protocol.has(1)), b"x")
