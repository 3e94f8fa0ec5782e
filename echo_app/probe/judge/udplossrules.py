"""Rules about lost datagrams: at random, above a rate, in blackouts, and at the begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.checks.udp import INTERVAL, ROUNDS
from echo_app.probe.checks.udpfirst import firstsOf
from echo_app.probe.checks.udpports import unequalIn
from echo_app.probe.checks.udprecord import (
    FAST,
    FRESH,
    FULL,
    PORTS,
    STEADY,
    TRIAL,
    Datagrams,
    lostOf,
    outside,
    tooMany,
)
from echo_app.probe.checks.udpsource import Datagram
from echo_app.probe.judge.finding import Confidence, Match, Rule
from echo_app.probe.judge.udprules import datagramsOf, percents
from echo_app.probe.results.severity import Severity
from echo_app.probe.results.statistics import interval, milliseconds
from echo_app.text import plural

# By how much the rates that pass in two trials may differ for one limit.
_STEADY_RATE = 0.25

# How many times more than the tolerated share a fast trial loses, at the least, if a limit is the cause.
_MUCH = 5


@dataclass(frozen=True, slots=True)
class Trial:
    """The second half of a trial of a rate: the burst that a limiter lets pass is over then.

    :param offered: datagrams a second.
    :param passed: datagrams a second that were answered.
    """

    offered: float
    passed: float
    lost: int
    sent: int

    @property
    def isLossy(self) -> bool:
        """Says whether it lost much more than the tolerated share."""
        return self.lost > self.sent * _MUCH * 0.01

    @classmethod
    def of(cls, datagrams: Sequence[Datagram]) -> Trial:
        """Sums up a trial."""
        half = datagrams[len(datagrams) // 2 :]
        lost, seconds = lostOf(half), half[-1].sent - half[0].sent
        rate = (len(half) - 1) / seconds if seconds > 0 else 0.0
        return cls(rate, rate * (1 - lost / len(half)), lost, len(half))


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A limit on the rate: datagrams a second that pass, and the trials."""

    rate: float
    isSteady: bool
    trials: Sequence[Trial]


