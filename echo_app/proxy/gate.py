"""The PROXY protocol before a stream: a gate that reads its header, and what puts it before others."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from zope.interface import implementer

from echo_app.addresses import Network, describe, networkOf, unmapped
from echo_app.connections.counts import ConnectionCounts
from echo_app.connections.gate import Gate
from echo_app.connections.limits import Limits
from echo_app.connections.record import noteEnd
from echo_app.connections.refusal import Refusal
from echo_app.proxy.header import BadHeader, Header, parseHeader
from echo_app.transport.sockets import reset

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorTime

# Who may send a header when nobody else is named.
LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))

# Seconds until the first byte: some balancers connect ahead, and send the header with the first payload.
SILENCE = 60.0

# Seconds from the first byte of a header to its last: it is sent at once, and the specification asks for
# 3 at the least, to cover a retransmission.
PATIENCE = 5.0


class ProxyGate(Gate):
    """Reads the header of the PROXY protocol, and hands the connection over as its client's.

    What it receives is at most a header and one read: what is longer is no header.
    """

    name = "header"
    silence = SILENCE
    patience = PATIENCE

    def pendingPeer(self) -> None:
        """Counts it under nobody: the client is not known yet."""

    def prefixReceived(self) -> None:
        """Hands over when the header is complete."""
        try:
            header = parseHeader(self.received)
        except BadHeader as error:
            self._refuse(str(error))
        else:
            if header is not None:
                _present(self.transport, header)
                self.handOver(header.size)

    def prefixEnded(self) -> None:
        """Refuses what is no header."""
        self._refuse(f"a stream that ends after {len(self.received)} bytes")

    def _refuse(self, why: str) -> None:
        self.connections.refused.add("bad-header", f"{describe(self.transport.getPeer())} sent {why}")
        noteEnd(self.transport, self.name, why)
        reset(self.transport)


@implementer(IProtocolFactory)
class ProxyGateFactory:
    """Puts a :class:`ProxyGate` before the protocols of any factory, TLS included.

    The connection that the next protocol is made for, and gets, is the client's: ``getPeer()`` and
    ``getHost()`` are what the header says, from ``connectionMade`` on. For a health check of the proxy,
    and where it can't name the client, they stay the connection's own.

    :param factory: makes the next protocol.
    :param clock: what time is.
    :param trusted: networks whose peers may send a header; UNIX peers always may. A peer that may not is
        reset.
    :param connections: what pending connections are counted in; None is the counts of an ``EchoFactory``,
        and for any other factory the gate's own, without caps. An ``EchoService`` replaces them by its own.
    :raise ValueError: when a network is none.
    """

    def __init__(
        self,
        factory: IProtocolFactory,
        clock: IReactorTime,
        trusted: Iterable[Network | str] = LOOPBACK,
        connections: ConnectionCounts | None = None,
    ) -> None:
        self.connections = (
            connections or getattr(factory, "connections", None) or ConnectionCounts(Limits(), clock.seconds)
        )
        self._factory = factory
        self._clock = clock
        self._trusted = tuple(networkOf(str(each)) for each in trusted)

    def buildProtocol(self, addr: object) -> IProtocol:
        """Returns a gate, or what resets a peer that is not trusted, or is one too many."""
        if not self._isTrusted(addr):
            self.connections.refused.add("untrusted-proxy", f"{describe(addr)} is not trusted")
            return Refusal("untrusted-proxy")
        # No address: the cap by peer is the client's, who is not known yet.
        if not self.connections.admits(None):
            return Refusal(self.connections.refused.last)
        return ProxyGate(self._factory.buildProtocol, self.connections, self._clock)

    def doStart(self) -> None:
        """Starts the factory behind it."""
        self._factory.doStart()

    def doStop(self) -> None:
        """Stops the factory behind it."""
        self._factory.doStop()

    def _isTrusted(self, address: object) -> bool:
        if isinstance(address, (IPv4Address, IPv6Address)):
            host = ipaddress.ip_address(unmapped(address.host))
            return any(host in network for network in self._trusted)
        return isinstance(address, UNIXAddress)


@implementer(IStreamServerEndpoint)
class ProxyEndpoint:
    """An endpoint whose connections begin with a header of the PROXY protocol.

    :param endpoint: what listens.
    :param clock: what time is.
    :param trusted: as for :class:`ProxyGateFactory`.
    :raise ValueError: when a network is none.
    """

    def __init__(
        self,
        endpoint: IStreamServerEndpoint,
        clock: IReactorTime,
        trusted: Iterable[Network | str] = LOOPBACK,
    ) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._trusted = tuple(networkOf(str(each)) for each in trusted)

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listens, with a gate before the factory's protocols; fails as the endpoint does."""
        return self._endpoint.listen(ProxyGateFactory(protocolFactory, self._clock, self._trusted))


def _present(transport: Any, header: Header) -> None:
    """Makes a transport give the client's address as its peer's, and where it connected to as its host.

    They are attributes of the instance: any class of transport has them that way, Twisted's for TCP and
    UNIX sockets as well as one derived from them, and what lies on top, such as TLS, asks it in turn.
    The fields that ``getPeer`` reads are another set in each class, half of it private. A transport asks
    for no address on the path of a byte, so that it costs nothing there.
    """
    source, destination = header.source, header.destination
    if source is not None:
        transport.getPeer = lambda: source
        transport.getHost = lambda: destination
