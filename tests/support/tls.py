"""A TLS peer that controls the contents of each segment, and tells the kinds of end apart."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress

from echo_app.tls.certificates import DEFAULT_GROUP, contexts, throwAway

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


def clientContext(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """Returns a context that trusts every server.

    :param version: the only version that it speaks; None is any.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def serverContext(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """Returns the context of a server with a throw-away certificate.

    :param version: the only version that it speaks; None is any.
    """
    context = contexts(throwAway())[DEFAULT_GROUP]
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def shake(
    server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Does a handshake in memory, and sends a byte to the client; returns the server's side and the client's.

    :param session: is offered to the server.
    :raise ssl.SSLError: when either side refuses the other.
    """
    toServer, toClient = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(toClient, toServer, session=session),
        server.wrap_bio(toServer, toClient, server_side=True),
    )
    while True:
        waiting = 0
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                waiting += 1
        if not waiting:
            # With its first bytes, a client of TLS 1.3 gets its session.
            ends[1].write(b"?")
            ends[0].read(1)
            return ends[1], ends[0]


class TLSPeer:
    """One side of a connection, on a connected socket. The caller closes the socket.

    :param context: None is a client's that trusts every server.
    :param session: a session of an earlier connection with the same context, which is offered to the server.
    :param isServer: it is the server's side.

    :ivar tls: Python's object of the connection.
    :ivar isShaken: the handshake is complete, by ``proceed``.
    :ivar isEnded: the server's ``close_notify`` has come.
    """

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext | None = None,
        session: ssl.SSLSession | None = None,
        *,
        isServer: bool = False,
    ) -> None:
        self.sock = sock
        self.isEnded = False
        self.isShaken = False
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = clientContext() if context is None else context
        self.tls = context.wrap_bio(self._incoming, self._outgoing, isServer, session=session)

    def shake(self) -> TLSPeer:
        """Does the handshake; returns this object.

        A socket that was reset before is a ConnectionError. Python's own ``wrap_socket`` may take it for one
        that is not connected yet, and leave it open.

        :raise ssl.SSLEOFError: when the peer ends the connection during the handshake.
        """
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.sock.sendall(self._outgoing.read())
                if not self._feed():
                    raise ssl.SSLEOFError("the end of the stream in the handshake") from None
            else:
                self.sock.sendall(self._outgoing.read())
                return self

    def hello(self) -> bytes:
        """Returns the first bytes of a handshake."""
        with suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self._outgoing.read()

    def proceed(self) -> bytes:
        """Receives, and returns the next bytes of the handshake, if there are any."""
        self._feed()
        with suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
            self.isShaken = True
        return self._outgoing.read()

    def sealed(self, data: bytes) -> bytes:
        """Returns the records that carry the data."""
        self.tls.write(data)
        return self._outgoing.read()

    def end(self) -> bytes:
        """Returns a ``close_notify``; no data can follow it."""
        with suppress(ssl.SSLError):
            self.tls.unwrap()
        return self._outgoing.read()

    def send(self, data: bytes) -> None:
        """Sends data."""
        self.sock.sendall(self.sealed(data))

    def receive(self, size: int) -> bytes:
        """Returns so many bytes, or fewer at the end of the stream."""
        received = bytearray()
        while len(received) < size:
            piece = self._receiveSome()
            if not piece:
                break
            received += piece
        return bytes(received)

    def receiveAll(self) -> bytes:
        """Returns the data until ``close_notify``, or until FIN."""
        received = bytearray()
        while piece := self._receiveSome():
            received += piece
        return bytes(received)

    def receiveRest(self) -> bytes:
        """Returns the bytes on the wire until FIN."""
        chunks = []
        while chunk := self.sock.recv(1 << 16):
            chunks.append(chunk)
        return b"".join(chunks)

    def _receiveSome(self) -> bytes:
        while True:
            try:
                piece = self.tls.read(1 << 16)
            except ssl.SSLWantReadError:
                if not self._feed():
                    return b""
            except ssl.SSLZeroReturnError:
                piece = b""
                self.isEnded = True
                return b""
            else:
                self.isEnded = not piece
                return piece

    def _feed(self) -> bool:
        data = self.sock.recv(1 << 16)
        self._incoming.write(data)
        return bool(data)
