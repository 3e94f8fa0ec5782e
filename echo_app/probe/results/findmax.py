"""Search for the highest rate at which conditions hold; the search itself does no I/O.

The rate doubles until a step does not hold, and is then bisected, until the lowest rate that did not hold is
at most 5 % above the highest rate that did. A step whose messages the probe itself could not send in time
says nothing about the service: it is not examined, and ends the search upwards like one that fails.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from enum import Enum
from math import ceil, sqrt

from echo_app.probe.results.conditions import Condition
from echo_app.probe.results.figures import perSecond, whole
from echo_app.probe.results.results import DEVIATIONS, EXACT, LoadSettings, Results, Run, isOwn
from echo_app.probe.results.statistics import ABOVE

# The ratio of two successive rates on the way up or down, and of the two rates at which the search ends.
GROWTH, PRECISION = 2.0, 1.05

# The lowest and the highest rate, in messages a second.
SLOWEST, FASTEST = 0.1, 1e7

# The first rate, in messages a second, unless more are needed to state a percentile.
FIRST = 100.0

# Messages of the first rate above those that a percentile needs: their number is random.
_SPARE = 1.25


class StepVerdict(Enum):
    """The result of a step; the text is printed."""

    HOLDS = "holds"
    FAILS = "fails"
    # The probe was the bottleneck.
    NOT_EXAMINED = "not examined"
    # There are too few answers for a figure.
    NOT_STATED = "not stated"


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the search.

    :param reason: why it does not hold; empty where it does.
    """

    results: Results
    verdict: StepVerdict
    reason: str = ""

    @property
    def rate(self) -> float:
        """The rate that was asked for, in messages a second."""
        return self.results.settings.rate or 0.0


def judge(conditions: Sequence[Condition], results: Results) -> Step:
    """Judges a step by its figures.

    A step that holds while the probe was late does hold: the probe's share only makes latencies longer.

    :param conditions: that must hold.
    :param results: of the step, at one target.
    """
    runs, settings = results.runs, results.settings
    values = [(each, each.value(runs, settings)) for each in conditions]
    reasons = [_unserved(runs, settings)]
    reasons += [each.textOf(value) for each, value in values if value is not None and not each.holds(value)]
    missing = [each.textOf(None) for each, value in values if value is None]
    if not any(reasons) and not missing:
        return Step(results, StepVerdict.HOLDS)
    reason = "; ".join(filter(None, [*reasons, *missing]))
    if any(run.isProbeLate or _isOwn(conditions, run, settings) for run in runs):
        return Step(results, StepVerdict.NOT_EXAMINED, f"the probe was the limit ({reason})")
    return Step(results, StepVerdict.FAILS if any(reasons) else StepVerdict.NOT_STATED, reason)


def _isOwn(conditions: Sequence[Condition], run: Run, settings: LoadSettings) -> bool:
    """Says whether a figure that does not hold is partly the probe's own, by the rule of a late probe."""
    for each in conditions:
        value, own = each.value([run], settings), each.ownShare(run)
        if value is not None and not each.holds(value) and isOwn(own, value):
            return True
    return False


def _unserved(runs: Sequence[Run], settings: LoadSettings) -> str:
    """Returns a reason if the rate was not sent, or errors came; empty otherwise."""
    errors = sum(sum(run.errors.values()) for run in runs)
    if errors:
        return f"{whole(errors)} of {whole(sum(run.due for run in runs))} messages failed"
    for run in runs:
        expected = settings.meanRate * run.seconds
        chance = DEVIATIONS / sqrt(expected) if settings.arrivals == "poisson" else 1 / expected
        if run.sent < expected * (1 - max(EXACT, chance)):
            return f"{perSecond(run.sent / run.seconds)} were sent"
        if run.growth > EXACT:
            return f"latencies grew by {run.growth:.2g} s a second"
    return ""


def firstRate(conditions: Sequence[Condition], duration: float) -> float:
    """Returns a first rate that has enough answers for every percentile of the conditions.

    :param duration: seconds of a step.
    """
    shares = [share for each in conditions if (share := each.shareAbove)]
    needed = max((ABOVE / share for share in shares), default=0.0)
    # Rounded first, as the share above p99.9 is no binary number.
    return max(FIRST, ceil(round(_SPARE * needed / duration, 6)))


def ratesOf(first: float) -> Generator[float, StepVerdict, None]:
    """Yields the rate of each step, and is sent its verdict."""
    low = high = 0.0
    rate = first
    while SLOWEST <= rate <= FASTEST:
        verdict = yield rate
        if verdict is StepVerdict.HOLDS:
            low = rate
        elif verdict is StepVerdict.NOT_STATED:
            # A lower rate has still fewer answers.
            return
        else:
            high = rate
        if low and high:
            if high / low <= PRECISION:
                return
            rate = float(f"{sqrt(low * high):.3g}")
        else:
            rate = rate * GROWTH if low else rate / GROWTH
