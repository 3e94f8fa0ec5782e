"""A TLS connection is a whole transport to the protocol above it, and a good protocol to the one below."""

from __future__ import annotations

import contextlib
import ssl
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IHandshakeListener,
    INegotiated,
    IProtocol,
    ISSLTransport,
    ISystemHandle,
)
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from echo_app.connections.limits import HANDSHAKE_TIMEOUT
from echo_app.connections.record import ConnectionRecord
from echo_app.interfaces import ITLSTransport
from echo_app.stream.protocol import EchoProtocol
from echo_app.tls.connection import TLSConnection
from echo_app.tls.handshake import BUFFER
from echo_app.tls.server import ServerTLS
from echo_app.tls.session import BrokenSession
from echo_app.transport.closing import LINGER
from tests.support.ends import Producer
from tests.support.tls import clientContext

LATER = 2 * LINGER


class Wire:
    """The transport below: its written bytes, and the calls on it, in order."""

    def __init__(self) -> None:
        self.written = b""
        self.done: list[str] = []
        self.producer: Any = None
        self.protocol: Any = None

    def write(self, data: bytes) -> None:
        """Keeps it."""
        self.written += data

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Asks one that pulls at once."""
        self.producer = producer
        self.done.append(f"register {streaming}")
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """Forgets it."""
        self.producer = None
        self.done.append("unregister")

    def getHandle(self) -> None:
        """There is no socket."""

    def getPeer(self) -> IPv4Address:
        """Some address."""
        return IPv4Address("TCP", "192.0.2.1", 4242)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *arguments: self.done.append(name + "".join(f" {each}" for each in arguments))


@implementer(IHalfCloseableProtocol, IHandshakeListener)
class Above(Protocol):
    """The protocol above: the calls on it, in order."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def connectionMade(self) -> None:
        """Is connected."""
        self.told.append("made")

    def handshakeCompleted(self) -> None:
        """Is handshaken."""
        self.told.append("shaken")

    def dataReceived(self, data: bytes) -> None:
        """Has data."""
        self.told.append(data)

    def readConnectionLost(self) -> None:
        """Has no more."""
        self.told.append("peer's end")

    def writeConnectionLost(self) -> None:
        """Can say no more."""
        self.told.append("our end")

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:
        """Is no longer connected."""
        self.told.append(reason.type)


class TLSTestCase(SynchronousTestCase):
    """A connection between a wire and a protocol above, and a client at the other end of the wire."""

    protocol: type[Protocol] = Above
    version: ssl.TLSVersion | None = None

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = ServerTLS(self.clock)
        self.above: Any = self.protocol()
        self.connection = TLSConnection(self.server, self.above)
        self.wire = Wire()
        self.wire.protocol = self.connection
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = clientContext(self.version).wrap_bio(self.incoming, self.outgoing)
        self.connection.makeConnection(self.wire)  # type: ignore[arg-type]

    def shake(self) -> None:
        """Does the handshake; what was done until then is forgotten."""
        for _ in range(3):
            with contextlib.suppress(ssl.SSLWantReadError):
                self.client.do_handshake()
            self.send(self.outgoing.read())
        self.wire.done.clear()

    def send(self, data: bytes) -> None:
        """Has bytes come to the connection, and the client take what it says to them."""
        if data:
            self.wire.protocol.dataReceived(data)
        self.incoming.write(self.wire.written)
        self.wire.written = b""

    def sealed(self, data: bytes) -> bytes:
        """Returns the client's records for this."""
        self.client.write(data)
        return self.outgoing.read()

    def ended(self) -> bytes:
        """Returns the client's ``close_notify``."""
        with contextlib.suppress(ssl.SSLError):
            self.client.unwrap()
        return self.outgoing.read()

    def received(self) -> bytes:
        """Returns what the client has until now; ``b"END"`` stands for ``close_notify``."""
        self.incoming.write(self.wire.written)
        self.wire.written = b""
        received = b""
        try:
            while piece := self.client.read(1 << 16):
                received += piece
        except ssl.SSLWantReadError:
            return received
        except ssl.SSLZeroReturnError:
            pass
        return received + b"END"

    def failed(self) -> dict[str, int]:
        """Returns what was counted."""
        return dict(self.server.failures.byReason)


