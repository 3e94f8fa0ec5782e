"""Choice of the faults of each connection, by its number and a number drawn for it.

A connection without faults has the plain protocol, on the plain transport; or a layer without faults, if its
faults may change while it is open. The layer is in :mod:`echo_app.faults.layer`, and random numbers are in
:mod:`echo_app.faults.draws`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IAddress, IProtocol

from echo_app.faults.draws import Draws
from echo_app.faults.fault import Fault, StreamFault
from echo_app.faults.flowlayer import CAP
from echo_app.faults.layer import Chosen, FaultLayer
from echo_app.faults.messagelayer import MessageFaultLayer

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from echo_app.connections.connection import Connection
    from echo_app.interfaces import Build


@dataclass(frozen=True, slots=True)
class Faulty:
    """A ``Build`` that puts a fault layer below the protocols of some connections.

    :param build: makes the plain protocols.
    :param clock: tells the time.
    :param faults: returns the present faults, for a new connection; ``refuse`` is left out.
    :param seed: equal seeds draw equal random numbers.
    :param cap: bytes that are held for one connection until reading from its peer stops.
    :param hasMessages: the protocols send messages by ``IMessageTransport``; otherwise faults of messages are
        left out.
    :param isLive: each connection has a layer, so that its faults may change while it is open.
    :param since: returns the number of the last connection before the faults: they count from there.
    """

    build: Build
    clock: IReactorTime
    faults: Callable[[], Sequence[Fault]]
    seed: int
    cap: int = CAP
    since: Callable[[], int] = lambda: 0
    hasMessages: bool = False
    isLive: bool = False

    def __call__(self, address: IAddress | None, connection: Connection) -> IProtocol | None:
        """Returns the protocol of a connection from this address."""
        protocol = self.build(address, connection)
        if protocol is None:
            return None
        number = connection.number - self.since()
        chosen = list(choose(self.faults(), number, self.seed, self.hasMessages))
        if not (chosen or self.isLive):
            return protocol
        isOfMessages = self.hasMessages if self.isLive else any(fault.messageKey for fault, _ in chosen)
        layer = MessageFaultLayer if isOfMessages else FaultLayer
        return layer(protocol, self.clock, chosen, self.cap)


def choose(faults: Iterable[Fault], number: int, seed: int, hasMessages: bool) -> Iterator[Chosen]:
    """Yields those of the faults that the connection with a number has, with their draws.

    :param hasMessages: faults of messages have an effect; otherwise they are left out.
    """
    # Equal faults draw different numbers: two equal flips would undo each other.
    seen: Counter[Fault] = Counter()
    for fault in faults:
        seen[fault] += 1
        if fault.messageKey and (fault.direction == "in" or not hasMessages):
            continue
        if isinstance(fault, StreamFault) and fault.appliesTo(number):
            draws = partial(Draws, seed, _text(fault), seen[fault], number)
            if fault.probability >= 1 or draws("whether").at(0) < fault.probability:
                yield fault, draws


# Making a fault's text takes longer than all else that a connection with the fault costs.
_text = lru_cache(maxsize=256)(str)
