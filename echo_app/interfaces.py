"""Interfaces and types that the packages share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from twisted.internet.interfaces import (
    IConsumer,
    IPushProducer,
    ISSLTransport,
    ITCPTransport,
)
from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IAddress, IProtocol

    from echo_app.connections.connection import Connection

# Builds the layers of an admitted connection, from the peer's address and the connection; returns the lowest
# one. None is a refusal.
Build: TypeAlias = "Callable[[IAddress | None, Connection], IProtocol | None]"


class IStreamTransport(ITCPTransport, IConsumer, IPushProducer):
    """What an ``EchoProtocol`` writes to: Twisted's transports over TCP, UNIX sockets and TLS."""


class ITLSTransport(IStreamTransport, ISSLTransport):
    """A TLS transport that is one to the end: ``loseWriteConnection`` ends our side, and reading goes on."""


class IEchoUser(Interface):
    """Who has logged in: what a portal is asked for."""

    name: str = Attribute("What the user is called in logs and records.")


class IResponder(Interface):
    """What answers requests in place of the echo; a plain function will do."""

    framing = Attribute("Where requests end, a ``Framing``; ``lines`` where there is none.")

    def __call__(request: Any) -> Any:
        """Answers one request.

        It is asked for the requests of a connection in their order, and may be asked for the next one before
        it has answered. When the peer leaves, or the answer takes too long, the Deferred is cancelled, and a
        coroutine sees Twisted's ``CancelledError`` at its ``await``.

        :param request: what the framing makes of the stream's bytes; a datagram's bytes.
        :return: the answer's bytes, or a Deferred of them, or a coroutine that awaits Deferreds and returns
            them. No bytes are no answer.
        :raise BadRequest: when the request is wrong; its connection is closed.
        """
