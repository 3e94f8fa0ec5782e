"""The vectors of a header of the PROXY protocol, from bytes to values."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echo_app.proxy.header import crc32c, parseHeader
from echo_app.proxy.vectors import BadHeader, ProxyFacts, proxyFactsOf
from tests.support.properties import given
from tests.unit.proxy.test_header import IPV4_BLOCK, block, vector


def tls(flags: int = 1, verify: int = 0, *inside: bytes) -> bytes:
    """Returns a vector of TLS."""
    return vector(0x20, struct.pack("!BI", flags, verify) + b"".join(inside))


class FactsTests(SynchronousTestCase):
    """What a proxy says besides the addresses."""

    def facts(self, *vectors: bytes) -> ProxyFacts | None:
        """Returns the facts in a header with these vectors."""
        header = parseHeader(block(0x11, IPV4_BLOCK + b"".join(vectors)) + b"rest")
        assert header is not None
        return header.facts

    def assertRefused(self, *vectors: bytes) -> None:
        """Checks that a header with these vectors is refused, in words that can be printed."""
        error = self.assertRaises(BadHeader, self.facts, *vectors)
        self.assertTrue(str(error).isprintable(), error)

    def test_texts(self) -> None:
        """Each type has its own fact."""
        for kind, name in ((1, "alpn"), (2, "authority"), (5, "uniqueId"), (0x30, "netns")):
            for text in ("abc", ""):
                expected: dict[str, Any] = {name: text}
                self.assertEqual(self.facts(vector(kind, text.encode())), ProxyFacts(**expected))

    def test_none(self) -> None:
        """Without vectors, and with none that says anything, there are no facts."""
        self.assertIsNone(self.facts())
        self.assertIsNone(self.facts(vector(4, b"pad"), vector(0xF0, b"x" * 999)))
        for data in (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", block(0x11, vector(2, b"x"), 0x20)):
            header = parseHeader(data)
            assert header is not None
            self.assertIsNone(header.facts)

    def test_tls(self) -> None:
        """Flags, result, and what the vectors inside say; other ones inside are skipped."""
        for flags, names in ((0, ()), (1, ("tls",)), (7, ("tls", "cert-connection", "cert-session"))):
            self.assertEqual(self.facts(tls(flags, 18)), ProxyFacts(tlsFlags=names, tlsVerify=18))
        inside = (
            vector(0x21, b"TLSv1.3"),
            vector(0x23, b"AES"),
            vector(0x24, b"SHA256"),
            vector(0x22, b"alice"),
        )
        facts = ProxyFacts(
            tlsFlags=("tls", "cert-session"),
            tlsVerify=0,
            tlsVersion="TLSv1.3",
            tlsCipher="AES",
            tlsCommonName="alice",
        )
        self.assertEqual(self.facts(tls(5, 0, *inside)), facts)

    def test_malformed(self) -> None:
        """A vector of TLS without its fixed part, or whose inside does not end with it."""
        self.assertRefused(vector(0x20, bytes(4)))
        for inside in (b"\x21", b"\x21\0\x01", vector(0x21, b"x") + b"\0"):
            self.assertRefused(tls(1, 0, inside))

    def test_endpoint(self) -> None:
        """Amazon's endpoint has a subtype; other values of its type are not known."""
        self.assertEqual(self.facts(vector(0xEA, b"\x01vpce-08d2")), ProxyFacts(vpcEndpoint="vpce-08d2"))
        for other in (b"", b"\x02vpce", bytes(999)):
            self.assertEqual(self.facts(vector(0xEA, other)), ProxyFacts())

    def test_longest(self) -> None:
        """Each value has a limit."""
        for kind, most in ((1, 255), (2, 255), (5, 128), (0x30, 255)):
            self.assertIsNotNone(self.facts(vector(kind, b"x" * most)))
            self.assertRefused(vector(kind, b"x" * (most + 1)))
        self.assertIsNotNone(self.facts(vector(0xEA, b"\1" + b"x" * 255)))
        self.assertRefused(vector(0xEA, b"\1" + b"x" * 256))
        for kind in (0x21, 0x22, 0x23):
            self.assertIsNotNone(self.facts(tls(1, 0, vector(kind, b"x" * 255))))
            self.assertRefused(tls(1, 0, vector(kind, b"x" * 256)))

    def test_twice(self) -> None:
        """Two vectors of one type would say different things of one client."""
        for kind in (1, 2, 5, 0x30):
            self.assertRefused(vector(kind, b"one"), vector(kind, b"two"))
        self.assertRefused(tls(), tls())
        self.assertRefused(tls(1, 0, vector(0x22, b"alice"), vector(0x22, b"root")))
        self.assertIsNone(self.facts(vector(4, b""), vector(4, b"")))

    def test_anyBytes(self) -> None:
        """A text in UTF-8 stays one, and other bytes are escaped."""
        for value, text in (
            ("b\u00fccher.example".encode(), "b\u00fccher.example"),
            (b"a\xff\0", "a\\xff\0"),
        ):
            self.assertEqual(self.facts(vector(2, value)), ProxyFacts(authority=text))

    def test_checksum(self) -> None:
        """A checksum covers the facts."""
        content = IPV4_BLOCK + vector(2, b"example.com") + vector(3, bytes(4))
        right = struct.pack("!I", crc32c(block(0x11, content)))
        header = parseHeader(block(0x11, content[:-4] + right))
        assert header is not None
        self.assertEqual(header.facts, ProxyFacts(authority="example.com"))
        self.assertRefused(vector(2, b"example.org"), vector(3, right))

    @given(st.lists(st.tuples(st.sampled_from([1, 2, 5, 0x20, 0x30, 0xEA]), st.binary(max_size=300))))
    def test_anything(self, values: list[tuple[int, bytes]]) -> None:
        """Any values raise nothing but BadHeader."""
        try:
            self.facts(*(vector(kind, value) for kind, value in values))
        except BadHeader as error:
            self.assertTrue(str(error).isprintable())


class ProxyFactsOfTests(SynchronousTestCase):
    def test_below(self) -> None:
        """The facts are found below layers; there are none without a header."""
        facts = ProxyFacts(alpn="h2")
        bottom = SimpleNamespace(transport=None, proxyFacts=facts)
        self.assertIs(proxyFactsOf(SimpleNamespace(transport=bottom)), facts)
        self.assertIsNone(proxyFactsOf(SimpleNamespace(transport=None)))
        self.assertIsNone(proxyFactsOf(None))
