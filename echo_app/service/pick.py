"""Choice among the open connections of a service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from echo_app.addresses import describe

if TYPE_CHECKING:
    from echo_app.connections.connection import Connection


@dataclass(frozen=True, slots=True)
class Pick:
    """Chooses open connections; one that has all the given properties is chosen.

    :param number: the connection's number.
    :param peer: the peer's address, such as ``127.0.0.1:40000``, as in an ``OpenConnection``.
    :param listener: the address of the listener, such as ``127.0.0.1:8080``.
    """

    number: int | None = None
    peer: str | None = None
    listener: str | None = None

    @property
    def isGiven(self) -> bool:
        """Says whether any property is given."""
        return (self.number, self.peer, self.listener) != (None, None, None)

    def has(self, connection: Connection) -> bool:
        """Says whether a connection is chosen."""
        transport = connection.transport
        return (
            self.number in (None, connection.number)
            and self.peer in (None, describe(transport.getPeer()))
            and self.listener in (None, describe(transport.getHost()))
        )

    def __str__(self) -> str:
        given = (("number", self.number), ("peer", self.peer), ("listener", self.listener))
        return ", ".join(f"{name} {value!r}" for name, value in given if value is not None)
