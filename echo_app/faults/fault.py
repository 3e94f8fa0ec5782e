"""The base classes of faults: their keys, their canonical text, and the rules that all of them share.

A fault is a frozen dataclass. Its class has everything about it: name, keys, stage and effect. The first line
of the class's docstring is the fault's entry in docs/faults.rst. A new fault is a new class, and a line in
:mod:`echo_app.faults.registry`.

A field made by :func:`value` is the fault's value; a field made by :func:`key` has a key of its own. All
classes share the fields of :class:`Fault`: `takes` lists those that a class has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields
from enum import IntEnum
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from echo_app.connections.record import Ending, noteEnd
from echo_app.faults.formats import CONNECTIONS, COUNT, DIRECTION, MESSAGES, Format
from echo_app.quantities import PROBABILITY, SIZE, SPAN, TIME

if TYPE_CHECKING:
    from collections.abc import Callable

    from echo_app.faults.draws import Draws
    from echo_app.faults.layer import FaultLayer
    from echo_app.faults.messages import Message
    from echo_app.faults.shaping import Shaper


class BadSpec(ValueError):
    """A wrong spec, or wrong values of a :class:`Fault`; the text is one printable line.

    :param reason: the error, and the allowed values.
    :param key: the wrong key; empty for the fault's value.
    """

    def __init__(self, reason: str, key: str = "") -> None:
        super().__init__(reason)
        self.key = key


class Stage(IntEnum):
    """The stages of faults, in the order in which bytes and messages pass them."""

    LOSE = 1
    CHANGE = 2
    TRUNCATE = 3
    DUPLICATE = 4
    REPEAT = 5
    DELAY = 6
    REORDER = 7
    STALL = 8
    RATE = 9
    SEGMENT = 10
    END = 11
    HALF_CLOSE = 12
    CLOSE = 13
    RESET = 14
    BLACKHOLE = 15
    CONNECT = 16
    LISTEN = 17


def value(how: Format) -> Any:
    """Returns a dataclass field for a fault's value."""
    return field(metadata={"key": "", "format": how})


def key(name: str, how: Format, default: Any = None) -> Any:
    """Returns a dataclass field for a key. Two fields may share a key, for values of two formats."""
    return field(default=default, metadata={"key": name, "format": how})


# Groups of shared fields, for `takes`.
TIMED = ("afterSeconds", "duration", "period")
ENDING = ("direction", "probability", "connections", "afterBytes", "afterSeconds")
LASTING = (*ENDING, "duration", "period")
CHOOSING = ("each", "share", "messages")

# The end of an error about a fault of messages in a service whose streams have none.
NEEDS_MESSAGES = "needs messages: --responder with a framing"

