"""Faults of a running service: applies a fault plan to connections, datagrams and listeners."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from echo_app.faults.datagrams import DatagramFaults, FaultyDatagrams
from echo_app.faults.faulty import Faulty
from echo_app.faults.preamble import PreambleGate
from echo_app.faults.refuse import ListenerSuspension

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from echo_app.faults.fault import Fault
    from echo_app.faults.plan import FaultPlan
    from echo_app.interfaces import Build
    from echo_app.service.listeners import Listeners
    from echo_app.udp.protocol import EchoDatagramProtocol


class FaultSet:
    """Applies a plan to a service: to its connections, their first lines, its datagrams and its listeners.

    :param plan: the faults.
    :param clock: tells the time.
    :param isChosen: whether a connection's first line may choose its faults.
    """

    def __init__(self, plan: FaultPlan, clock: IReactorTime, isChosen: bool) -> None:
        self._datagrams = DatagramFaults(plan, clock)
        self._plan = plan
        self._clock = clock
        self._isChosen = isChosen
        self._suspension: ListenerSuspension | None = None

    def layer(self, build: Build) -> Build:
        """Puts the faults, and the gate of their preamble, below the layers that `build` makes."""
        faulty = partial(self._faulty, build)
        if not self._isChosen:
            return faulty()
        return lambda _address, connection: PreambleGate(faulty, connection, self._clock)

    def _faulty(self, build: Build, faults: tuple[Fault, ...] | None = None) -> Build:
        """Returns a function that makes protocols with these faults; None is those of the plan."""
        plan = self._plan
        chosen = (lambda: plan.faults) if faults is None else (lambda: faults)
        return Faulty(build, self._clock, chosen, plan.seed, plan.cap, lambda: plan.since)

    def before(self, make: Callable[[], EchoDatagramProtocol]) -> Callable[[], EchoDatagramProtocol]:
        """Returns a function that makes the protocols of UDP ports, with faults before those of `make`."""
        return lambda: FaultyDatagrams(make(), self._datagrams)

    def begin(self, listeners: Listeners) -> None:
        """Listens with faults: from now on their times count."""
        self._suspension = ListenerSuspension(self._clock, listeners)
        self._start()

    def end(self) -> None:
        """Stops listening."""
        if self._suspension is not None:
            self._suspension.end()
            self._suspension = None

    def reload(self) -> None:
        """Reads the fault file again; the connections to come, datagrams and listeners have its faults."""
        if self._plan.reload():
            self._start()

    def set(self, faults: Iterable[Fault], since: int) -> None:
        """Replaces all faults; the connections to come, datagrams and listeners have these.

        :param since: the number of the last connection before them.
        :raise BadSpec: when there are too many.
        """
        self._plan.set(faults, since)
        self._start()

    def _start(self) -> None:
        self._datagrams.begin()
        if self._suspension is not None:
            self._suspension.begin(self._plan.faults)
        # A reader of the log may rely on it: all of them apply now.
        self._plan.announce()
