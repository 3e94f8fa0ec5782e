"""A lingering close: everything that was written arrives, and the connection ends in bounded time."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides
from zope.interface.verify import verifyObject

from echo_app.testing.memory import connectedTransport
from echo_app.transport.closing import LINGER, Discard, Lingering, linger


class Closing(Protocol):
    """A protocol that closes with a linger; it keeps what it is told."""

    def __init__(self) -> None:
        self.received = b""
        self.reasons: list[object] = []

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reasons.append(reason.type)


class LingerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.protocol = Closing()
        self.transport: Any = connectedTransport(self.protocol, clock=self.clock, capacity=10)
        self.peer = self.transport.farEnd

    def close(self, data: bytes = b"last words", isPeerEnded: bool = False) -> None:
        self.transport.write(data)
        linger(self.transport, self.protocol, self.clock, isPeerEnded)
        self.transport.flush()

    def ended(self) -> list[object]:
        self.transport.flush()
        return self.protocol.reasons

    def test_interfaces(self) -> None:
        """The protocol hears of half-closes."""
        for each in (Lingering(self.protocol, self.clock), Discard(self.protocol)):
            verifyObject(IProtocol, each)
            verifyObject(IHalfCloseableProtocol, each)

    def test_peerEnds(self) -> None:
        """The peer receives everything and our end; its input is discarded, and its end closes."""
        self.close()
        self.assertEqual((self.peer.recv(), self.peer.recv()), (b"last words", b""))
        self.peer.send(b"more")
        self.transport.flush()
        self.peer.shutdown()
        self.assertEqual(self.ended(), [ConnectionDone])
        self.assertEqual(self.protocol.received, b"")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_peerGoesOn(self) -> None:
        """A peer that goes on has a second from our end."""
        self.close()
        self.clock.advance(LINGER - 0.01)
        self.peer.send(b"more")
        self.assertEqual(self.ended(), [])
        self.clock.advance(0.01)
        self.assertEqual(self.ended(), [ConnectionDone])

    def test_slowPeer(self) -> None:
        """The second begins when everything is sent: a peer that reads slowly loses nothing."""
        self.close(b"last words of more than ten bytes")
        received = b""
        for _ in range(3):
            self.clock.advance(10 * LINGER)
            self.assertEqual(self.ended(), [])
            received += self.peer.recv()
            self.transport.flush()
        received += self.peer.recv()
        self.assertEqual(received, b"last words of more than ten bytes")
        self.clock.advance(LINGER)
        self.assertEqual(self.ended(), [ConnectionDone])

    def test_hasEnded(self) -> None:
        """A peer that has ended is not waited for."""
        self.close(isPeerEnded=True)
        self.assertEqual(self.ended(), [ConnectionDone])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_oneEnd(self) -> None:
        """A transport whose sides end together is closed, and aborted in time."""
        directlyProvides(self.transport, ISSLTransport)
        self.close(b"more than ten bytes")
        self.assertEqual(self.ended(), [])
        self.clock.advance(LINGER)
        self.assertEqual(len(self.ended()), 1)
