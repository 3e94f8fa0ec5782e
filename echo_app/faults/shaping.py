"""Faults of the bytes of a stream, and of its end: ``latency``, ``bandwidth``, ``chop`` and others.

Each has a :class:`Shaper`, which applies it to one direction of one connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from echo_app.faults.draws import Corruption, Draws
from echo_app.faults.fault import CHOOSING, LASTING, MessageFault, ShapingFault, Stage, key, value
from echo_app.faults.formats import PIECES
from echo_app.faults.window import Window
from echo_app.quantities import PROBABILITY, RATE, TIME

if TYPE_CHECKING:
    from echo_app.faults.messages import Message

# Seconds until another turn of the reactor. Pieces of ``chop`` without a gap must be in different turns: a
# transport may join the writes of one turn.
TURN = 1e-4


class Shaper:
    """Applies a fault to one direction of a connection; a subclass has the methods of the fault's stage.

    A flow calls ``change`` in the stage CHANGE, ``delay`` in DELAY and END, and the other three in RATE and
    SEGMENT. In STALL it uses only the window.

    :param fault: the fault.
    :param window: the times at which the fault is on.
    :param draws: the random numbers of the fault.
    :param origin: the offset of the first byte that passes the fault.
    """

    def __init__(self, fault: Any, window: Window, draws: Draws, origin: int = 0) -> None:
        self.fault = fault
        self.window = window
        self.draws = draws

    def change(self, data: bytes, offset: int, now: float) -> bytes:
        """Returns the changed bytes, the same number; they follow the bytes of the last call.

        The window may begin between two bytes, so each change asks it.
        """
        raise NotImplementedError

    def delay(self, offset: int, now: float) -> float:
        """Returns the delay, in seconds, of bytes that come in together, by the offset of the first one.

        In END it is the delay of the end of the stream, at the offset behind the last byte.
        """
        raise NotImplementedError

    def most(self) -> int:
        """Returns the greatest size of the next piece, in bytes."""
        raise NotImplementedError

    def earliest(self, size: int, floor: float) -> float:
        """Returns the earliest time at which a piece may pass that was ready at the time `floor`."""
        raise NotImplementedError

    def passed(self, size: int, at: float, now: float) -> None:
        """Notes that a piece has passed.

        :param at: the scheduled time.
        :param now: the actual time.
        """
        raise NotImplementedError


class _Delay(Shaper):
    """Delays bytes; those that come in together have the jitter of the first one."""

    fault: Latency

    def delay(self, offset: int, now: float) -> float:
        """Returns the delay."""
        return self.fault.delayAt(offset, self.draws) if self.window.isOn(offset, now) else 0


@dataclass(frozen=True, kw_only=True)
class Latency(ShapingFault, MessageFault):
    """Delays bytes and datagrams by the given time.

    :param amount: the delay in seconds.
    :param jitter: the largest deviation from it, in seconds, with a uniform distribution.
    """

    name = "latency"
    stage = Stage.DELAY
    takes = (*LASTING, *CHOOSING)
    shaper = _Delay

    amount: float = value(TIME)
    jitter: float = key("jitter", TIME, 0)

    def contradictions(self) -> Iterator[tuple[str, bool, str]]:
        """Yields the contradictions: a jitter over the latency would make a delay negative."""
        yield "jitter", self.jitter > self.amount, "'jitter' is at most the latency"
        yield from super().contradictions()

    def change(self, message: Message, number: int, draws: Callable[..., Draws]) -> None:
        """Delays a message."""
        message.delay += self.delayAt(number, draws("jitter"))

    def delayAt(self, position: int, draws: Draws) -> float:
        """Returns the delay with the jitter of a byte's offset or a message's number."""
        return self.amount + (self.jitter and self.jitter * (2 * draws.at(position) - 1))


# Seconds between two pieces, unless one byte takes longer: a hundred timers a second cost nothing, and to a
# peer, pieces of 10 ms are no burst.
TICK = 0.01


class _Rate(Shaper):
    """Passes bytes like a line of the fault's rate.

    A piece passes when the line has transmitted its last byte. So in no interval do more bytes pass than the
    rate allows.
    """

    fault: Bandwidth
    _free = -inf

    def most(self) -> int:
        """Returns the bytes that the line transmits in a tick."""
        return max(1, int(self.fault.amount * TICK))

    def earliest(self, size: int, floor: float) -> float:
        """Returns the time at which the line has transmitted the piece."""
        return max(self._free, floor) + size / self.fault.amount

    def passed(self, size: int, at: float, now: float) -> None:
        """Notes the time from which the line is free."""
        self._free = at


@dataclass(frozen=True, kw_only=True)
class Bandwidth(ShapingFault):
    """Limits the bytes to the given rate.

    :param amount: bytes a second.
    """

    name = "bandwidth"
    stage = Stage.RATE
    shaper = _Rate
    directions = ("in", "out")

    amount: float = value(RATE)


class _Cuts(Shaper):
    """Cuts the stream at random offsets, and keeps the gap between the pieces."""

    def __init__(self, fault: Chop, window: Window, draws: Draws, origin: int = 0) -> None:
        super().__init__(fault, window, draws)
        self._gap = max(fault.gap, TURN)
        self._nextSize = draws.sizes(*fault.sizes, origin)
        self._rest = self._nextSize()
        self._next = -inf

    def most(self) -> int:
        """Returns the number of bytes up to the next cut."""
        return self._rest

    def earliest(self, size: int, floor: float) -> float:
        """Returns the time at which the gap is over."""
        return max(self._next, floor)

    def passed(self, size: int, at: float, now: float) -> None:
        """Begins the gap, and the next piece after a cut."""
        self._rest = self._rest - size or self._nextSize()
        self._next = now + self._gap


@dataclass(frozen=True, kw_only=True)
class Chop(ShapingFault):
    """Cuts the stream into pieces with sizes drawn from the given range.

    :param sizes: bytes in a piece, from and to.
    :param gap: seconds between two pieces.
    """

    name = "chop"
    stage = Stage.SEGMENT
    shaper = _Cuts

    sizes: tuple[int, int] = value(PIECES)
    gap: float = key("gap", TIME, 0)


class _Replacement(Shaper):
    """Replaces bytes while the fault is on."""

    def __init__(self, fault: Corrupt, window: Window, draws: Draws, origin: int = 0) -> None:
        super().__init__(fault, window, draws)
        self._corruption = Corruption(fault.amount, draws, origin)

    def change(self, data: bytes, offset: int, now: float) -> bytes:
        """Returns the corrupted bytes."""
        return self._corruption.apply(data, offset, lambda at: self.window.isOn(at, now))


@dataclass(frozen=True, kw_only=True)
class Corrupt(ShapingFault, MessageFault):
    """Replaces each byte by another one, with the given probability.

    :param amount: the probability for each byte.
    """

    name = "corrupt"
    stage = Stage.CHANGE
    takes = (*LASTING, *CHOOSING)
    shaper = _Replacement

    amount: float = value(PROBABILITY)

    @property
    def warning(self) -> str:
        """Tells the two probabilities apart."""
        if self.probability == 1:
            return ""
        return (
            "its value is the probability for each byte, 'probability' the one for a connection or a datagram"
        )

    def change(self, message: Message, number: int, draws: Callable[..., Draws]) -> None:
        """Corrupts a message; one that a key chose has at least one wrong byte."""
        data = Corruption(self.amount, draws(number)).apply(message.data, 0, lambda _: True)
        if data and data == message.data and self.messageKey and self.amount:
            changed = bytearray(data)
            place = int(draws("place").at(number) * len(data))
            # Never 0, which would not change the byte.
            changed[place] ^= 1 + int(draws("mask").at(number) * 255)
            data = bytes(changed)
        message.data = data


class Stall(ShapingFault):
    """Passes nothing."""

    name = "stall"
    stage = Stage.STALL
    directions = ("in", "out")
    # A flow asks only the window of a stall.
    shaper = Shaper


class _LateEnd(Shaper):
    """Delays the end of the stream."""

    fault: SlowClose

    def delay(self, offset: int, now: float) -> float:
        """Returns the delay."""
        return self.fault.amount if self.window.isOn(offset, now) else 0


@dataclass(frozen=True, kw_only=True)
class SlowClose(ShapingFault):
    """Delays the end of the stream by the given time.

    :param amount: the delay in seconds.
    """

    name = "slow-close"
    stage = Stage.END
    shaper = _LateEnd

    amount: float = value(TIME)
