"""Interface of a check, and the context that a check gets."""

from __future__ import annotations

import resource
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Protocol

from echo_app.probe.checks.findings import Cost, Result
from echo_app.probe.net.stream import Stream, connect
from echo_app.targets import Target

# Descriptors that this process needs for other purposes.
RESERVE = 32


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

    def at(self, address: str) -> Context:
        """Returns the context with the target at one of its addresses, an IP literal."""
        return replace(self, target=self.target.at(address))

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
