"""TLS client on a wire: tells ``close_notify`` from a bare FIN, and ends its two sides separately."""

from __future__ import annotations

import socket
import ssl
from functools import lru_cache

from twisted.internet.defer import Deferred

from echo_app.probe.net.errors import ErrorKind, NetworkError, Reason
from echo_app.probe.net.tlsclient import TLSClient, TLSState
from echo_app.probe.net.wire import CHUNK, Wire
from echo_app.targets import ClientTLS

# The caller closed the wire during a read.
_CLOSED = Reason(ErrorKind.OTHER, "closed")


class TLSWire:
    """TLS connection on a :class:`Wire`, with the same methods.

    :param serverName: the name that the certificate must have.
    :ivar end: of the peer's side; None while it is open, as far as it was read.
    """

    def __init__(self, wire: Wire, context: ssl.SSLContext, serverName: str | None) -> None:
        self._wire = wire
        self._client = TLSClient(context, serverName)
        self._isLast = False
        self.end: Reason | None = None

    @property
    def tls(self) -> ssl.SSLObject:
        """Python's object of the connection: certificate, version, cipher and protocol."""
        return self._client.tls

    @property
    def sock(self) -> socket.socket:
        """The socket below."""
        return self._wire.sock

    @property
    def isCut(self) -> bool:
        """Whether sending has ended."""
        return self._isLast or self._wire.isCut or self._client.state is TLSState.FAILED

    @property
    def unsent(self) -> int:
        """Encrypted bytes that the kernel has not taken yet."""
        return self._wire.unsent

    async def shake(self) -> None:
        """Does the handshake.

        :raise NetworkError: when it fails, or the peer ends it.
        """
        while self._client.state is TLSState.HANDSHAKING:
            await self._feed()
        if self._client.reason is not None:
            raise NetworkError(self._client.reason)
        self._flush()

    def read(self, size: int = CHUNK) -> Deferred[bytes]:
        """Fires with some bytes, `size` at the most; with none at the end, and then :attr:`end` says how."""
        return Deferred.fromCoroutine(self._read(size))

    async def _read(self, size: int) -> bytes:
        while not (data := self._client.read(size)):
            self.end = self._client.reason
            if self.end is not None:
                break
            await self._feed()
        return data

    def write(self, data: bytes, last: bool = False) -> None:
        """Sends what the kernel takes now, and the rest when it takes more.

        :param last: ``close_notify`` follows, without a FIN.
        """
        if self.isCut:
            return
        self._isLast = last
        if data:
            self._client.write(data)
        if last:
            self._client.end()
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
        self._wire.write(self._client.toSend())

    async def _feed(self) -> None:
        """Sends the encrypted bytes that wait, and reads the peer's next bytes."""
        self._flush()
        data = await self._wire.read()
        if data:
            self._client.receive(data)
        else:
            self._client.lose(self._wire.end or _CLOSED)


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
