"""Connections that are recorded, at no cost on the path of a byte.

The transport that a listener makes for each connection is Twisted's, or the direct path's, with a record and
with its end overridden: before the socket is closed, the kernel is asked what went over it. A UNIX socket's
transport counts for itself, and our TLS what is inside of it.
"""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from termios import FIONREAD
from typing import Any, ClassVar

from twisted.internet import tcp
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ISSLTransport
from twisted.logger import Logger
from twisted.python.failure import Failure

from echo_app.accesslog.recorder import Recorder, Values
from echo_app.addresses import describe, transportName
from echo_app.connections.record import ConnectionRecord, Ending, recordOf
from echo_app.tls.facts import tlsFactsOf
from echo_app.transport.layer import bottomOf
from echo_app.transport.sockets import queued
from echo_app.transport.tcpinfo import TCPInfo

log = Logger()

# What a reset by the peer is to whoever reads, or writes.
_RESETS = (errno.ECONNRESET, errno.EPIPE)


class _Recorded(tcp.Server):
    """The end of any stream transport, and what is known of it then; a class for each listener.

    :cvar recorder: writes it down.
    :cvar listener: what the listener is called, and where it listens.
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
        # What that means inside of our TLS is known there.
        if self.record is not None and self.record.plain is None and not self.disconnecting:
            self.record.isPeerEnded = True
        super().readConnectionLost(reason)

    def connectionLost(self, reason: Failure) -> None:
        """Writes the record, and closes the socket."""
        record = self.record
        if record is not None:
            try:
                self._write(record, reason)
            except Exception:
                log.failure("a connection's record is not written")
            self.record = None
        super().connectionLost(reason)

    def _write(self, record: ConnectionRecord, reason: Failure) -> None:
        sock = self.getHandle()
        own, shown = type(self).getPeer(self), self.getPeer()
        values = {
            **self.listener,
            "peer": describe(shown),
            "proxy": None if own == shown else describe(own),
            **_tlsValues(self.protocol),
        }
        error = None
        if sock.family == socket.AF_UNIX:
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
        """Adds what the kernel knows; returns the connection's first error, 0 for none, None if unknown."""
        info = TCPInfo.of(sock)
        error: int | None = getattr(self, "error", 0) or sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        # Twisted's own path keeps it to itself.
        error = None if isLost and not error else error
        received = info.streamIn(self._isEndRead, error)
        sent, unacknowledged = info.streamOut(self._writeDisconnected)
        self._count(values, record, received, sent)
        values.update(
            bytes_unread=info.unread,
            bytes_unacknowledged=unacknowledged,
            rtt_us=info.rtt,
            rttvar_us=info.rttvar,
            retransmits=info.retransmits,
            lost=info.lost,
            delivery_rate=info.deliveryRate,
            segments_in=info.segmentsIn,
            segments_out=info.segmentsOut,
        )
        return error

    def _count(self, values: Values, record: ConnectionRecord, received: int, sent: int) -> None:
        """Adds the bytes of the stream, and those of the connection below it where they are others."""
        plain = record.plain
        isTLS = plain is not None or ISSLTransport.providedBy(self.protocol)
        if isTLS:
            values.update(wire_in=received, wire_out=sent)
        if plain is not None:
            received, sent = plain.received, plain.sent
        if plain is not None or not isTLS:
            values.update(bytes_in=received - record.prefix, bytes_out=sent - record.greeting)


class UnknownTransports:
    """Records connections that no transport of ours is below: whose, when, and why they ended.

    :param recorder: writes it down.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def began(self, transport: Any) -> None:
        """Gives a connection a record if it has none, and its transport takes one."""
        if recordOf(transport) is None:
            with suppress(AttributeError):
                bottomOf(transport).record = self._recorder.begin()

    def ended(self, transport: Any, reason: Failure) -> None:
        """Writes that record; any other one is written by now."""
        record = recordOf(transport)
        if record is not None:
            host = transport.getHost()
            _end(record, reason, None)
            self._recorder.write(
                record,
                {
                    "transport": transportName(host),
                    "listener": describe(host),
                    "peer": describe(transport.getPeer()),
                    **_tlsValues(transport),
                },
            )


def _tlsValues(transport: object) -> Values:
    facts = tlsFactsOf(transport)
    if facts is None:
        return {}
    return {
        "tls_version": facts.version,
        "tls_cipher": facts.cipher,
        "tls_alpn": facts.protocol,
        "tls_subject": facts.subject,
    }


def _end(record: ConnectionRecord, reason: Failure, error: int | None) -> None:
    """Says why a connection ended, if nobody has."""
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
    """Says whether a connection ended by an error; an abort, which Twisted takes for one, is ours."""
    return isinstance(reason.value, ConnectionLost) and not isinstance(reason.value, ConnectionAborted)


def recordedTransport(kind: type, recorder: Recorder, name: str, address: str) -> type:
    """Returns a class of transports that record their connections, derived from another class.

    :param name: the listener's name, such as ``tcp``.
    :param address: where it listens.
    """
    members = {"recorder": recorder, "listener": {"transport": name, "listener": address}}
    return type(f"Recorded{kind.__name__}", (_Recorded, kind), members)
