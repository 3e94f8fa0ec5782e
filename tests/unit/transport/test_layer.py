"""Transports on top of each other."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener, IProtocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from echo_app.stream.protocol import EchoProtocol
from echo_app.transport.closing import linger
from echo_app.transport.layer import FirstRead, bottomOf, downFrom, protocolOf, replace, topOf
from tests.support.fakes import Transport


class DownFromTests(SynchronousTestCase):
    def test_order(self) -> None:
        """The transport comes first, and the lowest transport last."""
        bottom = object()
        middle = SimpleNamespace(transport=bottom)
        top = SimpleNamespace(transport=middle)
        self.assertEqual(list(downFrom(top)), [top, middle, bottom])
        self.assertIs(bottomOf(top), bottom)
        self.assertIs(bottomOf(bottom), bottom)

    def test_notConnected(self) -> None:
        """Nothing is below a layer that is not connected yet; None is no transport."""
        top = SimpleNamespace(transport=None)
        self.assertEqual(list(downFrom(top)), [top])
        self.assertEqual(list(downFrom(None)), [])


class FirstReadTests(SynchronousTestCase):
    """On a transport of memory, below an echo."""

    def setUp(self) -> None:
        self.seen: list[tuple[bytes, Any]] = []
        self.echo = EchoProtocol()
        self.first = FirstRead(self.echo, lambda data, protocol: self.seen.append((data, protocol)))
        self.transport: Any = Transport()
        self.transport.protocol = self.first
        self.first.makeConnection(self.transport)

    def test_interfaces(self) -> None:
        """It is a protocol that hears of half-closes and handshakes."""
        for interface in (IProtocol, IHalfCloseableProtocol, IHandshakeListener):
            verifyObject(interface, self.first)

    def test_leaves(self) -> None:
        """The first data are shown before the protocol gets them; then it is in its place, unchanged."""
        self.transport.protocol.dataReceived(b"one")
        self.assertIs(self.transport.protocol, self.echo)
        self.assertEqual(set(vars(self.echo)), {"connected", "transport"})
        self.transport.protocol.dataReceived(b"two")
        self.assertEqual(self.seen, [(b"one", self.echo)])
        self.assertEqual(self.transport.value(), b"onetwo")

    def test_seenThrough(self) -> None:
        """Before the first data, the protocol is found and replaced as if it were in its place."""
        self.assertIs(protocolOf(self.transport), self.echo)
        self.assertEqual(topOf(self.transport), (self.echo, self.transport))
        other = EchoProtocol()
        self.assertTrue(replace(self.transport, self.echo, other))
        self.assertFalse(replace(self.transport, self.echo, other))
        self.assertIs(protocolOf(self.transport), other)

    def test_linger(self) -> None:
        """A protocol that is closed before its first data gets none during the linger."""
        linger(self.transport, self.echo, Clock())
        self.transport.protocol.dataReceived(b"late")
        self.assertEqual(self.transport.value(), b"")
        self.transport.protocol.readConnectionLost()
        self.assertTrue(self.transport.disconnecting)

    def test_ends(self) -> None:
        """Without data, the protocol hears of the end of the stream and of the connection."""
        self.transport.protocol.readConnectionLost()
        self.assertTrue(self.transport.disconnecting)
        self.transport.protocol.writeConnectionLost()
        self.transport.end(ConnectionDone())
        self.assertEqual(self.seen, [])
