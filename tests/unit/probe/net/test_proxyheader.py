"""PROXY headers of the probe, byte by byte."""

from __future__ import annotations

import socket
from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.net.proxyheader import ProxyHeader


class FakeSocket:
    """A connected socket with the names of a test."""

    def __init__(self, here: object, there: object) -> None:
        self.getsockname = lambda: here
        self.getpeername = lambda: there


IPV4 = ("127.0.0.1", 40000), ("127.0.0.1", 8080)
IPV6 = ("::1", 40000, 0, 0), ("fe80::2%eth0", 8080, 0, 2)
UNIX = "", "/run/echo.sock"

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")


def encoded(header: ProxyHeader, names: tuple[object, object]) -> bytes:
    return header.encode(cast(socket.socket, FakeSocket(*names)))


class Version1Tests(SynchronousTestCase):
    def test_unknown(self) -> None:
        """Without a source the receiver is told to use the connection's own addresses."""
        for names in (IPV4, IPV6, UNIX):
            self.assertEqual(encoded(ProxyHeader("v1"), names), b"PROXY UNKNOWN\r\n")

    def test_source(self) -> None:
        """A source comes with the connection's destination, and with its port unless it has its own."""
        for header, names, expected in (
            (ProxyHeader("v1", "192.0.2.1"), IPV4, b"TCP4 192.0.2.1 127.0.0.1 40000 8080"),
            (ProxyHeader("v1", "192.0.2.1", 9), IPV4, b"TCP4 192.0.2.1 127.0.0.1 9 8080"),
            (ProxyHeader("v1", "2001:db8::1", 9), IPV6, b"TCP6 2001:db8::1 fe80::2 9 8080"),
            (ProxyHeader("v1", "192.0.2.1", 9), UNIX, b"TCP4 192.0.2.1 0.0.0.0 9 0"),
        ):
            self.assertEqual(encoded(header, names), b"PROXY " + expected + b"\r\n")

    def test_mixedFamilies(self) -> None:
        """Both addresses of a header are of one family."""
        line = encoded(ProxyHeader("v1", "2001:db8::1", 9), IPV4)
        self.assertEqual(line, b"PROXY TCP6 2001:db8::1 ::ffff:127.0.0.1 9 8080\r\n")


class Version2Tests(SynchronousTestCase):
    def test_local(self) -> None:
        """Without a source the connection is one of the sender's own, and names no family."""
        self.assertEqual(encoded(ProxyHeader("v2"), IPV4), SIGNATURE + bytes.fromhex("20000000"))

    def test_ipv4(self) -> None:
        """Addresses and ports are in network byte order."""
        expected = "2111000cc00002017f00000100091f90"
        header = encoded(ProxyHeader("v2", "192.0.2.1", 9), IPV4)
        self.assertEqual(header, SIGNATURE + bytes.fromhex(expected))

    def test_ipv6(self) -> None:
        """An IPv6 source has 36 bytes of addresses."""
        header = encoded(ProxyHeader("v2", "2001:db8::1"), IPV6)
        self.assertEqual(header[12:16], bytes.fromhex("21210024"))
        self.assertEqual(header[16:32], socket.inet_pton(socket.AF_INET6, "2001:db8::1"))
        self.assertEqual(header[32:48], socket.inet_pton(socket.AF_INET6, "fe80::2"))
        self.assertEqual(header[48:], bytes.fromhex("9c401f90"))
