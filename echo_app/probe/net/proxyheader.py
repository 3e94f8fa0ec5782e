"""PROXY header that a client sends before everything else, in the versions 1 and 2 of the protocol.

The source is HAProxy's proxy-protocol.txt, sections 2.1 and 2.2. A connection that the probe makes for itself
is none that a proxy relays. So without a source the header says that: ``LOCAL`` in version 2, as for a health
check, and ``UNKNOWN`` in version 1. The receiver then uses the addresses of the connection.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass

VERSIONS = ("v1", "v2")

# The first bytes of version 2 (2.2).
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

# Version 2 in the upper half of the byte, and the command in the lower half.
_LOCAL, _PROXY = 0x20, 0x21

# Family and transport: TCP over IPv4 or IPv6.
_TCP4, _TCP6 = 0x11, 0x21

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# An address, and a port.
_End = tuple[IPAddress, int]


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """The header of each connection.

    :param version: ``v1`` or ``v2``.
    :param source: address of the client that it names; empty is none.
    :param port: of that client; 0 is the port of the connection itself.
    """

    version: str
    source: str = ""
    port: int = 0

    def __str__(self) -> str:
        port = f", port {self.port}" if self.port else ""
        return f"{self.version} of {self.source}{port}" if self.source else self.version

    def encode(self, sock: socket.socket) -> bytes:
        """Returns the header of a connection.

        It names the other end of the connection as the client's destination. Where that end has no IP
        address, it names the unspecified one.

        :param sock: connected.
        :raise OSError: when the connection is broken.
        """
        if not self.source:
            return b"PROXY UNKNOWN\r\n" if self.version == "v1" else _version2(_LOCAL, 0, b"")
        here, there = _endOf(sock.getsockname()), _endOf(sock.getpeername())
        address = ipaddress.ip_address(self.source)
        source = address, self.port or (here[1] if here else 0)
        nowhere = ipaddress.ip_address("0.0.0.0" if address.version == 4 else "::"), 0
        destination = there or nowhere
        if source[0].version != destination[0].version:
            source, destination = _mapped(source), _mapped(destination)
        return (_relayed1 if self.version == "v1" else _relayed2)(source, destination)


def _endOf(name: object) -> _End | None:
    """Returns the address and the port of a socket's name; None for a UNIX socket."""
    if not isinstance(name, tuple):
        return None
    # A scope, as in fe80::1%eth0, is known on this machine alone.
    return ipaddress.ip_address(str(name[0]).partition("%")[0]), int(name[1])


def _mapped(end: _End) -> _End:
    """Returns the same end as an IPv6 address (RFC 4291, 2.5.5.2)."""
    address, port = end
    return (address if address.version == 6 else ipaddress.ip_address(f"::ffff:{address}")), port


def _relayed1(source: _End, destination: _End) -> bytes:
    (one, port), (other, otherPort) = source, destination
    written = f"{_written(one)} {_written(other)} {port} {otherPort}"
    return f"PROXY TCP{one.version} {written}\r\n".encode("ascii")


def _written(address: IPAddress) -> str:
    """Returns an address as C programs write it, mapped ones too; Python's own form differs by version."""
    return socket.inet_ntop(socket.AF_INET if address.version == 4 else socket.AF_INET6, address.packed)


def _relayed2(source: _End, destination: _End) -> bytes:
    family = _TCP4 if source[0].version == 4 else _TCP6
    addresses = source[0].packed + destination[0].packed
    return _version2(_PROXY, family, addresses + struct.pack("!HH", source[1], destination[1]))


def _version2(command: int, family: int, block: bytes) -> bytes:
    return _SIGNATURE + struct.pack("!BBH", command, family, len(block)) + block
