"""What the parts ask of what they are given."""

from __future__ import annotations

from twisted.internet.interfaces import IConsumer, IPushProducer, ISSLTransport, ITCPTransport


class IStreamTransport(ITCPTransport, IConsumer, IPushProducer):
    """What an ``EchoProtocol`` writes to: Twisted's transports over TCP, UNIX sockets and TLS."""


class ITLSTransport(IStreamTransport, ISSLTransport):
    """A TLS transport that is one to the end: ``loseWriteConnection`` ends our side, and reading goes on."""
