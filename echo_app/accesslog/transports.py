"""Transports that write an entry of the access log at the end of their connection.

A listener makes a transport for each connection: Twisted's, or that of the direct path. The subclass in this
module adds a record and overrides only the end, so the path of a byte costs nothing more. Before the
transport closes the socket, it asks the kernel for its counts. A UNIX socket's transport counts its bytes
itself, and the service's own TLS counts the bytes inside TLS.
"""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from termios import FIONREAD
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ISSLTransport
from twisted.logger import Logger
from twisted.python.failure import Failure

from echo_app.accesslog.fields import readerOf
from echo_app.accesslog.recorder import Recorder, Values
from echo_app.addresses import describe
from echo_app.connections.record import ConnectionRecord, Ending, UpstreamFacts, recordOf
from echo_app.proxy.vectors import ProxyFacts, proxyFactsOf
from echo_app.tls.facts import TLSFacts, listenerKindOf, tlsFactsOf
from echo_app.transport.carrying import CarryingTransport
from echo_app.transport.layer import bottomOf, topOf
from echo_app.transport.sockets import isUNIX, listenedHostOf, proxyOf, queued
from echo_app.transport.tcpinfo import TCPInfo

if TYPE_CHECKING:
    from echo_app.connections.connection import Connection

log = Logger()

# Errors of a read and of a write after a reset by the peer.
_RESETS = (errno.ECONNRESET, errno.EPIPE)

_tcpValues, _tlsFactsValues, _proxyFactsValues, _upstreamFactsValues = map(
    readerOf, (TCPInfo, TLSFacts, ProxyFacts, UpstreamFacts)
)


class _Recorded(CarryingTransport):
    """Writes the entry of a stream connection at its end. Each listener has a subclass.

    :cvar recorder: makes the record and writes the entry.
    :cvar listener: the values of ``transport`` and ``listener``.
    """

    recorder: ClassVar[Recorder]
    listener: ClassVar[Values]
    record: ConnectionRecord | None = None
    _isEndRead = False

    def __init__(self, *arguments: Any, **more: Any) -> None:
        self.record = self.recorder.begin()
        super().__init__(*arguments, **more)

    def readConnectionLost(self, reason: Failure) -> None:
        """Notes that the peer's end of stream was read."""
        self._isEndRead = True
        # Inside the service's own TLS, the end of the stream is close_notify, which the TLS layer notes.
        if self.record is not None and self.record.plain is None and not self.disconnecting:
            self.record.isPeerEnded = True
        super().readConnectionLost(reason)

    def connectionLost(self, reason: Failure) -> None:
        """Writes the entry, and closes the socket."""
        record = self.record
        if record is not None:
            try:
                self._write(record, reason)
            except Exception:
                log.failure("the access log's entry of a connection is not written")
            self.record = None
        super().connectionLost(reason)

    def _write(self, record: ConnectionRecord, reason: Failure) -> None:
        if self.recorder.refusals.take(record, self.listener):
            return
        sock = self.getHandle()
        values = {
            **self.listener,
            **_connectionValues(self.connection),
            "peer": describe(self.getPeer()),
            "proxy": proxyOf(self),
            **_tlsValues(self.protocol),
            **_proxyValues(self),
            **_upstreamValues(record),
        }
        error = None
        if isUNIX(sock):
            counting: Any = self
            unread = queued(sock, FIONREAD)
            self._count(values, record, counting.received + unread, counting.written)
            values["bytes_unread"] = unread
        else:
            error = self._askKernel(values, record, sock, _isLost(reason))
        _end(record, reason, error)
        self.recorder.write(record, values)

    def _askKernel(
        self, values: Values, record: ConnectionRecord, sock: socket.socket, isLost: bool
    ) -> int | None:
        """Adds the kernel's values; returns the connection's first error, 0 for none, None if unknown."""
        info = TCPInfo.of(sock)
        error: int | None = getattr(self, "error", 0) or sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        # Twisted's own transport reads the error and does not keep it.
        error = None if isLost and not error else error
        received = info.streamIn(self._isEndRead, error)
        sent, unacknowledged = info.streamOut(self._writeDisconnected)
        self._count(values, record, received, sent)
        values.update(_tcpValues(info), bytes_unacknowledged=unacknowledged)
        return error

    def _count(self, values: Values, record: ConnectionRecord, received: int, sent: int) -> None:
        """Adds the byte counts of the stream, and over TLS those of the connection below TLS."""
        plain = record.plain
        isTLS = plain is not None or ISSLTransport.providedBy(self.protocol)
        if isTLS:
            values.update(wire_in=received, wire_out=sent)
        if plain is not None:
            received, sent = plain.received, plain.sent
        if plain is not None or not isTLS:
            values.update(bytes_in=received - record.prefix, bytes_out=sent - record.greeting)


