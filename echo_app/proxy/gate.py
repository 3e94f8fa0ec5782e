"""The PROXY protocol of a listener, and the gate that reads a connection's header."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.address import UNIXAddress

from echo_app.addresses import Network, describe, ipAddressOf, isPermitted, networkOf
from echo_app.clock import monotonicClock
from echo_app.connections.gate import Gate
from echo_app.connections.record import Ending
from echo_app.proxy.header import Header, parseHeader
from echo_app.proxy.vectors import BadHeader, proxyFactsOf
from echo_app.transport.sockets import reset

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IProtocol, IReactorTime

    from echo_app.connections.connection import Connection
    from echo_app.connections.refusal import Refusal
    from echo_app.connections.registry import ConnectionRegistry
    from echo_app.interfaces import Build

# Networks whose peers may send a header by default.
LOOPBACK: tuple[Network, ...] = (networkOf("127.0.0.0/8"), networkOf("::1"))

# Seconds until the first byte: some balancers connect ahead, and send the header with the first payload.
FIRST_BYTE_TIMEOUT = 60.0

# Seconds from the first byte of a header to its last. A proxy sends a header at once; the specification asks
# for 3 at the least, to cover a retransmission.
HEADER_TIMEOUT = 5.0


class ProxyGate(Gate):
    """Reads the header of the PROXY protocol, and hands the connection over with the client's address.

    The gate receives a header and one read at most: longer input is no header.
    """

    ending = Ending.HEADER
    firstByteTimeout = FIRST_BYTE_TIMEOUT
    prefixTimeout = HEADER_TIMEOUT

    def prefixReceived(self) -> None:
        """Hands over when the header is complete; refuses a wrong one."""
        try:
            header = parseHeader(self.received)
        except BadHeader as error:
            self._refuse(str(error))
        else:
            if header is not None:
                _present(self.transport, header)
                self.handOver(header.size)

    def prefixEnded(self) -> None:
        """Refuses an incomplete header."""
        self._refuse(f"a stream that ends after {len(self.received)} bytes")

    def _refuse(self, why: str) -> None:
        line = f"{describe(self.transport.getPeer())} sent {why}"
        self.connection.refuse(self.ending, "bad-header", why, line)
        reset(self.transport)


class ProxyHeaders:
    """The PROXY protocol of a listener: each connection begins with a header.

    The layers above see the client: ``getPeer()`` and ``getHost()`` return the header's addresses, from
    ``connectionMade`` on. For a health check of the proxy, or a client that the proxy can't name, they
    return the connection's own. :func:`~echo_app.proxy.vectors.proxyFactsOf` returns what else the header
    says.

    :param clock: tells the time.
    :param trusted: networks whose peers may send a header; UNIX peers always may. Other peers are reset.
    :raise ValueError: on a wrong network.
    """

    def __init__(self, clock: IReactorTime, trusted: Iterable[Network | str] = LOOPBACK) -> None:
        self._clock = monotonicClock(clock)
        self._trusted = tuple(networkOf(str(each)) for each in trusted)

    def expect(self, address: IAddress | None, connections: ConnectionRegistry) -> Connection | Refusal:
        """Returns a connection whose client is not known yet, or the refusal of an untrusted peer."""
        if not isPermitted(address, self._isTrusted):
            line = f"{describe(address)} is not trusted"
            return connections.refusal(Ending.DENIED, "untrusted-proxy", line)
        return connections.expect()

    def layer(self, build: Build) -> Build:
        """Puts a gate below the layers that `build` makes, for a connection that :meth:`expect` returned.

        A client with a UNIX address has no network. The proxy chose that address, and not a socket file's
        permissions, so the access rules and the caps apply to the proxy's own address.
        """

        def buildGate(proxy: IAddress | None, connection: Connection) -> IProtocol:
            def buildAdmitted(client: IAddress | None, connection: Connection) -> IProtocol | None:
                counted = proxy if isinstance(client, UNIXAddress) else client
                return connection.admit(counted) or build(client, connection)

            return ProxyGate(buildAdmitted, connection, self._clock)

        return buildGate

    def _isTrusted(self, host: str) -> bool:
        address = ipAddressOf(host)
        return any(address in network for network in self._trusted)


def _present(transport: Any, header: Header) -> None:
    """Makes a transport return the header's source as its peer, and the destination as its host.

    Attributes of the instance replace the methods. This works for every class of transport, and layers
    above, such as TLS, ask the transport below. The fields that ``getPeer`` reads differ by class, and half
    of them are private. The path of a byte asks for no address, so this costs nothing there.
    """
    source, destination = header.source, header.destination
    if source is not None:
        transport.getPeer = lambda: source
        transport.getHost = lambda: destination
        # A second header, behind the first, names another client.
        if header.facts is not None or proxyFactsOf(transport) is not None:
            transport.proxyFacts = header.facts
