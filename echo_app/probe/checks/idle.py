"""Check ``idle``: the age at which an idle connection is dropped, and whether its client is told.

A connection is spoken to once, at its own age: one that is spoken to at several ages is not idle. So a ladder
of connections is opened together, one for each age. Where the older ones turn out to be gone, a second
ladder between the last age that was alive and the first that was gone says when, and that it was no accident.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from echo_app.probe.checks.check import Context
from echo_app.probe.checks.findings import Cost, Result, passed, skipped, warned
from echo_app.probe.net.errors import ErrorKind
from echo_app.probe.net.stream import SILENCE, Stream
from echo_app.probe.net.waits import together

# Ages of the ladder, in seconds: around what is usual in firewalls, load balancers and NATs (30, 60, 120, 240
# and 300 s, 350 s in a large cloud, 400, 600 s), up to a quarter of an hour.
AGES = (5, 10, 30, 60, 120, 240, 300, 350, 400, 600, 900)

# How far the ages of the second ladder are apart, as a factor.
STEP = 1.1

# How far from each other two drops may be seen that one timer made: a share of their age, and seconds, as
# drops come late on a busy machine and some timers look round but once a second.
SHARE, SLACK = 0.1, 1.5

# Bytes that a connection is spoken to with; nobody sends them back by accident.
GREETING = 16


class Fate(Enum):
    """What became of an idle connection; the text is what is printed."""

    ALIVE = "alive"
    ENDED = "closed (FIN)"
    RESET = "reset"
    FORGOTTEN = "reset when spoken to"
    REFUSED = "closed when spoken to"
    SILENT = "silently gone"
    MUTE = "no echo to begin with"
    CHATTY = "the service speaks by itself"


# Those of which the age is known, and those that say nothing about idle connections.
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
    Fate.SILENT: "Send keepalives more often than every {safe:.3g} s: nobody tells, and requests hang.",
}
STRAY = "Connections are lost, but not for being idle."


@dataclass(frozen=True, slots=True)
class Rung:
    """A connection of the ladder.

    :param age: seconds after which it was to be spoken to.
    :param at: seconds after which its fate was seen: less than its age where it was dropped before.
    """

    age: float
    fate: Fate
    at: float

    @property
    def isAlive(self) -> bool:
        """Says whether it answered."""
        return self.fate is Fate.ALIVE


@dataclass(frozen=True, slots=True)
class Bracket:
    """Between which ages connections are dropped.

    :param alive: the greatest age at which one was alive; 0 is none.
    :param gone: the least age from which on all were gone.
    :param fate: how the youngest one went.
    """

    alive: float
    gone: float
    fate: Fate


def bracket(rungs: Iterable[Rung]) -> Bracket | None:
    """Returns between which ages connections are dropped; None where the oldest one is alive.

    A connection that tells of its end tells its age then. The end of one that was spoken to at about
    that age was under way.
    """
    ordered = sorted(rungs, key=lambda rung: rung.age)
    alive = max((rung.age for rung in ordered if rung.isAlive), default=0.0)
    gone = [rung for rung in ordered if rung.age > alive]
    if not gone:
        return None
    first = min(gone, key=_ageOf)
    told = min((rung for rung in gone if rung.fate in TOLD), key=_ageOf, default=first)
    if _ageOf(told) - _ageOf(first) <= _slack(_ageOf(first)):
        first = told
    return Bracket(alive, _ageOf(first), first.fate)


def _ageOf(rung: Rung) -> float:
    """Returns the age at which a connection was seen to be gone."""
    return min(rung.age, rung.at)


def inner(found: Bracket) -> list[float]:
    """Returns the ages of the second ladder: up to where connections were gone, a tenth apart."""
    if found.fate in TOLD:
        # It is known when: one that is to be alive just before, and one that is not to be later on.
        return [found.gone * (1 - SHARE), found.gone * (1 + SHARE) + SLACK]
    below = found.alive or found.gone / 10
    count = max(1, math.ceil(math.log(found.gone / below) / math.log(STEP)))
    ratio = (found.gone / below) ** (1 / count)
    return [below * ratio**n for n in range(1, count)] + [found.gone]


def judge(first: Sequence[Rung], second: Sequence[Rung] = ()) -> Result:
    """Returns what two ladders mean.

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
    """Returns what a ladder means whose oldest connection is alive."""
    oldest = max(rung.age for rung in rungs)
    strays = [rung for rung in rungs if not rung.isAlive]
    if not strays:
        return passed("idle", f"alive at {oldest:g} s", **details)
    seen = f"{strays[0].fate.value} at {strays[0].at:.3g} s, but others alive at {oldest:g} s"
    return warned("idle", seen, STRAY, **details)


def _slack(age: float) -> float:
    return age * SHARE + SLACK


class Idle:
    """A ladder of connections, each left alone and then spoken to once, at its own age.

    :param ages: seconds.
    :param silence: seconds without an answer after which a connection is called silent.
    """

    name = "idle"

    def __init__(self, ages: Sequence[float] = AGES, silence: float = SILENCE) -> None:
        self._ages = ages
        self._silence = silence

    def reasonToSkip(self, context: Context) -> str:
        """Is for streams, and takes as long as it is told."""
        if not context.target.isStream:
            return "no stream"
        return "" if context.settings.idle else "not asked for"

    def cost(self, context: Context) -> Cost:
        """The seconds of one ladder, as there is a second one only if something is wrong."""
        ladder = self._ladder(context)
        steps = [Bracket(alive, gone, Fate.SILENT) for alive, gone in pairwise([0, *ladder])]
        connections = len(ladder) + max(len(inner(each)) for each in steps)
        return Cost(2 * GREETING * connections, connections, ladder[-1])

    async def run(self, context: Context) -> Result:
        """Climbs."""
        first = await climb(context, self._ladder(context), self._silence)
        found = bracket(first)
        if found is None or found.fate in UNFIT:
            return judge(first)
        return judge(first, await climb(context, inner(found), self._silence))

    def _ladder(self, context: Context) -> list[float]:
        most = context.settings.idle
        return [age for age in self._ages if age < most] + [most]


async def climb(context: Context, ages: Sequence[float], silence: float) -> list[Rung]:
    """Opens connections together, and speaks to each once, at its age; returns what became of them."""
    return await together(_rung(context, age, silence) for age in ages)


async def _rung(context: Context, age: float, silence: float) -> Rung:
    """Opens a connection, leaves it alone until it has this age, and then speaks to it."""
    stream = await context.connect()
    try:
        # An answer may be read long after it came, and an age that is given is never too low.
        start = context.reactor.seconds()
        if not await _isAnswered(context, stream, silence):
            return Rung(age, Fate.MUTE, 0)
        chatter = await stream.read(silence=age)
        at = context.reactor.seconds() - start
        if chatter:
            return Rung(age, Fate.CHATTY, at)
        if stream.end is not None:
            return Rung(age, Fate.RESET if stream.end.kind is ErrorKind.RESET else Fate.ENDED, at)
        if await _isAnswered(context, stream, silence):
            return Rung(age, Fate.ALIVE, at)
        if stream.end is None:
            return Rung(age, Fate.SILENT, at)
        return Rung(age, Fate.FORGOTTEN if stream.end.kind is ErrorKind.RESET else Fate.REFUSED, at)
    finally:
        await stream.abort()


async def _isAnswered(context: Context, stream: Stream, silence: float) -> bool:
    stream.write(context.random.randbytes(GREETING))
    return bool(await stream.receive(GREETING, silence))
