"""A connection belongs to its transport, under any protocol, and is counted once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet import tcp
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.protocols.policies import WrappingFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from echo_app.connections.connection import Connection
from echo_app.connections.limits import Limits
from echo_app.connections.record import ConnectionRecord, Ending
from echo_app.connections.registry import ConnectionRegistry
from echo_app.stack.stack import Stack
from echo_app.testing.memory import CLIENT, connectedTransport
from echo_app.transport.carrying import CarryingTransport
from tests.support.fakes import Transport, opened


class Broken(Protocol):
    """A protocol whose methods fail."""

    def finish(self) -> None:
        raise ArithmeticError


class ConnectionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.counts = ConnectionRegistry(Limits(maxConnectionsPerPeer=2), Clock().seconds)

    def connect(self, protocol: Any = Protocol, **layers: Any) -> tuple[Connection, Transport]:
        transport = opened(Stack(Factory.forProtocol(protocol), self.counts, **layers))
        return list(self.counts.open)[-1], transport

    def test_top(self) -> None:
        """The protocol on top is found through layers and wrapping protocols."""
        factory = WrappingFactory(Factory.forProtocol(Broken))
        transport = opened(Stack(factory, self.counts))
        (connection,) = self.counts.open
        protocol, above = connection.top()
        self.assertIs(type(protocol), Broken)
        self.assertIs(protocol.transport, above)
        self.assertIs(above, transport.protocol)

    def test_finish(self) -> None:
        """A protocol without finish is closed, though a producer is registered."""
        connection, transport = self.connect()
        transport.registerProducer(transport, True)
        connection.finish()
        self.assertTrue(transport.disconnecting)
        self.assertIsNone(transport.producer)

    def test_brokenFinish(self) -> None:
        """A protocol that fails to finish is aborted, and logged."""
        connection, transport = self.connect(Broken)
        connection.finish()
        self.assertTrue(transport.disconnected)
        self.assertEqual(len(self.flushLoggedErrors(ArithmeticError)), 1)

    def test_brokenBuild(self) -> None:
        """A factory that fails has its connection reset, and counted nowhere but in the log."""

        def broken() -> Protocol:
            raise ArithmeticError

        transport = opened(Stack(Factory.forProtocol(broken), self.counts))
        self.assertTrue(transport.disconnected)
        self.assertEqual((self.counts.open, self.counts.accepted, self.counts.perPeer), ({}, 0, {}))
        self.assertEqual(len(self.flushLoggedErrors(ArithmeticError)), 1)

    def test_endOnce(self) -> None:
        """The first reason is noted, and each is counted."""
        connection, transport = self.connect()
        transport.record = record = ConnectionRecord(0.0, 0.0)  # type: ignore[attr-defined]
        connection.refuse(Ending.HEADER, "bad-header", "junk")
        connection.timeOut(Ending.IDLE)
        self.assertEqual((record.ended, record.detail), (Ending.HEADER, "junk"))
        self.assertEqual(self.counts.refused.byReason, {"bad-header": 1})
        self.assertEqual(self.counts.timedOut.byReason, {"idle": 1})

    def test_logout(self) -> None:
        """A user is logged out once, at the connection's end."""
        connection, transport = self.connect()
        left: list[str] = []
        connection.loggedIn("alice", lambda: left.append("alice"))
        self.assertEqual((connection.user, left), ("alice", []))
        transport.end(ConnectionLost())
        connection.ended(Failure(ConnectionDone()))
        self.assertEqual((left, self.counts.lost), (["alice"], 1))

    def test_refusedByLayer(self) -> None:
        """A layer that builds no protocol has the connection reset; it never counts as accepted."""

        def nothing(_build: object) -> Any:
            def build(_address: IAddress | None, _connection: Connection) -> None:
                return None

            return build

        transport = opened(Stack(Factory.forProtocol(Protocol), self.counts, layers=[nothing]))
        self.assertTrue(transport.disconnected)
        self.assertEqual((self.counts.open, self.counts.accepted, self.counts.lost), ({}, 0, 0))


class CarriedTests(SynchronousTestCase):
    """Transports that carry their connection, and those of other makes."""

    def test_foreign(self) -> None:
        """A transport of another make ends its connection too, after its protocol was told."""
        counts = ConnectionRegistry(Limits())
        protocol = Stack(Factory.forProtocol(Protocol), counts).buildProtocol(CLIENT)
        transport = connectedTransport(protocol)
        self.assertEqual(len(counts.open), 1)
        transport.farEnd.shutdown()
        transport.flush()
        self.assertEqual(len(counts.open), 0)

    def test_carrying(self) -> None:
        """A transport of ours ends its connection once, also when telling its protocol fails."""
        seen: list[object] = []

        def fail(_transport: object, _reason: Failure) -> None:
            seen.append("protocol")
            raise ArithmeticError

        self.patch(tcp.Server, "connectionLost", fail)
        transport = CarryingTransport.__new__(CarryingTransport)
        transport.connection = SimpleNamespace(ended=seen.append)
        reason = Failure(ConnectionDone())
        for _ in range(2):
            self.assertRaises(ArithmeticError, transport.connectionLost, reason)
        self.assertEqual(seen, ["protocol", reason, "protocol"])
        self.assertIsNone(transport.connection)
