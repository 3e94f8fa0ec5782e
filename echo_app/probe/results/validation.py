"""Validation of values from a file against their type annotations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

# No count, and no time in seconds, is greater; and none but 0 is less than its inverse.
_LIMIT = 1e18


# get_type_hints() reads the annotations anew at each call.
_kinds: Callable[[Any], dict[str, Any]] = cache(get_type_hints)


def validationError(value: object, kind: Any, where: str = "") -> str:
    """Returns the first part of a value that has another type than its annotation; empty if there is none.

    Numbers must be finite and not negative, and 0 or not so small that a rate of them is infinite.

    :param kind: a dataclass, a number, a text, a flag, or tuples, lists and mappings of them.
    :param where: name of the value, for the error.
    """
    arguments = get_args(kind)
    origin = get_origin(kind) or kind
    if origin is UnionType:
        errors = [validationError(value, each, where) for each in arguments]
        return errors[0] if all(errors) else ""
    if origin in (int, float):
        isNumber = isinstance(value, (int, origin)) and not isinstance(value, bool)
        isInRange = isNumber and (value == 0 or 1 / _LIMIT <= value < _LIMIT)  # type: ignore[operator]
        return "" if isInRange else f"{where} is {value!r}"
    if not isinstance(value, origin):
        return f"{where} is {value!r}"
    parts = _parts(value, origin, arguments, where)
    return next((found for each in parts if (found := validationError(*each))), "")


def _parts(value: Any, origin: Any, arguments: tuple[Any, ...], where: str) -> list[tuple[Any, Any, str]]:
    """Returns the parts of a value: each part, its kind, and its name."""
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