class UnknownTransports:
    """Writes entries, without byte counts, for connections over a transport of another make.

    :param recorder: makes the records and writes the entries.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def began(self, transport: Any) -> None:
        """Gives a connection a record, if it has none and its transport has room for one."""
        if recordOf(transport) is None:
            with suppress(AttributeError):
                bottomOf(transport).record = self._recorder.begin()

    def ended(self, connection: Connection, reason: Failure) -> None:
        """Writes the entry of a connection that still has a record: no transport of ours wrote one."""
        transport = connection.transport
        record = recordOf(transport)
        if record is not None:
            _end(record, reason, None)
            _, top = topOf(transport)
            self._recorder.write(
                record,
                {
                    "transport": listenerKindOf(top),
                    "listener": describe(listenedHostOf(transport)),
                    "peer": describe(transport.getPeer()),
                    **_connectionValues(connection),
                    **_tlsValues(top),
                    **_proxyValues(transport),
                    **_upstreamValues(record),
                },
            )


def _connectionValues(connection: Connection | None) -> Values:
    """Returns what the connection knows; a refused one does not exist."""
    return {} if connection is None else {"number": connection.number or None, "user": connection.user}


def _tlsValues(transport: object) -> Values:
    facts = tlsFactsOf(transport)
    return {} if facts is None else _tlsFactsValues(facts)


def _proxyValues(transport: object) -> Values:
    facts = proxyFactsOf(transport)
    return {} if facts is None else _proxyFactsValues(facts)


def _upstreamValues(record: ConnectionRecord) -> Values:
    facts = record.upstream
    if facts is None:
        return {}
    facts.look()
    return _upstreamFactsValues(facts)


def _end(record: ConnectionRecord, reason: Failure, error: int | None) -> None:
    """Notes why a connection ended, unless the record has a reason already."""
    if isinstance(reason.value, (ConnectionDone, ConnectionAborted)):
        record.end(Ending.FIN if record.isPeerEnded else Ending.CLOSED)
    elif _isLost(reason):
        if error in (None, 0, *_RESETS):
            record.end(Ending.RESET)
        else:
            record.end(Ending.TIMEOUT, errno.errorcode.get(error, str(error)))
    else:
        assert reason.type is not None
        record.end(Ending.ERROR, reason.type.__name__)


def _isLost(reason: Failure) -> bool:
    """Says whether an error ended a connection; an abort by the service is a ConnectionLost, but no error."""
    return isinstance(reason.value, ConnectionLost) and not isinstance(reason.value, ConnectionAborted)


def recordedTransport(kind: type, recorder: Recorder, name: str, address: str) -> type:
    """Returns a subclass of a class of transports, which writes an entry at the end of each connection.

    :param recorder: makes the records and writes the entries.
    :param name: the listener's name, such as ``tcp``.
    :param address: the address where the port listens.
    """
    members = {"recorder": recorder, "listener": {"transport": name, "listener": address}}
    return type(f"Recorded{kind.__name__}", (_Recorded, kind), members)
