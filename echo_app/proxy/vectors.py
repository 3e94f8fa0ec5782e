"""The type-length-value vectors (TLVs) of a header of the PROXY protocol, version 2.

From bytes to values and back, without I/O, after HAProxy's specification of 2020-03-05 (proxy-protocol.txt,
2.2.1 to 2.2.8). Vectors of other types are skipped.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from echo_app.transport.layer import downFrom

ALPN, AUTHORITY, UNIQUE_ID, TLS, NETNS = 0x01, 0x02, 0x05, 0x20, 0x30
_TLS_VERSION, _TLS_CN, _TLS_CIPHER = 0x21, 0x22, 0x23

# Of Amazon's load balancers: a subtype, and the id of the VPC endpoint (PP2_TYPE_AWS). The type is in the
# range for applications (2.2.8), so other subtypes may be another vendor's.
VPC = 0xEA
_VPC_ENDPOINT = 0x01

# The vectors whose values are kept.
KEPT = frozenset((ALPN, AUTHORITY, UNIQUE_ID, TLS, NETNS, VPC))

# Bytes of the longest text: of a host name (RFC 1035, 2.3.4), of a protocol of ALPN (RFC 7301, 3.1) and of a
# namespace's file (NAME_MAX). The same holds for texts without a limit of their own. So all values together
# have at most 2 KiB.
LONGEST_TEXT = 255

# Bytes of the longest unique id (2.2.5).
LONGEST_ID = 128

# Vectors of one header: proxies send up to twenty. A block has room for 21,000 empty ones, which take 7 ms.
MAX_VECTORS = 256

# The flags of the client, and the bytes of the flags and the result before the vectors inside (2.2.6).
_FLAGS = {0x01: "tls", 0x02: "cert-connection", 0x04: "cert-session"}
_TLS_FIXED_BYTES = 5

# The result of a certificate that was not shown, or not verified: X509_V_ERR_UNSPECIFIED of OpenSSL.
_NOT_VERIFIED = 1


class BadHeader(ValueError):
    """The stream begins with no header; the text is the reason, in one line that is safe to print."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyFacts:
    """Facts of a PROXY header about a connection, besides its addresses; None where it has none.

    A text has the proxy's bytes as UTF-8, with other bytes escaped. It may have any characters.

    :param authority: the host name that the client asked for, such as the server name of TLS.
    :param alpn: the application protocol.
    :param uniqueId: the proxy's id of the connection.
    :param tlsFlags: what the client did: ``tls``, it came over TLS; ``cert-connection``, it showed a
        certificate on this connection; ``cert-session``, it did so in this TLS session.
    :param tlsVerify: 0 if the client's certificate was verified, otherwise the proxy's error.
    :param tlsVersion: the version of TLS.
    :param tlsCipher: the name of the cipher.
    :param tlsCommonName: the common name of the client's certificate.
    :param netns: the name of the network namespace.
    :param vpcEndpoint: the id of the VPC endpoint of Amazon Web Services.
    """

    authority: str | None = None
    alpn: str | None = None
    uniqueId: str | None = None
    tlsFlags: tuple[str, ...] | None = None
    tlsVerify: int | None = None
    tlsVersion: str | None = None
    tlsCipher: str | None = None
    tlsCommonName: str | None = None
    netns: str | None = None
    vpcEndpoint: str | None = None


def vectors(data: bytes, at: int) -> Iterator[tuple[int, int, int]]:
    """Yields the type, the beginning and the end of the value of each vector, up to the end of the data.

    :param at: where the first vector begins.
    :raise BadHeader: when a vector does not end within the data, or there are too many.
    """
    count = 0
    while at < len(data):
        count += 1
        if count > MAX_VECTORS:
            raise BadHeader(f"more than {MAX_VECTORS} vectors")
        begin = at + 3
        end = begin + int.from_bytes(data[at + 1 : begin])
        if begin > len(data) or end > len(data):
            raise BadHeader(f"a vector of type {data[at]:#04x} that does not end in the header")
        yield data[at], begin, end
        at = end


