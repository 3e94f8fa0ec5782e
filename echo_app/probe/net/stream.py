"""Stream of a check: a connection with time limits for connecting and silence, which states how it ended."""

from __future__ import annotations

import ssl
from dataclasses import replace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.protocol import Factory

from echo_app.probe.net.connecting import ConnectionSettings
from echo_app.probe.net.errors import ErrorKind, NetworkError, Reason, reasonOf
from echo_app.probe.net.tls import contextOf
from echo_app.probe.net.tlsclient import TLSClient, TLSState
from echo_app.probe.net.waits import NothingCame, pause, within
from echo_app.probe.net.wire import CHUNK, Wire, WireProtocol
from echo_app.targets import Target

# Seconds until a connection must be there: four SYNs (RFC 6298: at 0, 1, 3 and 7 s) are tried by then.
CONNECT_TIMEOUT = 10.0

# Seconds without a byte until a peer is called silent, unless a check says otherwise: three times what
# Linux and others wait at first for a lost segment, or 25 times the longest round trip on earth.
SILENCE = 10.0

_NO_SOCKET = Reason(
    ErrorKind.OTHER, "such an endpoint has no socket of its own; TLS is written tls://HOST:PORT"
)

# The caller closed the stream during a read.
_CLOSED = Reason(ErrorKind.OTHER, "closed")


class Stream:
    """A connection, as checks see it. Leaving it as a context manager resets it.

    Each wait ends after `timeout` seconds without a byte, however long it lasts in all. The caller bounds a
    check as a whole.

    :param clock: an ``IReactorTime``.
    :ivar sock: for options and ``TCP_INFO``; to be looked at, not to be read, written or closed.
    :ivar tls: Python's object of the TLS connection; None without TLS.
    :ivar end: of the peer's side; None while it is open, as far as it was read.
    :ivar pieces: how often something was read.
    :ivar madeAt: when the connection was there, TLS not included, in seconds of the clock.
    """

    tls: ssl.SSLObject | None = None
    end: Reason | None = None

    def __init__(self, clock: Any, wire: Wire) -> None:
        self._clock = clock
        self._wire = wire
        self.sock = wire.sock
        self.pieces = 0
        self.madeAt = float(clock.seconds())

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.abort()

    @property
    def isCut(self) -> bool:
        """Whether sending has ended, by the peer or by us."""
        return self._wire.isCut

    @property
    def unsent(self) -> int:
        """Bytes that the kernel has not taken yet; over TLS, encrypted bytes."""
        return self._wire.unsent

    def write(self, data: bytes) -> None:
        """Sends bytes, at once if the kernel takes them."""
        self._wire.write(data)

    def halfClose(self, data: bytes = b"") -> None:
        """Sends bytes and the end of our side; over TCP in one segment if it fits, over TLS close_notify."""
        self._wire.write(data, True)

    async def drain(self, timeout: float = SILENCE) -> bool:
        """Waits until the kernel has taken all bytes; returns False if it takes no more, or is cut.

        :param timeout: seconds in which the kernel takes no byte.
        """
        while self.unsent and not self.isCut:
            before = self.unsent
            try:
                await within(self._clock, timeout, self._wire.drained())
            except NothingCame:
                if self.unsent >= before:
                    return False
        return not self.isCut

    async def read(self, timeout: float = SILENCE, size: int = CHUNK) -> bytes:
        """Returns some bytes, `size` at the most; none at the end, or after that many silent seconds.

        :attr:`end` tells which of the two: it is None after a time-out.
        """
        try:
            data = await within(self._clock, timeout, Deferred.fromCoroutine(self._read(size)))
        except NothingCame:
            return b""
        self.pieces += bool(data)
        return data

    async def _read(self, size: int) -> bytes:
        data = await self._wire.read(size)
        self.end = self._wire.end
        return data

    async def receive(self, size: int, timeout: float = SILENCE) -> bytes:
        """Returns that many bytes; fewer at the end, or after that many silent seconds."""
        received = bytearray()
        while len(received) < size:
            chunk = await self.read(timeout, min(CHUNK, size - len(received)))
            if not chunk:
                break
            received += chunk
        return bytes(received)

    async def receiveAll(self, timeout: float = SILENCE, limit: int = 1 << 26) -> bytes:
        """Returns the bytes until the end, until that many seconds without a byte, or up to `limit`."""
        received = bytearray()
        while len(received) < limit and (chunk := await self.read(timeout)):
            received += chunk
        return bytes(received)

    def close(self) -> Deferred[None]:
        """Closes in both directions, over TLS after ``close_notify``; fires when the descriptor is free."""
        return self._wire.close()

    def abort(self) -> Deferred[None]:
        """Resets; fires when the descriptor is free."""
        return self._wire.abort()


