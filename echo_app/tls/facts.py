"""Facts of a TLS connection: version, cipher, protocol and the peer's subject."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import ISSLTransport

from echo_app.addresses import transportName
from echo_app.interfaces import ITLSTransport
from echo_app.transport.layer import downFrom
from echo_app.transport.sockets import listenedHostOf

if TYPE_CHECKING:
    from OpenSSL import crypto


@dataclass(frozen=True, slots=True)
class TLSFacts:
    """The results of a handshake.

    :param version: the version of TLS, such as ``TLSv1.3``.
    :param cipher: OpenSSL's name of the cipher suite.
    :param protocol: the application protocol that ALPN selected (RFC 7301); None without one.
    :param subject: the subject of the client's certificate (RFC 4514); None without one.
    """

    version: str
    cipher: str
    protocol: str | None
    subject: str | None


def tlsTransportOf(transport: object) -> Any:
    """Returns the TLS transport at or below a transport; None without TLS."""
    return next((each for each in downFrom(transport) if ISSLTransport.providedBy(each)), None)


def listenerKindOf(transport: object) -> str:
    """Returns the kind of the listener of a stream connection, as the ready file has it.

    It is ``tls`` over the service's own TLS, on a UNIX socket too; otherwise the socket's kind.
    A PROXY header changes nothing, nor does Twisted's own TLS.

    :param transport: the one of the protocol on top of all layers.
    """
    if any(ITLSTransport.providedBy(each) for each in downFrom(transport)):
        return "tls"
    return transportName(listenedHostOf(transport))


def tlsFactsOf(transport: Any) -> TLSFacts | None:
    """Returns the facts of the TLS connection below a transport.

    :return: None without TLS, or while the handshake is incomplete.
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
    except Exception:
        # OpenSSL accepts names that the package cryptography rejects, by errors of several classes.
        return ""


def commonNameOf(transport: object) -> str | None:
    """Returns the common name in the certificate that a client has shown to our own TLS; None without one."""
    tls = getattr(tlsTransportOf(transport), "getHandle", lambda: None)()
    if not isinstance(tls, ssl.SSLObject) or tls.version() is None:
        return None
    # OpenSSL's text: the package cryptography rejects some names.
    found: Any = (tls.getpeercert() or {}).get("subject", ())
    return next((str(value) for each in found for name, value in each if name == "commonName"), None)
