"""Lingering close: ends a connection whose input is no longer needed.

A close with unread input is a reset (RFC 1122, 4.2.2.13), which destroys bytes under way to the peer.
So our side is ended first, and input is read and discarded until the peer's own end, or for a second.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from echo_app.transport.layer import replace
from echo_app.transport.sockets import Progress, canHalfClose, progressOf

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

# Seconds that a peer may go on sending after our end of stream: a few round trips on any path, and short
# enough for a stop to wait.
LINGER = 1.0


@implementer(IProtocol, IHalfCloseableProtocol)
class Discard:
    """Discards the input of another protocol, and tells it only of the connection's end.

    :param protocol: the other protocol.
    """

    transport: Any

    def __init__(self, protocol: IProtocol) -> None:
        self._protocol = protocol

    def makeConnection(self, transport: Any) -> None:
        """Takes the other protocol's place."""
        self.transport = transport

    def connectionMade(self) -> None:
        """Is not called: ``makeConnection`` does everything."""

    def dataReceived(self, data: bytes) -> None:
        """Discards input."""

    def readConnectionLost(self) -> None:
        """Discards the end of input."""

    def writeConnectionLost(self) -> None:
        """Tells the other protocol that our side is closed."""
        if IHalfCloseableProtocol.providedBy(self._protocol):
            self._protocol.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tells the other protocol of the end."""
        self._protocol.connectionLost(reason)


class Lingering(Discard):
    """Ends our side, discards input, and closes the connection at the peer's end or after a linger.

    :param protocol: the protocol whose place it takes.
    :param clock: tells the time.
    """

    def __init__(self, protocol: IProtocol, clock: IReactorTime) -> None:
        super().__init__(protocol)
        self._clock = clock
        self._timer: IDelayedCall | None = None

    def makeConnection(self, transport: Any) -> None:
        """Ends our side after everything is sent."""
        super().makeConnection(transport)
        if canHalfClose(transport):
            transport.loseWriteConnection()
            transport.resumeProducing()
        else:
            # Twisted's TLS waits for the peer's close_notify.
            transport.loseConnection()
            self._wait(self._abort)

    def readConnectionLost(self) -> None:
        """Closes the connection at the peer's end."""
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Waits for the peer's end, after ours is sent."""
        self._wait(self.transport.loseConnection)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Ends the timer."""
        self._stopWaiting()
        super().connectionLost(reason)

    def _abort(self) -> None:
        progress = progressOf(self.transport)
        if progress is not None and progress.owed:
            self._wait(self._abort)
        else:
            self.transport.abortConnection()

    def _wait(self, function: Callable[[], object]) -> None:
        self._stopWaiting()
        self._timer = self._clock.callLater(LINGER, function)

    def _stopWaiting(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()


# Seconds between two looks whether output is delivered, at first and at most. On loopback the acknowledgement
# comes at once; a peer that does not read may take hours.
FIRST_LOOK, LAST_LOOK = 0.01, 0.2


def whenDelivered(
    transport: Any,
    later: Callable[[float, Callable[[], object]], object],
    function: Callable[[], object],
    isOver: Callable[[], bool] = lambda: False,
) -> None:
    """Calls a function when the peer has acknowledged a connection's output, or the connection has ended.

    The size of the transport's buffer is unknown. But while the kernel has room, bytes do not wait there for
    longer than one turn of the reactor: the kernel's queue is empty then, and nothing has moved.

    :param later: makes a call after so many seconds.
    :param isOver: says whether the function is called without more patience.
    """

    def look(before: Progress | None, wait: float) -> None:
        progress = progressOf(transport)
        isSame = before is not None and progress is not None and progress.sent == before.sent
        isDelivered = progress is None or (isSame and not progress.owed and not progress.held)
        if isDelivered or isOver():
            function()
        else:
            later(wait, partial(look, progress, min(2 * wait, LAST_LOOK)))

    look(None, FIRST_LOOK)


def resetWhenDelivered(transport: Any, clock: IReactorTime) -> None:
    """Resets a connection when the peer has acknowledged its output, or after a linger."""
    until = clock.seconds() + LINGER
    whenDelivered(transport, clock.callLater, transport.abortConnection, lambda: clock.seconds() >= until)


def linger(transport: Any, protocol: IProtocol, clock: IReactorTime, isPeerEnded: bool = False) -> None:
    """Closes a connection without destroying bytes under way to the peer.

    :param protocol: the transport's protocol, which gets no more input, and is told of the connection's end.
    :param isPeerEnded: the peer has ended its side: there is no input to wait for.
    """
    if isPeerEnded:
        transport.loseConnection()
    else:
        lingering = Lingering(protocol, clock)
        replace(transport, protocol, lingering)
        lingering.makeConnection(transport)
