"""The header of the PROXY protocol, from bytes to a value."""

from __future__ import annotations

import ipaddress
import struct

from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from echo_app.proxy.header import LONGEST_CHECKED, LONGEST_HEADER, Header, crc32c, parseHeader
from echo_app.proxy.vectors import MAX_VECTORS, BadHeader
from tests.support.properties import example, given

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
IPV4_BLOCK = bytes([192, 0, 2, 1, 192, 0, 2, 2]) + struct.pack("!HH", 4242, 8080)

ports = st.integers(0, 65535)


def block(family: int, content: bytes = b"", command: int = 0x21, length: int | None = None) -> bytes:
    """Returns a header of version 2."""
    size = len(content) if length is None else length
    return SIGNATURE + struct.pack("!BBH", command, family, size) + content


def vector(kind: int, value: bytes) -> bytes:
    """Returns a type-length-value vector."""
    return struct.pack("!BH", kind, len(value)) + value


def result(data: bytes) -> Header | type[BadHeader] | None:
    """Returns what comes of bytes; a refusal as its class."""
    try:
        return parseHeader(data)
    except BadHeader:
        return BadHeader


HEADERS = (
    b"PROXY UNKNOWN\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 4242 8080\r\n",
    b"PROXY TCP6 2001:db8::1 ::1 4242 8080\r\n",
    block(0x11, IPV4_BLOCK),
    block(0x11, IPV4_BLOCK + vector(4, b"padding") + vector(1, b"")),
    block(0x21, bytes(36)),
    block(0x31, bytes(216)),
    block(0, b"", 0x20),
    block(0),
)


