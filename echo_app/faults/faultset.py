"""Faults of a running service: applies a fault plan to connections, datagrams and listeners."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from echo_app.faults.budget import Budget
from echo_app.faults.datagrams import DatagramFaults, FaultyDatagrams
from echo_app.faults.fault import BadSpec, StreamFault
from echo_app.faults.faulty import Faulty, choose
from echo_app.faults.layer import faultLayerOf
from echo_app.faults.plan import checked
from echo_app.faults.preamble import PreambleGate
from echo_app.faults.refuse import ListenerSuspension

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from echo_app.connections.connection import Connection
    from echo_app.faults.fault import Fault
    from echo_app.faults.plan import FaultPlan
    from echo_app.interfaces import Build
    from echo_app.service.listeners import Listeners
    from echo_app.udp.protocol import EchoDatagramProtocol


class FaultSet:
    """Applies a fault plan to the connections, preambles, datagrams and listeners of a service.

    :param plan: the faults.
    :param clock: tells the time.
    :param hasPreamble: a connection's preamble may choose its faults.
    :param hasMessages: the protocols of connections send messages.
    :param hasDatagrams: there are datagrams.
    :param forwardsDatagrams: these go on to an upstream, and have faults in both directions.
    :param forwardsStreams: the streams go on to an upstream.
    :raise BadSpec: on a fault that can't have an effect: of messages where nothing has messages, or of the
        upstream without one.
    """

    def __init__(
        self,
        plan: FaultPlan,
        clock: IReactorTime,
        hasPreamble: bool,
        hasMessages: bool = False,
        hasDatagrams: bool = True,
        forwardsDatagrams: bool = False,
        forwardsStreams: bool = False,
    ) -> None:
        self._datagrams = DatagramFaults(plan, clock, "out" if forwardsDatagrams else None)
        self._inward = DatagramFaults(plan, clock, "in") if forwardsDatagrams else None
        self._plan = plan
        self._clock = clock
        self._budget = Budget(clock)
        self._hasPreamble = hasPreamble
        self._hasMessages, self._hasDatagrams = hasMessages, hasDatagrams
        self._forwards = forwardsStreams, forwardsDatagrams
        self._suspension: ListenerSuspension | None = None
        self._check(plan.faults)

    def layer(self, build: Build) -> Build:
        """Puts the faults, and the gate of their preamble, below the layers that `build` makes."""
        faulty = partial(self._faulty, build)
        if not self._hasPreamble:
            return faulty()
        kinds = self._hasMessages, self._forwards[0]
        return lambda _address, connection: PreambleGate(faulty, connection, self._clock, *kinds)

    def _faulty(self, build: Build, faults: tuple[Fault, ...] | None = None) -> Build:
        """Returns a ``Build`` with these faults; None is those of the plan."""
        plan = self._plan
        chosen = (lambda: plan.faults) if faults is None else (lambda: faults)
        return Faulty(
            build,
            self._budget,
            chosen,
            plan.seed,
            plan.cap,
            lambda: plan.since,
            self._hasMessages,
            isLive=True,
        )

    def before(self, make: Callable[[], EchoDatagramProtocol]) -> Callable[[], EchoDatagramProtocol]:
        """Returns a function that makes the protocols of UDP ports: faults, in front of those of `make`."""
        return lambda: FaultyDatagrams(make(), self._datagrams, self._inward)

    def begin(self, listeners: Listeners, isQuiet: bool = False) -> None:
        """Begins the faults' times, when the service listens.

        :param isQuiet: the log does not name the faults.
        """
        self._suspension = ListenerSuspension(self._clock, listeners)
        self._start(isQuiet=isQuiet)

    def end(self) -> None:
        """Ends the faults of listeners, when the service stops listening."""
        if self._suspension is not None:
            self._suspension.end()
            self._suspension = None

    def watch(self) -> list[Callable[[], None]]:
        """Returns functions to call every few seconds, which read a changed fault file again."""
        return [self._plan.watch(self.reload)] if self._plan.hasFile else []

    def reload(self) -> None:
        """Reads the fault file again, for new connections, datagrams and listeners."""
        if self._plan.reload(self._check):
            self._start()

    def set(self, faults: Iterable[Fault], since: int) -> None:
        """Replaces all faults, for new connections, datagrams and listeners.

        :param since: the number of the last connection before them.
        :raise BadSpec: on too many faults, or one that can't have an effect.
        """
        faults = tuple(faults)
        self._check(faults)
        self._plan.set(faults, since)
        self._start(isNumberedAnew=True)

    def setOpen(self, faults: Iterable[Fault], connections: Iterable[Connection]) -> int:
        """Gives open connections these faults, in place of theirs, from the bytes on that pass next.

        A fault with the key ``connections`` is none of an open connection: it counts later ones.

        :return: the number of connections that have them: none whose prefix is pending, or that a fault has
            ended.
        """
        own = [each for each in faults if not (isinstance(each, StreamFault) and each.connections)]
        changed = 0
        for connection in connections:
            layer = faultLayerOf(connection.top()[1])
            if layer is not None:
                layer.setFaults(list(choose(own, connection.number, self._plan.seed, self._hasMessages)))
                changed += 1
        return changed

    def checkOwn(self, faults: tuple[Fault, ...]) -> None:
        """Checks faults that only open connections are to have.

        :raise BadSpec: on too many, or one that no connection can have.
        """
        checked(faults)
        for fault in faults:
            if not isinstance(fault, StreamFault):
                raise BadSpec(f"fault '{fault}': {fault.name!r} is no fault of a connection")
            if fault.connections is not None:
                raise BadSpec(f"fault '{fault}': 'connections' counts later connections")
            if reason := fault.lacks(self._hasMessages, False, *self._forwards):
                raise BadSpec(f"fault '{fault}': {reason}")

    def _check(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            if reason := fault.lacks(self._hasMessages, self._hasDatagrams, *self._forwards):
                raise BadSpec(f"fault '{fault}': {reason}")

    def _start(self, isNumberedAnew: bool = False, isQuiet: bool = False) -> None:
        self._datagrams.begin(isNumberedAnew)
        if self._inward is not None:
            self._inward.begin(isNumberedAnew)
        if self._suspension is not None:
            self._suspension.begin(self._plan.faults)
        # Last, so that all faults apply when the log names them.
        if not isQuiet:
            self._plan.announce()
