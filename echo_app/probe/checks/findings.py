"""Results of checks: status, text, meaning and details; and the cost of a check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Status(Enum):
    """Status of a check's result; the text is printed."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "FAIL"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Result:
    """Result of a check.

    :param name: of the check.
    :param seen: the observation, in a few words; bytes that a peer chose are escaped.
    :param meaning: one plain sentence about the effect on an application; empty where there is none.
    :param details: the same as data, for ``--json``: numbers, texts, lists and mappings of them.
    :param isFinal: no other check is useful after this result.
    """

    name: str
    status: Status
    seen: str
    meaning: str = ""
    details: Mapping[str, object] = field(default_factory=dict)
    isFinal: bool = False


def passed(name: str, seen: str, **details: object) -> Result:
    """Returns a result without a finding."""
    return Result(name, Status.PASS, seen, "", details)


def warned(name: str, seen: str, meaning: str, **details: object) -> Result:
    """Returns a result that an application should know of."""
    return Result(name, Status.WARN, seen, meaning, details)


def failed(name: str, seen: str, meaning: str, isFinal: bool = False, **details: object) -> Result:
    """Returns a result that breaks applications."""
    return Result(name, Status.FAIL, seen, meaning, details, isFinal)


def skipped(name: str, reason: str, **details: object) -> Result:
    """Returns the result of a check that was not run, or was inconclusive."""
    return Result(name, Status.SKIP, reason, "", details)


@dataclass(frozen=True, slots=True)
class Cost:
    """Maximum cost of a check or an examination.

    :param bytes: payload sent; as many come back.
    :param connections: or sources of datagrams.
    :param seconds: on a path with no more than 100 ms of delay, unless something is wrong.
    """

    bytes: int = 0
    connections: int = 0
    seconds: float = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.bytes + other.bytes, self.connections + other.connections, self.seconds + other.seconds
        )
