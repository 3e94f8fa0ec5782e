"""The fault ``latency``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from echo_app.faults.fault import DatagramFault, ShapingFault, Stage, key, value
from echo_app.faults.formats import TIME
from echo_app.faults.shaper import Shaper

if TYPE_CHECKING:
    from echo_app.faults.datagrams import Answer
    from echo_app.faults.draws import Draws


class _Delay(Shaper):
    """Delays bytes; those that come in together have the jitter of the first one."""

    fault: Latency

    def delay(self, offset: int, now: float) -> float:
        """Returns the delay."""
        return self.fault.delayAt(offset, self.draws) if self.window.isOn(offset, now) else 0


@dataclass(frozen=True, kw_only=True)
class Latency(ShapingFault, DatagramFault):
    """Delays bytes and datagrams by the given time.

    :param amount: the delay in seconds.
    :param jitter: the largest deviation from it, in seconds, with a uniform distribution.
    """

    name = "latency"
    stage = Stage.DELAY
    shaper = _Delay

    amount: float = value(TIME)
    jitter: float = key("jitter", TIME, 0)

    def contradictions(self) -> Iterator[tuple[str, bool, str]]:
        """Yields the contradictions: a jitter over the latency would make a delay negative."""
        yield "jitter", self.jitter > self.amount, "'jitter' is at most the latency"
        yield from super().contradictions()

    def changeAnswer(self, answer: Answer, number: int, draws: Callable[..., Draws]) -> None:
        """Delays an answer."""
        answer.delay += self.delayAt(number, draws("jitter"))

    def delayAt(self, position: int, draws: Draws) -> float:
        """Returns the delay with the jitter of a byte's offset or a datagram's number."""
        return self.amount + (self.jitter and self.jitter * (2 * draws.at(position) - 1))
