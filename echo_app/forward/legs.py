"""The two legs of a forwarded stream: the client's connection, and the one to the upstream.

The rules, the same in both directions:

- What comes in at one leg is written to the other one. Each leg's input pauses while the other one's output
  waits, so that a leg holds one read and what Twisted buffers, and the rest stays with the sender.
- An end of stream is passed on as the end of that direction, after the bytes before it. The client's leg is
  closed when all bytes for the upstream are sent: a drain waits for the client's leg, and so for all bytes.
- A reset, or an abort by a limit or a time-out, becomes a reset of the other leg. What came before it is
  delivered first, for a second at most.

The client's leg is there first. It asks for the upstream when its own TLS handshake, if there is one, is
complete: before that, the client may still be refused. Its input is kept, up to 64 KiB, until the upstream
has accepted; an upstream that can't be reached resets it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from echo_app.connections.record import UpstreamFacts, recordOf
from echo_app.forward.facts import upstreamFactsOf
from echo_app.interfaces import IStreamTransport
from echo_app.tls.facts import tlsFactsOf, tlsTransportOf
from echo_app.transport.carrying import CarryingTransport
from echo_app.transport.closing import resetWhenDelivered
from echo_app.transport.directserver import DirectTransport
from echo_app.transport.layer import bottomOf
from echo_app.transport.sockets import (
    canHalfClose,
    isTCP,
    keepUrgentDataInline,
    progressOf,
    socketOf,
)

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

# Bytes of a client that are kept until its upstream has accepted, before its input pauses.
EARLY = 64 * 1024

# Seconds in which the upstream must take what is written, after its client has gone.
ALONE = 60.0


@implementer(IPushProducer)
class _Input:
    """The input of one leg as the producer of the other one, whose end does not stop it.

    :param transport: the transport of the leg.
    """

    __slots__ = ("_transport",)

    def __init__(self, transport: IStreamTransport) -> None:
        self._transport = transport

    def pauseProducing(self) -> None:
        """Pauses the input."""
        self._transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Resumes the input."""
        self._transport.resumeProducing()

    def stopProducing(self) -> None:
        """Does nothing: the leg learns of the other one's end by itself."""


def _discard(data: bytes) -> None:
    """Takes the input of a leg whose other leg has ended."""


