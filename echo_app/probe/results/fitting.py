"""Validation of values from a file against their type annotations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

# More than any count or time is.
_LIMIT = 1e18


# It reads annotations anew each time.
_kinds: Callable[[Any], dict[str, Any]] = cache(get_type_hints)


def misfit(value: object, kind: Any, where: str = "") -> str:
    """Returns what does not fit, and where; empty: everything does. Numbers must not be negative.

    :param kind: a dataclass, a number, a text, a flag, or tuples, lists and mappings of them.
    """
    arguments = get_args(kind)
    origin = get_origin(kind) or kind
    if origin is UnionType:
        misfits = [misfit(value, each, where) for each in arguments]
        return misfits[0] if all(misfits) else ""
    if origin in (int, float):
        isNumber = isinstance(value, (int, origin)) and not isinstance(value, bool)
        return "" if isNumber and 0 <= value < _LIMIT else f"{where} is {value!r}"  # type: ignore[operator]
    if not isinstance(value, origin):
        return f"{where} is {value!r}"
    parts = _parts(value, origin, arguments, where)
    return next((found for each in parts if (found := misfit(*each))), "")


def _parts(value: Any, origin: Any, arguments: tuple[Any, ...], where: str) -> list[tuple[Any, Any, str]]:
    """Returns what a value is made of: each part, its kind, and where it is."""
    if is_dataclass(origin):
        kinds = _kinds(origin)
        return [(getattr(value, name), kinds[name], f"{where}.{name}".lstrip(".")) for name in kinds]
    if issubclass(origin, Mapping):
        keys = [(key, arguments[0], f"a key of {where}") for key in value]
        return keys + [(each, arguments[1], f"{where}[{key!r}]") for key, each in value.items()]
    if origin is list or arguments[1:] == (...,):
        return [(each, arguments[0], f"{where}[{number}]") for number, each in enumerate(value)]
    if origin is tuple:
        if len(value) != len(arguments):
            return [(value, int, where)]
        return [(*each, where) for each in zip(value, arguments, strict=True)]
    return []
