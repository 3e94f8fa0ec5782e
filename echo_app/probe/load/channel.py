"""Channel of a connection under load: a socket, or TLS on a socket."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from typing import Protocol

from echo_app.probe.load.pattern import CHUNK
from echo_app.probe.net.errors import ErrorKind, NetworkError, Reason

# Bytes of a record (RFC 8446, section 5.1).
_RECORD = 1 << 14


class Channel(Protocol):
    """Interface of the bytes of a connection: a socket, or TLS on a socket."""

    sock: socket.socket

    def recv(self, size: int, /) -> bytes:
        """Returns some bytes, about `size` at the most; none at the end.

        :raise BlockingIOError: when no byte has come.
        :raise OSError: when the connection is broken.
        """

    def send(self, data: bytes | memoryview, /) -> int:
        """Sends as many bytes as the kernel takes; returns their number.

        :raise BlockingIOError: when it takes none; the caller sends the same bytes again.
        :raise OSError: when the connection is broken.
        """

    def halfClose(self) -> None:
        """Ends our side.

        :raise OSError: when the connection is broken.
        """


class Plain:
    """A socket without TLS."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.recv = sock.recv
        self.send = sock.send

    def halfClose(self) -> None:
        """Sends FIN."""
        self.sock.shutdown(socket.SHUT_WR)


class Encrypted:
    """TLS on a socket.

    :param serverName: the name that the certificate must have.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, serverName: str) -> None:
        self.sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=serverName)
        self._unsent = b""
        self._accepted = 0

    def shake(self) -> None:
        """Continues the handshake; returns at its end.

        :raise BlockingIOError: when it waits for the peer.
        :raise OSError: when it fails.
        """
        with suppress(BlockingIOError):
            self._feed()
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            raise BlockingIOError from None
        self._flush()

    def recv(self, size: int) -> bytes:
        """Receives bytes, and decrypts all of them."""
        self._feed()
        parts = []
        with suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            try:
                while part := self._tls.read(size):
                    parts.append(part)
            except ssl.SSLEOFError:
                if not parts:
                    raise NetworkError(Reason(ErrorKind.TRUNCATED)) from None
        data = b"".join(parts)
        if not data and not self._isEnded():
            raise BlockingIOError
        return data

    def _isEnded(self) -> bool:
        try:
            return not self._tls.read(1)
        except ssl.SSLZeroReturnError:
            return True
        except ssl.SSLWantReadError:
            return False

    def send(self, data: bytes | memoryview) -> int:
        """Encrypts and sends a record. Its bytes count as sent when the kernel has the whole record."""
        if not self._unsent:
            self._accepted = self._tls.write(data[:_RECORD])
            self._unsent = self._outgoing.read()
        self._flush()
        return self._accepted

    def halfClose(self) -> None:
        """Sends ``close_notify``."""
        # unwrap() wants to read the peer's close_notify: recv() does that.
        with suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        self._flush()

    def _feed(self) -> None:
        data = self.sock.recv(CHUNK)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self) -> None:
        self._unsent += self._outgoing.read()
        while self._unsent:
            self._unsent = self._unsent[self.sock.send(self._unsent) :]
