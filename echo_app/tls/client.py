"""Client TLS: the context and the counts that the connections to one server share."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from echo_app.clock import monotonicClock
from echo_app.connections.limits import HANDSHAKE_TIMEOUT
from echo_app.connections.registry import ReasonCounter
from echo_app.tls.credentials import BadCredentials, readAuthorities, readIdentity
from echo_app.tls.session import ClientSession

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from echo_app.connections.record import ConnectionRecord
    from echo_app.targets import ClientTLS


class OutgoingTLS:
    """The client's side of the TLS connections to one server.

    :param settings: the authorities that may sign the server's certificate, and our own certificate.
    :param host: the server's name or IP address, unless the settings have a name.
    :param clock: makes the calls of time-outs.
    :param handshakeTimeout: seconds from a connection's beginning until its handshake must be complete.
    :raise BadCredentials: when a file can't be used.
    :raise ValueError: when there is no name that a certificate could be checked for.

    :ivar name: the name that the server's certificate must have; None for any, with ``isInsecure``.
    :ivar failures: connections that broke after their handshake, by reason.
    :ivar truncated: connections whose server ended its side by FIN without ``close_notify``.
    """

    # A handshake takes a client as long as a server, but a client chooses how many it begins.
    handshakes = None

    def __init__(
        self,
        settings: ClientTLS,
        host: str,
        clock: IReactorTime,
        handshakeTimeout: float = HANDSHAKE_TIMEOUT,
    ) -> None:
        if not handshakeTimeout > 0:
            raise ValueError(f"handshakeTimeout must be more than 0: {handshakeTimeout!r}")
        self.clock = monotonicClock(clock)
        self.handshakeTimeout = handshakeTimeout
        self.failures = ReasonCounter("broken TLS connections to a server", self.clock.seconds)
        self.truncated = 0
        self.name = _nameOf(settings.serverName or host)
        if self.name is None and not settings.isInsecure:
            # OpenSSL would then accept the certificate of every server.
            raise ValueError("there is no name that the server's certificate could be checked for")
        self._context = _context(settings)
        try:
            self.session(None)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{self.name!r} is no name of a TLS server") from error

    def session(self, record: ConnectionRecord | None) -> ClientSession:
        """Makes the session of a connection; these have no record."""
        return ClientSession(self._context, self.name)

    def failed(self, reason: str, detail: str, isShaking: bool) -> None:
        """Counts a connection that breaks; whoever connects is told of a handshake that fails."""
        if not isShaking:
            self.failures.add(reason, detail)


def _nameOf(host: str) -> str | None:
    """Returns the name or address as a certificate has it."""
    if ":" in host:
        # A scope (RFC 4007) is known on this machine alone.
        return host.partition("%")[0]
    return host.removesuffix(".") or None


def _context(settings: ClientTLS) -> ssl.SSLContext:
    authority, certificate, key = settings.authority, settings.certificate, settings.key
    authorities = None if authority is None else readAuthorities(authority, "authority")
    context = ssl.create_default_context(cadata=authorities)
    # The session ends at a server's request to renegotiate; OpenSSL must not answer the request before.
    context.options |= ssl.OP_NO_RENEGOTIATION
    if settings.isInsecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        readIdentity(certificate, key)
        try:
            # The empty password stops OpenSSL from asking for one on the terminal.
            context.load_cert_chain(certificate, key, password="")
        except ssl.SSLError as error:
            reason = (error.reason or "not usable").lower().replace("_", " ")
            raise BadCredentials("certificate", certificate, reason) from error
    elif key is not None:
        raise BadCredentials("key", key, "there is no certificate that it could belong to")
    if settings.protocols:
        context.set_alpn_protocols(list(settings.protocols))
    return context
