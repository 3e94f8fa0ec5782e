"""Direct path: transports that send at once, and are polled by a nested epoll.

The textbook echo spends six system calls and ten microseconds of Python on a message. The answer waits for a
turn of the reactor, which starts and stops polling for the write, and sets up a log context for every event.
A :class:`DirectServer` sends written data at once, as far as the kernel takes them. A
:class:`~echo_app.transport.poller.NestedPoller` polls it. Both use only public interfaces. :func:`direct`
puts the direct path below the connections of a listening port, which behave as before.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import ECONNRESET, ENOBUFS
from functools import partial
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python.failure import Failure

from echo_app.transport.acceptor import acceptWaiting
from echo_app.transport.carrying import CarryingTransport
from echo_app.transport.poller import HAS_EPOLL, NestedPoller
from echo_app.transport.sockets import CountingUNIXServer

# Bytes of one read. Half as many, Twisted's size, cost a quarter more for messages of 128 KiB. With twice as
# many, the allocator would return the memory to the kernel after each read (mallopt(3)).
READ = 128 * 1024


class _DirectTransport(CarryingTransport):
    """A server's transport that sends written data at once, and is polled by a nested poller.

    Where the results would differ, the transport takes the inherited path: while bytes wait to be sent, and
    for good after TLS, a pull producer (which only ``doWrite`` resumes), the end of the writing side, or an
    abort.

    :ivar _waits: data written now are left to ``doWrite``.
    :ivar _hasRest: data may have been left to ``doWrite``.
    :ivar _isInherited: all further data are left to ``doWrite``.
    :ivar _isEnding: the protocol is being told of the end of its input.
    :ivar _startsLater: data written meanwhile wait for the end of that call.
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
        """Sends as much of the data as the kernel takes, and the rest when the kernel takes more."""
        if self._waits or not data or type(data) is not bytes:
            self._hasRest = True
            super().write(data)
            return
        sent = self.writeSomeData(data)
        if sent != len(data):
            # doWrite finds an error again, under the reactor's rules for errors.
            self._hasRest = True
            super().write(data[sent:] if isinstance(sent, int) else data)

    def writeSequence(self, iovec: Any) -> None:
        """Joins the data, and sends them."""
        if self._waits or any(type(data) is not bytes for data in iovec):
            self._hasRest = True
            super().writeSequence(iovec)
        else:
            self.write(b"".join(iovec))

    def startReading(self) -> None:
        """Starts waiting for input."""
        self._poller.addReader(self)

    def stopReading(self) -> None:
        """Stops waiting for input."""
        self._poller.removeReader(self)

    def startWriting(self) -> None:
        """Starts waiting for room to write."""
        self._waits = True
        if self._isEnding:
            self._startsLater = True
        else:
            self._poller.addWriter(self)

    def stopWriting(self) -> None:
        """Stops waiting for room to write: all data are sent or lost."""
        self._hasRest = self._startsLater = False
        self._waits = bool(self._isInherited or self.disconnecting or not self.connected)
        self._poller.removeWriter(self)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Registers a producer; a pull producer ends the direct path."""
        if not streaming:
            self._inherit()
        super().registerProducer(producer, streaming)

    def startTLS(self, ctx: Any, normal: bool = True) -> None:
        """Starts TLS, which ends the direct path."""
        self._inherit()
        super().startTLS(ctx, normal)

    def loseConnection(self) -> None:
        """Closes the connection when all data are sent."""
        if self.connected and not self.disconnecting and not self.TLS:
            # Reading stops then: without this interest, the transport would leave the poller and come back.
            self.startWriting()
        super().loseConnection()

    def readConnectionLost(self, reason: Failure) -> None:
        """Tells the protocol of the end of its input; closes at once if no data wait for a close."""
        self._isEnding = True
        super().readConnectionLost(reason)
        self._isEnding = False
        if self._isDone:
            self.connectionLost(reason)
        elif self._startsLater:
            self.startWriting()

    def loseWriteConnection(self) -> None:
        """Ends the stream to the peer when all data are sent."""
        self._inherit()
        super().loseWriteConnection()

    def abortConnection(self) -> None:
        """Resets the connection."""
        self._inherit()
        super().abortConnection()

    @property
    def _isDone(self) -> bool:
        """Returns whether a close waits for no data any more."""
        isClosing = self.connected and self.disconnecting and self.producer is None
        return bool(isClosing and not (self._hasRest or self.TLS))

    def _inherit(self) -> None:
        self._waits = self._isInherited = True


class DirectServer(_DirectTransport):
    """The direct path over TCP.

    :ivar error: the errno of the connection's first error; 0 without one.
    """

    error = 0
    readSize = READ

    def doRead(self) -> Any:
        """Reads input, and passes it to the protocol."""
        try:
            data = self.socket.recv(self.readSize)
        except BlockingIOError:
            return None
        except OSError as error:
            self.error = self.error or error.errno or 0
            return CONNECTION_LOST
        if not data:
            # A send took the error of a reset: a read finds an end of the stream then, which is none.
            return CONNECTION_LOST if self.error == ECONNRESET else CONNECTION_DONE
        self.protocol.dataReceived(data)
        return None

    def doWrite(self) -> Any:
        """Sends the rest of the data, and closes the connection if that is asked for.

        With nothing to send, the inherited method sends nothing, and takes the peer's reset for a loss. Over
        TLS, a peer that has left answers our ``close_notify`` by a reset.
        """
        return CONNECTION_DONE if self._isDone else super().doWrite()

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


# By the transport class of a port of Twisted's: the class for the direct path, and the class without it.
_TRANSPORTS: dict[object, tuple[type[tcp.Server], type[tcp.Server]]] = {
    tcp.Server: (DirectServer, CarryingTransport),
    unix.Server: (DirectUNIXServer, CountingUNIXServer),
}


def direct(port: Any) -> bool:
    """Puts the direct path below the connections that a listening port accepts from now on.

    :param port: the port that ``listenTCP``, ``listenUNIX`` or an endpoint's ``listen`` returned.
    :return: whether it applies: epoll is required, and a port with transports of Twisted's own.
    """
    return HAS_EPOLL and setTransport(port, isDirect=True)


def setTransport(port: Any, *, isDirect: bool, derive: Callable[[type], type] = lambda kind: kind) -> bool:
    """Chooses the transport class for the connections that a listening port accepts from now on, once.

    :param isDirect: the connections take the direct path, where there is epoll.
    :param derive: returns the class to use, derived from the chosen one.
    :return: whether it applies: it requires a port with transports of Twisted's own.
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
        port.doRead = partial(acceptWaiting, port)
    return True


def _move(port: Any, poller: NestedPoller) -> None:
    """Moves a listening port from the reactor to the poller of its connections.

    Otherwise the poller would leave the reactor with the last connection, and join it again with the next.
    """
    isReading = port in port.reactor.getReaders()
    port.stopReading()
    port.startReading = partial(poller.addReader, port)
    port.stopReading = partial(poller.removeReader, port)
    if isReading:
        port.startReading()
