"""Carrying transport: a server's transport that carries the object of its connection, and ends it."""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp
from twisted.python.failure import Failure


class CarryingTransport(tcp.Server):
    """A server's transport that tells a connection of its end.

    :ivar connection: has the method ``ended``, which is called once, when the protocol knows of the end; None
        is no connection.
    """

    connection: Any = None

    def connectionLost(self, reason: Failure) -> None:
        """Ends the connection."""
        try:
            super().connectionLost(reason)
        finally:
            connection = self.connection
            if connection is not None:
                # Otherwise the two would refer to each other.
                self.connection = None
                connection.ended(reason)
