"""Transports of the direct path: a server's transports that send at once, and are polled by a nested poller.

Where the results would differ, a transport takes Twisted's path: while bytes wait to be sent, and for good
after TLS, a pull producer (which only ``doWrite`` resumes), the end of the writing side, or an abort.
"""

from __future__ import annotations

import socket
import struct
from errno import ECONNRESET, ENOBUFS
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.logger import Logger
from twisted.python.failure import Failure

from echo_app.addresses import InternetAddress, internetAddress, scoped
from echo_app.transport.carrying import CarryingTransport
from echo_app.transport.poller import NestedPoller
from echo_app.transport.sockets import CountingUNIXServer

log = Logger()

# Bytes of one read. Half as many, Twisted's size, cost a quarter more for messages of 128 KiB. With twice as
# many, the allocator would return the memory to the kernel after each read (mallopt(3)).
READ = 128 * 1024

# SO_LINGER of zero seconds: a close is a reset.
_RESET = struct.pack("ii", 1, 0)


class DirectTransport(CarryingTransport):
    """A server's transport that sends written data at once, and is polled by a nested poller.

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

    def watchForReset(self) -> None:
        """Ends the connection at a reset of the peer, even while nothing is read or written."""
        self._poller.addWatch(self)

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
        if self._isEnding and not self._hasRest and not self._isInherited:
            # readConnectionLost closes it.
            self._waits = self.disconnecting = True
            return
        if self.connected and not self.disconnecting and not self.TLS:
            # Reading stops then: without this interest, the transport would leave the poller and come back.
            self.startWriting()
        super().loseConnection()

    def readConnectionLost(self, reason: Failure) -> None:
        """Tells the protocol of the end of its input; closes at once if no data wait for a close."""
        protocol = self.protocol
        if not IHalfCloseableProtocol.providedBy(protocol):
            # Twisted also looks for an adapter.
            super().readConnectionLost(reason)
            return
        self._isEnding = True
        try:
            protocol.readConnectionLost()
        except BaseException:
            log.failure("{protocol} failed at the end of its input", protocol=protocol)
            self.connectionLost(Failure())
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


class DirectServer(DirectTransport):
    """The direct path over TCP.

    :ivar error: the errno of the connection's first error; 0 without one.
    """

    error = 0
    readSize = READ

    def __init__(
        self, sock: Any, protocol: Any, client: Any, server: Any, sessionno: int, reactor: Any, *, poller: Any
    ) -> None:
        # Those of the base classes make texts and other objects that nothing needs here: 300 bytes and two
        # microseconds.
        FileDescriptor.__init__(self, reactor)
        sock.setblocking(False)
        self._poller = poller
        self._waits = False
        self.socket = sock
        self.protocol = protocol
        self.client = client
        self.server = server
        self.sessionno = sessionno
        poller.addReader(self)
        self.connected = 1

    def __repr__(self) -> str:
        where = f"on {self.getHost().port}" if self.fileno() >= 0 else "ended"
        return f"<{self.logPrefix()} #{self.sessionno} {where}>"

    def logPrefix(self) -> str:
        """Returns the name of the protocol's class."""
        return type(getattr(self, "protocol", self)).__name__

    @property
    def hostname(self) -> str:  # type: ignore[override]
        """The peer's host."""
        return str(self.client[0])

    @property
    def logstr(self) -> str:  # type: ignore[override]
        """The log prefix of Twisted's transports, which the poller does not use."""
        return f"{self.logPrefix()},{self.sessionno},{self.hostname}"

    def fileno(self) -> int:
        """Returns the descriptor; -1 when it is closed."""
        try:
            return self.socket.fileno()
        except AttributeError:
            return -1

    def getHost(self) -> InternetAddress:
        """Returns our address."""
        return internetAddress("TCP", *scoped(self.socket.getsockname()))

    def getPeer(self) -> InternetAddress:
        """Returns the peer's address."""
        client: tuple[Any, ...] = self.client
        return internetAddress("TCP", *client)

    def connectionLost(self, reason: Failure) -> None:
        """Closes the socket, and tells the protocol, and then the connection, of the end."""
        if not hasattr(self, "socket"):
            # As Twisted's, it may be called twice.
            return
        beforeClose = self.beforeClose
        if beforeClose is not None:
            # Breaks a cycle of references, too.
            self.beforeClose = None
            beforeClose()
        self.connected, self.disconnected = 0, 1
        # Twisted's own methods ignore what is asked of an ended connection.
        self._waits = True
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()
        self._poller.removeDescriptor(self)
        sock, protocol, connection = self.socket, self.protocol, self.connection
        del self.socket, self.protocol
        if isinstance(reason.value, ConnectionAborted):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        sock.close()
        try:
            protocol.connectionLost(reason)
        finally:
            if connection is not None:
                # Breaks the cycle of references between the two.
                self.connection = None
                connection.ended(reason)

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


class DirectUNIXServer(DirectTransport, CountingUNIXServer):
    """The direct path over a UNIX socket."""