# The end of an error about a fault of messages from the peer, which only forwarded datagrams are.
NEEDS_FORWARDING = "needs datagrams that go on: --udp with --forward"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault with the values of its keys; its ``str()`` is its spec.

    :param direction: ``in`` is from the peer, ``out`` to the peer; None is the default of the class.
    :param probability: the probability for a connection, or for a datagram.
    :param each: the fault applies to each message whose number is a multiple of this one.
    :param share: the share of the messages that have the fault.
    :param messages: the first and the last number of the messages that have the fault, as of connections.
    :param connections: the first and the last number of the connections that have the fault, from 1; a last
        number of None is without an end. None is all connections.
    :param afterBytes: bytes of the stream until the fault begins.
    :param afterSeconds: seconds until the fault begins.
    :param afterIdle: seconds without a byte in either direction until the fault begins.
    :param duration: seconds that the fault lasts; None is to the end. The key is ``for``.
    :param period: seconds from one beginning to the next; None is once. The key is ``every``.
    :raise BadSpec: when a value is wrong, contradicts another one, or is of a key that the class lacks.

    :cvar name: the name in specs.
    :cvar stage: the stage at which the fault applies.
    :cvar takes: the shared fields that the class has.
    """

    name: ClassVar[str]
    stage: ClassVar[Stage]
    takes: ClassVar[tuple[str, ...]] = LASTING

    direction: str | None = key("direction", DIRECTION)
    probability: float = key("probability", PROBABILITY, 1)
    connections: tuple[int, int | None] | None = key("connections", CONNECTIONS)
    each: int | None = key("each", COUNT)
    share: float | None = key("share", PROBABILITY)
    messages: tuple[int, int | None] | None = key("messages", MESSAGES)
    afterBytes: int | None = key("after", SIZE)
    afterSeconds: float | None = key("after", TIME)
    afterIdle: float | None = key("after-idle", SPAN)
    duration: float | None = key("for", SPAN)
    period: float | None = key("every", SPAN)

    @classmethod
    @cache
    def formatsOf(cls) -> dict[str, tuple[str, Format]]:
        """Returns key and format of each field that a spec sets, in the order of the canonical text."""
        shared = fields(Fault)
        # A field of the class may replace a shared one.
        own = [each for each in fields(cls) if each not in shared]
        taken = own + [each for each in shared if each.name in cls.takes]
        return {each.name: (each.metadata["key"], each.metadata["format"]) for each in taken}

    @classmethod
    def keyNames(cls) -> list[str]:
        """Returns the keys of the fault, in the order of the canonical text."""
        return list(dict.fromkeys(key for key, _ in cls.formatsOf().values() if key))

    @classmethod
    def hasValue(cls) -> bool:
        """Says whether the fault takes a value after its name."""
        return any(not key for key, _ in cls.formatsOf().values())

    @cached_property
    def messageKey(self) -> str:
        """Returns the key, or the name, by which the fault needs messages; empty if it applies to bytes."""
        for each in CHOOSING:
            if getattr(self, each) is not None:
                return each
        isOnlyOfMessages = isinstance(self, MessageFault) and not isinstance(self, ShapingFault)
        return self.name if isOnlyOfMessages else ""

    @property
    def isForDatagrams(self) -> bool:
        """Returns whether the fault applies to answers over UDP: they have no connection or offset.

        Only forwarded datagrams have a direction.
        """
        return self.isForForwarded and self.direction is None

    @property
    def isForForwarded(self) -> bool:
        """Returns whether the fault applies to forwarded datagrams, in its direction."""
        ofStreams = (self.connections, self.afterBytes)
        return isinstance(self, MessageFault) and ofStreams == (None, None)

    @property
    def warning(self) -> str:
        """Returns what a user should know of the fault's values; empty without a surprise."""
        return ""

    def hasListener(self, streams: bool, datagrams: bool, isForwarding: bool = False) -> bool:
        """Says whether the fault applies to a listener, where there are those for streams, or datagrams.

        :param isForwarding: the datagrams go on to an upstream.
        """
        return streams or self._isForThese(datagrams, isForwarding)

    def lacks(
        self, framed: bool, datagrams: bool, forwardsStreams: bool = False, forwardsDatagrams: bool = False
    ) -> str:
        """Returns the reason why the fault has no effect in a service; empty if it has one.

        :param framed: the streams have messages: the responder has a framing.
        :param datagrams: the service has listeners for datagrams.
        :param forwardsStreams: the streams go on to an upstream.
        :param forwardsDatagrams: the datagrams do.
        """
        if not self.messageKey or self._isForThese(datagrams, forwardsDatagrams):
            return ""
        if self.direction == "in":
            return f"{self.messageKey} with direction=in {NEEDS_FORWARDING}"
        if framed:
            return ""
        others = ", or --udp" if self.isForDatagrams else ""
        return f"{self.messageKey} {NEEDS_MESSAGES}{others}"

    def _isForThese(self, datagrams: bool, isForwarding: bool) -> bool:
        return datagrams and (self.isForForwarded if isForwarding else self.isForDatagrams)

    def contradictions(self) -> Iterator[tuple[str, bool, str]]:
        """Yields a key, whether its value contradicts another value, and the rule."""
        isBoth = self.afterBytes is not None and self.afterSeconds is not None
        yield "after", isBoth, "'after' is bytes or seconds, not both"
        for key in CHOOSING:
            if getattr(self, key) is not None:
                isIn = self.direction == "in" and not isinstance(self, MessageFault)
                yield key, isIn, f"'{key}' is of answers, whose direction is 'out'"
                yield key, self.afterIdle is not None, f"'{key}' or 'after-idle', not both"
        if self.afterIdle is not None:
            isAfter = self.afterBytes is not None or self.afterSeconds is not None
            yield "after-idle", isAfter, "'after' or 'after-idle', not both"
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
        """Yields name and value of each field that differs from its default."""
        for each in fields(self):
            given = getattr(self, each.name)
            if each.default is MISSING or given != each.default:
                yield each.name, given


class StreamFault(Fault):
    """A fault of connections.

    :cvar directions: the directions in which the fault applies without the key ``direction``.
    """

    directions: ClassVar[tuple[str, ...]] = ("out",)

    def appliesTo(self, number: int) -> bool:
        """Says whether the fault applies to the connection with a number."""
        return isWithin(number, self.connections)

    def appliesIn(self, direction: str) -> bool:
        """Says whether the fault applies in a direction."""
        return direction in ((self.direction,) if self.direction else self.directions)


class ShapingFault(StreamFault):
    """A fault that delays, changes or cuts the bytes of a stream.

    :cvar shaper: applies the fault to one direction of a connection.
    """

    shaper: ClassVar[type[Shaper]]


class EndingFault(StreamFault):
    """A fault that ends a connection, or a part of it, when its ``after`` has come.

    With keys that choose messages, it begins when the first chosen message has passed.
    """

    takes: ClassVar[tuple[str, ...]] = (*ENDING, *CHOOSING)

    def begin(self, layer: FaultLayer) -> None:
        """Ends input and output. Held output passes first if the direction is ``in``."""
        noteEnd(layer.transport, Ending.FAULT, str(self))
        layer.closeInput()
        layer.endOutput(self)

    def outputPassed(self, layer: FaultLayer) -> None:
        """Called when all held output has passed."""


class MessageFault(StreamFault):
    """A fault of messages: datagrams, and the framed answers of a stream's responder.

    Datagrams from the peer have faults only if they are forwarded.
    """

    def change(self, message: Message, number: int, draws: Callable[..., Draws]) -> None:
        """Applies the fault to a message.

        :param message: the message.
        :param number: the number of the message.
        :param draws: returns the draws of this fault for a purpose, or for one message.
        """
        raise NotImplementedError


def isWithin(number: int, span: tuple[int, int | None] | None) -> bool:
    """Says whether a number is in a range; a last number of None is no end, and a range of None is all."""
    if span is None:
        return True
    first, last = span
    return first <= number and (last is None or number <= last)
