"""Record of the datagrams of an examination: every one that was sent, and its fate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from echo_app.probe.checks.evidence import Observation
from echo_app.probe.checks.udpsource import Datagram, Stray
from echo_app.probe.net.errors import Reason
from echo_app.probe.results.statistics import interval, percentile, spread

# Bytes of the datagrams that measure anything but sizes: two labels.
SIZE = 64

# Phases of the check. A name with a number is a repetition.
PORTS, FRESH, STEADY, FAST, TRIAL = "ports", "fresh", "steady", "fast", "trial"
BURST, RETRY, SIZES, CONTROL, SMALL, EMPTY = "burst", "retry", "sizes", "control", "small", "empty"
WHOLE, FRAGMENTABLE, FULL, UNEQUAL = "whole", "fragmentable", "full", "unequal"
BEFORE, AFTER, WATCH = "before", "after", "watch"

# The phase in which ports that were silent are tried again.
PORTS_AGAIN = f"{PORTS} 2"

# Phases that send small datagrams at a rate that is known, for blackouts: their losses have no other cause.
_PLAIN = (PORTS, STEADY, WATCH)

# The tolerated share of lost datagrams.
TOLERATED = 0.01

# Losses in a row, at the least, and their seconds, that are a blackout; and how often chance may make such a
# run in one examination, at the loss that the other datagrams have.
RUN, RUN_SECONDS, BY_CHANCE = 8, 0.2, 1e-6

# Lost datagrams of a source after an answer of another one, at the least, for an end of that source.
FEW_AFTER = 5

# Shorter runs, at the least, by which losses in bursts are told.
FEW_RUNS = 5


@dataclass(frozen=True, slots=True)
class Blackout:
    """A time in which every datagram was lost.

    :param begin: seconds, of the first that was lost.
    :param end: of the last one.
    """

    begin: float
    end: float
    lost: int

    @property
    def seconds(self) -> float:
        """Its length, at the least."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class SourceEnd:
    """A source that was answered, and from a moment on never again, while others were.

    :param moment: seconds, of the first datagram that was lost.
    :param age: seconds of the source at that moment.
    :param count: datagrams that it had sent before.
    """

    source: int
    moment: float
    age: float
    count: int


@dataclass(frozen=True, slots=True)
class Silence:
    """Sources that were silent for a time, and then sent together with a fresh one.

    :param seconds: of silence.
    :param sources: their numbers.
    :param fresh: the number of the fresh source.
    """

    seconds: float
    sources: tuple[int, ...]
    fresh: int


