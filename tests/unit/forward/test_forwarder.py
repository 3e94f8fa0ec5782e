"""The attempt to reach the upstream, as faults have it go."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from echo_app.faults.fault import Fault
from echo_app.faults.faulty import Faulty
from echo_app.faults.spec import parseFault
from echo_app.forward.forwarder import ForwardFactory
from tests.support.fakes import Transport, numbered


@implementer(IStreamClientEndpoint)
class Upstream:
    """A fake endpoint, which accepts at once.

    :ivar times: when it was connected to.
    """

    def __init__(self, clock: Clock) -> None:
        self.times: list[float] = []
        self.transport: Any = None
        self._clock = clock

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        self.times.append(self._clock.seconds())
        protocol: Any = protocolFactory.buildProtocol(None)  # type: ignore[arg-type]
        self.transport = StringTransport()
        protocol.makeConnection(self.transport)
        connected: Deferred[Any] = Deferred()
        connected.callback(protocol)
        return connected


class ConnectTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.upstream = Upstream(self.clock)
        self.forwarder = ForwardFactory(self.upstream, self.clock, timeout=10)

    def client(self, *specs: str) -> Any:
        """Returns the transport of a client that has sent a question, with these faults."""
        faults: list[Fault] = [parseFault(spec) for spec in specs]
        build = Faulty(
            lambda address, _: self.forwarder.buildProtocol(address), self.clock, lambda: faults, 0
        )
        transport: Any = Transport()
        transport.protocol = build(transport.getPeer(), numbered(1))
        transport.protocol.makeConnection(transport)
        transport.protocol.dataReceived(b"question")
        return transport

    def unreached(self) -> dict[str, int]:
        return dict(self.forwarder.unreached.byReason)

    def test_late(self) -> None:
        """The upstream is connected that much later, and gets what the client sent; times add up."""
        self.client()
        self.client("connect=2s")
        self.clock.advance(2)
        self.client("connect=2s", "connect=1s")
        self.clock.advance(3)
        self.assertEqual(self.upstream.times, [0, 2, 5])
        self.assertEqual(self.upstream.transport.value(), b"question")
        self.assertEqual(self.unreached(), {})

    def test_refused(self) -> None:
        """The client is reset and counted, without a connection to the upstream."""
        client = self.client("connect=refused")
        self.clock.advance(0)
        self.assertTrue(client.ended)
        self.assertEqual((self.upstream.times, self.unreached()), ([], {"refused": 1}))

    def test_refusedLate(self) -> None:
        """Beside a time, the refusal comes that much later."""
        client = self.client("connect=refused", "connect=2s")
        self.clock.advance(1.9)
        self.assertFalse(client.ended)
        self.clock.advance(0.1)
        self.assertTrue(client.ended)
        self.assertEqual((self.upstream.times, self.unreached()), ([], {"refused": 1}))

    def test_never(self) -> None:
        """The client waits as long as for an upstream that does not answer; a long time is no other."""
        for spec in ("connect=never", "connect=10s"):
            self.setUp()
            client = self.client(spec)
            self.clock.advance(9.9)
            self.assertFalse(client.ended)
            self.clock.advance(0.1)
            self.assertTrue(client.ended)
            self.assertEqual((self.upstream.times, self.unreached()), ([], {"timeout": 1}))

    def test_clientLeaves(self) -> None:
        """A client that leaves meanwhile ends the wait, and is not counted."""
        for spec in ("connect=2s", "connect=never"):
            self.client(spec).abortConnection()
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.assertEqual((self.upstream.times, self.unreached()), ([], {}))
