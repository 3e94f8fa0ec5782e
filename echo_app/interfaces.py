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
    """The transport of an ``EchoProtocol``: one of Twisted's over TCP, UNIX sockets and TLS."""


class ITLSTransport(IStreamTransport, ISSLTransport):
    """A TLS transport with a half-close: after ``loseWriteConnection`` it still reads."""

    def getHandle() -> Any:
        """Returns the ``ssl.SSLObject`` of the connection; None before the peer's first record."""


class IMessageTransport(Interface):
    """A transport that must know where each message of the stream ends, because it has faults of messages."""

    def writeMessage(data: bytes) -> None:
        """Sends one message, in the order of all writes; it may be changed, doubled, lost or late."""


class IEchoUser(Interface):
    """The user of a connection after a login: the avatar that a portal is asked for."""

    name: str = Attribute("The user's name in logs and records.")


class IResponder(Interface):
    """A responder, which answers requests in place of the echo; a plain function is enough."""

    framing = Attribute("The ``Framing``, which finds the end of a request; ``lines`` if there is none.")

    def __call__(request: Any) -> Any:
        """Answers one request.

        The service calls a responder for the requests of a connection in their order. The next call may come
        before the last answer. When the peer leaves, or the answer takes too long, the service cancels the
        Deferred, and a coroutine sees Twisted's ``CancelledError`` at its ``await``.

        :param request: the request that the framing returns; over UDP, the datagram's bytes.
        :return: the answer's bytes, or a Deferred of them, or a coroutine that awaits Deferreds and returns
            them. Empty bytes are no answer.
        :raise BadRequest: when the request is wrong; the service closes its connection.
        """
