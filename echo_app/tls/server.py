"""Server TLS: the certificate and the counts that connections share, and the layer of a connection."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from twisted.logger import Logger

from echo_app.clock import monotonicClock
from echo_app.connections.limits import HANDSHAKE_TIMEOUT
from echo_app.connections.registry import ReasonCounter
from echo_app.text import escaped
from echo_app.tls.certificates import (
    DEFAULT_GROUP,
    BadCredentials,
    contexts,
    fingerprint,
    readAuthorities,
    readIdentity,
    throwAway,
)
from echo_app.tls.connection import TLSConnection

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IProtocol, IReactorTime

    from echo_app.connections.connection import Connection
    from echo_app.interfaces import Build

log = Logger()


class ServerTLS:
    """The certificate of one or several listeners, and the counts of their connections.

    :param reactor: makes the calls of time-outs.
    :param certificate: the path of a PEM file with the certificate chain. None makes a throw-away certificate
        for ``localhost``, and logs its fingerprint.
    :param key: the path of its key; None is the same file.
    :param clientCA: the path of a PEM file with authorities: clients must show a certificate that leads to
        one of them; None requests no certificate.
    :param handshakeTimeout: seconds from a connection's beginning until its handshake must be complete.
    :raise BadCredentials: when a file can't be used.

    :ivar failures: connections that ended because of their handshake or a broken record, by reason.
    :ivar truncated: connections whose peers ended their side by FIN without ``close_notify``.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        certificate: str | None = None,
        key: str | None = None,
        clientCA: str | None = None,
        *,
        handshakeTimeout: float = HANDSHAKE_TIMEOUT,
    ) -> None:
        if certificate is None and key is not None:
            raise BadCredentials("key", key, "there is no certificate that it could belong to")
        if not handshakeTimeout > 0:
            raise ValueError(f"handshakeTimeout must be more than 0: {handshakeTimeout!r}")
        self.clock = monotonicClock(reactor)
        self.handshakeTimeout = handshakeTimeout
        self.failures = ReasonCounter("failed TLS connections")
        self.truncated = 0
        self._paths = certificate, key, clientCA
        self._throwAway = throwAway() if certificate is None else None
        self._contexts = self._load()
        if self._throwAway is not None:
            log.info(
                "throw-away certificate for localhost, SHA-256 {fingerprint}",
                fingerprint=fingerprint(self._throwAway),
            )

    @property
    def isReloadable(self) -> bool:
        """True if there are files that can be read again."""
        return any(path is not None for path in self._paths)

    def reload(self) -> None:
        """Reads the files again, for new connections; an error is logged, and changes nothing."""
        if not self.isReloadable:
            return
        try:
            self._contexts = self._load()
        except BadCredentials as error:
            log.error("certificate files not read again: {reason}", reason=escaped(str(error)))
        else:
            log.info("certificate files read again")

    def contextFor(self, groups: list[int]) -> ssl.SSLContext:
        """Returns the context for a client that offers these groups, in its order of preference."""
        found = (group for group in groups if group in self._contexts)
        return self._contexts[next(found, DEFAULT_GROUP)]

    def layer(self, build: Build) -> Build:
        """Puts TLS below the layers that `build` makes."""

        def buildTLS(address: IAddress | None, connection: Connection) -> IProtocol | None:
            protocol = build(address, connection)
            return None if protocol is None else TLSConnection(self, protocol)

        return buildTLS

    def _load(self) -> dict[int, ssl.SSLContext]:
        certificate, key, clientCA = self._paths
        identity = self._throwAway
        if certificate is not None:
            identity = readIdentity(certificate, key)
        assert identity is not None
        authorities = None if clientCA is None else readAuthorities(clientCA)
        try:
            return contexts(identity, authorities)
        except ssl.SSLError as error:
            reason = (error.reason or "not usable").lower().replace("_", " ")
            raise BadCredentials("certificate", certificate or "", reason) from error
