"""Interfaces and types that the packages share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IProtocol,
    IPushProducer,
    ISSLTransport,
    ITCPTransport,
)
from zope.interface import Attribute, Interface

# Builds the layers of an accepted connection, from the peer's address, and returns the lowest one. None is a
# refusal.
Accept: TypeAlias = "Callable[[IAddress | None], IProtocol | None]"

# The same for an admitted connection, which has a number: 1, 2, 3 and so on, in the order of admission.
Build: TypeAlias = "Callable[[IAddress | None, int], IProtocol | None]"


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
    :ivar number: the connection's number; None where it has none yet, or nothing records it.
    """

    transport: IStreamTransport
    pending: int
    number: int | None

    def finish(self) -> None:
        """Closes the connection when everything that was written is sent."""


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
