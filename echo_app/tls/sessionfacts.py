"""The answers of our TLS transport to questions about its session, for those who know Twisted's."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from OpenSSL import crypto

if TYPE_CHECKING:
    from echo_app.tls.session import Session


class SessionFacts:
    """The answers of our TLS transport to questions about its session."""

    __slots__ = ()

    _session: Session

    def getHandle(self) -> ssl.SSLObject | None:
        """Returns the object with the cipher and the version; None before a client's first record."""
        return self._session.tls

    def getPeerCertificate(self) -> crypto.X509 | None:
        """Returns the peer's certificate; None if none was requested, or during the handshake."""
        tls = self._session.tls
        der = None if tls is None or self._session.isShaking else tls.getpeercert(binary_form=True)
        return crypto.load_certificate(crypto.FILETYPE_ASN1, der) if der else None

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """The negotiated protocol (ALPN, RFC 7301); None without one, or during the handshake."""
        tls = self._session.tls
        name = None if tls is None or self._session.isShaking else tls.selected_alpn_protocol()
        return name.encode() if name else None
