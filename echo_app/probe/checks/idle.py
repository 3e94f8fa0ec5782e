"""Check ``idle``: the age at which an idle connection is dropped, and whether its client is told.

Each connection sends once, at its own age: one that sends at several ages is not idle. So a ladder of
connections is opened together, one for each age. Where the older ones are dropped, a second ladder between
the greatest age that was alive and the least that was not narrows the age, and confirms it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from echo_app.probe.checks.check import Check, Context, Cost, Result, passed, skipped, warned
from echo_app.probe.net.errors import ErrorKind
from echo_app.probe.net.stream import SILENCE, Stream
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

# What a finding means, given the age in seconds that is safe.
TOLD_MEANING = (
    "Clients that pause for longer find the connection closed: they must say something or reconnect."
)
UNTOLD_MEANING = "Send keepalives more often than every {safe:.3g} s: the first request after that fails."
MEANINGS = {
    Fate.ENDED: TOLD_MEANING,
    Fate.RESET: TOLD_MEANING,
    Fate.FORGOTTEN: UNTOLD_MEANING,
    Fate.REFUSED: UNTOLD_MEANING,
    Fate.SILENT: "Send keepalives more often than every {safe:.3g} s: the end is silent, and requests hang.",
}
STRAY = "Connections are lost, but not for being idle."


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
    if _ageOf(told) - _ageOf(first) <= _slack(_ageOf(first)):
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


def judge(first: Sequence[Rung], second: Sequence[Rung] = ()) -> Result:
    """Judges two ladders.

    :param second: empty where the first one was alive to its end.
    """
    details: dict[str, object] = {
        "rungs": [[rung.age, rung.fate.value, rung.at] for rung in (*first, *second)]
    }
    for rung in first:
        if rung.fate in UNFIT:
            return skipped("idle", rung.fate.value, **details)
    found, again = bracket(first), bracket(second)
    if found is None:
        return _judgeAlive(first, details)
    if again is None or (found.fate in TOLD and abs(again.gone - found.gone) > _slack(found.gone)):
        seen = f"{found.fate.value} at {found.gone:.3g} s once, and not the next time"
        return warned("idle", seen, STRAY, **details)
    safe = max(again.alive, found.alive if found.alive < again.gone else 0)
    seen = f"{again.fate.value} at {again.gone:.3g} s"
    if again.fate not in TOLD:
        seen = f"alive at {safe:.3g} s, {seen}"
    return warned("idle", seen, MEANINGS[again.fate].format(safe=safe), gone=again.gone, safe=safe, **details)


def _judgeAlive(rungs: Sequence[Rung], details: dict[str, object]) -> Result:
    """Judges a ladder whose oldest connection is alive."""
    oldest = max(rung.age for rung in rungs)
    strays = [rung for rung in rungs if rung.fate is not Fate.ALIVE]
    if not strays:
        return passed("idle", f"alive at {oldest:g} s", **details)
    seen = f"{strays[0].fate.value} at {strays[0].at:.3g} s, but others alive at {oldest:g} s"
    return warned("idle", seen, STRAY, **details)


def _slack(age: float) -> float:
    return age * SHARE + SLACK


class Idle(Check):
    """Opens a ladder of connections; each is idle and then sends once, at its own age.

    :param ages: seconds.
    :param timeout: seconds without an answer after which a connection is called silent.
    """

    name = "idle"

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

    async def run(self, context: Context) -> Result:
        """Opens the first ladder, and after a fault the second one."""
        first = await climb(context, self._ladder(context), self._timeout)
        found = bracket(first)
        if found is None or found.fate in UNFIT:
            return judge(first)
        return judge(first, await climb(context, inner(found), self._timeout))

    def _ladder(self, context: Context) -> list[float]:
        most = context.settings.idle
        return [age for age in self._ages if age < most] + [most]


async def climb(context: Context, ages: Sequence[float], timeout: float) -> list[Rung]:
    """Opens connections together; each sends once, at its age. Returns their fates."""
    return await together(_rung(context, age, timeout) for age in ages)


async def _rung(context: Context, age: float, timeout: float) -> Rung:
    """Opens a connection that is idle until it has this age, and then sends."""
    async with await context.connect() as stream:
        # From before the first answer, which may be read late: an age is never too low.
        start = context.reactor.seconds()
        if not await _isAnswered(context, stream, timeout):
            return Rung(age, Fate.MUTE, 0)
        chatter = await stream.read(timeout=age)
        at = context.reactor.seconds() - start
        if chatter:
            return Rung(age, Fate.CHATTY, at)
        if stream.end is not None:
            return Rung(age, Fate.RESET if stream.end.kind is ErrorKind.RESET else Fate.ENDED, at)
        if await _isAnswered(context, stream, timeout):
            return Rung(age, Fate.ALIVE, at)
        if stream.end is None:
            return Rung(age, Fate.SILENT, at)
        return Rung(age, Fate.FORGOTTEN if stream.end.kind is ErrorKind.RESET else Fate.REFUSED, at)


async def _isAnswered(context: Context, stream: Stream, timeout: float) -> bool:
    stream.write(context.random.randbytes(GREETING))
    return bool(await stream.receive(GREETING, timeout))
