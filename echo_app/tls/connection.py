"""TLS connection: a layer on any stream transport, exact at both ends of the stream.

:class:`TLSConnection` stands between a transport and a protocol, and is a whole transport to that
protocol. Its phases; each leads to later ones only:

- ``HANDSHAKE``: written data waits until the handshake is complete. Input may wait, too: the handshakes of
  all connections of a server share a work queue, so that many of them do not hold up open connections.
- ``OPEN``: data goes both ways, until our end.
- ``ENDED``: our ``close_notify`` is sent; the peer may go on.
- ``DONE``: no more data is passed on; the connection below has not ended yet.

The peer ends its side by ``close_notify`` or FIN, in any phase. The transport below is closed for writing
when our ``close_notify`` is flushed, never before.

:mod:`echo_app.tls.session` says which TLS library is used, and why.
"""

from __future__ import annotations

import ssl
from enum import Enum, auto
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from OpenSSL import crypto
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IHandshakeListener,
    INegotiated,
    IProtocol,
    ISystemHandle,
    ITransport,
)
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from echo_app.connections.record import Ending, noteEnd, recordOf
from echo_app.interfaces import IStreamTransport, ITLSTransport
from echo_app.tls.session import BrokenSession, CountingSession, Session
from echo_app.tls.waiting import Waiting
from echo_app.transport.closing import linger
from echo_app.transport.cutting import CutTimer
from echo_app.transport.layer import Layer, bottomOf
from echo_app.transport.pacing import SLOW, SMALLEST, pace

if TYPE_CHECKING:
    from echo_app.tls.server import ServerTLS


class _Phase(Enum):
    HANDSHAKE = auto()
    OPEN = auto()
    ENDED = auto()
    DONE = auto()


# Module names, because a look-up in an Enum class takes longer: three of them took 5 % of an echo's time on
# Python 3.11.
_HANDSHAKE, _OPEN, _ENDED, _DONE = _Phase


