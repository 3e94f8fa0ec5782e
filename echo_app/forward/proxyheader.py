"""The PROXY header that tells an upstream of the client."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from echo_app.proxy.vectors import ProxyFacts, proxyFactsOf
from echo_app.proxy.writer import encodeHeader
from echo_app.tls.facts import commonNameOf, tlsFactsOf

if TYPE_CHECKING:
    from echo_app.interfaces import IStreamTransport


def proxyHeader(transport: IStreamTransport, version: str) -> bytes:
    """Returns the header of a client's connection.

    It names the client and the address that it connected to. Behind a PROXY header that we have received,
    both are those that this header names, and version 2 repeats its facts. Of a client over our own TLS,
    version 2 also says the facts of that; they come before those of another proxy.

    :param transport: the client's, above all layers, and with a complete handshake.
    :param version: ``v1`` or ``v2``.
    :raise ValueError: on another version.
    """
    facts = _factsOf(transport) if version == "v2" else None
    return encodeHeader(version, transport.getPeer(), transport.getHost(), facts)


def _factsOf(transport: IStreamTransport) -> ProxyFacts | None:
    received, tls = proxyFactsOf(transport), tlsFactsOf(transport)
    if tls is None:
        return received
    facts = ProxyFacts() if received is None else received
    hasCertificate = tls.subject is not None
    return replace(
        facts,
        alpn=tls.protocol or facts.alpn,
        # There is no session with a certificate that was shown on an earlier connection.
        tlsFlags=("tls", "cert-connection", "cert-session") if hasCertificate else ("tls",),
        # The certificate of a complete handshake was verified.
        tlsVerify=0 if hasCertificate else None,
        tlsVersion=tls.version,
        tlsCipher=tls.cipher,
        tlsCommonName=commonNameOf(transport),
    )
