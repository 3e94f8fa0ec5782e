"""Datagrams that go on to an upstream, and the upstream's answers to the clients.

The rules of :mod:`echo_app.udp.protocol` hold for the clients' datagrams: for their sources and their rate.
Each client has a session (:mod:`echo_app.forward.sessions`), so that the upstream sees one source for each.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING, Any

from echo_app.forward.sessions import Sessions
from echo_app.udp.protocol import DatagramRules, EchoDatagramProtocol

if TYPE_CHECKING:
    from twisted.internet.interfaces import IUDPTransport

# Passes a client's datagram on, now or later: called with it, its source, and the function that takes it.
Arriving = Callable[[bytes, tuple[str, int], Callable[[bytes], object]], object]


class ForwardedDatagrams(EchoDatagramProtocol):
    """Sends the datagrams of clients to an upstream, and the upstream's answers back.

    A client is an address and port, and the own address to which it sends; answers leave from there. A
    datagram stays one datagram, of any length. One that is too long for the other side's family is dropped.

    The answers may be longer than the requests, and more. UDP sources are easily forged: on an open network,
    the upstream and this port are an amplifier. So the port is for networks whose sources can be trusted.

    A transport with a method ``arriving`` (see :data:`Arriving`) takes each admitted datagram first, and may
    change, delay or drop it.

    :param sessions: the sessions, for all ports of a service.
    :param rules: the rules and their counts; None is new default rules.
    """

    transport: IUDPTransport

    def __init__(self, sessions: Sessions, rules: DatagramRules | None = None) -> None:
        super().__init__(rules)
        self._sessions = sessions
        self._arriving: Arriving | None = None

    def startProtocol(self) -> None:
        """Begins to forward."""
        super().startProtocol()
        self._arriving = getattr(self.transport, "arriving", None)

    def stopProtocol(self) -> None:
        """Ends all sessions of the port."""
        super().stopProtocol()
        self._sessions.close(self._isOwn)

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Sends a datagram that the rules admit to the upstream."""
        if not self.rules.admits(addr[0], addr[1]):
            return
        key = self, getattr(self.transport, "ends", addr)
        if self._arriving is None:
            self._forward(key, addr, None, datagram)
        else:
            # The port may have another current datagram when this one has passed.
            self._arriving(datagram, addr, partial(self._forward, key, addr, self._reply(addr)))

    def _forward(
        self, key: Hashable, addr: tuple[str, int], reply: Callable[[bytes], object] | None, datagram: bytes
    ) -> None:
        session = self._sessions.get(key)
        if session is None:
            session = self._sessions.begin(key, addr, self.rules, reply or self._reply(addr))
        if session is not None:
            session.send(datagram)

    def _reply(self, addr: tuple[str, int]) -> Callable[[bytes], object]:
        """Returns a function that answers the current datagram, now or later."""
        transport: Any = self.transport
        # Our port and the layers above it have this method; Twisted's port does not.
        replying = getattr(transport, "replying", None)
        send: Callable[[bytes], object] = replying() if replying else partial(transport.write, addr=addr)
        return send

    def _isOwn(self, key: Any) -> bool:
        return key[0] is self
