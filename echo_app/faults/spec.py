"""A fault, as one text: on the command line, in a fault file, in a preamble, in the log.

    spec = name ["=" value] *("," key "=" value)

without spaces or quotes, such as ``latency=50ms,jitter=10ms`` or ``reset,after=10KiB,connections=1-2``.
What there is and what it takes is in :mod:`echo_app.faults.kinds`. Nothing here does I/O or draws anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any

from echo_app.faults.kinds import KINDS, Format, Kind

# Characters of one spec; the longest sensible one has about 100. It bounds the parser's work.
LONGEST = 256

# What an error repeats of a wrong part, in characters.
_SHOWN = 40


class BadSpec(ValueError):
    """A spec, or a :class:`Fault`, that makes no sense; its text is one printable line.

    :param reason: what is wrong, and what is allowed.
    :param key: the key that it is about, or the fault's name.
    """

    def __init__(self, reason: str, key: str = "") -> None:
        super().__init__(reason)
        self.key = key


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to misbehave; ``str()`` of it is its spec.

    :param name: one of :data:`KINDS`.
    :param amount: the value: seconds (``latency``), bytes a second (``bandwidth``), a probability by byte
        (``corrupt``) or by datagram (``loss``, ``duplicate``, ``reorder``), bytes (``truncate``).
    :param jitter: seconds more or less, uniformly.
    :param sizes: the value of ``chop``: bytes in a piece, from and to.
    :param gap: seconds between two pieces.
    :param direction: ``in`` is from the peer, ``out`` to it; None is both, or the fault's own.
    :param probability: of applying to a connection, or to a datagram.
    :param connections: the numbers of the connections that it applies to, from and to, 1 being the
        service's first; to None is without an end. None is all of them.
    :param afterBytes: bytes of the stream until it begins.
    :param afterSeconds: seconds until it begins.
    :param duration: seconds that it lasts; None is for good. The key is ``for``.
    :param period: seconds from one beginning to the next; None is once. The key is ``every``.
    :raise BadSpec: when it makes no sense.
    """

    name: str
    amount: float = 0
    jitter: float = 0
    sizes: tuple[int, int] | None = None
    gap: float = 0
    direction: str | None = None
    probability: float = 1
    connections: tuple[int, int | None] | None = None
    afterBytes: int | None = None
    afterSeconds: float | None = None
    duration: float | None = None
    period: float | None = None

    def __post_init__(self) -> None:
        _check(self)

    @property
    def isForStreams(self) -> bool:
        """Whether connections may have it."""
        return KINDS[self.name].isForStreams

    @property
    def isForDatagrams(self) -> bool:
        """Whether datagrams may have it: they have no direction, connection or offset."""
        ofStreams = (self.direction, self.connections, self.afterBytes)
        return KINDS[self.name].isForDatagrams and ofStreams == (None, None, None)

    def __str__(self) -> str:
        kind = KINDS[self.name]
        parts = [] if kind.value else [self.name]
        for field, (key, how) in kind.fields.items():
            value = getattr(self, field)
            if value != _DEFAULTS[field] or not key:
                parts.append(f"{key or self.name}={how.write(value)}")
        return ",".join(parts)


_DEFAULTS = {each.name: each.default for each in fields(Fault) if each.name != "name"}


def parseFault(text: str) -> Fault:
    """Returns the fault that a spec means.

    :raise BadSpec: when it means none: it says where, counting characters from 1, and what is allowed.
    """
    if len(text) > LONGEST:
        raise BadSpec(f"{len(text)} characters, where a fault has {LONGEST} at the most")
    (place, name, value), *parts = _parts(text)
    kind = KINDS.get(name)
    if kind is None:
        raise _at(place, name, f"is no fault; there are {', '.join(KINDS)}")
    given: dict[str, Any] = {"name": name}
    if kind.value is not None:
        given.update([_parse(kind, place, "", name, value)])
    elif value is not None:
        raise _at(place, name, "takes no value")
    places = {"": place}
    for place, key, value in parts:
        if key not in kind.keys:
            raise _at(place, key, f"is no key of {name}; it takes {', '.join(kind.keys)}")
        if key in places:
            raise _at(place, key, "was given before")
        places[key] = place
        given.update([_parse(kind, place, key, key, value)])
    try:
        return Fault(**given)
    except BadSpec as error:
        raise BadSpec(f"at {places[error.key]}: {error}") from None


def _parts(text: str) -> Iterator[tuple[int, str, str | None]]:
    """Yields where each part is, its key, and its value, None if it has none."""
    place = 1
    for part in text.split(","):
        key, isGiven, value = part.partition("=")
        yield place, key, value if isGiven else None
        place += len(part) + 1


def _parse(kind: Kind, place: int, key: str, word: str, value: str | None) -> tuple[str, Any]:
    """Returns the field that a part sets, and its value; the word is what stands for the key."""
    formats = {field: how for field, (each, how) in kind.fields.items() if each == key}
    what = ", or ".join(how.what for how in formats.values())
    if value is None:
        raise _at(place, word, f"needs a value: {what}")
    for field, how in formats.items():
        with suppress(ValueError):
            return field, how.parse(value)
    raise _at(place + len(word) + 1, value, f"is not {what}")


def _at(place: int, part: str, reason: str) -> BadSpec:
    shown = part if len(part) <= _SHOWN else part[:_SHOWN] + "..."
    return BadSpec(f"at {place}, {shown!r} {reason}")


def _check(fault: Fault) -> None:
    """Raises BadSpec, without a place, when a fault makes no sense."""
    kind = KINDS.get(fault.name)
    if kind is None:
        raise BadSpec(f"{fault.name!r} is no fault; there are {', '.join(KINDS)}")
    taken = kind.fields
    for field, default in _DEFAULTS.items():
        value = getattr(fault, field)
        if field in taken:
            key, how = taken[field]
            if value != default or not key:
                _checkValue(field, key, how, value)
        elif value != default:
            raise BadSpec(f"{fault.name} takes no {field}")
    for key, isWrong, reason in _contradictions(fault):
        if isWrong:
            raise BadSpec(reason, key)


def _checkValue(field: str, key: str, how: Format, value: Any) -> None:
    try:
        how.write(value)
    except (ValueError, TypeError, OverflowError):
        raise BadSpec(f"{field} is {how.what}, not {value!r}", key) from None


def _contradictions(fault: Fault) -> Iterator[tuple[str, bool, str]]:
    """Yields a key, whether its value contradicts another one, and what is allowed."""
    isBoth = fault.afterBytes is not None and fault.afterSeconds is not None
    yield "after", isBoth, "'after' is bytes or seconds, not both"
    yield "jitter", fault.jitter > fault.amount, "'jitter' is at most the latency"
    if fault.period is not None:
        yield "every", fault.duration is None, "'every' needs 'for' beside it"
        yield "for", (fault.duration or 0) > fault.period, "'for' is at most 'every'"
