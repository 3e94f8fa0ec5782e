"""Connected socket that reads and writes exactly as asked, and knows how its peer ended.

Twisted's endpoints make the connection. Their transport then stands aside, until it closes the socket: it
reads ahead, writes in the reactor's next turn, and forgets which error ended a connection, all of which a
probe wants to know.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from echo_app.probe.net.errors import ErrorKind, Reason, reasonOfNumber

# As much as one read takes at the most.
CHUNK = 1 << 16


class WireProtocol(Protocol):
    """The protocol of a connection whose socket is a :class:`Wire`'s.

    :ivar wire: from ``connectionMade`` on; None where the transport is more than a socket, and is left.
    :ivar gone: fires when the transport has closed the socket.
    """

    wire: Wire | None = None

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.gone: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        """Makes a wire of the socket."""
        transport: Any = self.transport
        if isinstance(transport.getHandle(), socket.socket):
            self.wire = Wire(self._reactor, self)
        else:
            transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Ends the wire: the transport has closed the socket."""
        if self.wire is not None:
            self.wire.forget()
        self.gone.callback(None)


@implementer(IReadWriteDescriptor)
class Wire:
    """Reads and writes the socket of a connection.

    There is one read at a time, and no read ahead, so that the kernel applies back-pressure.

    :param reactor: an ``IReactorFDSet``.
    :param protocol: of the connection, which has just been made.
    :ivar sock: the socket, for options and ``TCP_INFO``. Don't read it, write it or close it.
    :ivar end: of the peer's side; None while it is open, as far as it was read.
    :ivar isCut: sending has ended.
    """

    def __init__(self, reactor: Any, protocol: WireProtocol) -> None:
        self._reactor = reactor
        self._protocol = protocol
        transport: Any = protocol.transport
        self._transport = transport
        self._buffer = bytearray()
        self._wanted = 0
        self._reading: Deferred[bytes] | None = None
        self._draining: list[Deferred[None]] = []
        self._isLast = False
        self._isLeft = False
        self._error = 0
        self.end: Reason | None = None
        self.isCut = False
        transport.stopReading()
        self.sock: socket.socket = transport.getHandle()
        self.isTCP = self.sock.family in (socket.AF_INET, socket.AF_INET6)
        if self.isTCP:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fileno(self) -> int:
        """Returns the descriptor; -1 when it is closed."""
        return self.sock.fileno()

    def logPrefix(self) -> str:
        """Returns the prefix of log lines."""
        return "probe"

    def read(self, size: int = CHUNK) -> Deferred[bytes]:
        """Fires with some bytes, `size` at the most; with none at the end, and then :attr:`end` says how.

        Cancelling it leaves the bytes in the kernel.
        """
        self._wanted = min(size, CHUNK)
        waiting: Deferred[bytes] = Deferred(self._cancelled)
        self._reading = waiting
        if self.end is not None or self._isLeft:
            self._answer(b"")
        else:
            self._reactor.addReader(self)
        return waiting

    def write(self, data: bytes, last: bool = False) -> None:
        """Sends what the kernel takes now, and the rest when it takes more.

        :param last: FIN follows; over TCP in the same segment.
        """
        if self.isCut or self._isLast or self._isLeft:
            return
        self._isLast = last
        sent = self._send(data) if data and not self._buffer else 0
        if not self.isCut:
            self._buffer += data[sent:]
            self._sendRest()

    def drained(self) -> Deferred[None]:
        """Fires when the kernel has taken everything, or will take nothing any more."""
        waiting: Deferred[None] = Deferred(self._draining.remove)
        self._draining.append(waiting)
        self._answerDrained()
        return waiting

    @property
    def unsent(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return len(self._buffer)

    def close(self) -> Deferred[None]:
        """Closes in both directions; fires when the descriptor is free."""
        return self._leave(self._transport.loseConnection)

    def abort(self) -> Deferred[None]:
        """Resets; fires when the descriptor is free."""
        return self._leave(self._transport.abortConnection)

    def doRead(self) -> None:
        """Reads for the pending read. The reactor calls it."""
        try:
            data = self.sock.recv(self._wanted)
        except BlockingIOError:
            return
        except OSError as error:
            self._cut(error.errno)
            data = b""
        if not data:
            self.end = reasonOfNumber(self._error) if self._error else Reason(ErrorKind.FIN)
        self._answer(data)

    def doWrite(self) -> None:
        """Sends buffered bytes. The reactor calls it."""
        del self._buffer[: self._send(self._buffer)]
        if not self.isCut:
            self._sendRest()

    def connectionLost(self, reason: Failure) -> None:
        """Ends sending: the reactor has seen the end in both directions, and watches no more.

        Bytes that came before the end can still be read.
        """
        self._cut(self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        if self._reading is not None:
            self._reactor.addReader(self)

    def forget(self) -> None:
        """Ends reading and writing, and fires the Deferreds that wait."""
        self._cut(None)
        self._answer(b"")

    def _send(self, data: bytes | bytearray) -> int:
        try:
            return self.sock.send(data, socket.MSG_MORE if self._isLast and self.isTCP else 0)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._cut(error.errno)
            return 0

    def _sendRest(self) -> None:
        if self._buffer:
            self._reactor.addWriter(self)
            return
        self._reactor.removeWriter(self)
        if self._isLast:
            try:
                self.sock.shutdown(socket.SHUT_WR)
            except OSError as error:
                # The kernel knows no connection any more; reading says how it ended.
                self.isCut = error.errno == errno.ENOTCONN
        self._answerDrained()

    def _cut(self, number: int | None) -> None:
        """Ends sending. The kernel reports an error once: it is kept for the read of the end."""
        self._error = self._error or number or 0
        self.isCut = True
        self._buffer.clear()
        if self.fileno() >= 0:
            self._reactor.removeWriter(self)
        self._answerDrained()

    def _answer(self, data: bytes) -> None:
        waiting, self._reading = self._reading, None
        if waiting is not None:
            waiting.callback(data)
        self._readNoMore()

    def _cancelled(self, waiting: Deferred[bytes]) -> None:
        self._reading = None
        self._readNoMore()

    def _readNoMore(self) -> None:
        if self._reading is None and self.fileno() >= 0:
            self._reactor.removeReader(self)

    def _answerDrained(self) -> None:
        if not self._buffer:
            waiting, self._draining = self._draining, []
            for each in waiting:
                each.callback(None)

    def _leave(self, leave: Any) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self._protocol.gone.addBoth(lambda result: done.callback(None))
        if not self._isLeft:
            self._isLeft = True
            self.forget()
            leave()
        return done