@dataclass(slots=True)
class Datagrams(Observation):
    """The datagrams of an examination.

    :ivar failure: why nothing can be sent; None: it can.
    :ivar refusals: ICMP messages that said that nobody listens.
    :ivar sent: all datagrams, in the order in which they were sent.
    :ivar strays: what came and answers no datagram of the socket that it came to.
    :ivar ports: source ports, by the number of the source.
    :ivar silences: sources that were silent on purpose.
    :ivar unfragmented: bytes of the largest datagram that leaves this machine in one packet; 0 is not known.
    """

    failure: Reason | None = None
    refusals: int = 0
    sent: list[Datagram] = field(default_factory=list)
    strays: list[Stray] = field(default_factory=list)
    ports: dict[int, int] = field(default_factory=dict)
    silences: list[Silence] = field(default_factory=list)
    unfragmented: int = 0

    @property
    def isFinal(self) -> bool:
        """Says whether nothing came back."""
        return self.failure is not None or (all(each.isLost for each in self.sent) and not self.strays)

    def of(self, *kinds: str) -> list[Datagram]:
        """Returns the datagrams of some phases, with all repetitions."""
        return [each for each in self.sent if kindOf(each) in kinds]

    def rounds(self, phase: str) -> list[list[Datagram]]:
        """Returns the datagrams of the repetitions of a phase: ``steady``, ``steady 2`` and so on."""
        found: dict[str, list[Datagram]] = {}
        for each in self.sent:
            if kindOf(each) == phase:
                found.setdefault(each.phase, []).append(each)
        return list(found.values())

    @property
    def deadSources(self) -> set[int]:
        """The numbers of sources that never got an answer, though they sent five or more."""
        lost: dict[int, list[bool]] = {}
        for each in self.sent:
            lost.setdefault(each.source, []).append(each.isLost)
        return {source for source, losses in lost.items() if len(losses) >= 5 and all(losses)}

    @property
    def blackouts(self) -> list[Blackout]:
        """The times in which every datagram of every source was lost, though chance does not do that."""
        dead = self.deadSources
        plain = [each for each in self.alive(*_PLAIN) if each.source not in dead]
        return blackoutsIn([each for each in plain if each.index or kindOf(each) != PORTS])

    @property
    def ends(self) -> list[SourceEnd]:
        """The sources that were not silent, and yet were answered no more from a moment on."""
        bySource: dict[int, list[Datagram]] = {}
        for each in self.of(STEADY, FAST, BURST, RETRY, WATCH):
            bySource.setdefault(each.source, []).append(each)
        answered = [(each.sent, each.source) for each in self.of(RETRY, STEADY, WATCH) if not each.isLost]
        found = []
        for source, sent in bySource.items():
            last = max((place for place, each in enumerate(sent) if not each.isLost), default=-1)
            if not 0 <= last < len(sent) - RUN:
                continue
            lost = sent[last + 1]
            others = [moment for moment, other in answered if moment > lost.sent and other != source]
            # A time in which all are lost is another cause.
            if others and sum(each.sent > others[0] for each in sent) >= FEW_AFTER:
                begin = next(each.sent for each in self.sent if each.source == source)
                found.append(SourceEnd(source, lost.sent, lost.sent - begin, lost.index))
        return found

    def alive(self, *kinds: str) -> list[Datagram]:
        """Returns the datagrams of some phases, without those of sources that had ended."""
        ends = {each.source: each.moment for each in self.ends}
        return [each for each in self.of(*kinds) if each.sent < ends.get(each.source, math.inf)]

    @property
    def largest(self) -> int:
        """Bytes of the largest datagram that came back; 0 if none did."""
        return max((each.size for each in self.sent if each.came is not None), default=0)

    def __str__(self) -> str:
        if self.failure is not None:
            return f"nothing can be sent: {self.failure}"
        steady = self.of(STEADY) or self.sent
        times = [each.roundTrip for each in steady if each.roundTrip is not None]
        parts = [spread(times)] if times else []
        parts.append(f"{lostOf(steady)} of {len(steady)} lost")
        for word, count in (
            ("duplicate", sum(each.copies for each in self.sent)),
            ("reordered", sum(each.overtaken > 0 for each in self.sent)),
        ):
            if count:
                parts.append(f"{count} {word}")
        if self.largest > SIZE:
            parts.append(f"up to {self.largest} B")
        if count := len({each.source for each in self.of(PORTS)}):
            parts.append(f"{count} source ports")
        return ", ".join(parts)

    def data(self) -> Mapping[str, object]:
        """Returns the counts of each phase, in datagrams, and sizes in bytes."""
        phases: dict[str, list[Datagram]] = {}
        for each in self.sent:
            phases.setdefault(each.phase, []).append(each)
        return {
            "phases": {phase: _counts(datagrams) for phase, datagrams in phases.items()},
            "largest": self.largest,
            "unfragmented": self.unfragmented,
            "silentPorts": sorted(self.ports.get(each, 0) for each in self.deadSources),
            "strays": len(self.strays),
        }


def kindOf(datagram: Datagram) -> str:
    """Returns the phase without the number of its repetition."""
    return datagram.phase.partition(" ")[0]


def lostOf(datagrams: Iterable[Datagram]) -> int:
    """Returns the number of lost datagrams."""
    return sum(each.isLost for each in datagrams)


def tooMany(lost: int, sent: int) -> bool:
    """Says whether more than the tolerated share is lost, with 95 % confidence."""
    return interval(lost, sent)[0] > TOLERATED


def outside(datagrams: Iterable[Datagram], blackouts: Sequence[Blackout]) -> list[Datagram]:
    """Returns the datagrams that were not sent in a blackout."""
    return [each for each in datagrams if not any(dark.begin <= each.sent <= dark.end for dark in blackouts)]


def blackoutsIn(datagrams: Sequence[Datagram]) -> list[Blackout]:
    """Finds runs of losses that chance does not make, and that end: something is answered after each."""
    runs, begin = [], 0
    for place, each in enumerate(datagrams):
        if not each.isLost:
            if begin < place:
                runs.append((begin, place))
            begin = place + 1
    total = lostOf(datagrams)
    short = [end - begin for begin, end in runs if end - begin < RUN]
    # Losses in bursts: how often a loss follows a loss.
    follows = (sum(short) - len(short) + 1) / (sum(short) + 2) if len(short) >= FEW_RUNS else 0.0
    found = []
    for begin, end in runs:
        first, last, count = datagrams[begin], datagrams[end - 1], end - begin
        share = max(follows, (total - count + 1) / (len(datagrams) - count + 2))
        if count >= RUN and last.sent - first.sent >= RUN_SECONDS and share**count * total < BY_CHANCE:
            found.append(Blackout(first.sent, last.sent, count))
    return found


def _counts(datagrams: Sequence[Datagram]) -> dict[str, object]:
    times = [each.roundTrip for each in datagrams if each.roundTrip is not None]
    return {
        "sent": len(datagrams),
        "lost": lostOf(datagrams),
        "changed": sum(each.changed is not None for each in datagrams),
        "copies": sum(each.copies for each in datagrams),
        "overtaken": sum(each.overtaken > 0 for each in datagrams),
        "median": percentile(times, 50) if times else None,
    }
