"""Losses by source port: ports that lose datagrams, beside ports that lose none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from echo_app.probe.checks.udprecord import PORTS, UNEQUAL, Datagrams, lostOf
from echo_app.probe.results.statistics import interval

# Losses of a port, without its first datagram, by which it is suspected: one may be any port's.
SUSPECTED = 2

# Ports of each kind that are tried again at the most, and datagrams from each: so that a tenth is told from
# none.
TRIED, PER_PORT = 8, 20

# How many times more the suspected ports lose in the second round, between the ends of the 95 % intervals.
TIMES = 2.0


@dataclass(frozen=True, slots=True)
class Suspects:
    """Source ports by their losses in the first round.

    :param lossy: the numbers of the sources that lost some datagrams, and not all.
    :param clean: the numbers of those that lost none.
    """

    lossy: Sequence[int] = ()
    clean: Sequence[int] = ()

    @property
    def tried(self) -> list[int]:
        """The sources that are tried again: as many of each kind, if there are as many."""
        return [*self.lossy[:TRIED], *self.clean[:TRIED]] if self.lossy and self.clean else []


@dataclass(frozen=True, slots=True)
class Unequal:
    """Losses of both kinds of ports in the second round.

    :param suspects: the ports of both kinds.
    :param lossy: datagrams of the lossy ports that were lost, and sent.
    :param clean: the same of the others.
    """

    suspects: Suspects
    lossy: tuple[int, int]
    clean: tuple[int, int]


def suspectsIn(seen: Datagrams) -> Suspects:
    """Returns the source ports that lost some datagrams in the first round, and those that lost none."""
    lost: dict[int, list[bool]] = {}
    for each in seen.of(PORTS):
        # What becomes of the first datagram of a source has rules of its own.
        if each.phase == PORTS and each.index:
            lost.setdefault(each.source, []).append(each.isLost)
    lossy = [source for source, fates in lost.items() if SUSPECTED <= sum(fates) < len(fates)]
    clean = [source for source, fates in lost.items() if not any(fates)]
    # Chance gives the ports that lost most to the second round; it does not repeat that.
    return Suspects(sorted(lossy, key=lambda source: -sum(lost[source])), clean)


def unequalIn(seen: Datagrams) -> Unequal | None:
    """Returns the losses of a second round, if the suspected ports lose far more again."""
    again = seen.of(UNEQUAL)
    if not again:
        return None
    suspects = suspectsIn(seen)
    (hits, tries), (others, rest) = (
        (lostOf(sent), len(sent))
        for sent in (
            [each for each in again if each.source in sources] for sources in (suspects.lossy, suspects.clean)
        )
    )
    if not tries or not rest or interval(hits, tries)[0] <= TIMES * interval(others, rest)[1]:
        return None
    return Unequal(suspects, (hits, tries), (others, rest))
