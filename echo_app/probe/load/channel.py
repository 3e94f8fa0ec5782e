"""Channel of a connection under load: a socket, or TLS on a socket."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from typing import Protocol

from echo_app.probe.load.pattern import CHUNK
from echo_app.probe.net.errors import ErrorKind, NetworkError, Reason
from echo_app.probe.net.tlsclient import RECORD, TLSClient, TLSState


class Channel(Protocol):
    """Interface of the bytes of a connection: a socket, or TLS on a socket.

    :ivar end: the reason of the peer's end where :meth:`recv` returned no bytes.
    """

    sock: socket.socket
    end: Reason

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

    end = Reason(ErrorKind.FIN)

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

    # Any other end of the peer's side is an error (RFC 8446, 6.1).
    end = Reason(ErrorKind.CLOSE_NOTIFY)

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, serverName: str) -> None:
        self.sock = sock
        self._client = TLSClient(context, serverName)
        self._unsent = b""
        self._accepted = 0

    def shake(self) -> None:
        """Continues the handshake; returns at its end.

        :raise BlockingIOError: when it waits for the peer.
        :raise OSError: when it fails.
        """
        if self._client.state is TLSState.HANDSHAKING:
            with suppress(BlockingIOError):
                self._feed()
        if self._client.reason is not None:
            raise NetworkError(self._client.reason)
        self._flush()
        if self._client.state is TLSState.HANDSHAKING:
            raise BlockingIOError

    def recv(self, size: int) -> bytes:
        """Receives bytes, and decrypts all of them."""
        self._feed()
        data = self._client.readAll()
        if not data:
            if self._client.reason is None:
                raise BlockingIOError
            if self._client.reason != self.end:
                raise NetworkError(self._client.reason)
        return data

    def send(self, data: bytes | memoryview) -> int:
        """Encrypts and sends a record. Its bytes count as sent when the kernel has the whole record."""
        if not self._unsent:
            self._accepted = self._client.write(data[:RECORD])
        self._flush()
        return self._accepted

    def halfClose(self) -> None:
        """Sends ``close_notify``."""
        self._client.end()
        self._flush()

    def _feed(self) -> None:
        data = self.sock.recv(CHUNK)
        if data:
            self._client.receive(data)
        else:
            self._client.lose(Plain.end)

    def _flush(self) -> None:
        self._unsent += self._client.toSend()
        while self._unsent:
            self._unsent = self._unsent[self.sock.send(self._unsent) :]
