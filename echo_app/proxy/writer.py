"""Writer of the PROXY protocol's header, versions 1 and 2.

From addresses to bytes, without I/O, after HAProxy's specification of 2020-03-05 (proxy-protocol.txt, 2.1 and
2.2). What it writes, :func:`~echo_app.proxy.header.parseHeader` reads back.
"""

from __future__ import annotations

import struct

from echo_app.addresses import InternetAddress, IPAddress, ipAddressOf
from echo_app.proxy.header import INET, INET6, LOCAL, PROXY, SIGNATURE
from echo_app.proxy.vectors import ProxyFacts, vectorsOf

VERSIONS = ("v1", "v2")

# The transport protocol of a stream, in the lower half of the family's byte.
_STREAM = 1

# An address, and a port.
_End = tuple[IPAddress, int]


def encodeHeader(version: str, source: object, destination: object, facts: ProxyFacts | None = None) -> bytes:
    """Returns the header of a client's connection.

    Where it can't name both ends by addresses of one family, it says that it knows neither: ``UNKNOWN`` in
    version 1, ``LOCAL`` in version 2, which the receiver takes for a connection of our own.

    :param version: ``v1`` or ``v2``.
    :param source: the client's address.
    :param destination: the address that the client connected to.
    :param facts: more about the connection, for version 2; a header without addresses has none.
    :raise ValueError: on another version.
    """
    if version not in VERSIONS:
        raise ValueError(f"no version of the PROXY protocol: {version!r}")
    one, other = _endOf(source), _endOf(destination)
    if one is None or other is None or one[0].version != other[0].version:
        return b"PROXY UNKNOWN\r\n" if version == "v1" else _block(LOCAL, 0, b"")
    (client, port), (server, serverPort) = one, other
    if version == "v1":
        return f"PROXY TCP{client.version} {client} {server} {port} {serverPort}\r\n".encode("ascii")
    family = (INET if client.version == 4 else INET6) << 4 | _STREAM
    addresses = client.packed + server.packed + struct.pack("!HH", port, serverPort)
    return _block(PROXY, family, addresses + (b"" if facts is None else vectorsOf(facts)))


def _endOf(address: object) -> _End | None:
    if not isinstance(address, InternetAddress):
        return None
    # A scope, as in fe80::1%eth0, is known on this machine alone.
    return ipAddressOf(address.host.partition("%")[0]), address.port


def _block(command: int, family: int, content: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(content)) + content
