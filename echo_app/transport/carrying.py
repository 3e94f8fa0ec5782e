"""Carrying transport: a server's transport that refers to its connection, and tells it of the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import tcp
from twisted.python.failure import Failure


class CarryingTransport(tcp.Server):
    """A server's transport that carries its connection.

    :ivar connection: has the method ``ended``, which is called once, after the protocol is told of the end;
        None is no connection.
    :ivar beforeClose: is called before the socket is closed; None is nothing.
    """

    connection: Any = None
    beforeClose: Callable[[], object] | None = None

    def connectionLost(self, reason: Failure) -> None:
        """Tells the protocol, and then the connection, of the end."""
        beforeClose = self.beforeClose
        if beforeClose is not None:
            self.beforeClose = None
            beforeClose()
        try:
            super().connectionLost(reason)
        finally:
            connection = self.connection
            if connection is not None:
                # Breaks the cycle of references between the two.
                self.connection = None
                connection.ended(reason)
