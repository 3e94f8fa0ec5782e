"""The header of the PROXY protocol, from values to bytes that the parser reads back."""

from __future__ import annotations

import ipaddress

from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from echo_app.proxy.header import Header, parseHeader
from echo_app.proxy.vectors import ProxyFacts
from echo_app.proxy.writer import VERSIONS, encodeHeader
from tests.support.properties import example, given

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CLIENT, SERVER = IPv4Address("TCP", "192.0.2.1", 4242), IPv4Address("TCP", "192.0.2.2", 8080)

ports = st.integers(0, 65535)
v4 = st.builds(lambda host, port: IPv4Address("TCP", str(host), port), st.ip_addresses(v=4), ports)
v6 = st.builds(
    lambda host, port: IPv6Address("TCP", str(host), port),
    st.ip_addresses(v=6).filter(lambda host: getattr(host, "ipv4_mapped", None) is None),
    ports,
)


def texts(most: int = 255) -> st.SearchStrategy[str | None]:
    """Returns texts of at most so many bytes, and none."""
    text = st.text(max_size=most).filter(lambda text: len(text.encode("utf-8", "replace")) <= most)
    return st.none() | text.filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text))


tls = st.fixed_dictionaries(
    {
        "tlsFlags": st.sampled_from([(), ("tls",), ("tls", "cert-connection", "cert-session")]),
        "tlsVerify": st.integers(0, 2**32 - 1),
        "tlsVersion": texts(),
        "tlsCipher": texts(),
        "tlsCommonName": texts(),
    }
)
others = st.fixed_dictionaries(
    {
        "authority": texts(),
        "alpn": texts(),
        "uniqueId": texts(128),
        "netns": texts(),
        "vpcEndpoint": texts(),
    }
)
allFacts = st.builds(lambda one, other: ProxyFacts(**one, **other), st.just({}) | tls, others)


class WriterTests(SynchronousTestCase):
    @given(st.sampled_from(VERSIONS), st.tuples(v4, v4) | st.tuples(v6, v6))
    def test_addresses(
        self, version: str, ends: tuple[IPv4Address, IPv4Address] | tuple[IPv6Address, IPv6Address]
    ) -> None:
        """The parser reads both addresses back, in both versions."""
        data = encodeHeader(version, *ends)
        self.assertEqual(parseHeader(data + b"rest"), Header(len(data), *ends))

    @given(v4, v4, allFacts)
    @example(CLIENT, SERVER, ProxyFacts(authority="x" * 255, uniqueId="x" * 128, vpcEndpoint="x" * 255))
    def test_facts(self, source: IPv4Address, destination: IPv4Address, facts: ProxyFacts) -> None:
        """The parser reads the facts back, in version 2."""
        data = encodeHeader("v2", source, destination, facts)
        read = parseHeader(data)
        expected = None if facts == ProxyFacts() else facts
        self.assertEqual(read, Header(len(data), source, destination, expected))
        self.assertEqual(
            encodeHeader("v1", source, destination, facts), encodeHeader("v1", source, destination)
        )

    def test_bytes(self) -> None:
        """The bytes are those of the specification."""
        self.assertEqual(encodeHeader("v1", CLIENT, SERVER), b"PROXY TCP4 192.0.2.1 192.0.2.2 4242 8080\r\n")
        self.assertEqual(
            encodeHeader("v1", IPv6Address("TCP", "2001:DB8::1", 1), IPv6Address("TCP", "::1", 2)),
            b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n",
        )
        facts = ProxyFacts(tlsFlags=("tls",), tlsVersion="TLSv1.3", alpn="h2")
        alpn, version = b"\x01\0\x02h2", b"\x21\0\x07TLSv1.3"
        self.assertEqual(
            encodeHeader("v2", CLIENT, SERVER, facts),
            SIGNATURE
            + b"\x21\x11\0\x23\xc0\0\x02\x01\xc0\0\x02\x02\x10\x92\x1f\x90"
            + alpn
            + b"\x20\0\x0f\x01\0\0\0\x01"
            + version,
        )

    def test_unnamed(self) -> None:
        """A UNIX client, or two families, are not named."""
        pairs: tuple[tuple[object, object], ...] = (
            (UNIXAddress(b"/run/x"), UNIXAddress(b"/run/y")),
            (UNIXAddress(None), SERVER),
            (CLIENT, IPv6Address("TCP", "2001:db8::1", 80)),
            (None, None),
        )
        for ends in pairs:
            self.assertEqual(encodeHeader("v1", *ends), b"PROXY UNKNOWN\r\n")
            data = encodeHeader("v2", *ends, ProxyFacts(alpn="h2"))
            self.assertEqual(data, SIGNATURE + b"\x20\0\0\0")
            self.assertEqual(parseHeader(data), Header(16))

    def test_mapped(self) -> None:
        """IPv4 on a dual-stack socket is IPv4."""
        for host in ("::ffff:192.0.2.1", "::ffff:c000:201"):
            for version in VERSIONS:
                data = encodeHeader(version, IPv6Address("TCP", host, 4242), SERVER)
                self.assertEqual(data, encodeHeader(version, CLIENT, SERVER))

    def test_scope(self) -> None:
        """A scope is left out."""
        header = parseHeader(
            encodeHeader("v1", IPv6Address("TCP", "fe80::1%lo", 1), IPv6Address("TCP", "fe80::2%lo", 2))
        )
        assert header is not None
        self.assertEqual(header.source, IPv6Address("TCP", str(ipaddress.ip_address("fe80::1")), 1))

    def test_tooLong(self) -> None:
        """A text that no receiver would have to take is left out, and the others are there."""
        facts = ProxyFacts(
            authority="x" * 256,
            alpn="h2",
            uniqueId="\\xff" * 128,
            tlsFlags=("tls",),
            tlsVerify=0,
            tlsCommonName="x" * 256,
        )
        header = parseHeader(encodeHeader("v2", CLIENT, SERVER, facts))
        assert header is not None
        self.assertEqual(header.facts, ProxyFacts(alpn="h2", tlsFlags=("tls",), tlsVerify=0))

    def test_longest(self) -> None:
        """The longest line fits into what the specification allows."""
        longest = IPv6Address("TCP", "ffff:" * 7 + "ffff", 65535)
        self.assertLessEqual(len(encodeHeader("v1", longest, longest)), 107)

    def test_version(self) -> None:
        """There are two versions."""
        self.assertRaises(ValueError, encodeHeader, "v3", CLIENT, SERVER)
