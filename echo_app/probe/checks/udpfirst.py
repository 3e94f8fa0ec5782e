"""The first datagram of each source, compared with the later ones of the same source."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from echo_app.probe.checks.udpsource import Datagram
from echo_app.probe.results.statistics import interval

# How many times slower than the slowest later one of its source a late first datagram is, and seconds.
LATE_FACTOR, LATE_SECONDS = 2.0, 0.005

# The share of sources whose first datagram is lost, or late.
SHARE_LOST, SHARE_LATE = 0.5, 2 / 3

# Sources, at the least, to conclude anything.
FEW = 3


@dataclass(frozen=True, slots=True)
class Firsts:
    """The fates of first datagrams.

    :param sources: those that were answered at all.
    :param lost: sources whose first datagram was lost.
    :param laterLost: later datagrams of all sources that were lost.
    :param late: sources whose first answer was later than all others, by far.
    :param longest: seconds of the median of the late answers.
    """

    sources: int = 0
    lost: int = 0
    later: int = 0
    laterLost: int = 0
    late: int = 0
    longest: float = 0.0

    @property
    def areLost(self) -> bool:
        """Says whether the first datagrams are lost more often than the later ones."""
        isMore = interval(self.lost, self.sources)[0] > interval(self.laterLost, self.later)[1]
        return self.sources >= FEW and isMore and self.lost >= self.sources * SHARE_LOST

    @property
    def areLate(self) -> bool:
        """Says whether the first answers of most sources are the latest."""
        return self.sources >= FEW and self.late >= self.sources * SHARE_LATE

    @property
    def isStriking(self) -> bool:
        """Says whether the first datagrams have another fate than the later ones."""
        return self.areLost or self.areLate


def firstsOf(datagrams: Iterable[Datagram]) -> Firsts:
    """Compares the first datagrams of some sources with the later ones."""
    bySource: dict[int, list[Datagram]] = {}
    for each in datagrams:
        bySource.setdefault(each.source, []).append(each)
    pairs = [(each[0], each[1:]) for each in bySource.values() if not all(one.isLost for one in each[1:])]
    late = sorted(first.roundTrip or 0 for first, later in pairs if _isLate(first, later))
    return Firsts(
        len(pairs),
        sum(first.isLost for first, _ in pairs),
        sum(len(later) for _, later in pairs),
        sum(each.isLost for _, later in pairs for each in later),
        len(late),
        late[len(late) // 2] if late else 0.0,
    )


def _isLate(first: Datagram, later: Iterable[Datagram]) -> bool:
    longest = max((each.roundTrip for each in later if each.roundTrip is not None), default=None)
    trip = first.roundTrip
    return (
        trip is not None and longest is not None and trip > max(longest * LATE_FACTOR, longest + LATE_SECONDS)
    )
