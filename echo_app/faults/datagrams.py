"""Applies faults to datagrams: to the answers over UDP, and to what is forwarded to an upstream.

The service receives, admits and answers a datagram as without faults. The answer then passes the faults, in
the order of their stages. The UDP rules must admit a second copy of an answer like a second datagram, so a
peer gets no more answers from a service with faults.

Answers are numbered over all ports of the service, from 1. ``after``, ``for`` and ``every`` count from the
time when the faults were read.

A datagram that is forwarded passes the faults with ``direction=in`` in the same way, after the UDP rules.
These datagrams have numbers of their own, and draws, since the text of such a fault has the direction.

The rules of :class:`DatagramFaults`: each answer in `_held` has a delayed call, and `_bytes` is the sum of
their sizes. Both are bounded, and an answer beyond the bounds is dropped and counted. `_behind` has the
answers that wait for the next answer to the same address. A port that closes drops its answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from echo_app.faults.draws import Draws
from echo_app.faults.fault import MessageFault
from echo_app.faults.messages import REORDER_WAIT, Choice, Message
from echo_app.udp.protocol import UNSENDABLE, EchoDatagramProtocol

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime

    from echo_app.faults.fault import Fault
    from echo_app.faults.plan import FaultPlan
    from echo_app.udp.port import DatagramPort

# Answers held at one time, and their bytes: four seconds of small answers at the default rate.
MAX_HELD = 4096
MAX_HELD_BYTES = 4 * 1024 * 1024


@dataclass(slots=True, eq=False, kw_only=True)
class DatagramAnswer(Message):
    """An answer on its way through the faults.

    :param port: the port to which the answer was written.
    :param addr: the address of the answer's receiver.
    :param send: sends a datagram to this address, from the destination of the request.
    """

    port: FaultyDatagrams
    addr: tuple[str, int]
    send: Callable[[bytes], object]

    def copy(self) -> DatagramAnswer:
        """Returns a copy of the datagram that goes by itself; it is counted as an answer."""
        self.count(1)
        return type(self)(data=self.data, port=self.port, addr=self.addr, send=self.send)

    @property
    def place(self) -> object:
        """Returns port and address: the next answer with the same place may overtake this one."""
        return self.port, self.addr

    def count(self, answers: int) -> None:
        """Counts so many more answers."""
        self.port.rules.answered += answers

    def note(self, kind: str) -> None:
        """Counts a fault that took effect in the access log, if there is one."""
        self.port.note(self.addr, kind)

    def duplicate(self) -> None:
        """Adds a copy, if the rules admit it."""
        self.copies += self.port.rules.admits(*self.addr)

    def lose(self, reason: str) -> None:
        """Drops the answer, and counts it as dropped in place of answered."""
        self.copies = 0
        self.count(-1)
        self.port.rules.dropped.add(reason)

    def deliver(self) -> None:
        """Sends all copies."""
        self.count(self.copies - 1)
        for _ in range(self.copies):
            try:
                self.send(self.data)
            except UNSENDABLE:
                self.lose("unsendable")


@dataclass(slots=True, eq=False, kw_only=True)
class ForwardedDatagram(DatagramAnswer):
    """A client's datagram on its way through the faults to the upstream; it counts as no answer.

    :param addr: the client's address.
    :param send: sends a datagram to the upstream.
    """

    def count(self, answers: int) -> None:
        """Does nothing: the upstream's answers are counted."""


