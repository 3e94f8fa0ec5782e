"""TLS on the connections of another endpoint: when a protocol is connected, and why it is not."""

from __future__ import annotations

import ssl
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import (
    ConnectError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
)
from twisted.internet.interfaces import IHandshakeListener, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from echo_app.forward.errors import UpstreamTLSError
from echo_app.forward.tlsendpoint import TLSUpstreamEndpoint
from echo_app.targets import ClientTLS
from echo_app.tls.session import BrokenSession
from echo_app.transport.closing import LINGER
from tests.support.certificates import Authority
from tests.support.ends import Mistake
from tests.support.fakes import Transport
from tests.support.tls import VERSIONS

UPSTREAM = IPv4Address("TCP", "192.0.2.9", 443)


@implementer(IStreamClientEndpoint)
class Below:
    """An endpoint whose connection the test makes.

    :ivar transport: of the last connection.
    """

    transport: Transport

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """Waits for the test."""
        self._factory = protocolFactory
        self.connected: Deferred[Any] = Deferred()
        return self.connected

    def make(self) -> Transport:
        """Makes the connection."""
        self.transport = Transport(UPSTREAM)
        self.transport.protocol = protocol = self._factory.buildProtocol(UPSTREAM)
        protocol.makeConnection(self.transport)
        self.connected.callback(protocol)
        return self.transport


@implementer(IHandshakeListener)
class Above(Protocol):
    """The protocol: the calls on it, in order."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def connectionMade(self) -> None:
        self.told.append("made")

    def handshakeCompleted(self) -> None:
        self.told.append("shaken")

    def dataReceived(self, data: bytes) -> None:
        self.told.append(data)

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:
        self.told.append(reason.type)


def _aborted(wire: Transport, error: Exception) -> None:
    """Ends a transport as the reactor's do after an abort."""
    Transport.end(wire, ConnectionAborted())


