"""Side of TLS: what the connections of a server, or those to one, share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from echo_app.connections.record import ConnectionRecord
    from echo_app.tls.session import Session
    from echo_app.transport.workqueue import WorkQueue


class TLSSide(Protocol):
    """The settings and counts of TLS connections that are all servers, or all clients.

    :ivar clock: makes the calls of time-outs.
    :ivar handshakeTimeout: seconds from a connection's beginning until its handshake must be complete.
    :ivar truncated: connections whose peers ended their side by FIN without ``close_notify``.
    """

    clock: IReactorTime
    handshakeTimeout: float
    truncated: int

    @property
    def handshakes(self) -> WorkQueue | None:
        """The queue that does the work of handshakes; None does it at once."""

    def session(self, record: ConnectionRecord | None) -> Session:
        """Makes the session of a connection.

        :param record: gets the counts of the plain text; None without an access log.
        """

    def failed(self, reason: str, detail: str, isShaking: bool) -> None:
        """Notes that a connection ends because of its handshake or a broken record.

        :param reason: the name of the count.
        :param detail: more about it, for the log.
        :param isShaking: the handshake is incomplete.
        """
