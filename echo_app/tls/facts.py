"""Facts of a TLS connection: version, cipher, protocol and the client's subject."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import ISSLTransport

from echo_app.transport.layer import downFrom

if TYPE_CHECKING:
    from OpenSSL import crypto


@dataclass(frozen=True, slots=True)
class TLSFacts:
    """What was agreed on in the handshake.

    :param version: such as ``TLSv1.3``.
    :param cipher: the cipher suite, by the name that OpenSSL has for it.
    :param protocol: the application's protocol (ALPN, RFC 7301); None if there is none.
    :param subject: of the client's certificate (RFC 4514); None without one.
    """

    version: str
    cipher: str
    protocol: str | None
    subject: str | None


def tlsTransportOf(transport: object) -> Any:
    """Returns what speaks TLS, this transport or one below it; None if nothing does."""
    return next((each for each in downFrom(transport) if ISSLTransport.providedBy(each)), None)


def tlsFactsOf(transport: Any) -> TLSFacts | None:
    """Returns what TLS has come to below a transport.

    :return: None where there is no TLS, or its handshake is not complete.
    """
    transport = tlsTransportOf(transport)
    tls = None if transport is None else transport.getHandle()
    if isinstance(tls, ssl.SSLObject):
        version, suite = tls.version(), tls.cipher()
        cipher, protocol = suite and suite[0], tls.selected_alpn_protocol()
    elif tls is not None:
        version, cipher = tls.get_protocol_version_name(), tls.get_cipher_name()
        protocol = tls.get_alpn_proto_negotiated().decode("latin-1")
    else:
        return None
    if not (version and cipher):
        return None
    return TLSFacts(version, cipher, protocol or None, _subjectOf(transport.getPeerCertificate()))


def _subjectOf(certificate: crypto.X509 | None) -> str | None:
    if certificate is None:
        return None
    try:
        return certificate.to_cryptography().subject.rfc4514_string()
    except ValueError:
        # A name that is none, though whoever signed the certificate is trusted.
        return ""
