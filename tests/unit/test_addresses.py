"""Addresses: their format, their equality and their counts."""

from __future__ import annotations

import ipaddress

from hypothesis import strategies as st
from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from echo_app.addresses import (
    describe,
    hostPort,
    internetAddress,
    ipAddressOf,
    isGroup,
    isLoopbackHost,
    isPermitted,
    isWildcardHost,
    networkOf,
    peerKey,
    transportName,
    unmapped,
)
from echo_app.text import escaped
from tests.support.properties import given


class HostTests(SynchronousTestCase):
    @given(st.ip_addresses(v=4).map(str))
    def test_unmapped(self, host: str) -> None:
        """An IPv4 peer of a dual-stack socket is the IPv4 peer."""
        self.assertEqual(unmapped(f"::ffff:{host}"), host)
        self.assertEqual(unmapped(host), host)
        self.assertEqual(peerKey(f"::ffff:{host}"), peerKey(host))

    def test_notMapped(self) -> None:
        """An IPv6 address that is not mapped stays as it is, also one that begins alike."""
        for host in ("::1", "::ffff:0:1", "2001:db8::1"):
            self.assertEqual(unmapped(host), host)

    @given(st.ip_addresses(v=6), st.ip_addresses(v=6))
    def test_peerKey(self, one: ipaddress.IPv6Address, other: ipaddress.IPv6Address) -> None:
        """IPv6 peers are one peer if, and only if, their first 64 bits are equal."""
        if not (one.ipv4_mapped or other.ipv4_mapped):
            alike = int(one) >> 64 == int(other) >> 64
            self.assertEqual(peerKey(str(one)) == peerKey(str(other)), alike)
            self.assertEqual(peerKey(str(one)), peerKey(str(ipaddress.IPv6Address(int(one) ^ 1))))

    def test_scoped(self) -> None:
        """A link-local peer's scope is no part of its network."""
        self.assertEqual(peerKey("fe80::1%lo"), "fe80::/64")

    def test_wildcard(self) -> None:
        """The unspecified addresses mean every interface."""
        hosts = ("0.0.0.0", "::", "127.0.0.1", "::1")
        self.assertEqual([isWildcardHost(host) for host in hosts], [True, True, False, False])

    def test_ipAddress(self) -> None:
        """A literal is its address, with a scope too; an IPv4-mapped one is IPv4."""
        for host, address in (("192.0.2.1", "192.0.2.1"), ("::1", "::1"), ("fe80::1%lo", "fe80::1%lo")):
            self.assertEqual(str(ipAddressOf(host)), address)
        for mapped in ("::ffff:192.0.2.1", "::ffff:c000:201", "::ffff:192.0.2.1%lo"):
            self.assertEqual(str(ipAddressOf(mapped)), "192.0.2.1")
        self.assertRaises(ValueError, ipAddressOf, "localhost")

    def test_group(self) -> None:
        """Multicast and broadcast addresses belong to many hosts."""
        for host in ("224.0.0.1", "255.255.255.255", "ff02::1", "::ffff:224.0.0.1"):
            self.assertTrue(isGroup(ipAddressOf(host)))
        for host in ("0.0.0.0", "192.0.2.255", "::", "2001:db8::1"):
            self.assertFalse(isGroup(ipAddressOf(host)))


class ReactorAddressTests(SynchronousTestCase):
    def test_internet(self) -> None:
        """A literal's version decides the class; an IPv6 one may have a scope."""
        self.assertEqual(internetAddress("TCP", "192.0.2.1", 80), IPv4Address("TCP", "192.0.2.1", 80))
        self.assertEqual(internetAddress("UDP", "::1", 80, 0, 2), IPv6Address("UDP", "::1", 80, 0, 2))

    def test_permitted(self) -> None:
        """A rule decides on hosts; a UNIX peer is permitted, one of an unknown kind is not."""
        addresses = (
            IPv4Address("TCP", "192.0.2.1", 80),
            IPv6Address("TCP", "::1", 80),
            UNIXAddress(b""),
            HostnameAddress(b"::1", 80),
            None,
        )
        permitted = [isPermitted(each, isLoopbackHost) for each in addresses]
        self.assertEqual(permitted, [False, True, True, False, False])


class DescribeTests(SynchronousTestCase):
    def test_internet(self) -> None:
        """IPv6 literals stand in brackets, IPv4-mapped ones do not."""
        self.assertEqual(describe(IPv4Address("TCP", "127.0.0.1", 80)), "127.0.0.1:80")
        self.assertEqual(describe(IPv6Address("UDP", "::1", 80)), "[::1]:80")
        self.assertEqual(hostPort("::ffff:127.0.0.1", 80), "127.0.0.1:80")

    def test_unix(self) -> None:
        """A path, an abstract name, and no name at all; what a terminal would act upon is escaped."""
        for name, described in (
            (b"/run/echo", "/run/echo"),
            (b"\0echo", "@echo"),
            (None, "unnamed"),
            (b"/a\n\x1b[2J", "/a\\n\\x1b[2J"),
            ("/\u2028".encode(), "/\\u2028"),
        ):
            self.assertEqual(describe(UNIXAddress(name)), described)

    def test_other(self) -> None:
        """An address of another kind is shown as it shows itself."""
        self.assertEqual(describe("a\rb"), "a\\rb")

    def test_transportName(self) -> None:
        """The kinds of listeners, as the ready file names them."""
        addresses = (IPv4Address("TCP", "", 0), IPv6Address("UDP", "", 0), UNIXAddress(b""), 7)
        self.assertEqual([transportName(each) for each in addresses], ["tcp", "udp", "unix", "int"])


class PrintableTests(SynchronousTestCase):
    @given(st.text())
    def test_noControls(self, text: str) -> None:
        """The result can be printed, for any text."""
        self.assertTrue(escaped(text).isprintable())

    def test_escaped(self) -> None:
        """CR, ESC, NUL and the line separators are escaped; the rest stays."""
        self.assertEqual(escaped("é\r\x1b\0\u2028ok"), "é\\r\\x1b\\x00\\u2028ok")


class NetworkTests(SynchronousTestCase):
    def test_network(self) -> None:
        """Networks of both families, and single addresses; an IPv4-mapped one is an IPv4 network."""
        for text, network in (
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::/0", "::/0"),
        ):
            self.assertEqual(str(networkOf(text)), network)

    def test_none(self) -> None:
        """A wrong network is refused."""
        for text in ("", "localhost", "192.0.2.1/24", "192.0.2.0/33", "::1/"):
            self.assertRaises(ValueError, networkOf, text)


class LoopbackTests(SynchronousTestCase):
    def test_loopback(self) -> None:
        """Addresses that only this host reaches, IPv4-mapped ones too; no name is one."""
        for host in ("127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"):
            self.assertTrue(isLoopbackHost(host))
        for host in ("0.0.0.0", "192.0.2.1", "::", "::ffff:192.0.2.1", "localhost", ""):
            self.assertFalse(isLoopbackHost(host))