class BusyTests(TLSTestCase):
    """A handshake beside those of many other connections."""

    def setUp(self) -> None:
        super().setUp()
        # Another connection's handshake waits.
        self.server.handshakes.add(lambda: None)
        with contextlib.suppress(ssl.SSLWantReadError):
            self.client.do_handshake()
        self.hello = self.outgoing.read()

    def test_waits(self) -> None:
        """The input of a handshake waits for its turn, and nothing more is read meanwhile."""
        self.send(self.hello[:9])
        self.send(self.hello[9:])
        self.assertEqual(self.wire.done, ["pauseProducing"])
        self.assertIsNone(self.connection.getHandle())
        self.clock.advance(0)
        self.assertEqual(self.wire.done, ["pauseProducing", "resumeProducing"])
        self.send(b"")
        self.shake()
        self.assertEqual(self.above.told, ["made", "shaken"])

    def test_peerEnds(self) -> None:
        """At the peer's end, the input that waits is read first."""
        self.send(self.hello)
        self.connection.readConnectionLost()
        self.assertEqual(self.failed(), {"unfinished-handshake": 1})
        self.clock.advance(0)
        self.assertEqual(self.wire.done, ["pauseProducing", "resumeProducing", "loseConnection"])

    def test_lost(self) -> None:
        """The handshake of a connection that is lost is not done."""
        self.send(self.hello)
        self.connection.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(len(self.server.handshakes), 1)
        self.clock.advance(0)
        self.assertIsNone(self.connection.getHandle())


class TransportTests(TLSTestCase):
    """The layer as a transport of the protocol above."""

    def test_interfaces(self) -> None:
        """The connection has all interfaces that it declares."""
        for interface in (
            *(IProtocol, IHalfCloseableProtocol, ITLSTransport, ISSLTransport, INegotiated, ISystemHandle),
        ):
            verifyObject(interface, self.connection)

    def test_connectedAtOnce(self) -> None:
        """The protocol above is connected before the handshake, and told when it is complete."""
        self.assertEqual(self.above.told, ["made"])
        self.assertEqual(self.connection.getPeer().host, "192.0.2.1")
        self.assertIs(self.connection.getHandle(), None)
        self.assertIs(self.connection.getPeerCertificate(), None)
        self.shake()
        self.assertEqual(self.above.told, ["made", "shaken"])
        self.assertEqual(self.connection.getHandle().version(), "TLSv1.3")  # type: ignore[union-attr]
        self.assertIs(self.connection.getPeerCertificate(), None)
        self.assertIs(self.connection.negotiatedProtocol, None)

    def test_delegates(self) -> None:
        """Questions about the connection below are answered from there."""
        self.connection.setTcpNoDelay(True)
        self.connection.setTcpKeepAlive(False)
        self.assertEqual(self.wire.done, ["setTcpNoDelay True", "setTcpKeepAlive False"])
        for ask in ("getHost", "fileno", "getTcpNoDelay", "getTcpKeepAlive"):
            setattr(self.wire, ask, lambda: 7)
            self.assertEqual(int(getattr(self.connection, ask)()), 7 if ask in ("getHost", "fileno") else 1)

    def test_write(self) -> None:
        """Data written before the handshake goes out after it, in order."""
        self.connection.write(b"one ")
        self.assertEqual(self.wire.written, b"")
        self.shake()
        self.connection.writeSequence([b"two ", b"three"])
        self.connection.write(b"")
        self.assertEqual(self.received(), b"one two three")

    def test_writeWhenShaken(self) -> None:
        """Data written when the handshake is complete comes after the data that waited for it."""

        def handshakeCompleted() -> None:
            self.connection.write(b"two")
            self.connection.loseConnection()

        self.above.handshakeCompleted = handshakeCompleted
        self.connection.write(b"one ")
        self.shake()
        self.assertEqual(self.received(), b"one twoEND")

    def test_noTimer(self) -> None:
        """After the handshake nothing is left in the reactor."""
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.shake()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_pauseBeforeHandshake(self) -> None:
        """A protocol that pauses before the handshake does not hold it up."""
        self.connection.pauseProducing()
        for _ in range(2):
            with contextlib.suppress(ssl.SSLWantReadError):
                self.client.do_handshake()
            self.send(self.outgoing.read() + (self.sealed(b"early") if self.client.version() else b""))
        self.assertEqual(self.above.told, ["made", "shaken"])
        self.assertEqual(self.wire.done, ["pauseProducing"])
        self.connection.resumeProducing()
        self.assertEqual(self.above.told[2:], [b"early"])

    def test_recordedEnd(self) -> None:
        """A record knows of the peer's end, by ``close_notify`` or by FIN, if it came before ours."""
        for isByFIN in (False, True):
            for isOursFirst in (False, True):
                self.setUp()
                self.shake()
                self.wire.record = record = ConnectionRecord(0.0, 0.0)  # type: ignore[attr-defined]
                if isOursFirst:
                    self.connection.loseWriteConnection()
                if isByFIN:
                    self.wire.protocol.readConnectionLost()
                else:
                    self.send(self.ended())
                self.assertEqual(record.isPeerEnded, not isOursFirst)

    def test_loseConnectionIgnored(self) -> None:
        """A peer that does not answer our end is waited for a second from when it was sent."""
        self.shake()
        self.connection.loseConnection()
        self.clock.advance(LATER)
        self.wire.protocol.writeConnectionLost()
        self.clock.advance(LINGER - 0.1)
        self.assertEqual(self.wire.done, ["loseWriteConnection", "resumeProducing"])
        self.clock.advance(0.2)
        self.assertEqual(self.wire.done[2:], ["loseConnection"])

    def test_loseConnectionBeforeHandshake(self) -> None:
        """A close before the handshake sends no close_notify; written data waits for the handshake."""
        self.connection.loseWriteConnection()
        self.assertEqual(self.wire.done, [])
        self.connection.loseConnection()
        self.assertEqual(self.wire.done, ["loseConnection"])
        self.setUp()
        self.connection.write(b"last")
        self.connection.loseConnection()
        self.assertEqual(self.wire.done, [])
        self.shake()
        self.assertEqual(self.received(), b"lastEND")

    def test_abortWhenShaken(self) -> None:
        """A protocol that aborts when the handshake is complete is not told of data that came with it."""
        self.above.handshakeCompleted = lambda: self.connection.abortConnection()
        with contextlib.suppress(ssl.SSLWantReadError):
            self.client.do_handshake()
        self.send(self.outgoing.read())
        self.client.do_handshake()
        self.send(self.outgoing.read() + self.sealed(b"early") + self.ended())
        self.assertEqual(self.above.told, ["made"])
        self.assertEqual(self.wire.done, ["abortConnection"])


