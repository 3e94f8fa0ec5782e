"""From settings to a service: the one place where the parts meet.

The states of :class:`EchoService`: closed; listening, from ``listen()`` on, which opens everything once;
running, from ``startService`` on; draining, from ``stopService`` until its Deferred fires; closed again.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from tempfile import NamedTemporaryFile
from traceback import clear_frames
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet import unix
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IReadDescriptor,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from echo_app import __version__
from echo_app.addresses import describe, isWildcardHost, transportName
from echo_app.datagram import (
    RATE,
    DatagramEndpoint,
    DatagramPort,
    DatagramRules,
    EchoDatagramProtocol,
)
from echo_app.drain import Drain
from echo_app.limits import ConnectionCounts, Keepalive, Limits, Snapshot
from echo_app.protocol import EchoFactory
from echo_app.sockets import CountingUNIXServer, setConnectionOptions
from echo_app.timeouts import TimeoutSweep

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

log = Logger()

# Connections that the kernel may hold for us until they are accepted.
BACKLOG = 1024


class EchoService(Service):
    """Echoes on any number of endpoints, and holds all of them together to one set of limits.

    ``listen()`` may be called first, to be told of failure; otherwise starting the service does it.
    It can be started again after it was stopped.

    :param reactor: what time is.
    :param endpoints: where streams are taken.
    :param datagramEndpoints: where datagrams are taken.
    :param factory: makes the protocols; an :class:`EchoFactory` or a subclass. Its `connections` are
        replaced by the service's.
    :param limits: the caps and time-outs.
    :param keepalive: set on TCP listeners for their connections; None leaves it off.
    :param datagramRate: answers a second to one UDP source; None is no limit and no loop breaker.
    :param descriptorLimit: the number that the process's descriptors stay below; None is no such limit.
    :param logConnections: log each connection's beginning and end, at debug level.
    :param readyFile: the path of a file that is there, complete, while the service runs: a line for
        each listener, such as ``tcp 127.0.0.1:8080``.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        endpoints: Sequence[IStreamServerEndpoint] = (),
        datagramEndpoints: Sequence[DatagramEndpoint] = (),
        *,
        factory: EchoFactory | None = None,
        limits: Limits | None = None,
        keepalive: Keepalive | None = Keepalive(),
        datagramRate: float | None = RATE,
        descriptorLimit: int | None = None,
        logConnections: bool = False,
        readyFile: str | None = None,
    ) -> None:
        self._reactor = reactor
        self._endpoints = tuple(endpoints)
        self._datagramEndpoints = tuple(datagramEndpoints)
        self._factory = EchoFactory() if factory is None else factory
        self._keepalive = keepalive
        self._readyFile = readyFile
        self._readying: IDelayedCall | None = None
        self._connections = ConnectionCounts(
            Limits() if limits is None else limits,
            reactor.seconds,
            descriptorLimit=descriptorLimit,
            logConnections=logConnections,
        )
        self._factory.connections = self._connections
        self._rules = DatagramRules(datagramRate, reactor.seconds)
        self._sweep = TimeoutSweep(self._connections, reactor)
        self._ports: list[IListeningPort] = []
        self._isOpen = False
        self._isAborting = False
        self._drain: Drain | None = None
        self._opening = _Shared(self._open)
        self._closing = _Shared(self._close)

    def getHosts(self) -> list[IAddress]:
        """Returns where it listens: the addresses that were really bound, in the order asked for."""
        return [port.getHost() for port in self._ports]

    def snapshot(self) -> Snapshot:
        """Returns what was counted since the service was made."""
        connections = self._connections
        return Snapshot(
            open=len(connections.open),
            accepted=connections.accepted,
            refused=dict(connections.refused.byReason),
            timedOut=dict(connections.timedOut.byReason),
            aborted=connections.aborted,
            lost=connections.lost,
            answered=self._rules.answered,
            dropped=dict(self._rules.dropped.byReason),
        )

    def listen(self) -> Deferred[None]:
        """Opens every listener, once.

        :return: fires when all are open. Fails with ``CannotListenError`` if one can't be: what was
            opened before it is closed in the reactor's next turn. Cancelling it changes nothing.
        """
        return succeed(None) if self._isOpen else self._opening.run()

    def privilegedStartService(self) -> None:
        """Listens, before privileges are shed.

        :raise CannotListenError: when that is known at once.
        """
        self._listenNow()
        super().privilegedStartService()

    def startService(self) -> None:
        """Listens, if it does not yet, and begins to time connections out.

        :raise CannotListenError: when that is known at once.
        """
        self._listenNow(self._announce)
        super().startService()
        self._sweep.start()

    def stopService(self) -> Deferred[None]:
        """Accepts what the kernel has queued, stops listening, and drains the connections.

        :return: fires when every connection has ended, ``drainTimeout`` seconds later at the most; does
            not fail. Cancelling it changes nothing.
        """
        super().stopService()
        return self._closing.run()

    def abort(self) -> None:
        """Aborts the connections that a stop waits for; before a stop, those that it would wait for.

        A second signal may be there before the stop that the first one asked for has begun.
        """
        self._isAborting = True
        if self._drain is not None:
            self._drain.abort()

    def _announce(self) -> None:
        log.info("echo_app {version} started", version=__version__)
        if self._readyFile is not None:
            # In the reactor's turn, not before its first one: whoever sees the file may send a signal,
            # and the reactor's handlers must be there.
            write = partial(_writeReadyFile, self._readyFile, self.getHosts())
            self._readying = self._reactor.callLater(0, write)

    def _listenNow(self, opened: Callable[[], None] = lambda: None) -> None:
        """Listens, and calls `opened` then; raises what fails at once, and logs what fails later."""
        failures: list[Failure] = []
        later = False

        def failed(failure: Failure) -> None:
            if later:
                log.critical("{reason}", reason=failure.getErrorMessage())
            else:
                failures.append(failure)

        self.listen().addCallback(lambda _: opened()).addErrback(failed)
        later = True
        for failure in failures:
            failure.raiseException()

    async def _open(self) -> None:
        # One that a killed service left behind would speak for this one.
        self._removeReadyFile()
        asked: object = None
        try:
            for asked in self._endpoints:
                port = await maybeDeferred(asked.listen, self._factory)
                self._ports.append(port)
                self._prepare(port)
            for asked in self._datagramEndpoints:
                self._ports.append(asked.listen(EchoDatagramProtocol(self._rules)))
        except Exception as error:
            self._closePorts()
            _closeSockets(error)
            if isinstance(error, CannotListenError):
                raise
            raise CannotListenError(None, repr(asked), error) from error
        self._isOpen = True
        for host in self.getHosts():
            _logListener(host)

    def _removeReadyFile(self) -> None:
        if self._readying is not None and self._readying.active():
            self._readying.cancel()
        if self._readyFile is not None:
            # Gone already, or its folder is: a stop goes on.
            with suppress(OSError):
                os.unlink(self._readyFile)

    def _prepare(self, port: Any) -> None:
        """Sets what the port's connections inherit; a port of an unknown make is left as it is."""
        sock = getattr(port, "socket", None)
        if isinstance(sock, socket.socket) and sock.family in (socket.AF_INET, socket.AF_INET6):
            setConnectionOptions(sock, self._keepalive)
        if getattr(port, "transport", None) is unix.Server:
            port.transport = CountingUNIXServer

    async def _close(self) -> None:
        # Once, unless it is started and stopped again while it drains.
        while await self._isToBeClosed():
            self._isOpen = False
            self._removeReadyFile()
            self._drain = Drain(self._connections, self._reactor)
            if self._isAborting:
                self._drain.abort()
            for port in self._ports:
                _acceptQueued(port)
            await self._closePorts()
            await self._drain.run()
            self._drain = None
            self._isAborting = False
            _logCounts(self.snapshot())
        if not self.running:
            self._sweep.stop()

    async def _isToBeClosed(self) -> bool:
        """Says whether it is open and stopped; waits for an opening that is under way."""
        if self._opening.isRunning:
            with suppress(CannotListenError):
                await self.listen()
        return self._isOpen and not self.running

    def _closePorts(self) -> Deferred[Any]:
        ports, self._ports = self._ports, []
        closings = [maybeDeferred(port.stopListening) for port in ports]
        for closing in closings:
            closing.addErrback(lambda failure: log.failure("closing a listener", failure))
        return DeferredList(closings)


