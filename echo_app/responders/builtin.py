"""Responders that take the whole stream: ``discard``, ``chargen``, ``peer``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from twisted.internet.interfaces import IHandshakeListener, IPullProducer
from zope.interface import implementer

from echo_app.addresses import describe, hostPort, isLoopbackHost, transportName
from echo_app.responders.answering import GuardedDatagramProtocol
from echo_app.stream.protocol import EchoProtocol
from echo_app.tls.facts import tlsFactsOf, tlsTransportOf
from echo_app.transport.sockets import proxyOf

# RFC 864: lines of 72 of the 95 printable characters, each line beginning one character later.
_CHARACTERS = bytes(range(32, 127))
_LINE = 72
_CYCLE = b"".join((_CHARACTERS * 2)[start : start + _LINE] + b"\r\n" for start in range(len(_CHARACTERS)))

# What is written at one time: whole cycles, so that what is written is always the same, and under the 64 KiB
# that a transport takes before it is full.
PATTERN = _CYCLE * 9

# RFC 864: the characters of a datagram at the most.
LARGEST_CHARGEN = 512


class DiscardProtocol(EchoProtocol):
    """Reads, and forgets (RFC 863)."""

    def dataReceived(self, data: bytes) -> None:
        """Does nothing."""


@implementer(IPullProducer)
class ChargenProtocol(EchoProtocol):
    """Sends characters as fast as its peer reads, and forgets what it sends (RFC 864).

    Only the end of the connection ends it: a peer that half-closes still reads.
    """

    def registerProducer(self) -> None:
        """Is asked by the transport for more when everything is sent."""
        self.transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """Sends some more."""
        self.transport.write(PATTERN)

    def stopProducing(self) -> None:
        """The connection is lost."""

    def dataReceived(self, data: bytes) -> None:
        """Does nothing."""

    def readConnectionLost(self) -> None:
        """Goes on."""


@implementer(IHandshakeListener)
class PeerProtocol(EchoProtocol):
    """Says in a line of JSON how the service sees the connection, and then echoes.

    Over TLS the line comes when the handshake is complete.
    """

    _isTold = False

    def connectionMade(self) -> None:
        """Says it, unless there is a handshake to come."""
        super().connectionMade()
        if tlsTransportOf(self.transport) is None:
            self._tell()

    def handshakeCompleted(self) -> None:
        """Says it."""
        self._tell()

    def dataReceived(self, data: bytes) -> None:
        """Sends the bytes back."""
        # What lies between may know of no handshake.
        self._tell()
        super().dataReceived(data)

    def _tell(self) -> None:
        if not self._isTold:
            self._isTold = True
            self.transport.write(peerLine(self.transport))


class DiscardDatagramProtocol(GuardedDatagramProtocol):
    """Takes datagrams, and forgets them."""

    def respond(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Does nothing."""


class ChargenDatagramProtocol(GuardedDatagramProtocol):
    """Answers with characters: 512 on loopback, otherwise as many as it was asked with, up to 512."""

    def respond(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Answers."""
        size = LARGEST_CHARGEN if isLoopbackHost(addr[0]) else min(len(datagram), LARGEST_CHARGEN)
        self.replyTo(datagram, addr)(PATTERN[:size])


class PeerDatagramProtocol(GuardedDatagramProtocol):
    """Answers with a line of JSON: how the service sees who asks."""

    def respond(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Answers."""
        facts = {
            "transport": "udp",
            "peer": hostPort(addr[0], addr[1]),
            "host": describe(self.transport.getHost()),
            "proxy": None,
            "tls": None,
        }
        self.replyTo(datagram, addr)(_line(facts))


def peerLine(transport: Any) -> bytes:
    """Returns in a line of JSON how the service sees a connection; ``docs/responders.rst`` has its keys."""
    peer = transport.getPeer()
    tls = tlsFactsOf(transport)
    return _line(
        {
            "transport": transportName(peer),
            "peer": describe(peer),
            "host": describe(transport.getHost()),
            "proxy": proxyOf(transport),
            "tls": tls
            and {
                "version": tls.version,
                "cipher": tls.cipher,
                "alpn": tls.protocol,
                "client": tls.subject,
            },
        }
    )


def _line(facts: Mapping[str, object]) -> bytes:
    # Whatever a peer has chosen, such as a UNIX socket's name, is ASCII without control characters in it.
    return json.dumps(facts).encode() + b"\n"
