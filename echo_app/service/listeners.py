"""Listeners of a service: opened all together or not at all, and closed together.

The states of :class:`Listeners`: closed; opening, while ``open()`` runs; open, until ``close()``. A failure
to open closes what was opened before it.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from traceback import clear_frames
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IReadDescriptor,
    IStreamServerEndpoint,
)
from twisted.logger import Logger

from echo_app.accesslog.datagrams import RecordedDatagrams
from echo_app.accesslog.recorder import Recorder
from echo_app.accesslog.transports import recordedTransport
from echo_app.addresses import InternetAddress, describe, isWildcardHost, transportName
from echo_app.service.endpoints import BACKLOG
from echo_app.transport.direct import setTransport
from echo_app.transport.sockets import Keepalive, isTCP, setConnectionOptions
from echo_app.udp.port import DatagramEndpoint, DatagramPort
from echo_app.udp.protocol import EchoDatagramProtocol

if TYPE_CHECKING:
    from echo_app.proxy.gate import ProxyHeaders
    from echo_app.tls.server import ServerTLS

log = Logger()


@dataclass(frozen=True, slots=True)
class Listener:
    """A listener of a service: an endpoint, and the layers that only its connections have.

    :param endpoint: the stream endpoint.
    :param tls: its connections use TLS; None is no TLS.
    :param proxy: its connections begin with a header of the PROXY protocol, before TLS; None is no header.
    """

    endpoint: IStreamServerEndpoint
    tls: ServerTLS | None = None
    proxy: ProxyHeaders | None = None


class Listeners:
    """The listening ports of a service.

    :param keepalive: set on TCP ports for their connections; None leaves it off.
    :param isDirect: take the direct path for their connections, where it applies.
    :param recorder: writes their entries in the access log; None is no access log.
    """

    def __init__(self, keepalive: Keepalive | None, isDirect: bool, recorder: Recorder | None = None) -> None:
        self._keepalive = keepalive
        self._isDirect = isDirect
        self._recorder = recorder
        self._endpoints: tuple[object, ...] = ()
        self._ports: list[IListeningPort] = []
        self._suspended: list[Any] = []

    def getHosts(self) -> list[IAddress]:
        """Returns the bound addresses, in the order of the endpoints."""
        return [port.getHost() for port in self._ports]

    def named(self) -> list[tuple[str, IAddress]]:
        """Returns the name of each listener in logs and in the ready file, and its address."""
        return [
            (_nameOf(each, host), host) for each, host in zip(self._endpoints, self.getHosts(), strict=True)
        ]

    async def open(
        self,
        listeners: Sequence[Listener],
        stackOf: Callable[[Listener], IProtocolFactory],
        datagramEndpoints: Sequence[DatagramEndpoint],
        datagramProtocol: Callable[[], EchoDatagramProtocol],
    ) -> None:
        """Opens all listeners, and logs each one.

        :param stackOf: returns the factory of a listener's connections.
        :param datagramProtocol: makes the protocol of a UDP port.
        :raise CannotListenError: when one can't be opened; the others are closed in the reactor's next
            turn.
        """
        self._endpoints = (*listeners, *datagramEndpoints)
        endpoint: object = None
        try:
            for listener in listeners:
                endpoint = listener.endpoint
                port = await maybeDeferred(listener.endpoint.listen, stackOf(listener))
                self._ports.append(port)
                self._prepare(port, listener)
            for endpoint in datagramEndpoints:
                protocol = datagramProtocol()
                if self._recorder is not None:
                    protocol = RecordedDatagrams(protocol, self._recorder)
                self._ports.append(await maybeDeferred(endpoint.listen, protocol))
        except Exception as error:
            self.close()
            _closeSockets(error)
            if isinstance(error, CannotListenError):
                raise
            raise CannotListenError(None, repr(endpoint), error) from error
        for each, (name, host) in zip(self._endpoints, self.named(), strict=True):
            _logListener(name, host, isinstance(each, Listener) and each.proxy is not None)

    def acceptQueued(self) -> None:
        """Accepts the connections in the kernel's queue, which the close of a listener would reset."""
        for port in self._ports:
            if port not in self._suspended:
                _acceptQueued(port)

    def suspend(self) -> None:
        """Makes the kernel refuse connections to TCP ports, which stay bound; accepts those in the queue.

        UNIX sockets go on, since on Linux they can't listen again (unix(7) does not say so).
        """
        for port in self._ports if not self._suspended else ():
            if IReadDescriptor.providedBy(port) and isTCP(getattr(port, "socket", None)):
                _acceptQueued(port)
                _stopListening(port)
                self._suspended.append(port)

    def resume(self) -> None:
        """Makes the suspended ports listen again, if there are any."""
        suspended, self._suspended = self._suspended, []
        for port in suspended:
            try:
                port.socket.listen(BACKLOG)
            except OSError as error:
                log.error(
                    "not listening on {address} again: {reason}",
                    address=describe(port.getHost()),
                    reason=error.strerror,
                )
            else:
                port.startReading()

    def close(self) -> Deferred[Any]:
        """Stops listening.

        :return: fires when every port is closed; does not fail.
        """
        ports, self._ports = self._ports, []
        self._suspended.clear()
        closings = [maybeDeferred(port.stopListening) for port in ports]
        for closing in closings:
            closing.addErrback(lambda failure: log.failure("closing a listener", failure))
        return DeferredList(closings)

    def _prepare(self, port: Any, listener: Listener) -> None:
        """Sets the options and the transport of a port's connections, where the port's class is known."""
        sock = getattr(port, "socket", None)
        if isTCP(sock):
            setConnectionOptions(sock, self._keepalive)
        host = port.getHost()

        def derive(kind: type) -> type:
            if self._recorder is None:
                return kind
            return recordedTransport(kind, self._recorder, _nameOf(listener, host), describe(host))

        setTransport(port, isDirect=self._isDirect, derive=derive)


def _nameOf(endpoint: object, host: IAddress) -> str:
    """Returns the name of a listener in logs."""
    return "tls" if isinstance(endpoint, Listener) and endpoint.tls is not None else transportName(host)


def _closeSockets(error: BaseException | None) -> None:
    """Closes the socket that could not be bound: the error's traceback keeps a UNIX one open."""
    while error is not None:
        clear_frames(error.__traceback__)
        error = error.__context__


def _stopListening(port: Any) -> None:
    """Ends only the listening state of a port (on Linux; POSIX leaves this effect of shutdown open)."""
    port.stopReading()
    port.socket.shutdown(socket.SHUT_RD)
    with suppress(OSError):
        # A port number that the kernel chose would change with the next listen(). Any other stays bound.
        port.socket.bind(port.socket.getsockname())


def _acceptQueued(port: Any) -> None:
    if not IReadDescriptor.providedBy(port):
        return
    poll = select.poll()
    poll.register(port.fileno(), select.POLLIN)
    for _ in range(1 if isinstance(port, DatagramPort) else BACKLOG):
        if not poll.poll(0):
            return
        port.doRead()


def _logListener(name: str, host: IAddress, isProxied: bool) -> None:
    everywhere = isinstance(host, InternetAddress) and isWildcardHost(host.host)
    log.info(
        "listening on {address} ({transport}{header}){everywhere}",
        address=describe(host),
        transport=name,
        header=", PROXY protocol" if isProxied else "",
        everywhere=", on every interface" if everywhere else "",
    )