def limitOf(seen: Datagrams) -> RateLimit | None:
    """Returns the limit on the rate, if fast trials lose more than slow ones, in both series."""
    trials = [Trial.of(each) for each in seen.rounds(TRIAL) if len(each) >= 4]
    if len(trials) < 4 or len(seen.ends) > 1 or unequalIn(seen) is not None:
        return None
    fastest, slowest = max(each.offered for each in trials), min(each.offered for each in trials)
    fast = [each for each in trials if each.offered > (fastest * slowest) ** 0.5]
    slow = [each for each in trials if each not in fast]
    limited = [each for each in fast if each.isLossy]
    most = max(interval(each.lost, each.sent)[1] for each in slow)
    # Each of two fast trials loses more than any slow one.
    clear = [each for each in limited if interval(each.lost, each.sent)[0] > most]
    if len(clear) < 2 or max(each.offered for each in clear) < fastest * (1 - _STEADY_RATE):
        return None
    passed = sorted(each.passed for each in clear)
    isSteady = passed[-1] - passed[0] <= passed[-1] * _STEADY_RATE
    return RateLimit(passed[len(passed) // 2], isSteady, trials)


def lossOf(seen: Datagrams) -> tuple[int, int]:
    """Returns how many datagrams of the steady rounds were lost, and sent, outside of blackouts."""
    steady = outside(seen.alive(STEADY), seen.blackouts)
    return lostOf(steady), len(steady)


def _findLimited(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = datagramsOf(evidence)
    limit = limitOf(seen) if seen else None
    if limit is None:
        return None
    lines = [f"{each.lost} of {each.sent} lost at {each.offered:.0f} a second" for each in limit.trials]
    return Match(
        f"about {limit.rate:.0f} a second pass",
        Confidence.LIKELY if limit.isSteady else Confidence.POSSIBLE,
        evidence=lines,
        hits=max(each.lost for each in limit.trials),
        tries=max(each.sent for each in limit.trials),
    )


def _findBytesLimited(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds large datagrams that are lost at a rate at which small ones pass."""
    seen = datagramsOf(evidence)
    rounds = seen.rounds(FULL) if seen else []
    if seen is None or len(rounds) < 2:
        return None
    trials = [Trial.of(outside(each, seen.blackouts)) for each in rounds]
    small = seen.of(FAST)
    most = interval(lostOf(small), len(small))[1] if small else 1.0
    if not all(each.isLossy and interval(each.lost, each.sent)[0] > most for each in trials):
        return None
    size = rounds[0][0].size
    passed = min(each.passed for each in trials) * size
    return Match(
        f"about {passed / 1000:.3g} kB a second pass",
        Confidence.LIKELY,
        [
            *(
                f"{each.lost} of {each.sent} of {size} B lost at {each.offered:.0f} a second"
                for each in trials
            ),
            f"{lostOf(small)} of {len(small)} lost of {small[0].size} B, more a second",
        ],
        hits=sum(each.lost for each in trials),
        tries=sum(each.sent for each in trials),
    )


def _findLossy(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = datagramsOf(evidence)
    if seen is None or unequalIn(seen) is not None:
        return None
    limit, blackouts = limitOf(seen), seen.blackouts
    if limit is not None and limit.rate < 1.1 / INTERVAL:
        return None
    alive = set(map(id, seen.alive(STEADY)))
    rounds = [outside((one for one in each if id(one) in alive), blackouts) for each in seen.rounds(STEADY)]
    if len(rounds) < ROUNDS or not all(tooMany(lostOf(each), len(each)) for each in rounds):
        return None
    # What came to another source is not lost.
    strays = sum(each.isOurs for each in seen.strays)
    lost, sent = lossOf(seen)
    lost = max(0, lost - strays)
    if not tooMany(lost, sent):
        return None
    shares = ", ".join(f"{lostOf(each) / len(each) * 100:.1f} %" for each in rounds)
    return Match(
        f"{lost} of {sent}, {percents(lost, sent)}",
        Confidence.LIKELY,
        evidence=[f"in each of {len(rounds)} rounds: {shares}", *_runs(seen)],
        hits=lost,
        tries=sent,
    )


def _runs(seen: Datagrams) -> list[str]:
    """Returns a line about losses in a row."""
    steady, follows = seen.of(STEADY), 0
    for one, more in pairwise(steady):
        follows += one.isLost and more.isLost
    lost = lostOf(steady)
    return [f"{follows} of {lost} were followed by another loss"] if follows else []


def _findBlackout(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = datagramsOf(evidence)
    blackouts = seen.blackouts if seen else []
    if seen is None or not blackouts:
        return None
    limit = limitOf(seen)
    if limit is not None:
        # Such a limiter loses runs, too, where more than its rate is sent.
        steady = [each for each in seen.of(STEADY) if limit.rate > 1.1 / INTERVAL]
        blackouts = [
            dark for dark in blackouts if any(dark.begin <= each.sent <= dark.end for each in steady)
        ]
    if not blackouts:
        return None
    longest = max(blackouts, key=lambda each: each.seconds)
    lines = [f"{each.lost} in a row, {each.seconds:.3g} s, at {each.begin:.1f} s" for each in blackouts[:5]]
    return Match(
        f"{plural(len(blackouts), 'time')}, up to {longest.seconds:.2g} s, in which every datagram was lost",
        Confidence.LIKELY,
        evidence=lines,
        hits=len(blackouts),
        tries=len(seen.sent),
    )


def _findFirstLost(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = datagramsOf(evidence)
    if seen is None:
        return None
    both = [firstsOf(each for each in seen.sent if each.phase == phase) for phase in (PORTS, FRESH)]
    if not all(each.areLost for each in both):
        return None
    lost, sources = sum(each.lost for each in both), sum(each.sources for each in both)
    later = f"{sum(each.laterLost for each in both)} of {sum(each.later for each in both)} later ones"
    return Match(
        f"of {lost} of {sources} sources",
        Confidence.LIKELY,
        evidence=[f"lost as well: {later}", f"with fresh sources again: {both[1].lost} of {both[1].sources}"],
        hits=lost,
        tries=sources,
    )


def _findFirstLate(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = datagramsOf(evidence)
    if seen is None:
        return None
    both = [firstsOf(each for each in seen.sent if each.phase == phase) for phase in (PORTS, FRESH)]
    if not all(each.areLate for each in both):
        return None
    late, sources = sum(each.late for each in both), sum(each.sources for each in both)
    longest = " and ".join(milliseconds(each.longest) for each in both)
    return Match(
        f"of {late} of {sources} sources, the median {longest}",
        Confidence.LIKELY,
        evidence=["later than all other answers of their source, in two rounds"],
        hits=late,
        tries=sources,
    )


LIMITED = Rule(
    "datagrams-limited",
    Severity.WARN,
    "the rate of datagrams is limited",
    "Above that rate datagrams are lost, whatever the application does.",
    "Fast trials lose more than slow ones, twice each, and what passes has the same rate.",
    "A service that limits its answers looks the same (ours: 1,000 a second, above what is tried).",
    _findLimited,
)
LOSSY = Rule(
    "datagrams-lost",
    Severity.WARN,
    "datagrams are lost",
    "Applications must send lost datagrams again, or do without them.",
    "More than 1 % of the datagrams of three rounds are lost, with 95 % confidence in each.",
    "An echo can't tell on which way they are lost.",
    _findLossy,
)
BLACKOUT = Rule(
    "datagrams-blackout",
    Severity.WARN,
    "every datagram is lost for a time",
    "Applications must wait, or send again later: several copies at once are lost together.",
    "A run of losses on all source ports that chance does not make at the loss of the other datagrams.",
    "A service that is restarted looks the same.",
    _findBlackout,
)
BYTES_LIMITED = Rule(
    "datagrams-limited-bytes",
    Severity.WARN,
    "datagrams are lost above a number of bytes a second",
    "Applications must send fewer or smaller datagrams: what comes faster is dropped.",
    "In two rounds, datagrams of 1,200 B are lost at 200 a second, and small ones are not at 400 a second.",
    "A slow line, which drops what does not fit into its queue, looks the same as a limiter.",
    _findBytesLimited,
)
FIRST_LOST = Rule(
    "datagrams-first-lost",
    Severity.WARN,
    "the first datagram of a source is lost",
    "The first question of every client needs a second try.",
    "First datagrams of sources are lost and later ones are not, again with fresh sources.",
    "Random losses: where more than a third of all is lost, it can't be told.",
    _findFirstLost,
)
FIRST_LATE = Rule(
    "datagrams-first-late",
    Severity.WARN,
    "the first answer of a source is late",
    "Time-outs of the first question must be longer.",
    "The first answer is by far the latest of its source for two thirds of them, again with fresh sources.",
    "A service that makes something for each new source looks the same.",
    _findFirstLate,
)
