"""TLS connection: a layer on any stream transport, exact at both ends of the stream.

:class:`TLSConnection` stands between a transport and a protocol, and is a whole transport to that
protocol. It serves both sides of TLS: its :class:`~echo_app.tls.side.TLSSide` makes the session, that of a
server or a client. :mod:`echo_app.tls.phases` lists its phases. The peer's end and ours are independent of
each other. The transport below is closed for writing when our ``close_notify`` is flushed, never before.

:mod:`echo_app.tls.session` says which TLS library is used, and why.
"""

from __future__ import annotations

import ssl
from time import monotonic
from typing import TYPE_CHECKING, cast

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
from echo_app.tls.backpressure import BackPressure
from echo_app.tls.handshake import Handshake
from echo_app.tls.phases import TLSPhase
from echo_app.tls.session import BrokenSession, Session
from echo_app.tls.sessionfacts import SessionFacts
from echo_app.transport.closing import linger
from echo_app.transport.layer import bottomOf
from echo_app.transport.pacing import SLOW, SMALLEST, pace

if TYPE_CHECKING:
    from echo_app.tls.side import TLSSide


# Module names, because a look-up in an Enum class takes longer: three of them took 5 % of an echo's time on
# Python 3.11.
_HANDSHAKE, _OPEN, _ENDED, _DONE = TLSPhase


@implementer(IHalfCloseableProtocol, IProtocol, ITLSTransport, INegotiated, ISystemHandle)
class TLSConnection(BackPressure, SessionFacts):
    """The TLS layer of one connection: a protocol to the transport below, a transport to the protocol above.

    The protocol above is connected at once, as under Twisted's own TLS, so that it is counted from the
    beginning; its output waits for the handshake. ``handshakeCompleted`` of ``IHandshakeListener`` is called
    when the peer's certificate is known.

    ``loseConnection`` flushes, sends ``close_notify`` and FIN, and waits for the peer's end, a second at
    most; after ``loseWriteConnection``, or the peer's own end, it does not wait.

    :param side: makes the session, and counts failures.
    :param protocol: the protocol above.
    """

    __slots__ = (
        "_handshake",
        "_isEnding",
        "_isPaced",
        "_isPeerEnded",
        "_reason",
        "_session",
        "_side",
    )

    # Set by makeConnection; the second one is None when the handshake is complete.
    _session: Session
    _handshake: Handshake | None

    def __init__(self, side: TLSSide, protocol: IProtocol) -> None:
        super().__init__(protocol)
        self._side = side
        self._reason: Failure | None = None
        self._isEnding = False
        # A large read has taken long, as with small records, and the next ones are smaller.
        self._isPaced = False
        self._isPeerEnded = False

    def makeConnection(self, transport: ITransport) -> None:
        """Starts the handshake and its time-out, and connects the protocol above."""
        self.transport = cast(IStreamTransport, transport)
        self._session = session = self._side.session(recordOf(transport))
        self._below = self._handshake = Handshake(
            self._side, self.transport, self._take, self._handshakeTimedOut
        )
        if session.outgoing.pending:
            # The client speaks first.
            self.transport.write(session.outgoing.read())
        self.protocol.makeConnection(self)

    def dataReceived(self, data: bytes) -> None:
        """Decrypts the complete records, and passes their plain text on in one piece."""
        if self._handshake is None:
            self._take(data)
        elif self._phase is _HANDSHAKE:
            self._handshake.received(data)

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
        handshake = self._handshake
        try:
            plain = session.receive(data)
        except BrokenSession as error:
            self._fail(str(error), error)
            return
        if session.outgoing.pending:
            self.transport.write(session.outgoing.read())
        if handshake is not None and self._phase is _HANDSHAKE and not session.isShaking:
            self._handshakeEnded(handshake)
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
        if self._handshake is not None:
            self._handshake.flush()
        self._notePeerEnded()
        if self._session.isShaking:
            # A peer that only looks for an open port is no failure.
            if not self._session.isUntouched:
                self._noteFailure("unfinished-handshake")
            self._finish()
            self.transport.loseConnection()
        elif not self._isPeerEnded:
            self._side.truncated += 1
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
        elif self._phase is _HANDSHAKE and self._handshake is not None:
            self._handshake.write(data)

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

    def _handshakeEnded(self, handshake: Handshake) -> None:
        """Sends the data that has waited for the handshake, and tells the protocol above."""
        handshake.stop()
        self._phase = _OPEN
        self._handshake, self._below = None, self.transport
        self.write(handshake.unsent)
        handshake.handOver()
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
        if self._handshake is not None:
            # Without keys, close_notify can't be sent, and no TLS peer is there yet to receive it.
            if self.disconnecting and not self._handshake.unsent:
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
            linger(self.transport, self, self._side.clock)
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
        linger(self.transport, self, self._side.clock, self._isPeerEnded)

    def _noteFailure(self, reason: str, detail: str = "") -> None:
        self._side.failed(reason, detail, self._session.isShaking)
        noteEnd(self.transport, Ending.TLS, reason)

    def _finish(self) -> None:
        """Stops passing data, in both directions."""
        self._phase = _DONE
        if self._handshake is not None:
            self._handshake.stop()
        self._stopProducer()

    def _handshakeTimedOut(self) -> None:
        self._noteFailure("handshake-timeout")
        self._reason = Failure(ConnectionAborted())
        self.abortConnection()
