"""Each field of the access log is declared once, and its readers agree with the declaration."""

from __future__ import annotations

from dataclasses import fields

from twisted.trial.unittest import SynchronousTestCase

from echo_app.accesslog.fields import FIELDS, Entry, attributesOf, readerOf
from echo_app.connections.record import UpstreamFacts
from echo_app.proxy.vectors import ProxyFacts
from echo_app.tls.facts import TLSFacts
from echo_app.transport.tcpinfo import TCPInfo
from tests.support.fieldstable import documented, table

KINDS = (TCPInfo, TLSFacts, ProxyFacts, UpstreamFacts)


class EntryTests(SynchronousTestCase):
    def test_described(self) -> None:
        """Each field has a meaning for the document."""
        self.assertEqual([each.name for each in fields(Entry) if not each.metadata["meaning"]], [])

    def test_document(self) -> None:
        """The document has the table of the declarations."""
        self.assertEqual(documented(), table(), "run: python -m tests.support.fieldstable")


class SourceTests(SynchronousTestCase):
    def test_attributes(self) -> None:
        """Each source names an attribute that its class has."""
        sources = {each.metadata["source"] for each in fields(Entry)} - {""}
        known = {f"{kind.__name__}.{attribute}" for kind in KINDS for attribute in kind.__dataclass_fields__}
        self.assertEqual(sources - known, set())

    def test_names(self) -> None:
        """A field has the name of its declaration, not that of the attribute."""
        self.assertEqual(attributesOf(TLSFacts)["tls_alpn"], "protocol")
        self.assertTrue(attributesOf(TCPInfo).keys() < {*FIELDS})

    def test_reader(self) -> None:
        """A reader takes the values of a class's fields from an instance."""
        values = readerOf(TLSFacts)(TLSFacts("TLSv1.3", "TLS_AES_128_GCM_SHA256", None, "CN=user"))
        expected = {
            "tls_version": "TLSv1.3",
            "tls_cipher": "TLS_AES_128_GCM_SHA256",
            "tls_alpn": None,
            "tls_subject": "CN=user",
        }
        self.assertEqual(values, expected)
