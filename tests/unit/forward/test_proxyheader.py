"""The PROXY header for an upstream, of clients with and without TLS and a header of their own."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.forward.proxyheader import proxyHeader
from echo_app.proxy.header import parseHeader
from echo_app.proxy.vectors import ProxyFacts
from echo_app.tls.connection import TLSConnection
from echo_app.tls.server import ServerTLS
from tests.support.certificates import LATIN, Authority
from tests.support.fakes import Transport
from tests.support.tls import clientContext

CLIENT, HOST = IPv4Address("TCP", "192.0.2.1", 4242), IPv4Address("TCP", "192.0.2.2", 80)


class ProxyHeaderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.transport: Any = Transport(CLIENT)
        self.transport.hostAddr = HOST

    def facts(self, transport: Any) -> ProxyFacts | None:
        """Returns the facts in the header of version 2, which names the client."""
        header = parseHeader(proxyHeader(transport, "v2"))
        assert header is not None
        self.assertEqual((header.source, header.destination), (CLIENT, HOST))
        return header.facts

    def overTLS(self, server: ServerTLS, context: ssl.SSLContext) -> TLSConnection:
        """Returns the TLS layer of a client after the handshake."""
        layer = TLSConnection(server, Protocol())
        self.transport.protocol = layer
        layer.makeConnection(self.transport)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = context.wrap_bio(incoming, outgoing)
        for _ in range(3):
            with contextlib.suppress(ssl.SSLWantReadError):
                client.do_handshake()
            data = outgoing.read()
            if data:
                layer.dataReceived(data)
            incoming.write(self.transport.value())
            self.transport.clear()
        return layer

    def withCertificate(self, authority: Authority, certificate: str, key: str) -> ProxyFacts:
        """Returns the facts of a client with a certificate."""
        context = clientContext()
        context.load_cert_chain(certificate, key)
        server = ServerTLS(Clock(), clientCA=authority.path)
        facts = self.facts(self.overTLS(server, context))
        assert facts is not None
        return facts

    def test_plain(self) -> None:
        """The header names the client and the address that it connected to."""
        self.assertEqual(proxyHeader(self.transport, "v1"), b"PROXY TCP4 192.0.2.1 192.0.2.2 4242 80\r\n")
        self.assertIsNone(self.facts(self.transport))

    def test_unix(self) -> None:
        """A client over a UNIX socket has no name for the upstream."""
        transport: Any = Transport(UNIXAddress(None))
        self.assertEqual(proxyHeader(transport, "v1"), b"PROXY UNKNOWN\r\n")

    def test_received(self) -> None:
        """The addresses and facts of a header that was received are repeated."""
        # As the gate does.
        self.transport = Transport(IPv4Address("TCP", "127.0.0.1", 4711))
        self.transport.getPeer = lambda: CLIENT
        self.transport.getHost = lambda: HOST
        facts = ProxyFacts(authority="echo.example", tlsFlags=("tls",), tlsVerify=1, tlsVersion="TLSv1.2")
        self.transport.proxyFacts = facts
        self.assertEqual(self.facts(self.transport), facts)

    def test_tls(self) -> None:
        """Of a client over our TLS, version and cipher are there, and that it showed no certificate."""
        facts = self.facts(self.overTLS(ServerTLS(Clock()), clientContext(ssl.TLSVersion.TLSv1_3)))
        assert facts is not None
        self.assertEqual((facts.tlsFlags, facts.tlsVerify, facts.tlsVersion), (("tls",), 1, "TLSv1.3"))
        self.assertIn("TLS_", facts.tlsCipher or "")
        self.assertIsNone(facts.tlsCommonName)

    def test_both(self) -> None:
        """Our TLS comes before that of another proxy; its other facts stay."""
        self.transport.proxyFacts = ProxyFacts(
            authority="echo.example", alpn="h2", tlsFlags=("tls", "cert-session"), tlsCommonName="other"
        )
        facts = self.facts(self.overTLS(ServerTLS(Clock()), clientContext(ssl.TLSVersion.TLSv1_2)))
        assert facts is not None
        self.assertEqual((facts.authority, facts.alpn, facts.tlsFlags), ("echo.example", "h2", ("tls",)))
        self.assertEqual((facts.tlsVersion, facts.tlsCommonName), ("TLSv1.2", None))

    def test_certificate(self) -> None:
        """The common name of a client's certificate is there, in any encoding that OpenSSL reads."""
        authority = Authority(Path(self.mktemp()))
        for paths, name in ((authority.issue("zoe"), "zoe"), (authority.issueChanged(*LATIN), "z\xe9d")):
            self.setUp()
            facts = self.withCertificate(authority, *paths)
            self.assertEqual(facts.tlsFlags, ("tls", "cert-connection", "cert-session"))
            self.assertEqual((facts.tlsVerify, facts.tlsCommonName), (0, name))

    def test_version(self) -> None:
        """There are two versions."""
        self.assertRaises(ValueError, proxyHeader, self.transport, "v3")
