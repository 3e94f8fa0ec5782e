"""A path of the zoo: its fault, the way to open it, and the measurement that proves the fault."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

# The cause of a path without a fault.
NONE = "none"

# Options with which the probe watches idle connections for some time.
WATCH = ("--idle", "20s")


class NotAsPlanted(AssertionError):
    """A measurement that does not show the fault of its path."""


@dataclass(frozen=True, slots=True)
class Place:
    """An open path.

    :param target: the probe's target.
    :param options: options that the probe needs, such as ``--ca``.
    :param within: the start of a command line that runs a command on the client's side of the path.
    """

    target: str
    options: tuple[str, ...] = ()
    within: tuple[str, ...] = ()


# Measures the fault of a place; raises NotAsPlanted when it is not there.
Measure = Callable[[Place], str]


@dataclass(frozen=True, slots=True)
class Path:
    """A path with one fault, or with none.

    :param name: the name, in kebab case.
    :param transport: ``tcp``, ``tls``, ``udp``, ``unix``, or ``packets`` for TCP over TUN devices.
    :param planted: the fault, in one line.
    :param cause: the conclusion that a good judge reaches, as an identifier; ``none`` without a fault.
    :param open: opens the path.
    :param measure: measures the fault, with a plain client; returns the observation in a few words.
    :param options: options without which the probe can't see the fault, such as ``--idle 20s``.
    :raise NotAsPlanted: by `measure`, when the fault is not there.
    """

    name: str
    transport: str
    planted: str
    cause: str
    open: Callable[[], AbstractContextManager[Place]]
    measure: Measure
    options: tuple[str, ...] = ()

    @property
    def isGood(self) -> bool:
        """Says whether the path has no fault."""
        return self.cause == NONE
