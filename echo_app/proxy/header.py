"""Parser of the PROXY protocol's header, versions 1 and 2.

From bytes to a value, without I/O, after HAProxy's specification of 2020-03-05 (proxy-protocol.txt, 2.1
and 2.2). The parser keeps no state: with more bytes, the caller passes all of them again. That costs next to
nothing: before the header is complete, the parser reads only its beginning and its length. Bytes after the
header do not change the result.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from twisted.internet.address import UNIXAddress

from echo_app.addresses import InternetAddress, internetAddress
from echo_app.proxy.vectors import KEPT, BadHeader, ProxyFacts, factsOf, keep, vectors

Kind = Literal["TCP", "UDP"]
Address = InternetAddress | UNIXAddress

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_LINE = b"PROXY "

# Version 1: bytes of the longest line that the specification allows, its CR LF included.
_LONGEST_LINE = 107

# Version 2: signature, version and command, family and protocol, and the length of the rest.
_FIXED_BYTES = 16
LOCAL, PROXY = 0x20, 0x21
_UNSPECIFIED, INET, INET6, _UNIX = range(4)
_KINDS: dict[int, Kind] = {1: "TCP", 2: "UDP"}

# Bytes of both addresses, with their ports, by family.
_ADDRESS_BYTES = {_UNSPECIFIED: 0, INET: 12, INET6: 36, _UNIX: 216}

# Bytes of the longest header: its length field has 16 bits.
LONGEST_HEADER = _FIXED_BYTES + 0xFFFF

_CHECKSUM = 0x03

# Bytes of the longest header with a checksum, which takes 0.5 ms; that of 64 KiB takes 4 ms. A chain of
# certificates fits in.
LONGEST_CHECKED = 8192

_PORT = re.compile(rb"0|[1-9][0-9]{0,4}")


# What is logged of a header where none is expected.
UNEXPECTED = "a header of the PROXY protocol, which only --proxy-protocol expects"


@dataclass(frozen=True, slots=True)
class Header:
    """The values of one header.

    :param size: bytes of the header; the bytes after it are the client's.
    :param source: the client's address; None is the proxy itself, or a client that it can't name.
    :param destination: the address that the client connected to; None as for `source`.
    :param facts: what the vectors say; None without such vectors.
    """

    size: int
    source: Address | None = None
    destination: Address | None = None
    facts: ProxyFacts | None = None


def parseHeader(data: bytes | bytearray) -> Header | None:
    """Returns the header that a stream begins with; None while it is incomplete.

    :param data: the stream from its first byte on.
    :raise BadHeader: as soon as the stream can't begin with a header.
    """
    if data.startswith(SIGNATURE):
        return _parseBlock(data)
    if data.startswith(_LINE):
        return _parseLine(data)
    begin = bytes(data[: len(SIGNATURE)])
    if SIGNATURE.startswith(begin) or _LINE.startswith(begin):
        return None
    raise BadHeader(f"a stream that begins with {begin!r}")


def isHeader(data: bytes) -> bool:
    """Returns whether a stream begins with a header; of the first few bytes of one it says no."""
    return data.startswith((SIGNATURE, b"PROXY TCP", b"PROXY UNKNOWN"))


def _parseLine(data: bytes | bytearray) -> Header | None:
    """Parses version 1: a line of text."""
    end = data.find(b"\r\n", 0, _LONGEST_LINE)
    if end < 0:
        if len(data) >= _LONGEST_LINE:
            raise BadHeader(f"no end of the line in {_LONGEST_LINE} bytes")
        return None
    line = bytes(data[:end])
    words = line.split(b" ")
    if words[1] == b"UNKNOWN":
        # The rest of the line is to be ignored.
        return Header(end + 2)
    if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):
        raise BadHeader(f"the line {line!r}")
    _, family, source, destination, sourcePort, destinationPort = words
    return Header(
        end + 2,
        _fromText(family, source, sourcePort),
        _fromText(family, destination, destinationPort),
    )


def _fromText(family: bytes, host: bytes, port: bytes) -> Address:
    try:
        literal = _literalOf(host.decode("ascii"), 4 if family == b"TCP4" else 6)
    except ValueError:
        raise BadHeader(f"{host!r} as an address of {family.decode()}") from None
    if b"%" in host:
        raise BadHeader(f"the scope in {host!r}")
    if not _PORT.fullmatch(port) or int(port) > 0xFFFF:
        raise BadHeader(f"{port!r} as a port")
    return internetAddress("TCP", literal, int(port))


def _parseBlock(data: bytes | bytearray) -> Header | None:
    """Parses version 2: a block of bytes."""
    if len(data) <= len(SIGNATURE):
        return None
    command = data[12]
    if command not in (LOCAL, PROXY):
        raise BadHeader(f"version and command {command:#04x}")
    if command == PROXY and len(data) > 13:
        _checkFamily(data[13])
    if len(data) < _FIXED_BYTES:
        return None
    size = _FIXED_BYTES + int.from_bytes(data[14:16])
    if command == PROXY and size < _FIXED_BYTES + _ADDRESS_BYTES[data[13] >> 4]:
        raise BadHeader(f"{size - _FIXED_BYTES} bytes for addresses of family {data[13]:#04x}")
    if len(data) < size:
        return None
    family, kind = divmod(data[13], 16)
    if command == LOCAL or family == _UNSPECIFIED or kind not in _KINDS:
        # The proxy's own connection, or a client that it can't name: the block is to be ignored.
        return Header(size)
    header = bytes(data[:size])
    end = _FIXED_BYTES + _ADDRESS_BYTES[family]
    source, destination = _fromBytes(family, _KINDS[kind], header[_FIXED_BYTES:end])
    return Header(size, source, destination, _factsFrom(header, end) if end < size else None)


def _checkFamily(byte: int) -> None:
    if byte >> 4 not in _ADDRESS_BYTES or byte & 15 not in (0, *_KINDS):
        raise BadHeader(f"family and protocol {byte:#04x}")


def _fromBytes(family: int, kind: Kind, block: bytes) -> tuple[Address, Address]:
    if family == _UNIX:
        return _unix(block[:108]), _unix(block[108:])
    version = 4 if family == INET else 6
    size = len(block) // 2 - 2
    hosts, ports = block[: 2 * size], block[2 * size :]
    return (
        internetAddress(kind, _literalOf(hosts[:size], version), int.from_bytes(ports[:2])),
        internetAddress(kind, _literalOf(hosts[size:], version), int.from_bytes(ports[2:])),
    )


# Clients return, and their destination is always the same.
@lru_cache(maxsize=4096)
def _literalOf(address: str | bytes, version: int) -> str:
    """Returns an address, a literal or packed, in its canonical form; an IPv4-mapped one as IPv4."""
    of = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    found = of(address)
    return str(getattr(found, "ipv4_mapped", None) or found)


def _unix(name: bytes) -> UNIXAddress:
    """Returns the address of a name: a path ends at the first NUL, an abstract name begins with one."""
    if name.startswith(b"\0"):
        return UNIXAddress(name.rstrip(b"\0"))
    return UNIXAddress(name.partition(b"\0")[0])


def _factsFrom(header: bytes, at: int) -> ProxyFacts | None:
    """Returns the facts of the vectors, which fill a header to its end; checks a checksum."""
    checked = False
    values: dict[int, bytes] = {}
    for kind, begin, end in vectors(header, at):
        if kind in KEPT:
            keep(values, kind, header[begin:end])
        elif kind == _CHECKSUM:
            # Each further checksum would cost one more pass over the header.
            if checked or end - begin != 4:
                raise BadHeader("more than one checksum, or not of 4 bytes")
            if len(header) > LONGEST_CHECKED:
                raise BadHeader(f"a checksum of more than {LONGEST_CHECKED} bytes")
            _checkSum(header, begin)
            checked = True
    return factsOf(values) if values else None


def _checkSum(header: bytes, at: int) -> None:
    stated = int.from_bytes(header[at : at + 4])
    if crc32c(header[:at] + bytes(4) + header[at + 4 :]) != stated:
        raise BadHeader(f"a checksum of {stated:#010x}, which is wrong")


def crc32c(data: bytes) -> int:
    """Returns the CRC-32C of bytes (RFC 4960, appendix B)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _crcOf(byte: int) -> int:
    # Castagnoli's polynomial, its bits in reverse.
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_CRC_TABLE = tuple(map(_crcOf, range(256)))
