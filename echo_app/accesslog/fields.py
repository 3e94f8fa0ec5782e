"""The fields of the access log, each declared once: its name, type, unit, meaning and source.

The writer, the ``Record`` of :mod:`echo_app.testing` and the table in docs/access-log.rst use these
declarations. docs/dev/add-an-access-log-field.rst lists the steps for a new field. This module imports only
the standard library, because each process that starts a service for a test imports this module too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any


def _declare(meaning: str, *, unit: str = "", source: str = "") -> Any:
    """Declares a field, which is None unless a value is given.

    :param meaning: for the table of the document, in reStructuredText.
    :param unit: for the same table.
    :param source: the attribute that has the value, as ``Class.attribute``; empty where code computes it.
    """
    return field(default=None, metadata={"meaning": meaning, "unit": unit, "source": source})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of the access log, with its fields in the order of the line."""

    number: int | None = _declare(
        "the connection's number in the order of admission, over all listeners; none after a refusal",
        unit="from 1",
    )
    transport: str | None = _declare(
        "the listener's kind, as in the ready file: ``tcp``, ``unix``, ``udp``, or ``tls`` on any socket "
        "with the service's own TLS, behind a PROXY header too"
    )
    listener: str | None = _declare("the address where the listener listens")
    peer: str | None = _declare(
        "the peer's address; behind a PROXY header, the client's; of UDP, the source's"
    )
    proxy: str | None = _declare("behind a PROXY header that names a client: the address of the proxy")
    user: str | None = _declare("the user's name, from the login line or the client's certificate")
    start: str | None = _declare(
        "when the service accepted the connection, to the millisecond; of UDP, when the first datagram came",
        unit="ISO 8601, UTC",
    )
    seconds: float | None = _declare(
        "time from ``start`` to the end; of UDP, to the writing of the line", unit="s"
    )
    refused: int | None = _declare(
        "in a line that sums up refused connections, how many; the line has no peer", unit="connections"
    )
    ended: str | None = _declare("why the connection ended: a word of the table below")
    detail: str | None = _declare("more about that reason, such as which limit")
    faults: list[str] | None = _declare(  # noqa: RUF009 - the default is a dataclasses.field
        "the faults that were chosen for the connection, a list of texts"
    )
    message_faults: dict[str, int] | None = _declare(  # noqa: RUF009 - as above
        "of streams: answers of the responder that a fault took effect on, an object with a number for each "
        'kind, such as ``{"corrupt":3}``',
        unit="answers",
    )
    bytes_in: int | None = _declare(
        "stream bytes from the peer, read by the service or not, without PROXY header, login line and "
        "preamble; with ``--tls``, decrypted",
        unit="bytes",
    )
    bytes_out: int | None = _declare(
        "stream bytes to the peer that the kernel took, acknowledged or not, without the answer to a login; "
        "with ``--tls``, the bytes that were encrypted",
        unit="bytes",
    )
    bytes_unread: int | None = _declare(
        "bytes that came and that the service did not read; over TLS, encrypted bytes",
        unit="bytes",
        source="TCPInfo.unread",
    )
    bytes_unacknowledged: int | None = _declare(
        "bytes that the kernel took and the peer had not acknowledged at the end; over TLS, encrypted bytes",
        unit="bytes",
    )
    wire_in: int | None = _declare(
        "over TLS: bytes that came over TCP or the UNIX socket, with TLS records and PROXY header",
        unit="bytes",
    )
    wire_out: int | None = _declare("over TLS: bytes that the kernel took", unit="bytes")
    datagrams_in: int | None = _declare("of UDP: datagrams from the source", unit="datagrams")
    datagrams_out: int | None = _declare("of UDP: datagrams to the source", unit="datagrams")
    datagram_faults: dict[str, int] | None = _declare(  # noqa: RUF009 - as above
        "of UDP: answers that a fault took effect on, an object with a number for each kind, such as "
        '``{"loss":3,"latency":40}``',
        unit="datagrams",
    )
    tls_version: str | None = _declare("the version of TLS, such as ``TLSv1.3``", source="TLSFacts.version")
    tls_cipher: str | None = _declare("OpenSSL's name of the cipher suite", source="TLSFacts.cipher")
    tls_alpn: str | None = _declare(
        "the application protocol that ALPN selected (RFC 7301)", source="TLSFacts.protocol"
    )
    tls_subject: str | None = _declare(
        "the subject of the client's certificate (RFC 4514)", source="TLSFacts.subject"
    )
    proxy_authority: str | None = _declare(
        "behind a PROXY header of version 2: the host name that the client asked for, such as the server "
        "name of TLS",
        source="ProxyFacts.authority",
    )
    proxy_alpn: str | None = _declare(
        "in that header: the application protocol of the client's connection", source="ProxyFacts.alpn"
    )
    proxy_unique_id: str | None = _declare(
        "in that header: the proxy's id of the connection", source="ProxyFacts.uniqueId"
    )
    proxy_tls_flags: list[str] | None = _declare(  # noqa: RUF009 - as above
        "in that header: a list of ``tls``, the client came over TLS, ``cert-connection``, it showed a "
        "certificate on this connection, and ``cert-session``, it did so in this TLS session",
        source="ProxyFacts.tlsFlags",
    )
    proxy_tls_verify: int | None = _declare(
        "in that header: 0 if the client's certificate was verified, otherwise the proxy's error",
        source="ProxyFacts.tlsVerify",
    )
    proxy_tls_version: str | None = _declare(
        "in that header: the version of the client's TLS", source="ProxyFacts.tlsVersion"
    )
    proxy_tls_cipher: str | None = _declare(
        "in that header: the name of the client's cipher", source="ProxyFacts.tlsCipher"
    )
    proxy_tls_cn: str | None = _declare(
        "in that header: the common name of the client's certificate", source="ProxyFacts.tlsCommonName"
    )
    proxy_netns: str | None = _declare(
        "in that header: the name of the network namespace", source="ProxyFacts.netns"
    )
    proxy_vpc_endpoint: str | None = _declare(
        "in that header: the id of the VPC endpoint (Amazon Web Services)", source="ProxyFacts.vpcEndpoint"
    )
    upstream: str | None = _declare(
        "with ``--forward``: the address of the upstream that was reached", source="UpstreamFacts.address"
    )
    upstream_connect: float | None = _declare(
        "time from the accept until the upstream had accepted, with the look-up of a name",
        unit="s",
        source="UpstreamFacts.connectSeconds",
    )
    upstream_bytes_in: int | None = _declare(
        "bytes from the upstream, read or not; with ``tls://``, encrypted bytes",
        unit="bytes",
        source="UpstreamFacts.received",
    )
    upstream_bytes_out: int | None = _declare(
        "bytes to the upstream that the kernel took, with a PROXY header; with ``tls://``, encrypted bytes",
        unit="bytes",
        source="UpstreamFacts.sent",
    )
    upstream_rtt_us: int | None = _declare(
        "the kernel's smoothed round-trip time to the upstream", unit="µs", source="UpstreamFacts.rtt"
    )
    upstream_retransmits: int | None = _declare(
        "segments to the upstream that the kernel sent again",
        unit="segments",
        source="UpstreamFacts.retransmits",
    )
    first_end: str | None = _declare(
        "with ``--forward``: the side whose stream or connection ended first, ``client`` or ``upstream``",
        source="UpstreamFacts.firstEnd",
    )
    rtt_us: int | None = _declare(
        "the kernel's smoothed round-trip time at the end (``tcpi_rtt``)", unit="µs", source="TCPInfo.rtt"
    )
    rttvar_us: int | None = _declare(
        "the mean deviation of that time (``tcpi_rttvar``)", unit="µs", source="TCPInfo.rttvar"
    )
    retransmits: int | None = _declare(
        "segments that the kernel sent again (``tcpi_total_retrans``)",
        unit="segments",
        source="TCPInfo.retransmits",
    )
    lost: int | None = _declare(
        "segments that the kernel thought lost at the end (``tcpi_lost``)",
        unit="segments",
        source="TCPInfo.lost",
    )
    delivery_rate: int | None = _declare(
        "the delivery rate to the peer, as last measured (``tcpi_delivery_rate``)",
        unit="bytes a second",
        source="TCPInfo.deliveryRate",
    )
    segments_in: int | None = _declare(
        "segments from the peer, with those without data (``tcpi_segs_in``)",
        unit="segments",
        source="TCPInfo.segmentsIn",
    )
    segments_out: int | None = _declare(
        "segments to the peer, with those without data (``tcpi_segs_out``)",
        unit="segments",
        source="TCPInfo.segmentsOut",
    )


# The names of all fields, in the order of a line.
FIELDS = tuple(each.name for each in fields(Entry))


def attributesOf(kind: type) -> dict[str, str]:
    """Returns the fields whose source is an attribute of a class: each field's name, and the attribute's."""
    sources = ((each.name, *each.metadata["source"].rpartition(".")) for each in fields(Entry))
    return {name: attribute for name, owner, _, attribute in sources if owner == kind.__name__}


def readerOf(kind: type) -> Callable[[object], dict[str, Any]]:
    """Returns a function that takes an instance of a class and returns the values of its fields."""
    names, attributes = zip(*attributesOf(kind).items(), strict=True)
    read = attrgetter(*attributes)
    return lambda source: dict(zip(names, read(source), strict=False))
