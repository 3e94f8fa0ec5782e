"""Interface of a check, and the context that a check gets."""

from __future__ import annotations

import resource
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Protocol

from echo_app.probe.checks.findings import Cost, Result
from echo_app.probe.net.stream import CONNECT_TIMEOUT, Stream, connect
from echo_app.targets import Target

# Descriptors that this process has for other things.
RESERVE = 32


@dataclass(frozen=True, slots=True)
class Settings:
    """How an examination is done.

    :param isQuick: a few seconds, and a few MiB at the most.
    :param isThorough: longer waits, and more tries.
    :param idle: seconds up to which idle connections are watched; 0 is not at all.
    """

    isQuick: bool = False
    isThorough: bool = False
    idle: float = 0


@dataclass(frozen=True, slots=True)
class Context:
    """What a check is given.

    :param reactor: an ``IReactorTime``, ``IReactorFDSet`` and ``IReactorUDP``.
    :param target: at one address, where it has any.
    :param random: the only source of chance, so that a run can be repeated.
    """

    reactor: Any
    target: Target
    settings: Settings = field(default_factory=Settings)
    random: Random = field(default_factory=Random)

    def at(self, address: str) -> Context:
        """Returns the same at one of the target's addresses, an IP literal."""
        return replace(self, target=self.target.at(address))

    async def connect(self, timeout: float = CONNECT_TIMEOUT, bindAddress: str | None = None) -> Stream:
        """Connects to the target; closing the stream is the check's business.

        :raise NetworkError: when there is no connection. A check lets it pass: whoever runs it says so.
        """
        return await connect(self.reactor, self.target, timeout, bindAddress)


class Check(Protocol):
    """One question to a path.

    :ivar name: one word, such as ``half-close``.
    """

    @property
    def name(self) -> str:
        """Its name."""

    def reasonToSkip(self, context: Context) -> str:
        """Returns why it does not apply to this target or these settings; empty: it does."""

    def cost(self, context: Context) -> Cost:
        """Returns the most that it spends. ``seconds`` also bounds it: it is ended at a multiple of them."""

    async def run(self, context: Context) -> Result:
        """Asks.

        Cancelling it frees whatever it has opened.
        """


def lackOfDescriptors(count: int) -> str:
    """Returns why that many sockets can't be open at the same time; empty: they can."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    isEnough = limit == resource.RLIM_INFINITY or limit >= count + RESERVE
    return "" if isEnough else f"{count} sockets, but {limit} descriptors (ulimit -n)"