class TLSStream(Stream):
    """A TLS connection: tells ``close_notify`` from a bare FIN, and ends its two sides separately.

    :param serverName: the name that the certificate must have.
    :param session: of an earlier connection with the same context, which is offered to the server.
    """

    def __init__(
        self,
        clock: Any,
        wire: Wire,
        context: ssl.SSLContext,
        serverName: str | None,
        session: ssl.SSLSession | None = None,
    ) -> None:
        super().__init__(clock, wire)
        self._client = TLSClient(context, serverName, session)
        self._isLast = False
        self.tls = self._client.tls

    @property
    def isCut(self) -> bool:
        """Whether sending has ended, by the peer or by us."""
        return self._isLast or self._wire.isCut or self._client.state is TLSState.FAILED

    async def shake(self) -> None:
        """Does the handshake.

        :raise NetworkError: when it fails, or the peer ends it.
        """
        while self._client.state is TLSState.HANDSHAKING:
            await self._feed()
        if self._client.reason is not None:
            raise NetworkError(self._client.reason)
        self._flush()

    def write(self, data: bytes) -> None:
        """Sends bytes, at once if the kernel takes them."""
        if not self.isCut:
            self._client.write(data)
            self._flush()

    def halfClose(self, data: bytes = b"") -> None:
        """Sends bytes and ``close_notify``, without a FIN."""
        if self.isCut:
            return
        self._isLast = True
        if data:
            self._client.write(data)
        self._client.end()
        self._flush()

    async def _read(self, size: int) -> bytes:
        while not (data := self._client.read(size)):
            self.end = self._client.reason
            if self.end is not None:
                break
            await self._feed()
        return data

    def close(self) -> Deferred[None]:
        """Closes in both directions, after ``close_notify``; fires when the descriptor is free."""
        self.halfClose()
        return super().close()

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


async def connect(
    reactor: Any,
    target: Target,
    timeout: float = CONNECT_TIMEOUT,
    settings: ConnectionSettings = ConnectionSettings(),
) -> Stream:
    """Connects, sends the PROXY header if there is one, and does the TLS handshake where there is one.

    :param timeout: seconds for the connection, and as many for the handshake.
    :raise NetworkError: when there is no connection.
    """
    factory = Factory.forProtocol(lambda: WireProtocol(reactor))
    # The endpoint's own time-out is not the one that says so.
    waiting = settings.endpoint(reactor, target, 2 * timeout).connect(factory)
    try:
        protocol: Any = await within(reactor, timeout, waiting)
    except (CancelledError, ConnectingCancelledError):
        raise CancelledError from None
    except Exception as error:
        reason = reasonOf(error).whileConnecting
        isUnresolved = reason.kind is ErrorKind.UNRESOLVED
        raise NetworkError(settings.unresolved if isUnresolved else reason) from error
    if protocol.wire is None:
        await protocol.gone
        raise NetworkError(_NO_SOCKET)
    stream = Stream(reactor, protocol.wire)
    try:
        # In this turn of the reactor the transport may still be told that its connection can be written to.
        await pause(reactor, 0)
        if protocol.gone.called:
            raise NetworkError(Reason(ErrorKind.RESET))
        introduce(stream, settings)
        if target.kind == "tls":
            stream = await _encrypted(reactor, protocol.wire, target, timeout)
    except BaseException:
        await stream.abort()
        raise
    return stream


def introduce(stream: Stream, settings: ConnectionSettings) -> None:
    """Sends the PROXY header, if there is one: in front of TLS, too."""
    if settings.proxy is None:
        return
    try:
        stream.write(settings.proxy.encode(stream.sock))
    except OSError as error:
        raise NetworkError(reasonOf(error)) from error


async def resume(
    reactor: Any,
    target: Target,
    session: ssl.SSLSession,
    timeout: float = CONNECT_TIMEOUT,
    settings: ConnectionSettings = ConnectionSettings(),
) -> Stream:
    """Connects over TLS, and offers a session of an earlier connection to the same target.

    :param timeout: seconds for the connection, and as many for the handshake.
    :raise NetworkError: when there is no connection.
    """
    stream = await connect(reactor, replace(target, kind="tcp"), timeout, settings)
    try:
        return await _encrypted(reactor, stream._wire, target, timeout, session)
    except BaseException:
        await stream.abort()
        raise


async def _encrypted(
    reactor: Any, wire: Wire, target: Target, timeout: float, session: ssl.SSLSession | None = None
) -> TLSStream:
    tls = TLSStream(reactor, wire, contextOf(target.tls), target.serverName, session)
    try:
        await within(reactor, timeout, Deferred.fromCoroutine(tls.shake()))
    except NothingCame as error:
        raise NetworkError(reasonOf(error).inHandshake) from error
    return tls