@implementer(IHalfCloseableProtocol)
class Leg(Protocol):
    """One of the two connections of a forwarded stream.

    :param clock: counts the time of a delivery.
    :param header: is sent first.

    :ivar dataReceived: takes input: the other leg's ``write``, since a method between them would cost 2 %.
    :ivar other: the other leg; None before there is one, and after its end.
    :ivar isInputEnded: the peer has ended its stream.
    :ivar isOutputEnded: we have ended ours, or will when everything is sent.
    :ivar isFlushed: we have, and all before it is sent.
    :ivar facts: of the connection to the upstream, for the access log; None without a record.

    :cvar side: the word for the peer in the access log.
    """

    transport: IStreamTransport
    side = "upstream"

    def __init__(self, clock: IReactorTime, header: bytes = b"") -> None:
        self._header = header
        self.facts: UpstreamFacts | None = None
        self.other: Leg | None = None
        self.isInputEnded = False
        self.isOutputEnded = self.isFlushed = False
        self._clock = clock
        self._deadline: IDelayedCall | None = None
        self.dataReceived: Callable[[bytes], None] = _discard  # type: ignore[assignment]

    def connectionMade(self) -> None:
        """Sends the header, keeps urgent data in the stream, and watches for resets."""
        keepUrgentDataInline(self.transport)
        bottom = bottomOf(self.transport)
        if isinstance(bottom, DirectTransport):
            bottom.watchForReset()
        sock = socketOf(bottom)
        if not isinstance(bottom, CarryingTransport) and isTCP(sock):
            # Twisted's own client: without this, the second of two small writes waits for an acknowledgement.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._header:
            self.transport.write(self._header)

    def join(self, other: Leg) -> None:
        """Sends the input of this leg to the other one from now on, and pauses it with that one's output."""
        self.other = other
        self.dataReceived = other.transport.write
        other.transport.registerProducer(_Input(self.transport), True)

    def readConnectionLost(self) -> None:
        """Passes the end of the stream on."""
        self._inputEnded()
        if self.other is not None:
            self.other.endOutput()
        if self.isOutputEnded:
            self.close()

    def _inputEnded(self) -> None:
        self.isInputEnded = True
        self._noteFirstEnd()

    def _noteFirstEnd(self) -> None:
        if self.facts is not None and self.facts.firstEnd is None:
            self.facts.firstEnd = self.side

    def writeConnectionLost(self) -> None:
        """Notes that all output is sent, our end included; the end of the input ends the connection."""
        self.isFlushed = True

    def endOutput(self) -> None:
        """Ends our side of this leg after everything is sent, and its connection if its input has ended."""
        self.isOutputEnded = True
        if self.isInputEnded or not canHalfClose(self.transport):
            self.close()
        else:
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()

    def close(self) -> None:
        """Closes this leg after all written bytes are sent; the other one follows."""
        # With a streaming producer registered, loseConnection never closes.
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Ends the other leg in the same way."""
        self._noteFirstEnd()
        self.dataReceived = _discard
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        other, self.other = self.other, None
        if other is not None:
            other._otherEnded(reason)

    def _otherEnded(self, reason: Failure) -> None:
        self.other = None
        self.dataReceived = _discard
        if isinstance(reason.value, ConnectionDone):
            self._closeAlone()
        else:
            self.transport.unregisterProducer()
            if not self.isInputEnded:
                self.transport.resumeProducing()
            resetWhenDelivered(self.transport, self._clock)

    def _closeAlone(self) -> None:
        """Closes the upstream's leg after the client's: no limit or time-out looks at it any more."""
        self._deadline = self._clock.callLater(ALONE, self.transport.abortConnection)
        self.close()


@implementer(IHandshakeListener)
class ClientLeg(Leg):
    """The client's connection: asks for the upstream when it is made, with a complete handshake.

    :param forwarder: connects to the upstream.
    """

    side = "client"

    def __init__(self, clock: IReactorTime, forwarder: Any) -> None:
        super().__init__(clock)
        self._forwarder = forwarder
        self._early: list[bytes] = []
        self._isAsked = False
        self._attempt: Any = None

    def connectionMade(self) -> None:
        """Asks for the upstream, unless a handshake comes first; input is kept until it is there."""
        super().connectionMade()
        self.dataReceived = self._keep
        if tlsTransportOf(self.transport) is None or tlsFactsOf(self.transport) is not None:
            self._ask()

    def handshakeCompleted(self) -> None:
        """Asks for the upstream."""
        self._ask()

    def _ask(self) -> None:
        if not self._isAsked:
            self._isAsked = True
            self._attempt = self._forwarder.connect(self)

    def _closeAlone(self) -> None:
        self.close()

    @property
    def pending(self) -> int:
        """The number of answers under way: 1 while the other leg has bytes that have not passed."""
        progress = None if self.other is None else progressOf(self.other.transport)
        return int(progress is not None and bool(progress.owed or progress.unread))

    def readConnectionLost(self) -> None:
        """Passes the end of the stream on; this leg is closed after the upstream's."""
        self._inputEnded()
        if not self._isAsked:
            self._ask()
        elif self.other is not None:
            self.other.endOutput()
        elif self._attempt is None:
            self.close()

    def endOutput(self) -> None:
        """Ends our side of this leg after all is sent, and its connection if nothing else is under way."""
        isLast = self.isInputEnded and (self.other is None or self.other.isFlushed)
        if isLast or not canHalfClose(self.transport):
            self.close()
        else:
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()

    def finish(self) -> None:
        """Closes the upstream's leg, and then this one, after all written bytes are sent."""
        (self.other or self).close()

    def _keep(self, data: bytes) -> None:
        self._early.append(data)
        # A wrapper in between may not pass handshakeCompleted on.
        self._ask()
        if sum(map(len, self._early)) >= EARLY:
            self.transport.pauseProducing()

    def reached(self, upstream: Leg) -> None:
        """Joins the two legs."""
        self._attempt = None
        record = recordOf(self.transport)
        if record is not None:
            seconds = self._clock.seconds() - record.began
            self.facts = upstream.facts = record.upstream = upstreamFactsOf(upstream, seconds)
            if self.isInputEnded:
                self._noteFirstEnd()
        connection = getattr(bottomOf(self.transport), "connection", None)
        if connection is not None:
            connection.upstream = upstream.transport
        early = b"".join(self._early)
        self._early.clear()
        self.join(upstream)
        upstream.join(self)
        if early:
            upstream.transport.write(early)
        if self.isInputEnded:
            upstream.endOutput()
        else:
            self.transport.resumeProducing()

    def unreached(self) -> None:
        """Resets the client: its upstream can't be reached."""
        self._attempt = None
        self.dataReceived = _discard
        self._early.clear()
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Ends the upstream's leg, or the attempt."""
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel()
        self._early.clear()
        super().connectionLost(reason)
