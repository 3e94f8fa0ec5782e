"""Endpoints that connect to an upstream with transports of our own.

A TCP or UNIX target is connected here, with the direct path below the connection where there is epoll: the
transport class of Twisted's clients is chosen in private, and a stream that a reactor adopts has Twisted's
plain one. An upstream of any other kind is an endpoint of Twisted's, with Twisted's transport.
"""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.error import ConnectError, TimeoutError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

from echo_app.addresses import internetAddress, scoped
from echo_app.forward.connecting import Connecting
from echo_app.forward.names import Names, SocketName
from echo_app.targets import Target
from echo_app.transport.carrying import CarryingTransport
from echo_app.transport.directserver import DirectServer, DirectUNIXServer
from echo_app.transport.poller import HAS_EPOLL, pollerOf
from echo_app.transport.sockets import CountingUNIXServer, Keepalive, setConnectionOptions

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

# Seconds until an upstream must have accepted, its look-up included.
CONNECT_TIMEOUT = 10.0


def _timedOut(result: object, seconds: float) -> NoReturn:
    # That of a connection attempt: a Deferred's own time-out is another class.
    raise TimeoutError


@implementer(IStreamClientEndpoint)
class UpstreamEndpoint:
    """Connects to a TCP or UNIX target; the addresses of a name are looked up for each connection.

    :param reactor: runs the connections.
    :param clock: counts the time of an attempt.
    :param target: a target of the kind ``tcp``, ``tls`` (whose TCP connection this is) or ``unix``.
    :param timeout: seconds until the upstream must have accepted.
    :param isDirect: take the direct path, where there is epoll.
    :param keepalive: set on TCP connections; None leaves it off.
    """

    def __init__(
        self,
        reactor: Any,
        clock: IReactorTime,
        target: Target,
        *,
        timeout: float = CONNECT_TIMEOUT,
        isDirect: bool = True,
        keepalive: Keepalive | None = Keepalive(),
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._target = target
        self._timeout = timeout
        self._keepalive = keepalive
        self._names = Names(reactor)
        self._number = 0
        self._poller = pollerOf(reactor) if isDirect and HAS_EPOLL else None

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connects a protocol.

        :return: fails with a ``ConnectError`` or a ``DNSLookupError``; cancelling it ends the attempt.
        """
        return ensureDeferred(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        poller = self._poller or self._reactor
        names = self._lookUp()
        names.addTimeout(self._timeout, self._clock, _timedOut)
        began = self._clock.seconds()
        found = await names
        left = max(0.0, self._timeout - (self._clock.seconds() - began))
        sock, name = await Connecting(self._clock, poller, found, left).done
        try:
            return self._serve(factory, sock, name)
        except BaseException:
            sock.close()
            raise

    def _lookUp(self) -> Deferred[list[SocketName]]:
        target = self._target
        if target.kind == "unix":
            return succeed([(int(socket.AF_UNIX), target.path)])
        if target.isLiteral:
            family = socket.AF_INET6 if ":" in target.host else socket.AF_INET
            return succeed([(int(family), (target.host, target.port))])
        return self._names.look(target.host, target.port)

    def _serve(self, factory: IProtocolFactory, sock: socket.socket, name: Any) -> IProtocol:
        isUNIX = sock.family == socket.AF_UNIX
        if isUNIX:
            address: Any = UNIXAddress(name.encode())
            client: Any = name
        else:
            setConnectionOptions(sock, self._keepalive)
            client = scoped(sock.getpeername())
            address = internetAddress("TCP", *client)
        protocol = factory.buildProtocol(address)
        if protocol is None:
            raise ConnectError(string="no protocol for the upstream")
        self._number += 1
        transport = self._kind(isUNIX)(sock, protocol, client, None, self._number, self._reactor)
        protocol.makeConnection(transport)
        return protocol

    def _kind(self, isUNIX: bool) -> Any:
        if self._poller is None:
            return CountingUNIXServer if isUNIX else CarryingTransport
        return partial(DirectUNIXServer if isUNIX else DirectServer, poller=self._poller)
