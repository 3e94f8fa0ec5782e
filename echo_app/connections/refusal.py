"""Connections that are refused."""

from __future__ import annotations

from typing import cast

from twisted.internet.interfaces import ITransport
from twisted.internet.protocol import Protocol

from echo_app.connections.record import noteEnd
from echo_app.interfaces import IStreamTransport
from echo_app.transport.sockets import reset


class Refusal(Protocol):
    """Resets its connection at once, so that nobody takes a refusal for an empty echo.

    It stands where ``buildProtocol`` could return None, which over ``ssl:`` and ``haproxy:`` leaves
    the peer connected.

    :param reason: why, as it is counted.
    """

    def __init__(self, reason: str = "") -> None:
        self._reason = reason

    def makeConnection(self, transport: ITransport) -> None:
        """Resets the connection."""
        isLimit = self._reason.startswith("max-")
        noteEnd(transport, "limit" if isLimit else "denied", self._reason.removeprefix("denied"))
        reset(cast(IStreamTransport, transport))
