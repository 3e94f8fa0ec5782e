"""The base classes of faults: their keys, their canonical text, and the rules that all of them share.

A fault is a frozen dataclass. The class says everything about it: its name, its keys, its stage and its
effect; the first line of its docstring is its entry in the documentation. A new one is a new class, and a
line in :mod:`echo_app.faults.registry`.

A field made by :func:`value` is the fault's value, one made by :func:`key` has a key of its own. The fields
of :class:`Fault` are shared: a class lists in `takes` those that it has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields
from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from echo_app.connections.record import Ending, noteEnd
from echo_app.faults import formats
from echo_app.faults.formats import Format

if TYPE_CHECKING:
    from collections.abc import Callable

    from echo_app.faults.datagrams import Answer
    from echo_app.faults.draws import Draws
    from echo_app.faults.layer import FaultLayer
    from echo_app.faults.shaper import Shaper


class BadSpec(ValueError):
    """Reports a wrong spec, or wrong values of a :class:`Fault`; its text is one printable line.

    :param reason: what is wrong, and what is allowed.
    :param key: the key that it is about, empty for the fault's value.
    """

    def __init__(self, reason: str, key: str = "") -> None:
        super().__init__(reason)
        self.key = key


class Stage(IntEnum):
    """The place of a fault on the way of bytes and datagrams: they pass the stages in this order."""

    LOSE = 1
    CHANGE = 2
    TRUNCATE = 3
    DUPLICATE = 4
    DELAY = 5
    REORDER = 6
    STALL = 7
    RATE = 8
    SEGMENT = 9
    HALF_CLOSE = 10
    CLOSE = 11
    RESET = 12
    BLACKHOLE = 13
    LISTEN = 14


def value(how: Format) -> Any:
    """Returns a dataclass field that a fault's value sets."""
    return field(metadata={"key": "", "format": how})


def key(name: str, how: Format, default: Any = None) -> Any:
    """Returns a dataclass field that a key sets. Two fields of one key take values of either format."""
    return field(default=default, metadata={"key": name, "format": how})


