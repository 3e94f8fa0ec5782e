"""Stream of a check: a connection with time limits for connecting and silence, which states how it ended."""

from __future__ import annotations

import socket
import ssl
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.protocol import Factory

from echo_app.probe.net.errors import ErrorKind, NetworkError, Reason, reasonOf
from echo_app.probe.net.tls import TLSWire, contextOf
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


class Duplex(Protocol):
    """A :class:`~echo_app.probe.net.wire.Wire`, or TLS on top of one."""

    @property
    def sock(self) -> socket.socket:
        """The socket."""

    @property
    def end(self) -> Reason | None:
        """The end of the peer's side."""

    @property
    def isCut(self) -> bool:
        """Whether sending has ended."""

    @property
    def unsent(self) -> int:
        """Bytes that the kernel has not taken yet."""

    def read(self, size: int = CHUNK) -> Deferred[bytes]:
        """Fires with some bytes; none at the end."""

    def write(self, data: bytes, last: bool = False) -> None:
        """Sends bytes; `last` ends our side after them."""

    def drained(self) -> Deferred[None]:
        """Fires when the kernel has all bytes, or the connection is gone."""

    def close(self) -> Deferred[None]:
        """Closes the connection."""

    def abort(self) -> Deferred[None]:
        """Resets the connection."""


class Stream:
    """A connection, as checks see it.

    Each wait ends after `timeout` seconds without a byte, however long it lasts in all. The caller bounds a
    check as a whole.

    :param clock: an ``IReactorTime``.
    :ivar pieces: how often something was read.
    :ivar sock: for options and ``TCP_INFO``; to be looked at, not to be read, written or closed.
    """

    def __init__(self, clock: Any, duplex: Duplex) -> None:
        self._clock = clock
        self._duplex = duplex
        self.pieces = 0

    @property
    def sock(self) -> socket.socket:
        """The socket, until :meth:`close` or :meth:`abort`."""
        return self._duplex.sock

    @property
    def tls(self) -> ssl.SSLObject | None:
        """Python's object of the TLS connection; None without TLS."""
        return self._duplex.tls if isinstance(self._duplex, TLSWire) else None

    @property
    def end(self) -> Reason | None:
        """The end of the peer's side; None while it is open, as far as it was read."""
        return self._duplex.end

    @property
    def isCut(self) -> bool:
        """Whether sending has ended, by the peer or by us."""
        return self._duplex.isCut

    @property
    def unsent(self) -> int:
        """Bytes written that the kernel has not taken yet."""
        return self._duplex.unsent

    def write(self, data: bytes) -> None:
        """Sends bytes, at once if the kernel takes them."""
        self._duplex.write(data)

    def halfClose(self, data: bytes = b"") -> None:
        """Sends bytes and the end of our side; over TCP in one segment if it fits, over TLS close_notify."""
        self._duplex.write(data, True)

    async def drain(self, timeout: float = SILENCE) -> bool:
        """Waits until the kernel has taken all bytes; returns False if it takes no more, or is cut.

        :param timeout: seconds in which the kernel takes no byte.
        """
        while self.unsent and not self.isCut:
            before = self.unsent
            try:
                await within(self._clock, timeout, self._duplex.drained())
            except NothingCame:
                if self.unsent >= before:
                    return False
        return not self.isCut

    async def read(self, timeout: float = SILENCE, size: int = CHUNK) -> bytes:
        """Returns some bytes, `size` at the most; none at the end, or after that many silent seconds.

        :attr:`end` tells which of the two: it is None after a time-out.
        """
        try:
            data = await within(self._clock, timeout, self._duplex.read(size))
        except NothingCame:
            return b""
        self.pieces += bool(data)
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
        """Closes; fires when the descriptor is free."""
        return self._duplex.close()

    def abort(self) -> Deferred[None]:
        """Resets; fires when the descriptor is free."""
        return self._duplex.abort()


async def connect(
    reactor: Any, target: Target, timeout: float = CONNECT_TIMEOUT, bindAddress: str | None = None
) -> Stream:
    """Connects, and does the TLS handshake where there is one.

    :param timeout: seconds for the connection, and as many for the handshake.
    :param bindAddress: our address, an IP literal; None is the kernel's choice.
    :raise NetworkError: when there is no connection.
    """
    factory = Factory.forProtocol(lambda: WireProtocol(reactor))
    # The endpoint's own time-out is not the one that says so.
    waiting = target.endpoint(reactor, 2 * timeout, bindAddress).connect(factory)
    try:
        protocol: Any = await within(reactor, timeout, waiting)
    except (CancelledError, ConnectingCancelledError):
        raise CancelledError from None
    except Exception as error:
        raise NetworkError(reasonOf(error).whileConnecting) from error
    if protocol.wire is None:
        await protocol.gone
        raise NetworkError(_NO_SOCKET)
    duplex: Duplex = protocol.wire
    try:
        # In this turn of the reactor the transport may still be told that its connection can be written to.
        await pause(reactor, 0)
        if protocol.gone.called:
            raise NetworkError(Reason(ErrorKind.RESET))
        if target.kind == "tls":
            duplex = await _encrypted(reactor, protocol.wire, target, timeout)
    except BaseException:
        await protocol.wire.abort()
        raise
    return Stream(reactor, duplex)


async def _encrypted(reactor: Any, wire: Wire, target: Target, timeout: float) -> TLSWire:
    tls = TLSWire(wire, contextOf(target.tls), target.serverName)
    try:
        await within(reactor, timeout, Deferred.fromCoroutine(tls.shake()))
    except NothingCame as error:
        raise NetworkError(reasonOf(error).inHandshake) from error
    return tls