class LineTests(SynchronousTestCase):
    """Version 1."""

    def assertRefused(self, line: bytes) -> None:
        """Checks that a line is refused, in words that can be printed."""
        error = self.assertRaises(BadHeader, parseHeader, line)
        self.assertTrue(str(error).isprintable(), error)

    @given(st.ip_addresses(v=4), st.ip_addresses(v=4), ports, ports, st.binary(max_size=20))
    def test_ipv4(
        self,
        source: ipaddress.IPv4Address,
        destination: ipaddress.IPv4Address,
        sourcePort: int,
        destinationPort: int,
        rest: bytes,
    ) -> None:
        """Both IPv4 addresses, and where the header ends."""
        line = f"PROXY TCP4 {source} {destination} {sourcePort} {destinationPort}\r\n".encode()
        self.assertEqual(
            parseHeader(line + rest),
            Header(
                len(line),
                IPv4Address("TCP", str(source), sourcePort),
                IPv4Address("TCP", str(destination), destinationPort),
            ),
        )

    @given(st.ip_addresses(v=6), ports, st.sampled_from(["compressed", "exploded"]))
    def test_ipv6(self, source: ipaddress.IPv6Address, port: int, form: str) -> None:
        """IPv6 addresses, however they are written; upper case too."""
        host = getattr(source, form).upper()
        header = parseHeader(f"PROXY TCP6 {host} ::1 {port} 65535\r\n".encode())
        assert header is not None
        if source.ipv4_mapped is None:
            self.assertEqual(header.source, IPv6Address("TCP", str(source), port))
        self.assertEqual(header.destination, IPv6Address("TCP", "::1", 65535))

    def test_mapped(self) -> None:
        """An IPv4-mapped IPv6 address is an IPv4 address."""
        for host in ("::ffff:192.0.2.1", "::FFFF:c000:201", "0:0:0:0:0:ffff:192.0.2.1"):
            header = parseHeader(f"PROXY TCP6 {host} ::1 7 7\r\n".encode())
            assert header is not None
            self.assertEqual(header.source, IPv4Address("TCP", "192.0.2.1", 7))

    def test_unknown(self) -> None:
        """UNKNOWN leaves the connection as it is, with anything else in the line."""
        for rest in (b"", b" ", b" ::1 ::1 1 2", b" \xff\0\n\r junk", b" " + b"x" * 91):
            line = b"PROXY UNKNOWN" + rest + b"\r\n"
            self.assertEqual(parseHeader(line + b"data"), Header(len(line)))

    def test_longest(self) -> None:
        """The line ends within 107 bytes, CR LF included."""
        longest = b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n"
        self.assertEqual(len(longest), 107)
        self.assertEqual(parseHeader(longest), Header(107))
        self.assertIsNone(parseHeader(longest[:106]))
        self.assertRefused(longest[:105] + b"x\r\n")
        self.assertRefused(b"PROXY TCP4 " + b"1" * 96)

    def test_addresses(self) -> None:
        """Addresses are those of the family that is named, and nothing else."""
        for family, host in (
            *(("TCP4", host) for host in ("6.6.6.6\x1b[2J", "1.2.3", "1.2.3.256", "01.2.3.4", "::1", "")),
            *(("TCP4", host) for host in ("1.2.3.4/8", "localhost", "+1.2.3.4", "\uff11.2.3.4", "1.2.3.4.")),
            *(("TCP6", host) for host in ("1.2.3.4", ":::", "::1%lo", "::12345", "[::1]", "1::2::3", "")),
        ):
            good = "1.2.3.4" if family == "TCP4" else "::1"
            for pair in (f"{host} {good}", f"{good} {host}"):
                self.assertRefused(f"PROXY {family} {pair} 1 2\r\n".encode())

    def test_ports(self) -> None:
        """Ports are decimal numbers from 0 to 65535, without a leading zero."""
        for port in (
            "abc",
            "65536",
            "99999999999",
            "-1",
            "+1",
            "01",
            "00",
            "1.0",
            "0x1",
            "",
            "1_0",
            "\uff11",
        ):
            for pair in (f"{port} 2", f"2 {port}"):
                self.assertRefused(f"PROXY TCP4 1.2.3.4 1.2.3.4 {pair}\r\n".encode())
        self.assertIsNotNone(parseHeader(b"PROXY TCP4 1.2.3.4 1.2.3.4 0 65535\r\n"))

    def test_form(self) -> None:
        """Exactly one space between six words, and the words that there are."""
        for line in (
            b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 ",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3",
            b"PROXY TCP4\t1.2.3.4 1.2.3.4 1 2",
            b"PROXY tcp4 1.2.3.4 1.2.3.4 1 2",
            b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r",
            b"PROXY UNKNOWNS",
            b"PROXY ",
        ):
            self.assertRefused(line + b"\r\n")

    def test_otherStreams(self) -> None:
        """A stream without a header is refused at its first wrong byte."""
        for data in (b"G", b"\x16", b"\0", b"p", b"PROXY\r", b"PROXYT", b"\r\n\r\nX", SIGNATURE[:-1] + b"\r"):
            self.assertIsNone(parseHeader(data[:-1]))
            self.assertRefused(data)
            self.assertRefused(data + b"more")