# Shared fields that classes take.
TIMED = ("afterSeconds", "duration", "period")
ENDING = ("direction", "probability", "connections", "afterBytes", "afterSeconds")
LASTING = (*ENDING, "duration", "period")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault with the values of its keys; ``str()`` of it is its spec.

    :param direction: ``in`` is from the peer, ``out`` to it; None is the fault's own.
    :param probability: of applying to a connection, or to a datagram.
    :param connections: the numbers of the connections that it applies to, from and to, 1 being the
        service's first; to None is without an end. None is all of them.
    :param afterBytes: bytes of the stream until it begins.
    :param afterSeconds: seconds until it begins.
    :param duration: seconds that it lasts; None is for good. The key is ``for``.
    :param period: seconds from one beginning to the next; None is once. The key is ``every``.
    :raise BadSpec: when a value is wrong, contradicts another one, or is none of the fault's.

    :cvar name: the name in specs.
    :cvar stage: where it applies.
    :cvar takes: the shared fields that it has.
    """

    name: ClassVar[str]
    stage: ClassVar[Stage]
    takes: ClassVar[tuple[str, ...]] = LASTING

    direction: str | None = key("direction", formats.DIRECTION)
    probability: float = key("probability", formats.PROBABILITY, 1)
    connections: tuple[int, int | None] | None = key("connections", formats.CONNECTIONS)
    afterBytes: int | None = key("after", formats.SIZE)
    afterSeconds: float | None = key("after", formats.TIME)
    duration: float | None = key("for", formats.SPAN)
    period: float | None = key("every", formats.SPAN)

    @classmethod
    @cache
    def formatsOf(cls) -> dict[str, tuple[str, Format]]:
        """Returns key and format of each field that a spec sets, in the order of the canonical text."""
        shared = fields(Fault)
        # An own field may stand in the place of a shared one.
        own = [each for each in fields(cls) if each not in shared]
        taken = own + [each for each in shared if each.name in cls.takes]
        return {each.name: (each.metadata["key"], each.metadata["format"]) for each in taken}

    @classmethod
    def keyNames(cls) -> list[str]:
        """Returns the keys that it takes, in the order of the canonical text."""
        return list(dict.fromkeys(key for key, _ in cls.formatsOf().values() if key))

    @classmethod
    def hasValue(cls) -> bool:
        """Says whether it takes a value, after its name."""
        return any(not key for key, _ in cls.formatsOf().values())

    @property
    def isForStreams(self) -> bool:
        """Whether it applies to connections or to their listeners."""
        return isinstance(self, StreamFault) or not isinstance(self, DatagramFault)

    @property
    def isForDatagrams(self) -> bool:
        """Whether it applies to datagrams: they have no direction, connection or offset."""
        ofStreams = (self.direction, self.connections, self.afterBytes)
        return isinstance(self, DatagramFault) and ofStreams == (None, None, None)

    def contradictions(self) -> Iterator[tuple[str, bool, str]]:
        """Yields a key, whether its value contradicts another one, and what is allowed."""
        isBoth = self.afterBytes is not None and self.afterSeconds is not None
        yield "after", isBoth, "'after' is bytes or seconds, not both"
        if self.period is not None:
            yield "every", self.duration is None, "'every' needs 'for' beside it"
            yield "for", (self.duration or 0) > self.period, "'for' is at most 'every'"

    def __post_init__(self) -> None:
        taken = self.formatsOf()
        for each, given in self._given():
            if each not in taken:
                raise BadSpec(f"{self.name} takes no {each}")
            key, how = taken[each]
            try:
                how.write(given)
            except (ValueError, TypeError, OverflowError):
                raise BadSpec(f"{each} is {how.description}, not {given!r}", key) from None
        for key, isWrong, reason in self.contradictions():
            if isWrong:
                raise BadSpec(reason, key)

    def __str__(self) -> str:
        given = dict(self._given())
        parts = [
            f"{key or self.name}={how.write(given[each])}"
            for each, (key, how) in self.formatsOf().items()
            if each in given
        ]
        return ",".join(parts if self.hasValue() else [self.name, *parts])

    def _given(self) -> Iterator[tuple[str, Any]]:
        """Yields name and value of each field that is not at its default."""
        for each in fields(self):
            given = getattr(self, each.name)
            if each.default is MISSING or given != each.default:
                yield each.name, given


class StreamFault(Fault):
    """A fault of a connection.

    :cvar directions: those that it applies in if it has no ``direction``.
    """

    directions: ClassVar[tuple[str, ...]] = ("out",)

    def appliesTo(self, number: int) -> bool:
        """Says whether it applies to the connection with this number."""
        if self.connections is None:
            return True
        first, last = self.connections
        return first <= number and (last is None or number <= last)

    def appliesIn(self, direction: str) -> bool:
        """Says whether it applies in a direction."""
        return direction in ((self.direction,) if self.direction else self.directions)


class ShapingFault(StreamFault):
    """A fault that delays, changes or cuts the bytes of a stream.

    :cvar shaper: does it in one direction of a connection.
    """

    shaper: ClassVar[type[Shaper]]


class EndingFault(StreamFault):
    """A fault that ends a connection, or a part of it, when its ``after`` has come."""

    takes: ClassVar[tuple[str, ...]] = ENDING

    def begin(self, layer: FaultLayer) -> None:
        """Ends input and output. Output that is still held passes first if the direction is ``in``."""
        noteEnd(layer.transport, Ending.FAULT, str(self))
        layer.closeInput()
        layer.endOutput(self)

    def outputPassed(self, layer: FaultLayer) -> None:
        """Is called when nothing is held any more."""


class DatagramFault(Fault):
    """A fault of datagrams."""

    def changeAnswer(self, answer: Answer, number: int, draws: Callable[..., Draws]) -> None:
        """Applies to an answer.

        :param answer: the answer.
        :param number: the number of the answer.
        :param draws: returns the draws of this fault for a purpose, or for one answer.
        """
        raise NotImplementedError
