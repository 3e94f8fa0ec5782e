"""TLS client on a wire: tells ``close_notify`` from a bare FIN, and ends its two sides separately."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from functools import lru_cache

from twisted.internet.defer import Deferred

from echo_app.probe.net.errors import ErrorKind, NetworkError, Reason, reasonOf
from echo_app.probe.net.wire import CHUNK, Wire
from echo_app.targets import ClientTLS


class TLSWire:
    """TLS connection on a :class:`Wire`, with the same methods.

    :param serverName: the name that the certificate must have.
    :ivar tls: Python's object of the connection: certificate, version, cipher and protocol.
    :ivar end: of the peer's side; after a FIN without ``close_notify`` bytes may be missing
        (RFC 8446, 6.1).
    """

    def __init__(self, wire: Wire, context: ssl.SSLContext, serverName: str | None) -> None:
        self._wire = wire
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=serverName)
        self._isLast = False
        self.end: Reason | None = None

    @property
    def sock(self) -> socket.socket:
        """The socket below."""
        return self._wire.sock

    @property
    def isCut(self) -> bool:
        """Whether sending has ended."""
        return self._isLast or self._wire.isCut

    @property
    def unsent(self) -> int:
        """Encrypted bytes that the kernel has not taken yet."""
        return self._wire.unsent

    async def shake(self) -> None:
        """Does the handshake.

        :raise NetworkError: when it fails, or the peer ends it.
        """
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                if not await self._feed() and self._wire.end is not None:
                    raise NetworkError(self._wire.end.inHandshake) from None
            except ssl.SSLError as error:
                raise NetworkError(reasonOf(error)) from error
            else:
                self._flush()
                return

    def read(self, size: int = CHUNK) -> Deferred[bytes]:
        """Fires with some bytes, `size` at the most; with none at the end, and then :attr:`end` says how."""
        return Deferred.fromCoroutine(self._read(size))

    async def _read(self, size: int) -> bytes:
        while self.end is None:
            try:
                data = self.tls.read(size)
            except ssl.SSLWantReadError:
                self._flush()
                if not await self._feed():
                    fin = Reason(ErrorKind.FIN)
                    self.end = Reason(ErrorKind.TRUNCATED) if self._wire.end == fin else self._wire.end
            except ssl.SSLZeroReturnError:
                self.end = Reason(ErrorKind.CLOSE_NOTIFY)
            except ssl.SSLError as error:
                self.end = reasonOf(error)
            else:
                if data:
                    return data
                self.end = Reason(ErrorKind.CLOSE_NOTIFY)
        return b""

    def write(self, data: bytes, last: bool = False) -> None:
        """Sends what the kernel takes now, and the rest when it takes more.

        :param last: ``close_notify`` follows, without a FIN.
        """
        if self.isCut:
            return
        self._isLast = last
        if data:
            self.tls.write(data)
        if last:
            # unwrap() wants to read the peer's close_notify: read() does that.
            with suppress(ssl.SSLError):
                self.tls.unwrap()
        self._flush()

    def drained(self) -> Deferred[None]:
        """Fires when the kernel has taken everything, or will take nothing any more."""
        return self._wire.drained()

    def close(self) -> Deferred[None]:
        """Closes in both directions, after ``close_notify``; fires when the descriptor is free."""
        self.write(b"", True)
        return self._wire.close()

    def abort(self) -> Deferred[None]:
        """Resets; fires when the descriptor is free."""
        return self._wire.abort()

    def _flush(self) -> None:
        self._wire.write(self._outgoing.read())

    async def _feed(self) -> bool:
        data = await self._wire.read()
        self._incoming.write(data)
        return bool(data)


@lru_cache(maxsize=64)
def contextOf(options: ClientTLS) -> ssl.SSLContext:
    """Returns the context of a client.

    :raise OSError: when a file can't be read, or (``ssl.SSLError``) used.
    """
    context = ssl.create_default_context(cafile=options.authority)
    if options.isInsecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if options.certificate is not None:
        # An encrypted key would ask for its password on the terminal.
        context.load_cert_chain(options.certificate, options.key, password="")
    if options.protocols:
        context.set_alpn_protocols(list(options.protocols))
    return context
