"""Direct path: transports that send at once, and are polled by a nested epoll.

The textbook echo spends six system calls and ten microseconds of Python on a message. The answer waits for a
turn of the reactor, which starts and stops polling for the write, and sets up a log context for every event.
A :class:`~echo_app.transport.directserver.DirectServer` sends written data at once, as far as the kernel
takes them. A :class:`~echo_app.transport.poller.NestedPoller` polls it. Both use only public interfaces of
Twisted. :func:`direct` puts the direct path below the connections of a listening port, which behave as
before.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet import tcp, unix

from echo_app.transport.acceptor import acceptWaiting
from echo_app.transport.carrying import CarryingTransport
from echo_app.transport.directserver import DirectServer, DirectUNIXServer
from echo_app.transport.poller import HAS_EPOLL, NestedPoller, pollerOf
from echo_app.transport.sockets import CountingUNIXServer

# By the transport class of a port of Twisted's: the class for the direct path, and the class without it.
_TRANSPORTS: dict[object, tuple[type[tcp.Server], type[tcp.Server]]] = {
    tcp.Server: (DirectServer, CarryingTransport),
    unix.Server: (DirectUNIXServer, CountingUNIXServer),
}


def direct(port: Any) -> bool:
    """Puts the direct path below the connections that a listening port accepts from now on.

    :param port: the port that ``listenTCP``, ``listenUNIX`` or an endpoint's ``listen`` returned.
    :return: whether it applies: epoll is required, and a port with transports of Twisted's own.
    """
    return HAS_EPOLL and setTransport(port, isDirect=True)


def setTransport(port: Any, *, isDirect: bool, derive: Callable[[type], type] = lambda kind: kind) -> bool:
    """Chooses the transport class for the connections that a listening port accepts from now on, once.

    :param isDirect: the connections take the direct path, where there is epoll.
    :param derive: returns the class to use, derived from the chosen one.
    :return: whether it applies: it requires a port with transports of Twisted's own.
    """
    kinds = _TRANSPORTS.get(getattr(port, "transport", None))
    if kinds is None:
        return False
    onDirectPath, onTwisteds = kinds
    if not (isDirect and HAS_EPOLL):
        port.transport = derive(onTwisteds)
        return True
    poller = pollerOf(port.reactor)
    port.transport = partial(derive(onDirectPath), poller=poller)
    _move(port, poller)
    isTwisteds = type(port) is tcp.Port
    if isTwisteds:
        port.doRead = partial(acceptWaiting, port)
    return True


def _move(port: Any, poller: NestedPoller) -> None:
    """Moves a listening port from the reactor to the poller of its connections.

    Otherwise the poller would leave the reactor with the last connection, and join it again with the next.
    """
    isReading = port in port.reactor.getReaders()
    port.stopReading()
    port.startReading = partial(poller.addReader, port)
    port.stopReading = partial(poller.removeReader, port)
    if isReading:
        port.startReading()
