"""Endpoint that begins TLS on the connections of another endpoint.

The protocol is built when the handshake is complete. Until then an :class:`_Opening` has its place above the
TLS layer. After that nothing of it is on the path of a byte.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import (
    IHandshakeListener,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from echo_app.connections.limits import HANDSHAKE_TIMEOUT
from echo_app.forward.errors import UpstreamTLSError
from echo_app.tls.client import OutgoingTLS
from echo_app.tls.connection import TLSConnection
from echo_app.tls.session import BrokenSession

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IReactorTime

    from echo_app.targets import ClientTLS


@implementer(IStreamClientEndpoint)
class TLSUpstreamEndpoint:
    """Connects to a TLS server; both ends of the stream are exact, and independent of each other.

    A PROXY header comes before TLS: a factory with the method ``takeHeader`` is asked for it.

    Under TLS 1.3 a server judges our certificate after the handshake is complete for us. If it refuses the
    certificate then, the connection ends with :class:`~echo_app.tls.session.BrokenSession`.

    :param below: connects to the server.
    :param settings: the authorities that may sign the server's certificate, and our own certificate.
    :param host: the server's name or IP address, unless the settings have a name.
    :param clock: makes the calls of time-outs.
    :param timeout: seconds from a connection's beginning until its handshake must be complete.
    :raise BadCredentials: a ValueError that names the file, when one can't be used.
    :raise ValueError: when there is no name that a certificate could be checked for.

    :ivar tls: the counts of all connections: ``failures`` after the handshake, and ``truncated``.
    """

    def __init__(
        self,
        below: IStreamClientEndpoint,
        settings: ClientTLS,
        host: str,
        clock: IReactorTime,
        timeout: float = HANDSHAKE_TIMEOUT,
    ) -> None:
        self.tls = OutgoingTLS(settings, host, clock, timeout)
        self._below = below

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connects a protocol.

        :return: fires when the handshake is complete. It fails as the endpoint below does, or, when the
            connection is gone, with an :class:`UpstreamTLSError`. Cancelling it ends the attempt.
        """
        takeHeader = getattr(protocolFactory, "takeHeader", None)
        header = b"" if takeHeader is None else takeHeader()
        return _Opening(self.tls, protocolFactory).begin(self._below, header)


@implementer(IHandshakeListener)
class _Opening(Protocol):
    """One attempt: has the protocol's place above the TLS layer during the handshake.

    :param tls: the client's side of the connection.
    :param factory: builds the protocol.

    :ivar address: the server's address, for the factory.
    """

    transport: Any

    def __init__(self, tls: OutgoingTLS, factory: IProtocolFactory) -> None:
        self.address: Any = None
        self._tls = tls
        self._factory = factory
        self._done: Deferred[IProtocol] = Deferred(lambda _: self._cancel())
        self._isOver = False
        self._below: Deferred[IProtocol] | None = None

    def begin(self, below: IStreamClientEndpoint, header: bytes) -> Deferred[IProtocol]:
        """Connects to the server.

        :param header: is sent before TLS begins.
        """
        self._below = connecting = below.connect(_LayerFactory(self._tls, self, header))
        connecting.addErrback(self._fail)
        return self._done

    def handshakeCompleted(self) -> None:
        """Builds the protocol, and leaves its place to it."""
        try:
            protocol = self._factory.buildProtocol(self.address)
            if protocol is None:
                raise ConnectError(string="no protocol for the upstream")
            self.transport.protocol = protocol
            protocol.makeConnection(self.transport)
            if IHandshakeListener.providedBy(protocol):
                protocol.handshakeCompleted()
        except Exception:
            self._fail(Failure())
            self.transport.abortConnection()
        else:
            self._isOver = True
            self._done.callback(protocol)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tells why the handshake failed."""
        name = self._tls.name or "the upstream"
        self._fail(Failure(UpstreamTLSError(name, self._why(reason.value))))

    def _why(self, error: BaseException | None) -> str:
        if isinstance(error, BrokenSession):
            cause = error.__cause__
            if isinstance(cause, ssl.SSLCertVerificationError):
                return cause.verify_message.rstrip(".")
            return str(error).replace("-", " ")
        if isinstance(error, ConnectionAborted):
            # Only the time-out does so, and a cancellation, which is told by itself.
            return f"not complete within {self._tls.handshakeTimeout:g} s"
        isClosed = isinstance(error, ConnectionDone)
        return "the server closed the connection" if isClosed else "the connection was lost"

    def _fail(self, failure: Failure) -> None:
        if not self._isOver:
            self._isOver = True
            self._done.errback(failure)

    def _cancel(self) -> None:
        if self.transport is not None:
            self._isOver = True
            self.transport.abortConnection()
        elif self._below is not None:
            self._below.cancel()


class _LayerFactory(Factory):
    """Builds the TLS layer of one connection."""

    noisy = False

    def __init__(self, tls: OutgoingTLS, opening: _Opening, header: bytes) -> None:
        self._tls = tls
        self._opening = opening
        self._header = header

    def buildProtocol(self, addr: IAddress | None) -> Any:
        self._opening.address = addr
        return _AfterHeader(self._tls, self._opening, self._header)


class _AfterHeader(TLSConnection):
    """A connection whose TLS begins after a header."""

    __slots__ = ("_header",)

    def __init__(self, tls: OutgoingTLS, protocol: IProtocol, header: bytes) -> None:
        super().__init__(tls, protocol)
        self._header = header

    def makeConnection(self, transport: ITransport) -> None:
        """Sends the header, and begins TLS."""
        if self._header:
            transport.write(self._header)
        super().makeConnection(transport)
