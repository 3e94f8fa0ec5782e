"""Refusal: the protocol of a connection that is not admitted."""

from __future__ import annotations

from typing import cast

from twisted.internet.interfaces import ITransport
from twisted.internet.protocol import Protocol

from echo_app.connections.record import Ending, noteEnd
from echo_app.interfaces import IStreamTransport
from echo_app.transport.sockets import reset


class Refusal(Protocol):
    """Resets its connection at once, so that the peer does not take the refusal for an empty echo.

    ``buildProtocol`` returns it instead of None: over ``ssl:`` and ``haproxy:``, None leaves the peer
    connected.

    :param ending: the reason.
    :param detail: more about the reason.
    """

    def __init__(self, ending: Ending = Ending.DENIED, detail: str = "") -> None:
        self.ending = ending
        self.detail = detail

    def makeConnection(self, transport: ITransport) -> None:
        """Resets the connection."""
        noteEnd(transport, self.ending, self.detail)
        reset(cast(IStreamTransport, transport))
