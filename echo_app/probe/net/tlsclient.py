"""TLS as a client, without I/O: takes and returns encrypted bytes on one side, plain text on the other.

Its states::

    HANDSHAKING  --the handshake is complete----------------->  OPEN
    HANDSHAKING  --TLS fails, or the connection below ends--->  FAILED
    OPEN         --close_notify, or FIN without it----------->  ENDED
    OPEN         --TLS fails, or the connection below breaks->  FAILED

ENDED is the end of the peer's side alone: ours may still send. FAILED is the end of both. The end of the
connection below counts when everything that came before it has been read.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from enum import Enum

from echo_app.probe.net.errors import ErrorKind, Reason, reasonOf

# Bytes of plain text in a record, at the most (RFC 8446, 5.1): one read has all of it.
RECORD = 1 << 14


class TLSState(Enum):
    """How far a :class:`TLSClient` is."""

    HANDSHAKING = "handshaking"
    OPEN = "open"
    ENDED = "ended"
    FAILED = "failed"


# Each message of a load compares the state, and a look-up in the class of an Enum is slow.
_HANDSHAKING, _OPEN = TLSState.HANDSHAKING, TLSState.OPEN


class TLSClient:
    """One connection's TLS. Its first bytes are there to be sent from the beginning.

    :param serverName: whom the certificate must name.
    :ivar tls: what Python calls the connection: its certificate, version, cipher and protocol.
    :ivar reason: why it has ended or failed; None before.
    """

    def __init__(self, context: ssl.SSLContext, serverName: str | None) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=serverName)
        self.state = _HANDSHAKING
        self.reason: Reason | None = None
        self._below: Reason | None = None
        self._held = b""
        self._shake()

    def receive(self, data: bytes) -> None:
        """Takes bytes from the peer."""
        self._incoming.write(data)
        if self.state is _HANDSHAKING:
            self._shake()

    def lose(self, reason: Reason) -> None:
        """Takes the end of the connection below, after which no bytes come from the peer."""
        self._below = reason
        if self.state is _HANDSHAKING:
            self._shake()

    def toSend(self) -> bytes:
        """Returns the bytes that the peer is to get next."""
        return self._outgoing.read()

    def read(self, size: int = RECORD) -> bytes:
        """Returns plain text, `size` bytes at the most; none where none is left."""
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
        """Returns all the plain text that there is; as :meth:`read` does."""
        data = self.read()
        # To ask once more, for nothing, would cost as much as to read a small record.
        if not (data and self._incoming.pending):
            return data
        parts = [data]
        while more := self.read():
            parts.append(more)
        return b"".join(parts)

    def write(self, data: bytes | memoryview) -> int:
        """Encrypts plain text; returns how many bytes of it.

        :raise ssl.SSLError: when it has failed, or is not open yet.
        """
        return self.tls.write(data)

    def end(self) -> None:
        """Ends our side by ``close_notify``. What has come, and comes, can still be read."""
        # OpenSSL fails for good when it finds records of data unread: unwrap() looks for the peer's end too.
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
            self._become(TLSState.FAILED, reasonOf(error))
        else:
            self.state = _OPEN

    def _endBelow(self, reason: Reason) -> None:
        """Everything that came before the end of the connection below has been read."""
        if reason.kind is ErrorKind.FIN:
            # Bytes may be missing (RFC 8446, 6.1).
            self._become(TLSState.ENDED, Reason(ErrorKind.TRUNCATED))
        else:
            self._become(TLSState.FAILED, reason)

    def _become(self, state: TLSState, reason: Reason) -> None:
        self.state, self.reason = state, reason