class _Shared:
    """An operation that runs once at a time, and that any number of callers wait for."""

    def __init__(self, operation: Callable[[], Coroutine[Deferred[Any], Any, None]]) -> None:
        self._operation = operation
        self._waiting: list[Deferred[None]] = []

    @property
    def isRunning(self) -> bool:
        """Whether somebody waits for it now."""
        return bool(self._waiting)

    def run(self) -> Deferred[None]:
        """Begins the operation, or joins it; the Deferred has its result."""
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        if len(self._waiting) == 1:
            Deferred.fromCoroutine(self._operation()).addBoth(self._tell)
        return waiter

    def _tell(self, result: Failure | None) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(result)


def _closeSockets(error: BaseException | None) -> None:
    """Closes the socket that could not be bound: a UNIX one lives on in the error's traceback."""
    while error is not None:
        clear_frames(error.__traceback__)
        error = error.__context__


def _acceptQueued(port: Any) -> None:
    """Accepts the connections that wait in the kernel: closing the listener would reset them."""
    if not IReadDescriptor.providedBy(port):
        return
    poll = select.poll()
    poll.register(port.fileno(), select.POLLIN)
    for _ in range(1 if isinstance(port, DatagramPort) else BACKLOG):
        if not poll.poll(0):
            return
        port.doRead()


def _writeReadyFile(path: str, hosts: Sequence[IAddress]) -> None:
    """Writes it whole, or not at all: whoever sees the file can read every line of it."""
    with NamedTemporaryFile("w", dir=os.path.dirname(path) or ".", delete=False) as file:
        file.writelines(f"{transportName(host)} {describe(host)}\n" for host in hosts)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def _logListener(host: IAddress) -> None:
    everywhere = isinstance(host, (IPv4Address, IPv6Address)) and isWildcardHost(host.host)
    log.info(
        "listening on {address} ({transport}){everywhere}",
        address=describe(host),
        transport=transportName(host),
        everywhere=", on every interface" if everywhere else "",
    )


def _logCounts(counts: Snapshot) -> None:
    log.info(
        "echo_app stopped: {counts.accepted} connections ({refused} refused, {timedOut} timed out, "
        "{counts.aborted} aborted, {counts.lost} lost), {counts.answered} datagrams ({dropped} dropped)",
        counts=counts,
        refused=sum(counts.refused.values()),
        timedOut=sum(counts.timedOut.values()),
        dropped=sum(counts.dropped.values()),
    )
