"""Check ``idle``: the age at which an idle connection is dropped, and whether its client is told.

Each connection sends once, at its own age: one that sends at several ages is not idle. So a ladder of
connections is opened together, one for each age. Where the older ones are dropped, a second ladder between
the greatest age that was alive and the least that was not narrows the age, and confirms it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise

from echo_app.probe.checks.check import Check, Context, Cost
from echo_app.probe.checks.evidence import Observation
from echo_app.probe.checks.link import Link
from echo_app.probe.net.errors import ErrorKind
from echo_app.probe.net.stream import SILENCE
from echo_app.probe.net.waits import together

# Ages of the ladder, in seconds: around what is usual in firewalls, load balancers and NATs (30, 60, 120, 240
# and 300 s, 350 s in a large cloud, 400, 600 s), up to a quarter of an hour.
AGES = (5, 10, 30, 60, 120, 240, 300, 350, 400, 600, 900)

# How far the ages of the second ladder are apart, as a factor.
STEP = 1.1

# The tolerated difference between two drops by one timer: a share of their age, and seconds, as drops are
# seen late on a busy machine, and some timers run once a second.
SHARE, SLACK = 0.1, 1.5

# Bytes that a connection sends: only an echo returns them.
GREETING = 16


class Fate(Enum):
    """State of a connection after its idle time; the text is printed."""

    ALIVE = "alive"
    ENDED = "closed (FIN)"
    RESET = "reset"
    FORGOTTEN = "reset when spoken to"
    REFUSED = "closed when spoken to"
    SILENT = "silently gone"
    MUTE = "no echo to begin with"
    CHATTY = "the service speaks by itself"


# Fates with a known age, and fates that say nothing about idle connections.
TOLD = frozenset({Fate.ENDED, Fate.RESET})
UNFIT = frozenset({Fate.MUTE, Fate.CHATTY})


@dataclass(frozen=True, slots=True)
class Rung:
    """A connection of the ladder.

    :param age: seconds after which the connection was to send.
    :param at: seconds after which its fate was seen: less than its age where it was dropped before.
    """

    age: float
    fate: Fate
    at: float


@dataclass(frozen=True, slots=True)
class Bracket:
    """The ages between which connections are dropped.

    :param alive: the greatest age at which one was alive; 0 is none.
    :param gone: the least age from which on all were dropped.
    :param fate: of the youngest one that was dropped.
    """

    alive: float
    gone: float
    fate: Fate


def bracket(rungs: Iterable[Rung]) -> Bracket | None:
    """Returns the ages between which connections are dropped; None where the oldest one is alive.

    A FIN or a reset tells the age. A connection that sent at about that age may have had its end under way.
    """
    ordered = sorted(rungs, key=lambda rung: rung.age)
    alive = max((rung.age for rung in ordered if rung.fate is Fate.ALIVE), default=0.0)
    gone = [rung for rung in ordered if rung.age > alive]
    if not gone:
        return None
    first = min(gone, key=_ageOf)
    told = min((rung for rung in gone if rung.fate in TOLD), key=_ageOf, default=first)
    if _ageOf(told) - _ageOf(first) <= slack(_ageOf(first)):
        first = told
    return Bracket(alive, _ageOf(first), first.fate)


def _ageOf(rung: Rung) -> float:
    """Returns the age at which a connection was seen to be dropped."""
    return min(rung.age, rung.at)


def inner(found: Bracket) -> list[float]:
    """Returns the ages of the second ladder: up to the least age that was dropped, a tenth apart."""
    if found.fate in TOLD:
        # The age is known: one connection should be alive just before it, and one dropped after it.
        return [found.gone * (1 - SHARE), found.gone * (1 + SHARE) + SLACK]
    below = found.alive or found.gone / 10
    count = max(1, math.ceil(math.log(found.gone / below) / math.log(STEP)))
    ratio = (found.gone / below) ** (1 / count)
    return [below * ratio**n for n in range(1, count)] + [found.gone]


def slack(age: float) -> float:
    """Returns the tolerated difference, in seconds, between two drops by one timer."""
    return age * SHARE + SLACK


@dataclass(slots=True)
class Ladders(Observation):
    """The fates of two ladders of connections.

    :ivar second: empty where the first one was alive to its end.
    """

    first: list[Rung] = field(default_factory=list)
    second: list[Rung] = field(default_factory=list)

    def __str__(self) -> str:
        rungs = sorted((*self.first, *self.second), key=_ageOf)
        unfit = next((rung for rung in rungs if rung.fate in UNFIT), None)
        if unfit is not None:
            return unfit.fate.value
        gone = [rung for rung in rungs if rung.fate is not Fate.ALIVE]
        alive = max((rung.age for rung in rungs if rung.fate is Fate.ALIVE), default=0.0)
        parts = [f"alive at {alive:.3g} s"] if alive else []
        return ", ".join([*parts, *(f"{rung.fate.value} at {rung.at:.3g} s" for rung in gone[:3])])

    def data(self) -> Mapping[str, object]:
        """Returns age, fate, and seconds at which it was seen, of each connection."""
        return {"rungs": [[rung.age, rung.fate.value, rung.at] for rung in (*self.first, *self.second)]}


class Idle(Check[Ladders]):
    """Opens a ladder of connections; each is idle and then sends once, at its own age.

    :param ages: seconds.
    :param timeout: seconds without an answer after which a connection is called silent.
    """

    name = "idle"
    begin = Ladders

    def __init__(self, ages: Sequence[float] = AGES, timeout: float = SILENCE) -> None:
        self._ages = ages
        self._timeout = timeout

    def reasonToSkip(self, context: Context) -> str:
        """Skips UDP, and examinations without ``--idle``."""
        return super().reasonToSkip(context) or ("" if context.settings.idle else "not asked for")

    def cost(self, context: Context) -> Cost:
        """Returns the cost of one ladder: a second one is opened only after a fault."""
        ladder = self._ladder(context)
        steps = [Bracket(alive, gone, Fate.SILENT) for alive, gone in pairwise([0, *ladder])]
        connections = len(ladder) + max(len(inner(each)) for each in steps)
        return Cost(2 * GREETING * connections, connections, ladder[-1])

    async def run(self, context: Context, seen: Ladders) -> None:
        """Opens the first ladder, and after a fault the second one."""
        await self._climb(context, self._ladder(context), seen.first)
        found = bracket(seen.first)
        if found is not None and found.fate not in UNFIT:
            await self._climb(context, inner(found), seen.second)

    async def _climb(self, context: Context, ages: Sequence[float], rungs: list[Rung]) -> None:
        """Opens connections together; each sends once, at its age."""
        await together(self._rung(context, age, rungs) for age in ages)

    async def _rung(self, context: Context, age: float, rungs: list[Rung]) -> None:
        """Opens a connection that is idle until it has this age, and then sends."""
        # From before the first answer, which may be read late: an age is never too low.
        start = context.reactor.seconds()
        async with await context.connect() as link:
            fate, at = await self._fateOf(context, link, age, start)
            rungs.append(Rung(age, fate, at))

    async def _fateOf(self, context: Context, link: Link, age: float, start: float) -> tuple[Fate, float]:
        if not await self._isAnswered(link):
            return Fate.MUTE, 0.0
        await link.read(timeout=age)
        at = context.reactor.seconds() - start
        record = link.record
        if record.difference is not None:
            return Fate.CHATTY, at
        if record.end is not None:
            return Fate.RESET if record.end.kind is ErrorKind.RESET else Fate.ENDED, at
        if await self._isAnswered(link):
            return Fate.ALIVE, at
        if record.end is None:
            return Fate.SILENT, at
        return Fate.FORGOTTEN if record.end.kind is ErrorKind.RESET else Fate.REFUSED, at

    async def _isAnswered(self, link: Link) -> bool:
        link.send(GREETING)
        return await link.receiveRest(self._timeout)

    def _ladder(self, context: Context) -> list[float]:
        most = context.settings.idle
        return [age for age in self._ages if age < most] + [most]
