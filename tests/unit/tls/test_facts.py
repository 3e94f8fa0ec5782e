"""The negotiated values of TLS, from the standard library and from pyOpenSSL."""

from __future__ import annotations

# By its name alone it would be trial's, for the whole module.
import contextlib
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptography import x509
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from echo_app.tls.facts import TLSFacts, tlsFactsOf, tlsTransportOf
from tests.support.certificates import Authority


class FakeTLS(StringTransport):
    """A TLS transport, on nothing.

    :param handle: what carries TLS.
    """

    def __init__(self, handle: object, certificate: crypto.X509 | None = None) -> None:
        super().__init__()
        directlyProvides(self, ISSLTransport)
        self._handle = handle
        self._certificate = certificate

    def getHandle(self) -> Any:
        return self._handle

    def getPeerCertificate(self) -> crypto.X509 | None:
        return self._certificate


class BrokenCertificate:
    """A certificate whose subject is none."""

    def to_cryptography(self) -> x509.Certificate:
        raise ValueError


class Above:
    """A transport on top of another one."""

    def __init__(self, transport: object) -> None:
        self.transport = transport


class FactsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.certificate, self.key = Authority(Path(self.mktemp())).issue("client")

    def standard(self) -> tuple[ssl.SSLObject, ssl.SSLObject]:
        """Returns a server's side of a connection, and a client's, which agree on a protocol."""
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(self.certificate, self.key)
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        client.verify_mode = ssl.CERT_NONE
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        for context in (server, client):
            context.set_alpn_protocols(["echo"])
            context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        return server.wrap_bio(there, back, server_side=True), client.wrap_bio(back, there)

    def shown(self) -> crypto.X509:
        return crypto.load_certificate(crypto.FILETYPE_PEM, Path(self.certificate).read_bytes())

    def test_standard(self) -> None:
        """The negotiated values are known when the handshake is complete, and not before."""
        server, client = self.standard()
        transport = FakeTLS(server, self.shown())
        self.assertIsNone(tlsFactsOf(transport))
        for _ in range(3):
            for side in (client, server):
                with contextlib.suppress(ssl.SSLWantReadError):
                    side.do_handshake()
        facts = TLSFacts("TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", "echo", "CN=client")
        self.assertEqual(tlsFactsOf(Above(transport)), facts)
        broken: Any = BrokenCertificate()
        self.assertEqual(tlsFactsOf(FakeTLS(server, broken)), replace(facts, subject=""))

    def test_pyOpenSSL(self) -> None:
        """The values are known over Twisted's own TLS too."""
        serverContext, clientContext = (SSL.Context(SSL.TLS_METHOD) for _ in range(2))
        serverContext.use_certificate_file(self.certificate)
        serverContext.use_privatekey_file(self.key)
        server, client = SSL.Connection(serverContext), SSL.Connection(clientContext)
        server.set_accept_state()
        client.set_connect_state()
        transport = FakeTLS(server)
        self.assertIsNone(tlsFactsOf(transport))
        for _ in range(3):
            for side, other in ((client, server), (server, client)):
                with contextlib.suppress(SSL.WantReadError):
                    side.do_handshake()
                with contextlib.suppress(SSL.WantReadError):
                    other.bio_write(side.bio_read(1 << 16))
        facts = tlsFactsOf(transport)
        assert facts is not None
        self.assertEqual((facts.version, facts.protocol, facts.subject), ("TLSv1.3", None, None))
        self.assertTrue(facts.cipher.startswith("TLS_"))

    def test_none(self) -> None:
        """Without TLS, and before a first record came, there is nothing to say."""
        self.assertIsNone(tlsFactsOf(StringTransport()))
        self.assertIsNone(tlsTransportOf(Above(StringTransport())))
        self.assertIsNone(tlsFactsOf(FakeTLS(None)))