@implementer(IHalfCloseableProtocol, IProtocol, ITLSTransport, INegotiated, ISystemHandle)
class TLSConnection(Layer):
    """The TLS layer of one connection: a protocol to the transport below, a transport to the protocol above.

    The protocol above is connected at once, as under Twisted's own TLS, so that it is counted from the
    beginning; its output waits for the handshake. ``handshakeCompleted`` of ``IHandshakeListener`` is called
    when the peer's certificate is known.

    ``loseConnection`` flushes, sends ``close_notify`` and FIN, and waits for the peer's end, a second at
    most; after ``loseWriteConnection``, or the peer's own end, it does not wait.

    :param server: has the contexts, and counts failures.
    :param protocol: the protocol above.
    """

    __slots__ = (
        "_below",
        "_delayed",
        "_isDelayed",
        "_isEndOwed",
        "_isEnding",
        "_isPaced",
        "_isPaused",
        "_isPeerEnded",
        "_phase",
        "_producer",
        "_reason",
        "_server",
        "_session",
        "_timer",
        "_unread",
        "_waiting",
    )

    def __init__(self, server: ServerTLS, protocol: IProtocol) -> None:
        super().__init__(protocol)
        self._server = server
        self._session = Session(server.contextFor)
        self._timer: CutTimer | None = None
        self._reason: Failure | None = None
        # The target of pauses and producers: when the handshake is complete, the transport below.
        self._waiting: Waiting | None = Waiting()
        self._below: IStreamTransport | Waiting = self._waiting
        # Plain text that waits for the protocol above to resume.
        self._unread = b""
        # Input of the handshake that waits for its turn.
        self._delayed = b""
        self._producer: Any = None
        self._phase = _HANDSHAKE
        self._isPaused = False
        self._isDelayed = False
        self._isEnding = False
        # A large read has taken long, as with small records, and the next ones are smaller.
        self._isPaced = False
        self._isPeerEnded = False
        self._isEndOwed = False

    def makeConnection(self, transport: ITransport) -> None:
        """Starts the time-out of the handshake, and connects the protocol above."""
        self.transport = cast(IStreamTransport, transport)
        record = recordOf(transport)
        if record is not None:
            self._session = record.plain = counting = CountingSession(self._server.contextFor)
            # The access log subtracts a gate's prefix, which is no part of the plain text.
            counting.received = record.prefix
        self._timer = CutTimer(
            self._server.clock, self._server.handshakeTimeout, self.transport, self._handshakeTimedOut
        )
        self.protocol.makeConnection(self)

    def dataReceived(self, data: bytes) -> None:
        """Decrypts the complete records, and passes their plain text on in one piece."""
        if self._phase is not _HANDSHAKE:
            self._take(data)
        elif self._delayed:
            self._delayed += data
        else:
            self._delayed = data
            self._server.handshakes.do(self._shake)
            if self._delayed:
                self.transport.pauseProducing()
                self._isDelayed = True

    def _shake(self) -> None:
        """Takes the input of the handshake, when it is its turn."""
        data, self._delayed = self._delayed, b""
        if self._isDelayed:
            self._isDelayed = False
            self.transport.resumeProducing()
        self._take(data)

    def _take(self, data: bytes) -> None:
        if len(data) <= SMALLEST and not self._isPaced:
            self._receive(data)
            return
        began = monotonic()
        self._receive(data)
        seconds = monotonic() - began
        if seconds > SLOW or self._isPaced:
            self._isPaced = pace(bottomOf(self.transport), len(data), seconds)

    def _receive(self, data: bytes) -> None:
        if self._phase is _DONE or self._isPeerEnded:
            return
        session = self._session
        waiting = self._waiting
        try:
            plain = session.receive(data)
        except BrokenSession as error:
            self._fail(str(error), error)
            return
        if session.outgoing.pending:
            self.transport.write(session.outgoing.read())
        if waiting is not None and self._phase is _HANDSHAKE and not session.isShaking:
            self._handshakeEnded(waiting)
        if plain:
            if self._isPaused:
                self._unread += plain
            elif self._phase is not _DONE:
                self.protocol.dataReceived(plain)
        if session.isPeerEnded:
            self._endPeer()

    def fail(self, reason: str, detail: str) -> None:
        """Ends the connection, whose data is no TLS for a reason that the layer below knows.

        :param reason: the name of the count.
        :param detail: more about it, for the log.
        """
        self._fail(reason, BrokenSession(reason), detail)

    def readConnectionLost(self) -> None:
        """Takes a FIN of the peer without ``close_notify`` for a half-close, and counts it."""
        if self._delayed:
            self._server.handshakes.remove(self._shake)
            self._shake()
        self._notePeerEnded()
        if self._session.isShaking:
            # A peer that only looks for an open port is no failure.
            if not self._session.isUntouched:
                self._noteFailure("unfinished-handshake")
            self._finish()
            self.transport.loseConnection()
        elif not self._isPeerEnded:
            self._server.truncated += 1
            self._endPeer()

    def writeConnectionLost(self) -> None:
        """Tells the protocol above that everything is sent, our FIN included."""
        if IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tells the protocol above, with the error of TLS if there was one."""
        if not self._session.isShaking:
            # The transport below has already told the producer.
            self._producer = None
        self._finish()
        self.protocol.connectionLost(self._reason or reason)

    def write(self, data: bytes) -> None:
        """Encrypts and sends; data waits for the handshake, and is dropped after our end."""
        if not data:
            return
        if self._phase is _OPEN:
            try:
                self.transport.write(self._session.encrypt(data))
            except ssl.SSLError as error:
                self._fail("unusable", error)
        elif self._phase is _HANDSHAKE and self._waiting is not None:
            self._waiting.write(data)

    def loseConnection(self) -> None:
        """Flushes, ends our side, and closes the connection; waits for a producer first."""
        self.disconnecting = True
        self._end()

    def loseWriteConnection(self) -> None:
        """Flushes, and ends our side; input goes on."""
        self._isEnding = True
        self._end()

    def abortConnection(self) -> None:
        """Resets the connection, and receives no more input."""
        self.disconnecting = True
        self._finish()
        self.transport.abortConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Registers the producer below; a pull producer is first asked after the handshake."""
        if self._producer is not None:
            raise RuntimeError(f"{self._producer!r} is registered already")
        if self._phase is _DONE:
            producer.stopProducing()
            return
        self._producer = producer
        self._below.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """Forgets the producer; a close that waited for it goes on."""
        if self._producer is not None:
            self._producer = None
            self._below.unregisterProducer()
            self._end()

    def pauseProducing(self) -> None:
        """Pauses the input of the protocol above; a handshake goes on."""
        self._isPaused = True
        self._below.pauseProducing()

    def resumeProducing(self) -> None:
        """Resumes the input of the protocol above, with the plain text that has waited."""
        self._isPaused = False
        self._below.resumeProducing()
        plain, self._unread = self._unread, b""
        if plain:
            self.protocol.dataReceived(plain)
        if self._isEndOwed:
            self._endPeer()

    def getHandle(self) -> ssl.SSLObject | None:
        """Returns the object with the cipher and the version; None before the peer's first record."""
        return self._session.tls

    def getPeerCertificate(self) -> crypto.X509 | None:
        """Returns the client's certificate; None if none was requested, or during the handshake."""
        tls = self._session.tls
        der = None if tls is None or self._session.isShaking else tls.getpeercert(binary_form=True)
        return crypto.load_certificate(crypto.FILETYPE_ASN1, der) if der else None

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """The negotiated protocol (ALPN): None, since the service offers none."""
        return None

    def _handshakeEnded(self, waiting: Waiting) -> None:
        """Sends the data that has waited for the handshake, and tells the protocol above."""
        self._stopTimer()
        self._phase = _OPEN
        self._waiting, self._below = None, self.transport
        self.write(waiting.unsent)
        waiting.handOver(self.transport)
        if IHandshakeListener.providedBy(self.protocol):
            self.protocol.handshakeCompleted()
        self._end()

    def _endPeer(self) -> None:
        """Tells the protocol above, once it is not paused, that the peer has ended its side."""
        self._notePeerEnded()
        self._isPeerEnded = True
        self._isEndOwed = self._isPaused
        if self._isPaused or self._phase is _DONE:
            return
        if IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.readConnectionLost()
        else:
            self.loseConnection()

    def _notePeerEnded(self) -> None:
        record = recordOf(self.transport)
        if record is not None and not self._isOurEnd():
            record.isPeerEnded = True

    def _isOurEnd(self) -> bool:
        """Says whether we have ended our side, or are about to."""
        return self._phase is _DONE or self._isEnding or self.disconnecting

    def _end(self) -> None:
        """Ends our side, or the connection, if that was asked for and no producer is registered."""
        if self._phase is _DONE or self._producer is not None or not self._isOurEnd():
            return
        if self._waiting is not None:
            # Without keys, close_notify can't be sent, and no TLS peer is there yet to receive it.
            if self.disconnecting and not self._waiting.unsent:
                self._finish()
                self.transport.loseConnection()
            return
        wasOpen, self._phase = self._phase is _OPEN, _ENDED
        if wasOpen:
            self.transport.write(self._session.end())
        if self.disconnecting and (self._isPeerEnded or not wasOpen):
            self._finish()
            self.transport.loseConnection()
        elif wasOpen and self.disconnecting:
            self._phase = _DONE
            linger(self.transport, self, self._server.clock)
        elif wasOpen:
            self.transport.loseWriteConnection()

    def _fail(self, reason: str, error: Exception, detail: str = "") -> None:
        """Ends a connection after an error of TLS, in bounded time."""
        self._noteFailure(reason, detail)
        self._reason = Failure(error)
        if self._session.outgoing.pending:
            self.transport.write(self._session.outgoing.read())
        self._finish()
        # A reset would destroy the alert.
        linger(self.transport, self, self._server.clock, self._isPeerEnded)

    def _noteFailure(self, reason: str, detail: str = "") -> None:
        self._server.failures.add(reason, detail)
        noteEnd(self.transport, Ending.TLS, reason)

    def _finish(self) -> None:
        """Stops passing data, in both directions."""
        self._stopTimer()
        self._phase = _DONE
        self._unread = b""
        if self._delayed:
            self._server.handshakes.remove(self._shake)
            self._delayed = b""
        producer, self._producer = self._producer, None
        if producer is not None:
            self._below.unregisterProducer()
            producer.stopProducing()

    def _handshakeTimedOut(self) -> None:
        self._noteFailure("handshake-timeout")
        self._reason = Failure(ConnectionAborted())
        self.abortConnection()

    def _stopTimer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