class BlockTests(SynchronousTestCase):
    """Version 2."""

    def assertRefused(self, data: bytes) -> None:
        """Checks that bytes are refused, in words that can be printed."""
        error = self.assertRaises(BadHeader, parseHeader, data)
        self.assertTrue(str(error).isprintable(), error)

    @given(st.ip_addresses(), st.ip_addresses(), ports, ports, st.sampled_from([1, 2]))
    def test_internet(
        self,
        source: ipaddress.IPv4Address | ipaddress.IPv6Address,
        destination: ipaddress.IPv4Address | ipaddress.IPv6Address,
        sourcePort: int,
        destinationPort: int,
        kind: int,
    ) -> None:
        """Addresses of both families over both transports, and where the header ends."""
        if source.version != destination.version:
            destination = source
        content = source.packed + destination.packed + struct.pack("!HH", sourcePort, destinationPort)
        data = block((0x10 if source.version == 4 else 0x20) + kind, content)
        header = parseHeader(data + b"rest")
        assert header is not None
        self.assertEqual(header.size, len(data))
        if getattr(source, "ipv4_mapped", None) is None:
            of = IPv4Address if source.version == 4 else IPv6Address
            expected = of("TCP" if kind == 1 else "UDP", str(source), sourcePort)
            self.assertEqual(header.source, expected)
        assert isinstance(header.destination, (IPv4Address, IPv6Address))
        self.assertEqual(header.destination.port, destinationPort)

    def test_mapped(self) -> None:
        """An IPv4-mapped IPv6 address is an IPv4 address."""
        packed = ipaddress.IPv6Address("::ffff:192.0.2.1").packed
        address = IPv4Address("TCP", "192.0.2.1", 0)
        header = parseHeader(block(0x21, packed + packed + bytes(4)))
        self.assertEqual(header, Header(52, address, address))

    def test_unix(self) -> None:
        """Paths, abstract names, and none."""
        for name, address in (
            (b"/run/x", UNIXAddress(b"/run/x")),
            (b"/run/x\0old", UNIXAddress(b"/run/x")),
            (b"\0abstract", UNIXAddress(b"\0abstract")),
            (b"x" * 108, UNIXAddress(b"x" * 108)),
            (b"", UNIXAddress(b"")),
        ):
            content = name.ljust(108, b"\0") + b"/there".ljust(108, b"\0")
            for family in (0x31, 0x32):
                self.assertEqual(
                    parseHeader(block(family, content)), Header(232, address, UNIXAddress(b"/there"))
                )

    def test_local(self) -> None:
        """LOCAL leaves the connection as it is, and the content of its block is skipped."""
        for family, content in ((0, b""), (0x11, IPV4_BLOCK), (0xFF, b"junk"), (0x11, b"")):
            data = block(family, content, 0x20)
            self.assertEqual(parseHeader(data + b"rest"), Header(len(data)))

    def test_unspecified(self) -> None:
        """A family or a transport that the proxy can't name leaves the connection as it is."""
        for family, content in ((0, b"junk"), (0x01, b""), (0x10, IPV4_BLOCK), (0x20, bytes(36))):
            data = block(family, content)
            self.assertEqual(parseHeader(data + b"rest"), Header(len(data)))

    def test_unassigned(self) -> None:
        """Other versions, commands, families and transports are refused as soon as they are seen."""
        for command in set(range(256)) - {0x20, 0x21}:
            self.assertRefused(SIGNATURE + bytes([command]))
        for family in range(256):
            if family >> 4 > 3 or family & 15 > 2:
                self.assertRefused(SIGNATURE + bytes([0x21, family]))

    def test_tooShort(self) -> None:
        """A length that has no room for the addresses is refused before they come."""
        for family, size in ((0x11, 12), (0x10, 12), (0x22, 36), (0x31, 216)):
            self.assertRefused(block(family, b"", length=size - 1))
            self.assertIsNone(parseHeader(block(family, b"", length=size)))

    def test_vectors(self) -> None:
        """Unknown vectors are skipped; they have to end where the header does."""
        vectors = vector(0xE0, b"x" * 300) + vector(4, b"") + vector(0x40, b"y")
        data = block(0x11, IPV4_BLOCK + vectors)
        header = parseHeader(data + b"rest")
        assert header is not None
        self.assertEqual((header.size, header.source), (len(data), IPv4Address("TCP", "192.0.2.1", 4242)))
        self.assertIsNone(header.facts)
        for wrong in (b"\x04", b"\x04\0", b"\x04\0\x01", vectors + b"\0", vectors[:-1]):
            self.assertRefused(block(0x11, IPV4_BLOCK + wrong))

    def test_longest(self) -> None:
        """The longest header that there can be."""
        data = block(0x11, IPV4_BLOCK + vector(4, bytes(65535 - 12 - 3)))
        self.assertEqual(len(data), LONGEST_HEADER)
        header = parseHeader(data + b"rest")
        assert header is not None
        self.assertEqual(header.size, LONGEST_HEADER)

    def test_checksum(self) -> None:
        """A checksum, where there is one, is right."""

        def checked(checksum: int) -> bytes:
            vectors = vector(4, b"before") + vector(3, struct.pack("!I", checksum)) + vector(4, b"after")
            return block(0x11, IPV4_BLOCK + vectors)

        right = crc32c(checked(0))
        self.assertIsNotNone(parseHeader(checked(right)))
        for bit in range(32):
            self.assertRefused(checked(right ^ 1 << bit))

    def test_checksums(self) -> None:
        """A header has one checksum at most, of four bytes: each would cost a look at every byte."""
        self.assertRefused(block(0x11, IPV4_BLOCK + vector(3, b"123")))
        data = block(0x11, IPV4_BLOCK + vector(3, bytes(4)) * 2)
        first = block(0x11, IPV4_BLOCK + vector(3, struct.pack("!I", crc32c(data))) + vector(3, bytes(4)))
        self.assertIn("more than one", str(self.assertRaises(BadHeader, parseHeader, first)))

    def test_manyVectors(self) -> None:
        """A header with so many vectors that they hold up other connections is refused."""
        data = block(0x11, IPV4_BLOCK + vector(4, b"") * MAX_VECTORS)
        self.assertEqual(parseHeader(data).size, len(data))  # type: ignore[union-attr]
        self.assertRefused(block(0x11, IPV4_BLOCK + vector(4, b"") * (MAX_VECTORS + 1)))

    def test_longChecked(self) -> None:
        """A checksum is checked up to a length, above which it holds up other connections."""
        for size, isRefused in ((LONGEST_CHECKED, False), (LONGEST_CHECKED + 1, True)):
            padding = vector(4, bytes(size - len(block(0x11, IPV4_BLOCK)) - 3 - 7))
            checksum = crc32c(block(0x11, IPV4_BLOCK + vector(3, bytes(4)) + padding))
            data = block(0x11, IPV4_BLOCK + vector(3, struct.pack("!I", checksum)) + padding)
            self.assertEqual(len(data), size)
            if isRefused:
                self.assertRefused(data)
            else:
                self.assertEqual(parseHeader(data).size, size)  # type: ignore[union-attr]

    def test_crc32c(self) -> None:
        """The check value of CRC-32C, and the vectors of RFC 3720, B.4."""
        for data, value in (
            (b"123456789", 0xE3069283),
            (bytes(32), 0x8A9136AA),
            (b"\xff" * 32, 0x62A8AB43),
            (bytes(range(32)), 0x46DD794E),
        ):
            self.assertEqual(crc32c(data), value)


