"""Responders that take the whole stream: ``discard``, ``chargen``, ``peer``."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.interfaces import IHandshakeListener, IPullProducer
from zope.interface import implementer

from echo_app.addresses import describe, hostPort, isLoopbackHost
from echo_app.proxy.vectors import ProxyFacts, proxyFactsOf
from echo_app.responders.answering import GuardedDatagramProtocol
from echo_app.stream.protocol import EchoProtocol
from echo_app.tls.facts import TLSFacts, listenerKindOf, tlsFactsOf, tlsTransportOf
from echo_app.transport.sockets import proxyOf

# RFC 864: lines of 72 of the 95 printable characters, each line beginning one character later.
_CHARACTERS = bytes(range(32, 127))
_LINE = 72
_CYCLE = b"".join((_CHARACTERS * 2)[start : start + _LINE] + b"\r\n" for start in range(len(_CHARACTERS)))

# The bytes of one write: whole cycles, so that each write is the same, and less than the 64 KiB that a
# transport takes before it is full.
PATTERN = _CYCLE * 9

# RFC 864: the most characters of a datagram.
LARGEST_CHARGEN = 512


class DiscardProtocol(EchoProtocol):
    """Reads and discards its input (RFC 863)."""

    def dataReceived(self, data: bytes) -> None:
        """Does nothing."""


@implementer(IPullProducer)
class ChargenProtocol(EchoProtocol):
    """Sends characters as fast as its peer reads, and discards its input (RFC 864).

    Only the end of the connection ends it: a peer that half-closes still reads.
    """

    def registerProducer(self) -> None:
        """Registers as a pull producer: the transport asks for more when all is sent."""
        self.transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """Sends the next lines."""
        self.transport.write(PATTERN)

    def stopProducing(self) -> None:
        """Does nothing: the connection is lost."""

    def dataReceived(self, data: bytes) -> None:
        """Does nothing."""

    def readConnectionLost(self) -> None:
        """Goes on sending."""


@implementer(IHandshakeListener)
class PeerProtocol(EchoProtocol):
    """Sends the connection's facts, as the service sees them, in a line of JSON, and then echoes.

    Over TLS the line comes when the handshake is complete.
    """

    _isTold = False

    def connectionMade(self) -> None:
        """Sends the line, unless a handshake comes first."""
        super().connectionMade()
        if tlsTransportOf(self.transport) is None:
            self._tell()

    def handshakeCompleted(self) -> None:
        """Sends the line."""
        self._tell()

    def dataReceived(self, data: bytes) -> None:
        """Sends the bytes back, after the line."""
        # A layer in between may not pass handshakeCompleted on.
        self._tell()
        super().dataReceived(data)

    def _tell(self) -> None:
        if not self._isTold:
            self._isTold = True
            self.transport.write(peerLine(self.transport))


class DiscardDatagramProtocol(GuardedDatagramProtocol):
    """Reads and discards datagrams (RFC 863)."""

    def respond(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Does nothing."""


class ChargenDatagramProtocol(GuardedDatagramProtocol):
    """Answers with characters: 512 on loopback, otherwise as many as the request has, up to 512 (RFC 864)."""

    def respond(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Answers with characters."""
        size = LARGEST_CHARGEN if isLoopbackHost(addr[0]) else min(len(datagram), LARGEST_CHARGEN)
        self.replyTo(datagram, addr)(PATTERN[:size])


class PeerDatagramProtocol(GuardedDatagramProtocol):
    """Answers with a line of JSON: the source's facts, as the service sees them."""

    def respond(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Answers with the line."""
        host = describe(self.transport.getHost())
        self.replyTo(datagram, addr)(_line("udp", hostPort(addr[0], addr[1]), host))


def peerLine(transport: Any) -> bytes:
    """Returns a connection's facts in a line of JSON; ``docs/responders.rst`` lists the keys."""
    peer, host = describe(transport.getPeer()), describe(transport.getHost())
    facts, header = tlsFactsOf(transport), proxyFactsOf(transport)
    return _line(listenerKindOf(transport), peer, host, proxyOf(transport), facts, header)


def _line(
    transport: str,
    peer: str,
    host: str,
    proxy: str | None = None,
    tls: TLSFacts | None = None,
    header: ProxyFacts | None = None,
) -> bytes:
    facts: dict[str, object] = {"transport": transport, "peer": peer, "host": host, "proxy": proxy}
    facts["tls"] = tls and {
        "version": tls.version,
        "cipher": tls.cipher,
        "alpn": tls.protocol,
        "client": tls.subject,
    }
    if header is not None:
        facts["header"] = _headerFacts(header)
    # json.dumps escapes a text that a peer has chosen, such as a UNIX socket's name, to printable ASCII.
    return json.dumps(facts).encode() + b"\n"


def _headerFacts(header: ProxyFacts) -> dict[str, object]:
    tls = {
        "flags": header.tlsFlags,
        "verify": header.tlsVerify,
        "version": header.tlsVersion,
        "cipher": header.tlsCipher,
        "client": header.tlsCommonName,
    }
    return {
        "authority": header.authority,
        "alpn": header.alpn,
        "unique_id": header.uniqueId,
        "tls": None if header.tlsFlags is None else tls,
        "netns": header.netns,
        "vpc_endpoint": header.vpcEndpoint,
    }
