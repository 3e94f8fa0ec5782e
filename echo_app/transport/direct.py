"""Direct path: transports that send at once, and are polled by a nested epoll.

The textbook echo spends six system calls and ten microseconds of Python on a message: its answer waits for
a trip through the reactor, which is told of it, and told again when it is sent; and around every event
the reactor sets up a log context. A :class:`DirectServer` sends what is written at once, as far as the
kernel takes it, and is polled by a :class:`~echo_app.transport.poller.NestedPoller`. Only public interfaces
are used. :func:`direct` puts it below the connections of a listening port, which behave as before.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import ENOBUFS
from functools import partial
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python.failure import Failure

from echo_app.transport.acceptor import Acceptor
from echo_app.transport.carrying import CarryingTransport
from echo_app.transport.poller import HAS_EPOLL, NestedPoller
from echo_app.transport.sockets import CountingUNIXServer

# Bytes of one read. Half as many, which is Twisted's size, cost a quarter more for messages of 128 KiB, and
# the double would have the allocator give the memory back to the kernel after each (mallopt(3)).
READ = 128 * 1024


class _DirectTransport(CarryingTransport):
    """A server's transport that sends what is written at once, and is polled by a nested poller.

    Where that would differ from the inherited path, it is the inherited path: while anything waits to
    be sent, and for good from TLS, a pull producer (which ``doWrite`` alone resumes), the end of the
    writing side, or an abort on.

    :ivar _waits: what is written now is left to ``doWrite``.
    :ivar _hasRest: something may have been left to it.
    :ivar _isInherited: it always is, from now on.
    :ivar _isEnding: its protocol is being told of the end of its input.
    :ivar _startsLater: what is to be written then waits until it is told.
    """

    _hasRest = False
    _isInherited = False
    _isEnding = False
    _startsLater = False

    def __init__(self, *arguments: Any, poller: NestedPoller) -> None:
        self._poller = poller
        self._waits = False
        super().__init__(*arguments)

    def write(self, data: bytes) -> None:
        """Sends the data, or as much of it as the kernel takes; the rest is sent when it takes more."""
        if self._waits or not data or type(data) is not bytes:
            self._hasRest = True
            super().write(data)
            return
        sent = self.writeSomeData(data)
        if sent != len(data):
            # An error is found again by doWrite, where the reactor's rules for it are.
            self._hasRest = True
            super().write(data[sent:] if isinstance(sent, int) else data)

    def writeSequence(self, iovec: Any) -> None:
        """Sends the data, joined."""
        if self._waits or any(type(data) is not bytes for data in iovec):
            self._hasRest = True
            super().writeSequence(iovec)
        else:
            self.write(b"".join(iovec))

    def startReading(self) -> None:
        """Waits for input."""
        self._poller.addReader(self)

    def stopReading(self) -> None:
        """Waits for no input."""
        self._poller.removeReader(self)

    def startWriting(self) -> None:
        """Waits until something can be sent."""
        self._waits = True
        if self._isEnding:
            self._startsLater = True
        else:
            self._poller.addWriter(self)

    def stopWriting(self) -> None:
        """Waits for nothing: everything is sent, or lost."""
        self._hasRest = self._startsLater = False
        self._waits = bool(self._isInherited or self.disconnecting or not self.connected)
        self._poller.removeWriter(self)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Takes what a producer writes."""
        if not streaming:
            self._inherit()
        super().registerProducer(producer, streaming)

    def startTLS(self, ctx: Any, normal: bool = True) -> None:
        """Goes on in TLS."""
        self._inherit()
        super().startTLS(ctx, normal)

    def loseConnection(self) -> None:
        """Closes the connection when everything is sent."""
        if self.connected and not self.disconnecting and not self.TLS:
            # It stops reading then: without any interest it would leave the poller, and come back.
            self.startWriting()
        super().loseConnection()

    def readConnectionLost(self, reason: Failure) -> None:
        """Tells the protocol of the end of its input; closes at once if that is all it waits for."""
        self._isEnding = True
        super().readConnectionLost(reason)
        self._isEnding = False
        isEnd = self.connected and self.disconnecting and self.producer is None
        if isEnd and not (self._hasRest or self.TLS):
            self.connectionLost(reason)
        elif self._startsLater:
            self.startWriting()

    def loseWriteConnection(self) -> None:
        """Ends the stream to the peer when everything is sent."""
        self._inherit()
        super().loseWriteConnection()

    def abortConnection(self) -> None:
        """Resets the connection."""
        self._inherit()
        super().abortConnection()

    def _inherit(self) -> None:
        self._waits = self._isInherited = True


class DirectServer(_DirectTransport):
    """The direct path over TCP.

    :ivar error: the number of the first error that ended it; 0 if there was none.
    """

    error = 0

    def doRead(self) -> Any:
        """Reads, and passes on, what has come."""
        try:
            data = self.socket.recv(READ)
        except BlockingIOError:
            return None
        except OSError as error:
            self.error = self.error or error.errno or 0
            return CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        self.protocol.dataReceived(data)
        return None

    def writeSomeData(self, data: Any) -> Any:
        """Sends as much of the data as the kernel takes; returns the number of bytes, or an error."""
        try:
            return self.socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno == ENOBUFS:
                return 0
            self.error = self.error or error.errno or 0
            return CONNECTION_LOST


class DirectUNIXServer(_DirectTransport, CountingUNIXServer):
    """The direct path over a UNIX socket."""


# By the transport that a port of Twisted's makes: the one on the direct path, and the one on Twisted's own.
_TRANSPORTS: dict[object, tuple[type[tcp.Server], type[tcp.Server]]] = {
    tcp.Server: (DirectServer, CarryingTransport),
    unix.Server: (DirectUNIXServer, CountingUNIXServer),
}


def direct(port: Any) -> bool:
    """Puts the direct path below the connections that a listening port accepts from now on.

    :param port: the port that ``listenTCP``, ``listenUNIX`` or an endpoint's ``listen`` returned.
    :return: whether it applies: there must be epoll, and the port's transports must be Twisted's own.
    """
    return HAS_EPOLL and setTransport(port, isDirect=True)


def setTransport(port: Any, *, isDirect: bool, derive: Callable[[type], type] = lambda kind: kind) -> bool:
    """Chooses the class of the transports of the connections that a listening port accepts from now on, once.

    :param isDirect: they take the direct path, where there is epoll.
    :param derive: returns the class to use, derived from the one that was chosen.
    :return: whether it applies: the port's transports must be Twisted's own.
    """
    kinds = _TRANSPORTS.get(getattr(port, "transport", None))
    if kinds is None:
        return False
    onDirectPath, onTwisteds = kinds
    if not (isDirect and HAS_EPOLL):
        port.transport = derive(onTwisteds)
        return True
    poller = NestedPoller(port.reactor)
    port.transport = partial(derive(onDirectPath), poller=poller)
    _move(port, poller)
    isTwisteds = type(port) is tcp.Port
    if isTwisteds:
        port.doRead = Acceptor(port).doRead
    return True


def _move(port: Any, poller: NestedPoller) -> None:
    """Has a listening port polled together with its connections.

    Otherwise the poller would leave the reactor with the last of them, and join it again with the next.
    """
    isReading = port in port.reactor.getReaders()
    port.stopReading()
    port.startReading = partial(poller.addReader, port)
    port.stopReading = partial(poller.removeReader, port)
    if isReading:
        port.startReading()
