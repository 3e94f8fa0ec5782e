"""The faults of a service, all together: of its connections, its datagrams and its listeners."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IAddress

from echo_app.faults.datagrams import DatagramFaults, FaultyDatagrams
from echo_app.faults.faulty import Faulty
from echo_app.faults.preamble import PreambleGate
from echo_app.faults.refusing import Refusing

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol, IReactorTime

    from echo_app.connections.registry import ConnectionRegistry
    from echo_app.faults.plan import FaultPlan
    from echo_app.faults.spec import Fault
    from echo_app.interfaces import Build
    from echo_app.service.listeners import Listeners
    from echo_app.udp.protocol import EchoDatagramProtocol


class Misbehaviour:
    """Puts a plan into a service: a layer before its protocols, a gate before that one, and the rest.

    :param plan: what goes wrong.
    :param clock: what time is.
    :param isChosen: whether a connection's first line may choose what goes wrong with it.
    """

    def __init__(self, plan: FaultPlan, clock: IReactorTime, isChosen: bool) -> None:
        self._datagrams = DatagramFaults(plan, clock)
        self._plan = plan
        self._clock = clock
        self._isChosen = isChosen
        self._refusing: Refusing | None = None

    def layer(self, build: Build, connections: ConnectionRegistry) -> Build:
        """Puts the faults, and the gate of their preamble, below the layers that `build` makes."""
        return self._choosing(build, connections) if self._isChosen else self._faulty(build)

    def _faulty(self, build: Build, faults: tuple[Fault, ...] | None = None) -> Build:
        """Returns what makes protocols with these faults; None is those of the plan."""
        plan = self._plan
        return Faulty(
            build,
            self._clock,
            lambda: plan.faults if faults is None else faults,
            plan.seed,
            plan.cap,
            lambda: plan.since,
        )

    def _choosing(self, build: Build, connections: ConnectionRegistry) -> Build:
        def buildGate(_address: IAddress | None, number: int) -> IProtocol:
            gate = PreambleGate(
                lambda peer, faults: self._faulty(build, faults)(peer, number), connections, self._clock
            )
            gate.number = number
            return gate

        return buildGate

    def before(self, make: Callable[[], EchoDatagramProtocol]) -> Callable[[], EchoDatagramProtocol]:
        """Returns what makes the protocols of UDP ports, with what goes wrong before those made so far."""
        return lambda: FaultyDatagrams(make(), self._datagrams)

    def begin(self, listeners: Listeners) -> None:
        """Listens with faults: from now on their times count."""
        self._refusing = Refusing(self._clock, listeners)
        self._start()

    def end(self) -> None:
        """Stops listening."""
        if self._refusing is not None:
            self._refusing.end()
            self._refusing = None

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
        if self._refusing is not None:
            self._refusing.begin(self._plan.faults)
        # Who reads that may count on it.
        self._plan.announce()
