"""Connection: one admitted connection, from its admission to its end.

The transport at the bottom of a connection carries its :class:`Connection`; any protocol may be on top. No
code on the path of a byte uses it.

The states of a connection: admitted; open, from ``begin`` on; ended. An open one is pending while a gate
reads its prefix, and served from ``serve`` on. Behind a PROXY header a connection is open before its peer is
known, and ``admit`` comes after ``begin``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from echo_app.connections.record import Ending, noteEnd
from echo_app.connections.refusal import Refusal
from echo_app.transport.carrying import CarryingTransport
from echo_app.transport.layer import bottomOf, topOf
from echo_app.transport.sockets import whenLost

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress
    from twisted.python.failure import Failure

    from echo_app.connections.registry import ConnectionRegistry
    from echo_app.interfaces import IStreamTransport

log = Logger()


class Connection:
    """One connection of a registry.

    :param registry: counts the connection.
    :param number: from 1, in the order of admission; 0 while the peer is not known.
    :param key: the peer's name in the counts by peer; None where no cap by peer applies.

    :ivar transport: the lowest transport, with the peer's address.
    :ivar isServed: the protocol on top was made.
    :ivar upstream: the transport of the connection to the upstream; None where nothing is forwarded.
    :ivar idleAt: when the sweep looks next whether the connection is idle, in seconds of its clock.
    """

    __slots__ = ("_login", "idleAt", "isServed", "key", "number", "registry", "transport", "upstream")

    transport: IStreamTransport

    def __init__(self, registry: ConnectionRegistry, number: int = 0, key: str | None = None) -> None:
        self.registry = registry
        self.number = number
        self.key = key
        self.isServed = False
        self._login: tuple[str, Callable[[], object]] | None = None
        self.idleAt = 0.0
        self.upstream: IStreamTransport | None = None

    @property
    def user(self) -> str | None:
        """The user who logged in; None where there was no login."""
        return None if self._login is None else self._login[0]

    def admit(self, address: IAddress | None) -> Refusal | None:
        """Admits and numbers the open connection, whose peer is known now; returns a refusal, or None."""
        admitted = self.registry.admit(address, pending=self)
        return admitted if isinstance(admitted, Refusal) else None

    def begin(self, transport: IStreamTransport) -> bool:
        """Opens the connection.

        :return: False if too few descriptors would stay free; the connection is then refused.
        """
        self.transport = transport
        if not self.registry.opened(self):
            return False
        bottom = transport if isinstance(transport, CarryingTransport) else bottomOf(transport)
        if isinstance(bottom, CarryingTransport):
            bottom.connection = self
        elif hasattr(bottom, "connectionLost"):
            whenLost(bottom, self.ended)
        return True

    def serve(self) -> None:
        """Counts the connection as accepted: its protocol is made."""
        self.isServed = True
        self.registry.served(self)

    def loggedIn(self, user: str, logout: Callable[[], object] = lambda: None) -> None:
        """Notes the user who logged in.

        :param logout: is called once, when the connection has ended.
        """
        self._login = user, logout
        self.registry.loggedIn(self)

    def top(self) -> tuple[Any, IStreamTransport]:
        """Returns the protocol on top, a gate or the one that serves, and its transport."""
        return topOf(self.transport)

    def finish(self) -> None:
        """Closes the connection after all written bytes are sent."""
        protocol, transport = self.top()
        try:
            if hasattr(protocol, "finish"):
                protocol.finish()
            else:
                # With a streaming producer registered, loseConnection never closes.
                transport.unregisterProducer()
                transport.loseConnection()
        except Exception:
            log.failure("{protocol} could not finish, and is aborted", protocol=protocol)
            transport.abortConnection()

    def end(self, ending: Ending, detail: str = "") -> None:
        """Notes in the record, if there is one, why the connection ends; only the first call counts."""
        noteEnd(self.transport, ending, detail)

    def refuse(self, ending: Ending, reason: str, detail: str = "", line: str = "") -> None:
        """Counts and records the refusal of a connection that was admitted.

        :param reason: the name of the count.
        :param detail: for the record; empty is the reason.
        :param line: a text about this connection for the log.
        """
        self.registry.refused.add(reason, line)
        self.end(ending, detail or reason)

    def timeOut(self, ending: Ending, detail: str = "") -> None:
        """Counts and records that the connection timed out."""
        self.registry.timedOut.add(ending.value)
        self.end(ending, detail)

    def abort(self) -> None:
        """Aborts a connection that did not end in time; counts and records the abort."""
        self.registry.aborted += 1
        self.end(Ending.DRAIN)
        self.top()[1].abortConnection()

    def ended(self, reason: Failure) -> None:
        """Counts the connection's end; the transport calls it once."""
        self.registry.closed(self, reason)
        login, self._login = self._login, None
        if login is not None:
            login[1]()
