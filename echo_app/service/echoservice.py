"""Echo service: assembles the parts, listens, and stops.

The states of :class:`EchoService`: closed; listening, from ``listen()`` on, which opens everything once;
running, from ``startService`` on; draining, from ``stopService`` until its Deferred fires; closed again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from echo_app import __version__
from echo_app.access.login import Logins
from echo_app.accesslog.file import AccessLog
from echo_app.accesslog.recorder import Recorder
from echo_app.accesslog.transports import UnknownTransports
from echo_app.clock import monotonicClock
from echo_app.connections.drain import Drain
from echo_app.connections.limits import Limits
from echo_app.connections.registry import ConnectionRegistry
from echo_app.connections.timeouts import TimeoutSweep
from echo_app.faults.faultset import FaultSet
from echo_app.faults.plan import FaultPlan
from echo_app.filewatch import Watch
from echo_app.forward.datagrams import ForwardedDatagrams
from echo_app.forward.forwarder import Forwarder
from echo_app.responders.answers import TIMEOUT
from echo_app.responders.named import makeResponder
from echo_app.service.listeners import Listener, Listeners
from echo_app.service.pick import Pick
from echo_app.service.readyfile import ReadyFile
from echo_app.service.shared import SharedOperation
from echo_app.service.snapshot import Snapshot
from echo_app.stack.stack import Stack
from echo_app.stream.protocol import EchoFactory
from echo_app.text import escaped
from echo_app.transport.sockets import Keepalive
from echo_app.udp.port import DatagramEndpoint
from echo_app.udp.protocol import RATE, DatagramRules, EchoDatagramProtocol

if TYPE_CHECKING:
    from twisted.cred.portal import Portal
    from twisted.internet.interfaces import IReactorTime

    from echo_app.access.networks import Access
    from echo_app.connections.connection import Connection
    from echo_app.faults.fault import Fault
    from echo_app.interfaces import IResponder

log = Logger()


class EchoService(Service):
    """Echoes on any number of endpoints, which share one set of limits.

    A caller may call ``listen()`` first, to learn of a failure; otherwise the start calls it. A stopped
    service can be started again.

    :param reactor: makes the calls of time-outs. The time is a monotonic clock's where it is a reactor of
        Twisted (:mod:`echo_app.clock`).
    :param endpoints: stream endpoints; a :class:`~echo_app.service.listeners.Listener` adds TLS or the PROXY
        protocol.
    :param datagramEndpoints: UDP endpoints.
    :param factory: makes the protocols; None is an :class:`EchoFactory`. A responder replaces its `protocol`.
    :param responder: answers in place of the echo: a name, as for ``--responder``, a function, or an object
        that provides ``IResponder``.
    :param forwarder: sends streams or datagrams on to an upstream, which answers in place of the echo.
    :param responderTimeout: seconds that an answer may take; None is no limit.
    :param limits: the caps and time-outs.
    :param keepalive: set on TCP listeners for their connections; None leaves it off.
    :param direct: take the direct path (:mod:`echo_app.transport.direct`) where it applies.
    :param datagramRate: answers a second to one UDP source; None is no limit and no loop breaker.
    :param descriptorLimit: the number that the process's descriptors stay below; None is no such limit.
    :param access: the networks whose peers may connect, and whose datagrams are answered; None is all.
    :param portal: checks the login with which each stream begins (:mod:`echo_app.access.login`); None is no
        login.
    :param logConnections: log each connection's beginning and end, at debug level.
    :param readyFile: the path of a file that exists, complete, while the service runs: a line for each
        listener, such as ``tcp 127.0.0.1:8080``.
    :param faults: the service's faults; None is no faults.
    :param faultPreamble: let a connection's preamble choose its faults.
    :param accessLog: the path of a file that gets a line, one JSON object, when a connection ends, and for
        each source of datagrams and minute; ``-`` is standard output.
    :param emptyEntries: give a line to connections without a byte that their peer ended, too.
    :raise ValueError: on a wrong responder, or one where streams are forwarded; a fault that can't have an
        effect, such as one of messages where nothing has messages; a portal that checks no passwords, or with
        datagrams, which have no login.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        endpoints: Sequence[IStreamServerEndpoint | Listener] = (),
        datagramEndpoints: Sequence[DatagramEndpoint] = (),
        *,
        factory: Factory | None = None,
        limits: Limits | None = None,
        keepalive: Keepalive | None = Keepalive(),
        direct: bool = True,
        datagramRate: float | None = RATE,
        descriptorLimit: int | None = None,
        access: Access | None = None,
        portal: Portal | None = None,
        logConnections: bool = False,
        readyFile: str | None = None,
        responder: str | IResponder | Callable[[Any], Any] = "echo",
        responderTimeout: float | None = TIMEOUT,
        forwarder: Forwarder = Forwarder(),
        faults: FaultPlan | None = None,
        faultPreamble: bool = False,
        accessLog: str | None = None,
        emptyEntries: bool = True,
    ) -> None:
        if forwarder != Forwarder() and (factory is not None or responder != "echo"):
            raise ValueError("what is forwarded has no factory or responder of its own")
        if portal is not None and datagramEndpoints:
            raise ValueError("a portal is not for datagrams, which have no login")
        self._clock = clock = monotonicClock(reactor)
        self._streams = [each if isinstance(each, Listener) else Listener(each) for each in endpoints]
        self._datagramEndpoints = tuple(datagramEndpoints)
        self._tls = {each.tls for each in self._streams if each.tls is not None}
        self._accessLog = None if accessLog is None else AccessLog(accessLog, clock)
        self._recorder = recorder = (
            None if self._accessLog is None else Recorder(self._accessLog, clock, hasEmpty=emptyEntries)
        )
        self._connections = ConnectionRegistry(
            Limits() if limits is None else limits,
            clock.seconds,
            descriptorLimit=descriptorLimit,
            access=access,
            logConnections=logConnections,
            unknown=None if recorder is None else UnknownTransports(recorder),
        )
        self._rules = DatagramRules(datagramRate, clock.seconds, access=access)
        self._responder = makeResponder(responder, clock, responderTimeout)
        self._hasFaults = faults is not None or faultPreamble
        forwards = forwarder.sessions is not None, forwarder.streams is not None
        hasFaults = self._hasFaults or any(forwards)
        kinds = self._responder.hasMessages, bool(datagramEndpoints), *forwards
        self._faults = FaultSet(faults or FaultPlan(), clock, faultPreamble, *kinds) if hasFaults else None
        self._logins = None if portal is None else Logins(portal, clock)
        if self._logins is not None:
            self._connections.makeRoom = self._logins.makeRoom
        self._forwarder = forwarder
        self._factory = forwarder.streams or factory or EchoFactory()
        if responder != "echo":
            self._factory.protocol = self._responder.stream
        self._listeners = Listeners(keepalive, direct, recorder)
        self._readyFile = None if readyFile is None else ReadyFile(readyFile)
        self._sweep = TimeoutSweep(self._connections, clock)
        self._watch = Watch(clock)
        self._isOpen = self._isAborting = False
        self._drain: Drain | None = None
        self._opening = SharedOperation(self._open)
        self._closing = SharedOperation(self._close)

    def getHosts(self) -> list[IAddress]:
        """Returns the bound addresses, in the order of the endpoints."""
        return self._listeners.getHosts()

    def reload(self) -> None:
        """Reads certificates, passwords and faults again, for new connections, and reopens the access log.

        A file that can't be used is logged, and changes nothing. An error in one part stops no other part.
        """
        reloads = [each.reload for each in (*self._tls, self._logins, self._faults) if each is not None]
        if self._accessLog is not None:
            reloads.append(self._accessLog.reopen)
        for reload in reloads:
            try:
                reload()
            except Exception:
                log.failure("a part of the service is not read again")

    def setFaults(
        self,
        faults: Iterable[Fault],
        *,
        live: bool = False,
        number: int | None = None,
        peer: str | None = None,
        listener: str | None = None,
    ) -> None:
        """Replaces all faults, for new connections; the first of these has the number 1 for ``connections``.

        Present connections, those in the kernel's queue included, keep their faults. Datagrams, and
        ``refuse``, have the new faults at once.

        :param live: present connections have the new faults, too, from the bytes on that pass next.
        :param number: with `live`, only the connection with this number has the new faults, and nothing else.
        :param peer: as `number`, those of the peer with this address, such as ``127.0.0.1:40000``.
        :param listener: as `number`, those that the listener with this address has accepted.
        :raise ValueError: when the service was made without faults, a fault applies to no listener, there are
            too many, or no connection that can have them is chosen.
        """
        if self._faults is None:
            raise ValueError("the service was made without faults")
        faults = tuple(faults)
        pick = Pick(number, peer, listener)
        if pick.isGiven:
            if not live:
                raise ValueError(f"{pick}: to choose an open connection needs live=True")
            self._faults.checkOwn(faults)
            if not self._faults.setOpen(faults, filter(pick.has, self.connections())):
                raise ValueError(f"no open connection has {pick}, or it can't change its faults")
            return
        for fault in faults:
            kinds = bool(self._streams), bool(self._datagramEndpoints), self._forwarder.sessions is not None
            if not fault.hasListener(*kinds):
                raise ValueError(f"fault '{fault}': there is no stream listener that it applies to")
        self._listeners.acceptQueued()
        self._faults.set(faults, self._connections.admitted)
        if live:
            self._faults.setOpen(faults, self.connections())

    def connections(self) -> list[Connection]:
        """Returns the open connections, the oldest first."""
        return list(self._connections.open)

    def snapshot(self) -> Snapshot:
        """Returns the counts since the service was made."""
        connections = self._connections
        return Snapshot(
            open=len(connections.open),
            accepted=connections.accepted,
            refused=dict(connections.refused.byReason),
            timedOut=dict(connections.timedOut.byReason),
            aborted=connections.aborted,
            lost=connections.lost,
            failed=dict(sum((tls.failures.byReason for tls in self._tls), Counter())),
            truncated=sum(tls.truncated for tls in self._tls),
            answered=self._rules.answered,
            dropped=dict(self._rules.dropped.byReason),
            unanswered=dict(self._responder.unanswered),
            unreached=dict(self._forwarder.unreached),
        )

    def listen(self) -> Deferred[None]:
        """Opens every listener, once.

        :return: fires when all are open. Fails with ``CannotListenError`` if one can't be: those
            opened before it are closed in the reactor's next turn. Cancelling it changes nothing.
        """
        return succeed(None) if self._isOpen else self._opening.run()

    def privilegedStartService(self) -> None:
        """Listens, and writes the ready file, before privileges are shed.

        :raise CannotListenError: when an endpoint or the ready file fails at once.
        """
        self._listenNow(self._writeReadyFile)
        super().privilegedStartService()

    def startService(self) -> None:
        """Listens, if it does not yet, and starts the time-outs.

        :raise CannotListenError: when an endpoint fails at once.
        """
        self._listenNow(self._announce)
        super().startService()
        self._sweep.start()
        self._watch.start(self._looks())

    def stopService(self) -> Deferred[None]:
        """Accepts what the kernel has queued, stops listening, and drains the connections.

        :return: fires when every connection has ended, ``drainTimeout`` seconds later at the most; does
            not fail. Cancelling it changes nothing.
        """
        super().stopService()
        return self._closing.run()

    def abort(self) -> None:
        """Aborts the connections that a stop waits for; before a stop, those that the stop would wait for.

        A second signal may come before the stop that the first one asked for.
        """
        self._isAborting = True
        if self._drain is not None:
            self._drain.abort()

    def _stackOf(self, listener: Listener) -> Stack:
        return Stack(
            self._factory,
            self._connections,
            proxy=listener.proxy,
            tls=listener.tls,
            logins=self._logins,
            faults=self._faults,
        )

    def _looks(self) -> list[Callable[[], None]]:
        """Returns the functions that read changed files again."""
        looks = [each.watch() for each in self._tls]
        if self._logins is not None:
            looks += self._logins.watch()
        if self._faults is not None:
            looks += self._faults.watch()
        return looks

    def _announce(self) -> None:
        self._writeReadyFile()
        if self._forwarder.target:
            log.info("forwarding to {target}", target=escaped(self._forwarder.target))
        log.info("echo_app {version} started", version=__version__)

    def _writeReadyFile(self) -> None:
        if self._readyFile is None:
            return
        try:
            self._readyFile.write(self._listeners.named())
        except CannotListenError:
            self._isOpen = False
            self._listeners.close()
            self._removeReadyFile()
            self._closeAccessLog()
            raise

    def _listenNow(self, opened: Callable[[], None]) -> None:
        """Listens, and then calls `opened`; raises a failure that comes at once, and logs a later one."""
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
        datagrams: Callable[[], EchoDatagramProtocol] = partial(self._responder.datagrams, self._rules)
        if self._forwarder.sessions is not None:
            datagrams = partial(ForwardedDatagrams, self._forwarder.sessions, self._rules)
        if self._faults is not None:
            datagrams = self._faults.before(datagrams)
        try:
            if self._readyFile is not None:
                self._readyFile.claim()
            if self._accessLog is not None:
                self._accessLog.open()
            await self._listeners.open(self._streams, self._stackOf, self._datagramEndpoints, datagrams)
        except CannotListenError:
            self._removeReadyFile()
            self._closeAccessLog()
            raise
        self._isOpen = True
        if self._faults is not None:
            self._faults.begin(self._listeners, isQuiet=not self._hasFaults)

    def _closeAccessLog(self) -> None:
        if self._accessLog is not None and self._recorder is not None:
            self._recorder.refusals.flush()
            self._accessLog.close()

    def _removeReadyFile(self) -> None:
        if self._readyFile is not None:
            self._readyFile.remove()

    async def _close(self) -> None:
        # Once, unless the service is started and stopped again during the drain.
        while await self._isToBeClosed():
            self._isOpen = False
            self._removeReadyFile()
            self._drain = Drain(self._connections, self._clock)
            if self._isAborting:
                self._drain.abort()
            if self._faults is not None:
                self._faults.end()
            self._listeners.acceptQueued()
            await self._listeners.close()
            await self._drain.run()
            self._closeAccessLog()
            self._drain = None
            self._isAborting = False
            counts = self.snapshot()
            log.info("echo_app stopped: {sums}", sums=counts.summary(bool(self._tls)), counts=counts)
        if not self.running:
            self._sweep.stop()
            self._watch.stop()

    async def _isToBeClosed(self) -> bool:
        """Says whether the service is open and stopped; waits first for an opening to complete."""
        if self._opening.isRunning:
            with suppress(CannotListenError):
                await self.listen()
        return self._isOpen and not self.running