def _mutated() -> st.SearchStrategy[bytes]:
    """Headers with one stretch of bytes replaced."""
    return st.builds(
        lambda header, at, junk, cut: header[: at % len(header)] + junk + header[at % len(header) + cut :],
        st.sampled_from(HEADERS),
        st.integers(0, 300),
        st.binary(max_size=4),
        st.integers(0, 4),
    )


class AnyBytesTests(SynchronousTestCase):
    """Any bytes, in any pieces."""

    @given(st.one_of(st.binary(max_size=400), _mutated(), st.binary(max_size=400).map(SIGNATURE.__add__)))
    @example(b"")
    @example(b"PROXY TCP4 \xff\r\n")
    def test_pieces(self, data: bytes) -> None:
        """An answer is the same in one piece and byte by byte, and stays; nothing but BadHeader is raised."""
        whole = result(data)
        answer: object = None
        for size in range(len(data) + 1):
            now = result(data[:size])
            if answer is not None:
                self.assertEqual(now, answer)
            answer = now
        self.assertEqual(answer, whole)

    @given(st.sampled_from(HEADERS), st.binary(max_size=100))
    def test_size(self, header: bytes, rest: bytes) -> None:
        """A header is complete with its last byte, not before, and takes no byte after it."""
        self.assertIsNone(result(header[:-1]))
        found = parseHeader(bytearray(header + rest))
        assert found is not None
        self.assertEqual(found.size, len(header))

    @given(st.binary(max_size=2000), st.sampled_from([SIGNATURE, b"PROXY ", b""]))
    def test_bounded(self, data: bytes, begin: bytes) -> None:
        """Any bytes of the longest header's size have a result."""
        self.assertIsNotNone(result((begin + data).ljust(LONGEST_HEADER, b"\0")))
