"""Server TLS: the certificate and the counts that connections share, and the layer of a connection."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from twisted.logger import Logger

from echo_app.clock import monotonicClock
from echo_app.connections.limits import HANDSHAKE_TIMEOUT
from echo_app.connections.registry import ReasonCounter
from echo_app.filewatch import Stamps
from echo_app.text import escaped
from echo_app.tls.certificates import (
    DEFAULT_GROUP,
    contexts,
    contextWithoutSessions,
    fingerprint,
    throwAway,
)
from echo_app.tls.connection import TLSConnection
from echo_app.tls.credentials import (
    UNREADABLE,
    BadCredentials,
    parseCertificates,
    readAuthorities,
    readIdentity,
    refusePipe,
)
from echo_app.tls.revocation import Revocation, readRevocation
from echo_app.tls.session import CountingSession, Session
from echo_app.tls.validity import Deadline, chainWarnings, deadlinesOf
from echo_app.transport.workqueue import WorkQueue

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IProtocol, IReactorTime

    from echo_app.connections.connection import Connection
    from echo_app.connections.record import ConnectionRecord
    from echo_app.interfaces import Build

log = Logger()


class ServerTLS:
    """The certificate of one or several listeners, and the counts of their connections.

    :param reactor: makes the calls of time-outs.
    :param certificate: the path of a PEM file with the certificate chain. None makes a throw-away certificate
        for ``localhost``, and logs its fingerprint.
    :param key: the path of its key; None is the same file.
    :param clientCA: the path of a PEM file with authorities: clients must show a certificate that leads to
        one of them; None requests no certificate. Revocation lists (CRL) in the file are used too.
    :param clientCRL: the path of a PEM file with revocation lists of these authorities.
    :param today: returns the date and time.
    :param handshakeTimeout: seconds from a connection's beginning until its handshake must be complete.
    :raise BadCredentials: when a file can't be used.

    :ivar handshakes: does the work of handshakes, about a millisecond each.
    :ivar failures: connections that ended because of their handshake or a broken record, by reason.
    :ivar truncated: connections whose peers ended their side by FIN without ``close_notify``.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        certificate: str | None = None,
        key: str | None = None,
        clientCA: str | None = None,
        clientCRL: str | None = None,
        *,
        handshakeTimeout: float = HANDSHAKE_TIMEOUT,
        today: Callable[[], datetime] = partial(datetime.now, UTC),
    ) -> None:
        if certificate is None and key is not None:
            raise BadCredentials("key", key, "there is no certificate that it could belong to")
        if clientCA is None and clientCRL is not None:
            raise BadCredentials("client-crl", clientCRL, "there are no authorities that it could belong to")
        if not handshakeTimeout > 0:
            raise ValueError(f"handshakeTimeout must be more than 0: {handshakeTimeout!r}")
        self.clock = monotonicClock(reactor)
        self.handshakeTimeout = handshakeTimeout
        self.handshakes = WorkQueue(self.clock)
        self.failures = ReasonCounter("failed TLS connections")
        self.truncated = 0
        self._certificate, self._key, self._clientCA, self._clientCRL = certificate, key, clientCA, clientCRL
        named = {"certificate": certificate, "key": key, "client-ca": clientCA, "client-crl": clientCRL}
        self._paths = {setting: path for setting, path in named.items() if path is not None}
        self._stamps = Stamps(self._paths.values())
        self._today = today
        self._deadlines: list[Deadline] = []
        self._warned: set[str] = set()
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
        return bool(self._paths)

    def reload(self) -> None:
        """Reads the files again, for new connections; an error is logged, and changes nothing."""
        if not self.isReloadable:
            return
        try:
            for setting, path in self._paths.items():
                refusePipe(setting, path)
            self._contexts = self._load()
        except BadCredentials as error:
            log.error("certificate files not read again: {reason}", reason=escaped(str(error)))
        else:
            log.info("certificate files read again")

    def watch(self) -> Callable[[], None]:
        """Returns a function to call every few seconds: it reads changed files again, and warns of dates."""
        self._stamps.begin()
        return self._look

    def contextFor(self, groups: list[int]) -> ssl.SSLContext:
        """Returns the context for a client that offers these groups, in its order of preference."""
        found = (group for group in groups if group in self._contexts)
        context = self._contexts[next(found, DEFAULT_GROUP)]
        return context if context.verify_mode is ssl.CERT_NONE else contextWithoutSessions(context)

    def session(self, record: ConnectionRecord | None) -> Session:
        """Makes the session of a connection, which counts its plain text for a record."""
        if record is None:
            return Session(self.contextFor)
        record.plain = counting = CountingSession(self.contextFor)
        # The access log subtracts a gate's prefix, which is no part of the plain text.
        counting.received = record.prefix
        return counting

    def failed(self, reason: str, detail: str, isShaking: bool) -> None:
        """Counts a connection that ends because of its handshake or a broken record."""
        self.failures.add(reason, detail)

    def layer(self, build: Build) -> Build:
        """Puts TLS below the layers that `build` makes."""

        def buildTLS(address: IAddress | None, connection: Connection) -> IProtocol | None:
            protocol = build(address, connection)
            return None if protocol is None else TLSConnection(self, protocol)

        return buildTLS

    def _look(self) -> None:
        if self._stamps.haveChanged():
            self.reload()
        self._warnOfDates()

    def _warnOfDates(self) -> None:
        """Logs what will expire within a day, and what has expired, once each."""
        now = self._today()
        for warning in filter(None, (each.warning(now) for each in self._deadlines)):
            if warning not in self._warned:
                self._warned.add(warning)
                log.warn("{caution}", caution=escaped(warning))

    def _load(self) -> dict[int, ssl.SSLContext]:
        """Reads the files, and logs what an operator should know of them.

        :raise BadCredentials: when one of them can't be used; nothing is changed.
        """
        self._stamps.note()
        now = self._today()
        deadlines: list[Deadline] = []
        warnings: list[str] = []
        identity, authorities, revocation = self._throwAway, None, None
        if self._certificate is not None:
            identity = readIdentity(self._certificate, self._key)
            chain = parseCertificates("certificate", self._certificate, identity)
            deadlines += deadlinesOf(chain, self._certificate, "clients refuse it")
            # Of a certificate with a name that can't be read, there is less to say.
            with suppress(*UNREADABLE):
                warnings += chainWarnings(chain, self._certificate, now)
        if self._clientCA is not None:
            authorities = readAuthorities(self._clientCA)
            found = parseCertificates("client-ca", self._clientCA, authorities.encode())
            deadlines += deadlinesOf(found, self._clientCA, "its clients are refused")
            revocation = readRevocation(self._clientCA, self._clientCRL, now)
        if revocation is not None:
            deadlines += revocation.deadlines
            warnings += revocation.warnings
        made = self._contextsOf(identity, authorities, revocation)
        self._deadlines, self._warned = deadlines, set()
        for warning in warnings:
            log.warn("{caution}", caution=escaped(warning))
        self._warnOfDates()
        return made

    def _contextsOf(
        self, identity: bytes | None, authorities: str | None, revocation: Revocation | None
    ) -> dict[int, ssl.SSLContext]:
        assert identity is not None
        certificate = self._certificate
        files = None if certificate is None else (certificate, self._key)
        try:
            return contexts(identity, authorities, revocation, files)
        except ssl.SSLError as error:
            reason = (error.reason or "not usable").lower().replace("_", " ")
            raise BadCredentials("certificate", certificate or "", reason) from error
        except FileNotFoundError as error:
            # Only a throw-away certificate has no files that OpenSSL could read in place of memory.
            raise BadCredentials("certificate", "", "a throw-away certificate needs /proc") from error