class ProducerTests(TLSTestCase):
    """Producers are the wire's, once the handshake is complete."""

    def test_streamingBeforeHandshake(self) -> None:
        """Data written before the handshake is bounded: its producer is paused, and resumed after it."""
        producer = Producer()
        self.connection.registerProducer(producer, True)
        self.assertRaises(RuntimeError, self.connection.registerProducer, producer, True)
        self.connection.write(bytes(BUFFER))
        self.assertEqual(producer.events, [])
        self.connection.write(b"x")
        self.connection.write(b"x")
        self.assertEqual(producer.events, ["pause"])
        self.shake()
        self.assertEqual(producer.events, ["pause", "resume"])
        self.assertIs(self.wire.producer, producer)
        self.assertEqual(len(self.received()), BUFFER + 2)

    def test_pull(self) -> None:
        """A pull producer is first asked after the handshake."""
        producer = Producer(lambda: self.connection.write(b"produced"))
        self.connection.registerProducer(producer, False)
        self.assertEqual(producer.events, [])
        self.shake()
        self.assertEqual(producer.events, ["resume"])
        self.assertEqual(self.received(), b"produced")

    def test_unregisteredBeforeHandshake(self) -> None:
        """A producer that leaves before the handshake is never registered below."""
        self.connection.registerProducer(Producer(), True)
        self.connection.unregisterProducer()
        self.shake()
        self.assertIs(self.wire.producer, None)

    def test_stopped(self) -> None:
        """At the connection's end a producer is stopped once: by the wire, or by us if it knows of none."""
        producer = Producer()
        self.connection.registerProducer(producer, True)
        self.wire.protocol.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(producer.events, ["stop"])
        self.connection.registerProducer(producer, True)
        self.assertEqual(producer.events, ["stop", "stop"])
        self.setUp()
        self.shake()
        producer = Producer()
        self.connection.registerProducer(producer, True)
        self.wire.protocol.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(producer.events, [])

    def test_itself(self) -> None:
        """Under an echo the connection is its own producer: its end is sent, after the waiting data."""
        self.protocol = EchoProtocol
        self.setUp()
        self.shake()
        self.wire.producer.pauseProducing()
        self.send(self.sealed(b"data") + self.ended())
        self.assertEqual(self.received(), b"")
        self.wire.done.clear()
        self.connection.resumeProducing()
        self.assertEqual(self.received(), b"dataEND")
        self.assertEqual(self.wire.done, ["resumeProducing", "unregister", "loseConnection"])


