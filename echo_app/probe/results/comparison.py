"""Comparison of results: do two differ by more than the repeats of each?

A difference within the spread between repeats is none. More exactly, of the repeats of two results:

- Of one repeat alone nothing can be said; nor of a figure that not every repeat can state, such as a far
  percentile, since it is the fast ones that can.
- Where the two ranges, from the lowest repeat to the highest, overlap, or are less than a hundredth of the
  first one's median apart, there is no difference.
- Where they do not, chance may have done it: three and three repeats of the same thing are ranges that
  don't overlap in 10 % of the cases, as two of the 20 ways to deal them do that (2 / C(6, 3)). So the ranges
  must be further apart than the wider one is wide, unless there are so many repeats that chance does it in
  less than a hundredth of the cases, as with five and five (2 / C(10, 5) = 0.8 %).
- With two repeats that would be no proof either (9 % of the cases): it takes three.

How often it cries wolf was simulated: seven figures of two results of the same thing, 2,000 lognormal
latencies a repeat, with a few stalls by chance, and repeats whose speeds differ by 3 % or 20 % (standard
deviation of the logarithm); 4,000 pairs each. One of the seven was called different in 3.4 to 4.7 % of the
pairs with three repeats each, in less than 0.5 % with four, in 2.5 to 3.2 % with five, and in none of 2,000
with ten; a single figure in less than 1 %, always. That holds while repeats are like each other. On a
machine whose speed drifts (a random walk of 10 % from each repeat to the next) it is 22 % with five repeats
of one and then five of the other, and 1.7 % when they take turns, as the targets of one command do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from enum import Enum
from statistics import median

from echo_app.probe.results.figures import FIGURES, Figure, Subject
from echo_app.probe.results.results import LoadSettings

# Repeats of each result that a certain difference needs.
ENOUGH = 3

# The probability of ranges that do not overlap by chance, above which they must be far apart as well.
CHANCE = 0.01

# The share of a figure below which a difference is none: a histogram tells apart a thousandth, and one per
# cent is no reason to take another server.
SLIGHT = 0.01


class Verdict(Enum):
    """The result of a comparison of one figure."""

    NONE = "none"
    LOWER = "lower"
    HIGHER = "higher"
    UNKNOWN = "unknown"


def verdict(first: Sequence[float], other: Sequence[float]) -> Verdict:
    """Compares the repeats of a result with those of the first one, by the rule above.

    :param first: a figure of each repeat, in any order.
    """
    fewest = min(len(first), len(other))
    if fewest < 2:
        return Verdict.UNKNOWN
    above, below = min(other) - max(first), min(first) - max(other)
    gap = max(above, below)
    if gap <= 0 or gap <= SLIGHT * abs(median(first)):
        return Verdict.NONE
    if fewest < ENOUGH:
        return Verdict.UNKNOWN
    wider = max(max(first) - min(first), max(other) - min(other))
    if 2 / math.comb(len(first) + len(other), len(first)) > CHANCE and gap <= wider:
        return Verdict.NONE
    return Verdict.HIGHER if above > 0 else Verdict.LOWER


@dataclass(frozen=True, slots=True)
class FigureDifference:
    """The difference of a figure between a subject and the first one.

    :param change: of the median, as a share of the first one's median; None where that is 0.
    :param word: ``worse`` or ``better``, where the difference is certain and the figure has a better end.
    """

    verdict: Verdict
    change: float | None
    word: str = ""

    def __str__(self) -> str:
        if self.verdict is Verdict.NONE:
            return "none"
        isBare = self.word or self.verdict is Verdict.UNKNOWN
        said = percent(self.change) if self.change is not None else "" if isBare else self.verdict.value
        return f"{said} {'(?)' if self.verdict is Verdict.UNKNOWN else self.word}".strip()

    def data(self) -> dict[str, object]:
        """Returns the difference for JSON."""
        return {"verdict": self.verdict.value, "change": self.change, "is": self.word}


def difference(figure: Figure, first: Subject, other: Subject) -> FigureDifference | None:
    """Returns the difference of a figure; None where one of the two subjects can't state it."""
    before, after = first.values(figure), other.values(figure)
    if not (before and after):
        return None
    isStated = (len(before), len(after)) == (len(first.counted), len(other.counted))
    said = verdict(before, after) if isStated else Verdict.UNKNOWN
    base = median(before)
    isCertain = said in (Verdict.LOWER, Verdict.HIGHER) and figure.isBetter
    word = ("better" if said.value == figure.isBetter else "worse") if isCertain else ""
    return FigureDifference(said, (median(after) - base) / base if base else None, word)


def percent(share: float) -> str:
    """Formats a change: ``+12 %``, ``-3.4 %``, ``x8.2``."""
    if share >= 1:
        return f"x{share + 1:.3g}" if share < 99 else f"x{share + 1:,.0f}"
    value = share * 100
    return f"{value:+.0f} %" if abs(value) >= 10 else f"{value:+.1f} %"


def unlike(first: LoadSettings, other: LoadSettings) -> tuple[str, str, str] | None:
    """Returns the first setting that differs, as its name and two values; None where all are equal."""
    for each in fields(LoadSettings):
        before, after = getattr(first, each.name), getattr(other, each.name)
        if before != after:
            return each.name, _value(before), _value(after)
    return None


def _value(value: object) -> str:
    """Formats a setting's value: ``none``, ``200``, ``64:1,1024:3``."""
    if isinstance(value, tuple):
        return ",".join(f"{size}:{weight:g}" for size, weight in value)
    return "none" if value is None else f"{value:,g}" if isinstance(value, float) else str(value)


def comparison(subjects: Sequence[Subject]) -> dict[str, object]:
    """Returns the comparison of subjects with the first one, for JSON."""
    first = subjects[0]
    return {
        "format": "echo-probe compare 1",
        "settings": asdict(first.results.settings),
        "subjects": [
            {
                "key": each.key,
                "source": each.source,
                "label": each.results.label,
                "target": each.runs[0].target,
                "repeats": len(each.runs),
            }
            for each in subjects
        ],
        "figures": [_figureData(figure, subjects) for figure in FIGURES],
    }


def _figureData(figure: Figure, subjects: Sequence[Subject]) -> dict[str, object]:
    differences = {each.key: difference(figure, subjects[0], each) for each in subjects[1:]}
    return {
        "name": figure.name,
        "values": {each.key: each.values(figure) for each in subjects},
        "differences": {key: each and each.data() for key, each in differences.items()},
    }
