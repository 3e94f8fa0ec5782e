"""Channel of a connection under load: a socket, or TLS on a socket."""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import suppress

from echo_app.probe.load.pattern import CHUNK
from echo_app.probe.net.errors import ErrorKind, NetworkError, Reason
from echo_app.probe.net.tlsclient import RECORD, TLSClient, TLSState

# The option's number on most architectures, from asm-generic/socket.h; Python has no name for it. It has
# nine numbers, and the last is that of the datagrams that found the receive queue full (sock_diag(7)).
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("=9I")


class Plain:
    """A socket without TLS.

    :ivar end: the reason of the peer's end where ``recv`` returned no bytes.
    :ivar recv: receives as the socket does, without blocking.
    :ivar send: sends as many bytes as the kernel takes, without blocking; returns their number.
    """

    end = Reason(ErrorKind.FIN)

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.recv = sock.recv
        self.send = sock.send

    def halfClose(self) -> None:
        """Sends FIN.

        :raise OSError: when the connection is broken.
        """
        self.sock.shutdown(socket.SHUT_WR)

    @property
    def dropped(self) -> int:
        """The number of datagrams that found the receive queue full; 0 where the kernel has no count."""
        try:
            counts = _MEMINFO.unpack(self.sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))
        except (OSError, struct.error):
            return 0
        return int(counts[-1])


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
        """Receives about `size` bytes at the most, and decrypts all of them; returns none at the end.

        :raise BlockingIOError: when no byte has come.
        :raise OSError: when the connection is broken.
        """
        self._feed()
        data = self._client.readAll()
        if not data:
            if self._client.reason is None:
                raise BlockingIOError
            if self._client.reason != self.end:
                raise NetworkError(self._client.reason)
        return data

    def send(self, data: bytes | memoryview) -> int:
        """Encrypts and sends a record. Its bytes count as sent when the kernel has the whole record.

        :raise BlockingIOError: when the kernel has not; the caller sends the same bytes again.
        :raise OSError: when the connection is broken.
        """
        if not self._unsent:
            self._accepted = self._client.write(data[:RECORD])
        self._flush()
        return self._accepted

    def halfClose(self) -> None:
        """Sends ``close_notify``.

        :raise OSError: when the connection is broken.
        """
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


Channel = Plain | Encrypted