class WrongTests(TLSTestCase):
    """Peers that break the rules, and connections that break."""

    def test_handshakeTimeout(self) -> None:
        """A handshake that is not complete in time is reset, and counted."""
        self.send(b"\x16")
        self.clock.advance(HANDSHAKE_TIMEOUT)
        self.assertEqual(self.wire.done, ["abortConnection"])
        self.assertEqual(self.failed(), {"handshake-timeout": 1})
        self.wire.protocol.connectionLost(Failure(ConnectionAborted()))
        self.assertEqual(self.above.told, ["made", ConnectionAborted])

    def test_junk(self) -> None:
        """A broken record is answered by an alert and the wire's end; the peer is waited for a second."""
        self.shake()
        self.connection.registerProducer(self.connection, True)
        self.wire.done.clear()
        self.wire.protocol.dataReceived(b"\x17\x03\x03\x00\x20" + bytes(32))
        self.assertTrue(self.wire.written)
        self.assertEqual(self.wire.done, ["unregister", "loseWriteConnection", "resumeProducing"])
        self.wire.protocol.dataReceived(b"more")
        self.connection.write(b"never")
        self.wire.protocol.writeConnectionLost()
        self.clock.advance(LINGER)
        self.assertEqual(self.wire.done[3:], ["loseConnection"])
        self.wire.protocol.connectionLost(Failure(ConnectionAborted()))
        self.assertEqual(self.above.told[2:], [BrokenSession])
        self.assertEqual(self.failed(), {"decryption-failed-or-bad-record-mac": 1})

    def test_junkAnswered(self) -> None:
        """A peer that leaves at the alert is not waited for."""
        self.wire.protocol.dataReceived(b"GET / HTTP/1.0\r\n")
        self.wire.protocol.writeConnectionLost()
        self.wire.protocol.readConnectionLost()
        self.assertEqual(self.wire.done[-1], "loseConnection")
        self.wire.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.failed(), {"http-request": 1})

    def test_truncated(self) -> None:
        """A FIN without close_notify is the peer's end, and counted."""
        self.shake()
        self.wire.protocol.readConnectionLost()
        self.assertEqual((self.above.told[2:], self.server.truncated), (["peer's end"], 1))
        self.connection.loseConnection()
        self.assertEqual(self.wire.done, ["loseConnection"])
        self.setUp()
        self.shake()
        self.send(self.ended())
        self.wire.protocol.readConnectionLost()
        self.assertEqual((self.above.told[2:], self.server.truncated), (["peer's end"], 0))

    def test_leftInHandshake(self) -> None:
        """A peer that leaves in the midst of a handshake is counted, a silent one is not."""
        self.wire.protocol.readConnectionLost()
        self.assertEqual((self.wire.done, self.failed()), (["loseConnection"], {}))
        self.setUp()
        self.send(b"\x16\x03")
        self.wire.protocol.readConnectionLost()
        self.assertEqual((self.wire.done, self.failed()), (["loseConnection"], {"unfinished-handshake": 1}))

    def test_lost(self) -> None:
        """When the wire breaks the protocol above is told why, and nothing is left."""
        self.wire.protocol.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.above.told, ["made", ConnectionLost])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_refused(self) -> None:
        """A protocol that resets the connection as soon as it is made leaves nothing behind."""

        class Refusing(Protocol):
            def connectionMade(self) -> None:
                connection.connectionLost(Failure(ConnectionAborted()))

        self.wire.protocol.connectionLost(Failure(ConnectionDone()))
        connection = TLSConnection(self.server, Refusing())
        connection.makeConnection(self.wire)  # type: ignore[arg-type]
        self.assertEqual(self.clock.getDelayedCalls(), [])
