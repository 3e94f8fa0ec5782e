"""What the parts ask of what they are given."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IConsumer, IPushProducer, ISSLTransport, ITCPTransport
from zope.interface import Attribute, Interface


class IStreamTransport(ITCPTransport, IConsumer, IPushProducer):
    """What an ``EchoProtocol`` writes to: Twisted's transports over TCP, UNIX sockets and TLS."""


class ITLSTransport(IStreamTransport, ISSLTransport):
    """A TLS transport that is one to the end: ``loseWriteConnection`` ends our side, and reading goes on."""


class IEchoUser(Interface):
    """Who has logged in: what a portal is asked for."""

    name: str = Attribute("What the user is called in logs and records.")


class Counted(Protocol):
    """What limits, time-outs and a drain ask of a connection's protocol.

    :ivar pending: answers that are under way, and are owed though nothing of them is written yet.
    """

    transport: IStreamTransport
    pending: int

    def finish(self) -> None:
        """Closes the connection when everything that was written is sent."""
