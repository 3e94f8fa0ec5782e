"""Check ``lifetimes``: do connections live on that are busy, silent, or unread?

Two connections of each kind begin at different times. Where they end tells why: at one age, it is the age; at
one moment, an event; the silent ones alone, it is idleness. Keepalive is off here; the kernel's counts of
segments without payload tell whether the far end sends keepalives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from echo_app.probe.checks.check import Check, Context, Cost
from echo_app.probe.checks.evidence import CheckSettings, Observation
from echo_app.probe.checks.labels import MESSAGE
from echo_app.probe.checks.latereader import fillLimit
from echo_app.probe.checks.link import Link
from echo_app.probe.checks.record import ConnectionRecord, TCPSample, sampleOf
from echo_app.probe.net.errors import NetworkError
from echo_app.probe.net.stream import SILENCE
from echo_app.probe.net.waits import pause, together

# Seconds for which connections are watched; the second one is of a thorough examination.
WATCHED, THOROUGH_WATCHED = 14.0, 75.0

# The second connection of a kind begins after this share of the time.
STAGGER = 0.2

# Seconds between two messages of a busy connection, and between two looks at an unread one.
INTERVAL = 0.5

# Bytes that an unread connection sends at the most, and of one write; seconds in which the kernel takes none.
MOST, PIECE, STALL = 16 << 20, 1 << 18, 0.5


class Kind(Enum):
    """Activity of a watched connection; the text is printed."""

    BUSY = "busy"
    SILENT = "silent"
    UNREAD = "unread"


@dataclass(slots=True)
class Life:
    """A connection that is watched.

    :ivar until: when the watch ended, in seconds since the examination's begin; 0 while it goes on.
    :ivar isPushedBack: of an unread connection: the path is full.
    :ivar silent: the kernel's counts at the begin and the end of the silence.
    """

    kind: Kind
    record: ConnectionRecord
    until: float = 0
    isPushedBack: bool = False
    silent: list[TCPSample | None] = field(default_factory=list)

    @property
    def isLost(self) -> bool:
        """Says whether the peer ended it, or it went silent."""
        return self.record.end is not None or self.record.silence > 0

    @property
    def keepalives(self) -> int:
        """The number of segments without payload that came in the silence."""
        if len(self.silent) < 2 or self.silent[0] is None or self.silent[1] is None:
            return 0
        first, last = self.silent[0], self.silent[1]
        return (last.segmentsIn - last.dataSegmentsIn) - (first.segmentsIn - first.dataSegmentsIn)


@dataclass(slots=True)
class Lives(Observation):
    """The connections that are watched.

    :ivar watched: seconds.
    """

    watched: float = 0
    lives: list[Life] = field(default_factory=list)

    def __str__(self) -> str:
        parts = []
        for kind in Kind:
            lives = [each for each in self.lives if each.kind is kind]
            lost = [each for each in lives if each.isLost]
            said = f"{len(lives) - len(lost)} of {len(lives)} {kind.value}"
            ages = ", ".join(f"{each.record.age:.3g} s" for each in lost if each.record.age is not None)
            parts.append(said + (f" (ended at {ages})" if ages else ""))
        seen = f"alive after {self.watched:.3g} s: {', '.join(parts)}"
        isKept = any(each.keepalives for each in self.lives)
        return seen + ("; the far end sends keepalives" if isKept else "")

    def data(self) -> Mapping[str, object]:
        """Returns kind, begin, end and age of each connection, in seconds."""
        return {
            "watched": self.watched,
            "lives": [
                {
                    "kind": each.kind.value,
                    "connection": each.record.number,
                    "began": each.record.began,
                    "ended": each.record.ended,
                    "age": each.record.age,
                    "keepalives": each.keepalives,
                }
                for each in self.lives
            ],
        }


class Lifetimes(Check[Lives]):
    """Watches two connections of each kind.

    :param watched: seconds; None is as the settings say.
    """

    name = "lifetimes"
    begin = Lives

    def __init__(self, watched: float | None = None) -> None:
        self._watched = watched

    def reasonToSkip(self, context: Context) -> str:
        """Skips UDP, and quick examinations."""
        return super().reasonToSkip(context) or ("not with --quick" if context.settings.isQuick else "")

    def cost(self, context: Context) -> Cost:
        """Returns the cost: the unread connections may be filled."""
        seconds = self._secondsOf(context.settings)
        messages = 2 * int(seconds / INTERVAL) * MESSAGE
        return Cost(2 * MOST + messages, 2 * len(Kind), seconds * (1 + STAGGER) + 2)

    async def run(self, context: Context, seen: Lives) -> None:
        """Begins one connection of each kind, and another one later; watches them all."""
        seen.watched = self._secondsOf(context.settings)
        delays = (0.0, seen.watched * STAGGER)
        await together(self._watch(context, seen, kind, delay) for delay in delays for kind in Kind)

    def _secondsOf(self, settings: CheckSettings) -> float:
        if self._watched is not None:
            return self._watched
        return max(THOROUGH_WATCHED if settings.isThorough else WATCHED, settings.idle)

    async def _watch(self, context: Context, seen: Lives, kind: Kind, delay: float) -> None:
        await pause(context.reactor, delay)
        record = context.newRecord()
        life = Life(kind, record)
        seen.lives.append(life)
        try:
            link = await context.connect(record=record)
        except NetworkError:
            return
        live = {Kind.BUSY: self._beBusy, Kind.SILENT: self._beSilent, Kind.UNREAD: self._beUnread}[kind]
        async with link:
            await live(context, link, life, context.now + seen.watched)
            life.until = context.now

    async def _beBusy(self, context: Context, link: Link, life: Life, until: float) -> None:
        """Sends and reads a message twice a second."""
        while context.now < until:
            link.send(MESSAGE)
            if not await link.receiveRest():
                return
            await link.read(INTERVAL)
            if link.isEnded:
                return

    async def _beSilent(self, context: Context, link: Link, life: Life, until: float) -> None:
        """Sends and reads one message, is silent, and sends once more."""
        link.send(MESSAGE)
        if not await link.receiveRest():
            return
        life.silent.append(sampleOf(link.stream.sock))
        while context.now < until and not link.isEnded:
            await link.read(until - context.now)
        life.silent.append(sampleOf(link.stream.sock))
        if not link.isEnded:
            link.send(MESSAGE)
            await link.receiveRest()

    async def _beUnread(self, context: Context, link: Link, life: Life, until: float) -> None:
        """Sends until the path is full, and reads everything at the end. A reset is seen before."""
        most = fillLimit(context.evidence, MOST)
        while link.record.sent < most and not life.isPushedBack and not link.stream.isCut:
            link.send(PIECE)
            # The kernel may take all of it at once, and other connections have their turn, too.
            await pause(context.reactor, 0)
            life.isPushedBack = not await link.drain(STALL) and not link.stream.isCut
        while context.now < until and not link.hasEnded:
            await pause(context.reactor, INTERVAL)
        link.noteEnd()
        # The far end's probes of our window may be as far apart as the time that nothing was read (RFC 9293).
        await link.receiveRest(SILENCE + round(context.now - link.record.began))