class UpstreamTests(SynchronousTestCase):
    """An endpoint, and a server at the other end of its connection."""

    host = "localhost"

    def setUp(self) -> None:
        self.clock = Clock()
        self.authority = Authority(Path(self.mktemp()))
        self.settings = ClientTLS(authority=self.authority.path)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*self.authority.issue("server"))
        self.above = Above()
        self.factory: Any = Factory.forProtocol(lambda: self.above)

    def connect(self) -> Deferred[Any]:
        """Begins to connect; makes the connection of the endpoint below."""
        self.below = Below()
        self.endpoint = TLSUpstreamEndpoint(self.below, self.settings, self.host, self.clock, 5)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = self.context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        connecting: Deferred[Any] = self.endpoint.connect(self.factory)
        self.wire = self.below.make()
        return connecting

    def shake(self, behind: bytes = b"") -> None:
        """Does the handshake, as far as it goes.

        :param behind: data that the server sends with its end of the handshake.
        """
        for _ in range(3):
            self.take()
            try:
                self.server.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                self.give()
                return
            else:
                self.server.write(behind)
                behind = b""
            self.give()

    def take(self) -> None:
        """Gives the server what the client has sent."""
        self.incoming.write(self.wire.value())
        self.wire.clear()

    def give(self) -> None:
        """Gives the client what the server has sent."""
        data = self.outgoing.read()
        if data and not self.wire.ended:
            self.wire.protocol.dataReceived(data)

    def why(self, connecting: Deferred[Any]) -> str:
        """Returns why it failed, in words."""
        error = self.failureResultOf(connecting, UpstreamTLSError).value
        assert isinstance(error, UpstreamTLSError)
        self.assertEqual(error.reason, "tls")
        text = str(error)
        self.assertTrue(text.isprintable())
        head = f"the TLS handshake with {self.host} failed: "
        self.assertEqual(text[: len(head)], head)
        return text[len(head) :]

    def assertGone(self) -> None:
        """Asserts that nothing is left, and no protocol was told anything."""
        self.assertTrue(self.wire.ended)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.above.told, [])

    def refuse(self) -> None:
        """Lets the server leave when it has our alert."""
        self.shake()
        self.take()
        self.assertRaises(ssl.SSLError, self.server.do_handshake)
        self.wire.protocol.readConnectionLost()
        self.assertTrue(self.wire.disconnecting)
        self.wire.end(ConnectionDone())

    def test_interface(self) -> None:
        """It is an endpoint."""
        self.connect()
        verifyObject(IStreamClientEndpoint, self.endpoint)

    def test_connected(self) -> None:
        """It fires with the protocol, on a TLS transport, when the handshake is complete."""
        for version in VERSIONS:
            self.setUp()
            self.context.minimum_version = self.context.maximum_version = version
            connecting = self.connect()
            self.assertNoResult(connecting)
            self.assertEqual(self.above.told, [])
            self.shake()
            self.assertIs(self.successResultOf(connecting), self.above)
            self.assertEqual(self.above.told, ["made", "shaken"])
            self.assertEqual(self.clock.getDelayedCalls(), [])
            transport: Any = self.above.transport
            self.assertEqual((transport.getPeer(), transport.protocol), (UPSTREAM, self.above))
            transport.write(b"hello")
            self.take()
            self.assertEqual(self.server.read(9), b"hello")

    def test_addressOfFactory(self) -> None:
        """The factory is given the upstream's address."""
        asked = []

        def build(address: object) -> Above:
            asked.append(address)
            return self.above

        self.factory.buildProtocol = build
        self.connect()
        self.shake()
        self.assertEqual(asked, [UPSTREAM])

    def test_dataBehind(self) -> None:
        """Data with the end of the handshake are the protocol's, after it was told."""
        self.context.maximum_version = ssl.TLSVersion.TLSv1_2
        connecting = self.connect()
        connecting.addCallback(lambda _: self.above.told.append("fired"))
        self.shake(b"welcome")
        self.assertEqual(self.above.told, ["made", "shaken", "fired", b"welcome"])

    def test_pauseAtOnce(self) -> None:
        """A protocol that pauses as soon as it is connected is not given data that came with it."""
        self.context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.connect().addCallback(lambda above: above.transport.pauseProducing())
        self.shake(b"welcome")
        self.assertEqual(self.above.told, ["made", "shaken"])
        transport: Any = self.above.transport
        transport.resumeProducing()
        self.assertEqual(self.above.told[2:], [b"welcome"])

    def test_untrusted(self) -> None:
        """The certificate of an authority that is not trusted is refused."""
        self.settings = ClientTLS(authority=Authority(Path(self.mktemp()), "other").path)
        connecting = self.connect()
        self.refuse()
        self.assertIn("unable to get local issuer certificate", self.why(connecting))
        self.assertGone()

    def test_name(self) -> None:
        """A certificate for another name is refused."""
        self.host = "echo.example"
        connecting = self.connect()
        self.refuse()
        self.assertIn("certificate is not valid for 'echo.example'", self.why(connecting))
        self.assertGone()

    def test_refusedIsUnanswered(self) -> None:
        """A server that does not leave at our alert is left after a second."""
        self.host = "echo.example"
        connecting = self.connect()
        self.shake()
        self.clock.advance(LINGER)
        self.assertTrue(self.wire.disconnecting)
        self.wire.end(ConnectionDone())
        self.assertIn("mismatch", self.why(connecting))
        self.assertGone()

    def test_timeout(self) -> None:
        """A server that does not answer is left at the time-out, by a reset."""
        connecting = self.connect()
        self.clock.advance(4.9)
        self.assertNoResult(connecting)
        self.patch(self.wire, "end", partial(_aborted, self.wire))
        self.clock.advance(0.1)
        self.assertEqual(self.why(connecting), "not complete within 5 s")
        self.assertGone()

    def test_closed(self) -> None:
        """A server that ends its stream in the handshake has no TLS for us."""
        connecting = self.connect()
        self.wire.protocol.readConnectionLost()
        self.assertTrue(self.wire.disconnecting)
        self.wire.end(ConnectionDone())
        self.assertEqual(self.why(connecting), "the server closed the connection")
        self.assertGone()

    def test_lost(self) -> None:
        """So has one that resets the connection."""
        connecting = self.connect()
        self.wire.end(ConnectionLost())
        self.assertEqual(self.why(connecting), "the connection was lost")
        self.assertGone()

    def test_noTLS(self) -> None:
        """A server that answers with something else is told apart."""
        connecting = self.connect()
        self.wire.protocol.dataReceived(b"SSH-2.0-OpenSSH_9.2\r\n")
        self.wire.protocol.readConnectionLost()
        self.wire.end(ConnectionDone())
        self.assertEqual(self.why(connecting), "wrong version number")
        self.assertGone()

    def test_alert(self) -> None:
        """A server that refuses us by an alert is told apart."""
        self.context.minimum_version = self.context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.context.verify_mode = ssl.CERT_REQUIRED
        connecting = self.connect()
        self.shake()
        self.wire.protocol.readConnectionLost()
        self.wire.end(ConnectionDone())
        self.assertEqual(self.why(connecting), "sslv3 alert handshake failure")
        self.assertGone()

    def test_notCounted(self) -> None:
        """A failed handshake is its caller's to count; a connection that breaks later is counted here."""
        self.test_noTLS()
        self.assertEqual(dict(self.endpoint.tls.failures.byReason), {})
        self.connect()
        self.shake()
        self.wire.protocol.dataReceived(b"\x17\x03\x03\x00\x20" + bytes(32))
        self.assertEqual(
            dict(self.endpoint.tls.failures.byReason), {"decryption-failed-or-bad-record-mac": 1}
        )
        self.wire.protocol.readConnectionLost()
        self.wire.end(ConnectionDone())
        self.assertEqual(self.above.told[2:], [BrokenSession])

    def test_truncated(self) -> None:
        """A FIN without close_notify is counted."""
        self.connect()
        self.shake()
        self.wire.protocol.readConnectionLost()
        self.assertEqual(self.endpoint.tls.truncated, 1)

    def test_below(self) -> None:
        """It fails as the endpoint below does."""
        below = Below()
        connecting = TLSUpstreamEndpoint(below, self.settings, "localhost", self.clock).connect(self.factory)
        below.connected.errback(ConnectionRefusedError())
        self.failureResultOf(connecting, ConnectionRefusedError)

    def test_cancelBelow(self) -> None:
        """A cancellation before there is a connection is one of the endpoint below."""
        below = Below()
        connecting = TLSUpstreamEndpoint(below, self.settings, "localhost", self.clock).connect(self.factory)
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assertTrue(below.connected.called)

    def test_cancel(self) -> None:
        """A cancellation in the handshake resets the connection."""
        connecting = self.connect()
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assertTrue(self.wire.disconnected)
        self.assertGone()

    def test_noProtocol(self) -> None:
        """A factory without a protocol has the connection reset."""
        self.factory.buildProtocol = lambda _: None
        connecting = self.connect()
        self.shake()
        self.failureResultOf(connecting, ConnectError)
        self.assertGone()

    def test_mistake(self) -> None:
        """So has a factory that raises, or a protocol that does so when it is connected."""

        def fail(*_: object) -> None:
            raise Mistake

        for of, name in ((self.factory, "buildProtocol"), (self.above, "makeConnection")):
            self.patch(of, name, fail)
            connecting = self.connect()
            self.shake()
            self.failureResultOf(connecting, Mistake)
            self.assertTrue(self.wire.ended)

    def test_wrongFile(self) -> None:
        """A file that can't be used is a ValueError of the endpoint's that names it."""
        for settings in (
            ClientTLS(authority="missing.pem"),
            ClientTLS(certificate="missing.pem"),
        ):
            error = self.assertRaises(
                ValueError, TLSUpstreamEndpoint, Below(), settings, "localhost", self.clock
            )
            self.assertIn("missing.pem", str(error))

    def test_noName(self) -> None:
        """There must be a name to check, unless every certificate is accepted."""
        self.assertRaises(ValueError, TLSUpstreamEndpoint, Below(), self.settings, "", self.clock)
        self.settings, self.host = ClientTLS(isInsecure=True), ""
        connecting = self.connect()
        self.shake()
        self.assertIs(self.successResultOf(connecting), self.above)
