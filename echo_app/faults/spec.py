"""The parser of specs: the text of a fault on the command line, in a fault file, in a preamble, in the log.

    spec = name ["=" value] *("," key "=" value)

A spec has no spaces or quotes, as in ``latency=50ms,jitter=10ms`` or ``reset,after=10KiB,connections=1-2``.
:mod:`echo_app.faults.registry` has the faults, and each class has its keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from echo_app.faults.fault import BadSpec, Fault
from echo_app.faults.registry import FAULTS
from echo_app.hints import didYouMean, nearest

# Characters of one spec, to bound the parser's work; the longest sensible spec has about 100.
MAX_SPEC = 256

# Characters of a wrong part that an error repeats.
_SHOWN = 40


def parseFault(text: str) -> Fault:
    """Returns the fault of a spec.

    :raise BadSpec: when the spec is wrong; with the place, in characters from 1, and the allowed values.
    """
    if len(text) > MAX_SPEC:
        raise BadSpec(f"{len(text)} characters, where a fault has at most {MAX_SPEC}")
    if " " in text and "," in text:
        likely: list[str] = []
        with suppress(BadSpec):
            likely.append(str(parseFault(text.replace(" ", ""))))
        raise BadSpec(f"a spec has no spaces{didYouMean(likely)}")
    if text.endswith(","):
        raise BadSpec("a spec has no comma at its end, and no space behind a comma")
    (place, name, value), *parts = _parts(text)
    kind = FAULTS.get(name)
    if kind is None:
        raise _at(place, name, f"is no fault; there are {', '.join(FAULTS)}", nearest(name, FAULTS))
    given: dict[str, Any] = {}
    if kind.hasValue():
        given.update([_parse(kind, place, "", name, value)])
    elif value is not None:
        raise _at(place, name, "takes no value")
    places = {"": place}
    for place, key, value in parts:
        if key not in kind.keyNames():
            keys = kind.keyNames()
            raise _at(place, key, f"is no key of {name}; it takes {', '.join(keys)}", nearest(key, keys))
        if key in places:
            raise _at(place, key, "was given before")
        places[key] = place
        given.update([_parse(kind, place, key, key, value)])
    try:
        return kind(**given)
    except BadSpec as error:
        raise BadSpec(f"at {places[error.key]}: {error}") from None


def _parts(text: str) -> Iterator[tuple[int, str, str | None]]:
    """Yields place, key and value of each part; the value is None if there is none."""
    place = 1
    for part in text.split(","):
        key, isGiven, value = part.partition("=")
        yield place, key, value if isGiven else None
        place += len(part) + 1


def _parse(kind: type[Fault], place: int, key: str, word: str, value: str | None) -> tuple[str, Any]:
    """Returns the field that a part sets, and the field's value; errors show the word as the key."""
    formats = {field: how for field, (each, how) in kind.formatsOf().items() if each == key}
    wanted = ", or ".join(how.description for how in formats.values())
    if value is None:
        raise _at(place, word, f"needs a value: {wanted}")
    for field, how in formats.items():
        with suppress(ValueError):
            return field, how.parse(value)
    likely = [each for how in formats.values() for each in how.likely(value)]
    raise _at(place + len(word) + 1, value, f"is not {wanted}", likely)


def _at(place: int, part: str, reason: str, likely: Sequence[str] = ()) -> BadSpec:
    shown = part if len(part) <= _SHOWN else part[:_SHOWN] + "..."
    return BadSpec(f"at {place}, {shown!r} {reason}{didYouMean(likely)}")
