"""Interface of a check: the context that a check gets, its cost, and its result."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Any, Protocol

from echo_app.probe.net.stream import Stream, connect
from echo_app.targets import Target

# Descriptors that this process needs for other purposes.
RESERVE = 32


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


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """The settings of an examination.

    :param isQuick: a few seconds, and a few MiB at the most.
    :param isThorough: longer waits, and more tries.
    :param idle: seconds up to which idle connections are watched; 0 is no idle check.
    """

    isQuick: bool = False
    isThorough: bool = False
    idle: float = 0


@dataclass(frozen=True, slots=True)
class Context:
    """The context of a check: reactor, target, settings, and random numbers.

    :param reactor: an ``IReactorTime``, ``IReactorFDSet`` and ``IReactorUDP``.
    :param target: at one address, where it has any.
    :param random: the only source of random numbers, so that a run can be repeated.
    """

    reactor: Any
    target: Target
    settings: CheckSettings = field(default_factory=CheckSettings)
    random: Random = field(default_factory=Random)

    async def connect(self) -> Stream:
        """Connects to the target. The check must close the stream.

        :raise NetworkError: when there is no connection. The examination reports it.
        """
        return await connect(self.reactor, self.target)


class Check(Protocol):
    """Interface of a check of a path, and the base class of one that is for streams alone.

    :ivar name: one word, such as ``half-close``.
    """

    name: str

    def reasonToSkip(self, context: Context) -> str:
        """Returns the reason for which the check does not apply to the context; empty if it does."""
        return "" if context.target.isStream else "no stream"

    def cost(self, context: Context) -> Cost:
        """Returns the maximum cost. The check is ended at a multiple of its ``seconds``."""

    async def run(self, context: Context) -> Result:
        """Runs the check. Cancelling it closes everything that it has opened."""


def lackOfDescriptors(count: int) -> str:
    """Returns the reason for which so many sockets can't be open together; empty if they can."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    isEnough = limit == resource.RLIM_INFINITY or limit >= count + RESERVE
    return "" if isEnough else f"{count} sockets, but {limit} descriptors (ulimit -n)"
