"""TLS client without I/O: takes and returns encrypted bytes on one side, plain text on the other.

The states of a client::

    HANDSHAKING  --the handshake is complete----------------->  OPEN
    HANDSHAKING  --TLS fails, or the connection below ends--->  FAILED
    OPEN         --close_notify, or FIN without it----------->  ENDED
    OPEN         --TLS fails, or the connection below breaks->  FAILED

ENDED is the end of the peer's side alone: our side may still send. FAILED is the end of both sides. The end
of the connection below counts when all bytes before it have been read.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from enum import Enum

from echo_app.probe.net.errors import ErrorKind, Reason, reasonOf
from echo_app.probe.net.foreign import notTLS

# The most bytes of plain text in a record (RFC 8446, 5.1): one read returns a whole record.
RECORD = 1 << 14


# Bytes that tell whether a server speaks TLS.
_FIRST = 32


class TLSState(Enum):
    """State of a :class:`TLSClient`."""

    HANDSHAKING = "handshaking"
    OPEN = "open"
    ENDED = "ended"
    FAILED = "failed"


# A load compares the state for each message, and a look-up in an Enum class is slow.
_HANDSHAKING, _OPEN = TLSState.HANDSHAKING, TLSState.OPEN


class TLSClient:
    """TLS of one connection. A new client has the first bytes of its handshake ready to send.

    :param serverName: the name that the certificate must have.
    :param session: of an earlier connection with the same context, which is offered to the server.
    :ivar tls: Python's object of the connection: certificate, version, cipher and protocol.
    :ivar reason: why the client ended or failed; None before.
    """

    def __init__(
        self, context: ssl.SSLContext, serverName: str | None, session: ssl.SSLSession | None = None
    ) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=serverName, session=session
        )
        self.state = _HANDSHAKING
        self.reason: Reason | None = None
        self._below: Reason | None = None
        self._held = self._first = b""
        self._shake()

    def receive(self, data: bytes) -> None:
        """Takes bytes from the peer."""
        self._incoming.write(data)
        if self.state is _HANDSHAKING:
            self._first = self._first or data[:_FIRST]
            self._shake()

    def lose(self, reason: Reason) -> None:
        """Takes the end of the connection below: no more bytes come from the peer."""
        self._below = reason
        if self.state is _HANDSHAKING:
            self._shake()

    def toSend(self) -> bytes:
        """Removes and returns the encrypted bytes to send next."""
        return self._outgoing.read()

    def read(self, size: int = RECORD) -> bytes:
        """Returns plain text, `size` bytes at the most; none when all has been read."""
        if self._held:
            data, self._held = self._held[:size], self._held[size:]
            return data
        if self.state is not _OPEN:
            return b""
        try:
            data = self.tls.read(size)
        except ssl.SSLWantReadError:
            if self._below is not None:
                self._endBelow(self._below)
            return b""
        except ssl.SSLZeroReturnError:
            data = b""
        except ssl.SSLError as error:
            self._become(TLSState.FAILED, reasonOf(error))
            return b""
        if not data:
            self._become(TLSState.ENDED, Reason(ErrorKind.CLOSE_NOTIFY))
        return data

    def readAll(self) -> bytes:
        """Returns all plain text that has come; otherwise as :meth:`read`."""
        data = self.read()
        # A read that returns nothing costs as much as the read of a small record.
        if not (data and self._incoming.pending):
            return data
        parts = [data]
        while more := self.read():
            parts.append(more)
        return b"".join(parts)

    def write(self, data: bytes | memoryview) -> int:
        """Encrypts plain text; returns how many bytes of it were encrypted.

        :raise ssl.SSLError: when the client has failed, or its handshake is incomplete.
        """
        return self.tls.write(data)

    def end(self) -> None:
        """Ends our side by ``close_notify``. The peer's bytes can still be read."""
        # unwrap() also looks for the peer's close_notify, and fails for good when it finds unread data.
        self._held += self.readAll()
        with suppress(ssl.SSLError):
            self.tls.unwrap()

    def _shake(self) -> None:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            if self._below is not None:
                self._become(TLSState.FAILED, self._below.inHandshake)
        except ssl.SSLError as error:
            said = notTLS(self._first)
            self._become(TLSState.FAILED, Reason(ErrorKind.NO_TLS, said) if said else reasonOf(error))
        else:
            self.state = _OPEN

    def _endBelow(self, reason: Reason) -> None:
        """Ends the client by the end of the connection below: all bytes before that have been read."""
        if reason.kind is ErrorKind.FIN:
            # Bytes may be missing (RFC 8446, 6.1).
            self._become(TLSState.ENDED, Reason(ErrorKind.TRUNCATED))
        else:
            self._become(TLSState.FAILED, reason)

    def _become(self, state: TLSState, reason: Reason) -> None:
        self.state, self.reason = state, reason