def factsOf(values: Mapping[int, bytes]) -> ProxyFacts:
    """Returns the facts of the values of the kept vectors, by type.

    :raise BadHeader: when a value is too long, or is none of its type.
    """
    tls = values.get(TLS)
    inside = _insideTLS(tls) if tls is not None else {}
    vpc = values.get(VPC, b"")
    return ProxyFacts(
        authority=_text(values, AUTHORITY),
        alpn=_text(values, ALPN),
        uniqueId=_text(values, UNIQUE_ID, LONGEST_ID),
        tlsFlags=None if tls is None else tuple(name for bit, name in _FLAGS.items() if tls[0] & bit),
        tlsVerify=None if tls is None else int.from_bytes(tls[1:_TLS_FIXED_BYTES]),
        tlsVersion=_text(inside, _TLS_VERSION),
        tlsCipher=_text(inside, _TLS_CIPHER),
        tlsCommonName=_text(inside, _TLS_CN),
        netns=_text(values, NETNS),
        vpcEndpoint=_text({VPC: vpc[1:]}, VPC) if vpc[:1] == bytes([_VPC_ENDPOINT]) else None,
    )


def vectorsOf(facts: ProxyFacts) -> bytes:
    """Returns the vectors that say the facts, for :func:`factsOf` to read; one that is too long is left out.

    A text that was escaped because it is no UTF-8 stays escaped.
    """
    vpc = None if facts.vpcEndpoint is None else chr(_VPC_ENDPOINT) + facts.vpcEndpoint
    return b"".join(
        (
            _vector(ALPN, facts.alpn),
            _vector(AUTHORITY, facts.authority),
            _vector(UNIQUE_ID, facts.uniqueId, LONGEST_ID),
            _tlsVector(facts),
            _vector(NETNS, facts.netns),
            _vector(VPC, vpc, 1 + LONGEST_TEXT),
        )
    )


def _tlsVector(facts: ProxyFacts) -> bytes:
    if facts.tlsFlags is None:
        return b""
    flags = sum(bit for bit, name in _FLAGS.items() if name in facts.tlsFlags)
    # The result is 0 only for a certificate that was verified.
    verify = _NOT_VERIFIED if facts.tlsVerify is None else facts.tlsVerify
    inside = (
        _vector(_TLS_VERSION, facts.tlsVersion)
        + _vector(_TLS_CIPHER, facts.tlsCipher)
        + _vector(_TLS_CN, facts.tlsCommonName)
    )
    return _bytesOf(TLS, struct.pack("!BI", flags, verify) + inside)


def _vector(kind: int, text: str | None, most: int = LONGEST_TEXT) -> bytes:
    if text is None:
        return b""
    value = text.encode("utf-8", "backslashreplace")
    return _bytesOf(kind, value) if len(value) <= most else b""


def _bytesOf(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


def keep(values: dict[int, bytes], kind: int, value: bytes) -> None:
    """Adds the value of a vector to others, by type.

    :raise BadHeader: when the type has a value already, and the two would say different things.
    """
    if kind in values:
        raise BadHeader(f"two vectors of type {kind:#04x}")
    values[kind] = value


def proxyFactsOf(transport: object) -> ProxyFacts | None:
    """Returns the facts in the header of the connection below a transport; None without any."""
    for each in downFrom(transport):
        facts = getattr(each, "proxyFacts", None)
        if isinstance(facts, ProxyFacts):
            return facts
    return None


def _insideTLS(value: bytes) -> dict[int, bytes]:
    """Returns the values of the vectors inside that of TLS, by type."""
    if len(value) < _TLS_FIXED_BYTES:
        raise BadHeader(f"a vector of TLS of {len(value)} bytes")
    values: dict[int, bytes] = {}
    for kind, begin, end in vectors(value, _TLS_FIXED_BYTES):
        if kind in (_TLS_VERSION, _TLS_CN, _TLS_CIPHER):
            keep(values, kind, value[begin:end])
    return values


def _text(values: Mapping[int, bytes], kind: int, most: int = LONGEST_TEXT) -> str | None:
    value = values.get(kind)
    if value is None:
        return None
    if len(value) > most:
        raise BadHeader(f"a vector of type {kind:#04x} with {len(value)} bytes, over {most}")
    return value.decode("utf-8", "backslashreplace")