class DatagramFaults:
    """Applies faults to the answers of all ports of a service, or to what they forward.

    :param plan: the faults and their seed.
    :param clock: measures windows and delays.
    :param direction: that of forwarded datagrams, whose faults may have one; None is the answers of a service
        that forwards nothing.
    """

    def __init__(self, plan: FaultPlan, clock: IReactorTime, direction: str | None = None) -> None:
        self._plan = plan
        self._direction = direction
        self._clock = clock
        self._number = 0
        self._choices: list[Choice[MessageFault]] = []
        self._held: dict[DatagramAnswer, IDelayedCall] = {}
        self._bytes = 0
        self._behind: dict[object, DatagramAnswer] = {}
        self.begin()

    def begin(self, isNumberedAnew: bool = False) -> None:
        """Takes over the plan's present faults; their time begins now.

        :param isNumberedAnew: the next answer has the number 1.
        """
        if isNumberedAnew:
            self._number = 0
        faults = self._plan.faults
        applying = [each for each in faults if isinstance(each, MessageFault) and self._has(each)]
        seen: Counter[Fault] = Counter()
        now = self._clock.seconds()
        self._choices = []
        for fault in sorted(applying, key=lambda each: each.stage):
            draws = partial(Draws, self._plan.seed, "datagram", str(fault), seen[fault])
            self._choices.append(Choice(fault, now, draws, fault.probability))
            seen[fault] += 1

    def take(self, answer: DatagramAnswer) -> None:
        """Sends an answer now or later, or drops it; it was counted as answered."""
        self._number += 1
        now = self._clock.seconds()
        for choice in self._choices:
            choice.apply(answer, self._number, 0, now)
            if not answer.copies:
                return
        for seconds in answer.lateCopies:
            self._copy(answer, answer.delay + seconds)
        if answer.delay > 0:
            self._hold(answer, answer.delay, self._arrive)
        else:
            self._arrive(answer)

    def forget(self, port: FaultyDatagrams) -> None:
        """Drops the held answers of a port."""
        for answer in [each for each in self._held if each.port is port]:
            self._release(answer)
            answer.lose("fault-held")

    def _has(self, fault: MessageFault) -> bool:
        if self._direction is None:
            return fault.isForDatagrams
        return fault.isForForwarded and fault.appliesIn(self._direction)

    def _arrive(self, answer: DatagramAnswer) -> None:
        """Sends an answer after its delay, and then the one that waited for it; or holds it for the next."""
        first = self._behind.get(answer.place)
        if answer.isReordered and first is None:
            if self._hold(answer, REORDER_WAIT, DatagramAnswer.deliver):
                self._behind[answer.place] = answer
            return
        answer.deliver()
        if first is not None:
            first.note("reorder")
            self._release(first)
            first.deliver()

    def _copy(self, answer: DatagramAnswer, seconds: float) -> None:
        """Sends a copy after so many seconds, if the rules admit it."""
        isAdmitted = answer.port.rules.admits(*answer.addr)
        if isAdmitted and self._hold(answer.copy(), seconds, DatagramAnswer.deliver):
            answer.note("unsolicited")

    def _hold(self, answer: DatagramAnswer, seconds: float, then: Callable[[DatagramAnswer], None]) -> bool:
        size = len(answer.data)
        if len(self._held) >= MAX_HELD or self._bytes + size > MAX_HELD_BYTES:
            answer.lose("fault-held")
            return False
        self._bytes += size
        self._held[answer] = self._clock.callLater(seconds, self._due, answer, then)
        return True

    def _due(self, answer: DatagramAnswer, then: Callable[[DatagramAnswer], None]) -> None:
        self._release(answer)
        then(answer)

    def _release(self, answer: DatagramAnswer) -> None:
        call = self._held.pop(answer)
        self._bytes -= len(answer.data)
        if call.active():
            call.cancel()
        if self._behind.get(answer.place) is answer:
            del self._behind[answer.place]


class FaultyDatagrams(EchoDatagramProtocol):
    """A layer between a port and its protocol, which passes the protocol's answers through the faults.

    :param protocol: answers the datagrams.
    :param faults: the faults of answers.
    :param inward: those of datagrams that the protocol forwards; None if it forwards none.

    :ivar arriving: passes an admitted datagram through these, before the protocol forwards it. It is called
        with the datagram, its source, and the function that sends it to the upstream. None without `inward`.
    :ivar note: called with an address, and the kind of a fault that took effect on an answer to it.
    """

    transport: DatagramPort

    def __init__(
        self, protocol: EchoDatagramProtocol, faults: DatagramFaults, inward: DatagramFaults | None = None
    ) -> None:
        super().__init__(protocol.rules)
        self.arriving = None if inward is None else partial(self._takeInward, inward)
        self._inward = inward
        self._protocol = protocol
        self._faults = faults
        self._source = ("", 0)
        self.note: Callable[[tuple[str, int], str], object] = _forget

    def startProtocol(self) -> None:
        """Starts the protocol, with this object as its transport."""
        self.note = getattr(self.transport, "noteFault", _forget)
        self._protocol.makeConnection(cast(Any, self))

    def stopProtocol(self) -> None:
        """Stops the protocol, and drops its held answers."""
        self._faults.forget(self)
        if self._inward is not None:
            self._inward.forget(self)
        self._protocol.doStop()

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Passes a datagram to the protocol."""
        self._source = addr
        self._protocol.datagramReceived(datagram, addr)

    @property
    def ends(self) -> Hashable:
        """Returns the port's value for the current datagram."""
        return self.transport.ends

    def getHost(self) -> IAddress:
        """Returns the port's address."""
        return cast("IAddress", self.transport.getHost())

    def replying(self) -> Callable[[bytes], None]:
        """Returns a function that answers the current datagram, now or later.

        The function raises no error; an answer that can't be sent is counted.
        """
        return partial(self._take, self.transport.replying(), self._source)

    def write(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Passes an answer through the faults."""
        isReply = addr == self._source
        send = self.transport.replying() if isReply else partial(self.transport.write, addr=addr)
        self._take(send, addr, datagram)

    def _take(self, send: Callable[[bytes], object], addr: tuple[str, int], datagram: bytes) -> None:
        self._faults.take(DatagramAnswer(data=datagram, port=self, addr=addr, send=send))

    def _takeInward(
        self,
        inward: DatagramFaults,
        datagram: bytes,
        addr: tuple[str, int],
        send: Callable[[bytes], object],
    ) -> None:
        inward.take(ForwardedDatagram(data=datagram, port=self, addr=addr, send=send))


def _forget(_addr: tuple[str, int], _kind: str) -> None:
    """Does nothing: there is no access log."""
