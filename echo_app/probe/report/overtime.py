"""Pictures of a load over time: latencies, answers and errors.

Repeats stand side by side; where nothing was measured there is a gap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from math import ceil

from twisted.web.template import Tag

from echo_app.probe.report import svg
from echo_app.probe.report.scales import Linear, Logarithmic, Tick
from echo_app.probe.results.figures import DASHES, Subject, kindOf, perSecond, whole
from echo_app.probe.results.results import PARTS, Interval
from echo_app.probe.results.statistics import MEDIAN, Output, milliseconds, nameOf, shownIn
from echo_app.text import escaped

# Pixels: heights of the picture of latencies and of a row of errors, distances between rows and between
# labels.
_HEIGHT, _ROW, _BETWEEN, _LABEL = 200.0, 52.0, 34.0, 14.0

# Kinds of errors that have rows of their own: a peer can cause any number of kinds.
_KINDS = 7

# Numbers below a picture, over all repeats, at the most.
_NUMBERS = 12

# Repeats up to which a narrow screen has room for the word "repeat", and for the numbers of each repeat.
_SPELT, _ROOMY = 4, 6

# The share of a repeat from which on it is complete: its last interval may end a little early.
_WHOLE = 0.98

# Answers of a part of an interval, on average, below which parts are put together; and the share of a part
# that is too short to have a rate.
_FEW, _TINY = 10, 0.01

# How many times the usual rate the axis of the answers has, at the most.
_CUT = 2.0

# Units of the time axis: seconds from which on a unit is used, its seconds, and its name.
_UNITS = ((7200.0, 3600.0, "h"), (300.0, 60.0, "min"), (0.0, 1.0, "s"))


class Timeline:
    """The time axis of a subject: its repeats, one beside the other, each as wide as its duration."""

    def __init__(self, subject: Subject) -> None:
        self._runs = subject.runs
        ends = [each.end for run in self._runs for each in run.intervals]
        self._span = max([subject.results.settings.duration, *ends])
        self._isCrowded = len(self._runs) > _ROOMY
        _, self._unit, self._unitName = next(each for each in _UNITS if self._span >= each[0])

    def at(self, repeat: int, seconds: float) -> float:
        """Returns the position of a moment.

        :param repeat: index from 0.
        :param seconds: from the beginning of the repeat.
        """
        return (repeat + min(seconds / self._span, 1.0)) / len(self._runs)

    def intervals(self) -> Iterator[tuple[float, float, Interval, bool]]:
        """Yields each interval with the positions of its ends; True for the first of its repeat."""
        for repeat, run in enumerate(self._runs):
            for number, each in enumerate(run.intervals):
                yield self.at(repeat, each.start), self.at(repeat, each.end), each, not number

    def answers(self) -> Iterator[tuple[float, float, Interval, bool]]:
        """Yields answers as they came, as :meth:`intervals` does: in tenths, or larger parts if few came."""
        every = [each for run in self._runs for each in run.intervals]
        mean = sum(sum(each.came) for each in every) / (PARTS * len(every) or 1)
        parts = next((PARTS // n for n in (1, 2, 5) if mean * n >= _FEW), 1)
        for repeat, run in enumerate(self._runs):
            width = max((each.seconds for each in run.intervals), default=0.0) / parts
            cut = [part for each in run.intervals for part in _partsOf(each, parts, width)]
            for number, each in enumerate(cut):
                yield self.at(repeat, each.start), self.at(repeat, each.end), each, not number

    def steps(
        self,
        value: Callable[[Interval], float | None],
        down: Callable[[float], float],
        isAnswers: bool = False,
    ) -> str:
        """Returns the path of a line: level within each interval, with a gap where there is no value.

        :param isAnswers: the intervals are those of :meth:`answers`.
        """
        drawn, isBroken = [], True
        for start, end, each, isFirst in self.answers() if isAnswers else self.intervals():
            found = value(each)
            if found is not None:
                drawn.append(svg.step(start, end, down(found), isBroken or isFirst))
            isBroken = found is None
        return "".join(drawn)

    def ticks(self) -> list[Tick]:
        """Returns the labels of the axis, which begin again with each repeat."""
        count = len(self._runs)
        found = Linear(self._span / self._unit).ticks(max(1, _NUMBERS // count))
        return [
            Tick((repeat + tick.at) / count, "" if self._isCrowded else tick.text, bool(number % 2))
            for repeat in range(count)
            for number, tick in enumerate(found)
            # The label of the next repeat's beginning is there.
            if tick.at < 0.95 or repeat == count - 1
        ]

    def marks(self, height: float) -> list[Tag]:
        """Returns the edges and names of the repeats, and a shade where one of them ended too early."""
        count = len(self._runs)
        drawn = []
        for n, run in enumerate(self._runs):
            end = max((each.end for each in run.intervals), default=0.0)
            if end < self._span * _WHOLE:
                drawn.append(svg.shade((self.at(n, end), self.at(n, self._span)), height))
        if count > 1:
            drawn += [svg.rule((n / count, n / count), (0, height), "edge") for n in range(1, count)]
            every = ceil(count / _NUMBERS)
            for n in range(0, count, every):
                words = svg.element("tspan", "repeat ", class_="word" if count <= _SPELT else "minor")
                number = svg.element("tspan", "" if self._isCrowded else words, str(n + 1))
                isMinor = self._isCrowded and n // every % 2
                kind = "strong minor" if isMinor else "strong"
                drawn.append(svg.label(number, (n + 0.5) / count, height + svg.SECOND, "middle", class_=kind))
        return drawn

    def axis(self, height: float) -> Tag:
        """Returns the title of the axis."""
        which, down = ("each repeat", svg.THIRD) if len(self._runs) > 1 else ("the measured part", svg.SECOND)
        words = f"{self._unitName} since {which} began"
        if self._isCrowded:
            words = f"repeats, of {self._span / self._unit:.3g} {self._unitName} each"
        return svg.label(words, 1, height + down, "end")


def _partsOf(interval: Interval, parts: int, width: float) -> Iterator[Interval]:
    """Yields equal parts of an interval with the answers that came in them; the last one may be shorter."""
    if not interval.came:
        yield interval
        return
    each = PARTS // parts
    for number in range(parts):
        seconds = min(width, interval.seconds - number * width)
        if seconds > width * _TINY:
            count = sum(interval.came[number * each : (number + 1) * each])
            yield Interval(interval.start + number * width, seconds, count)


def latencyOverTime(subjects: Sequence[Subject]) -> list[svg.Picture]:
    """Draws percentiles and the maximum of each interval: a picture for each subject, on one scale."""
    every = [each for subject in subjects for run in subject.runs for each in run.intervals]
    scale = Logarithmic.of(seconds for each in every for seconds in (*each.percentiles.values(), each.most))
    return [_latency(subject, n, scale) for n, subject in enumerate(subjects)]


def latencyLegend() -> str:
    """Names the lines: ``solid: p50, dashed: p99, dots: the longest``."""
    lines = [
        f"{DASHES[number % len(DASHES)]}: {nameOf(percent)}"
        for number, percent in enumerate(shownIn(Output.OVER_TIME))
    ]
    return ", ".join([*lines, "dots: the longest"])


def _latency(subject: Subject, index: int, scale: Logarithmic) -> svg.Picture:
    timeline, colour = Timeline(subject), kindOf(index).split()[-1]

    def down(seconds: float) -> float:
        return _HEIGHT * (1 - scale.at(seconds))

    paths, ends = [], []
    for number, percent in enumerate(shownIn(Output.OVER_TIME)):

        def value(interval: Interval, percent: float = percent) -> float | None:
            return interval.percentiles.get(percent)

        paths.append(svg.path(timeline.steps(value, down), f"line dash{number % len(DASHES)} {colour}"))
        ends += [(nameOf(percent), end, y) for end, y in _last(timeline, value, down)]
    longest = [(start, end, down(each.most)) for start, end, each, _ in timeline.intervals() if each.most]
    dots = "".join(f"{svg.polyline([((start + end) / 2, y)])}h0" for start, end, y in longest)
    paths.append(svg.path(dots, f"line dots {colour}"))
    ends += [("max", end, y) for end, y in _last(timeline, lambda each: each.most or None, down)]
    downs = svg.apart([y for _, _, y in ends], _LABEL, _HEIGHT)
    labels = [
        svg.label(words, x, y + 4, dx=5, class_=f"key {colour}")
        for (words, x, _), y in zip(ends, downs, strict=True)
    ]
    grid = svg.frame(timeline.ticks(), scale.ticks(), _HEIGHT, "latency, on a logarithmic axis")
    return svg.Picture(
        f"Latency over time: {subject.name}",
        _saidOfLatency(subject),
        _HEIGHT,
        [*grid, *timeline.marks(_HEIGHT), timeline.axis(_HEIGHT), svg.stretched(_HEIGHT, *paths), *labels],
    )


def _last(
    timeline: Timeline, value: Callable[[Interval], float | None], down: Callable[[float], float]
) -> list[tuple[float, float]]:
    """Returns the position of a line's end; nothing if there is no line."""
    ends = [
        (end, down(found)) for _, end, each, _ in timeline.intervals() if (found := value(each)) is not None
    ]
    return ends[-1:]


def _saidOfLatency(subject: Subject) -> str:
    every = [each for run in subject.runs for each in run.intervals]
    if not any(each.most for each in every):
        return "Nothing was answered."
    slowest = max(every, key=lambda each: each.most)
    medians = [each.percentiles[MEDIAN] for each in every if MEDIAN in each.percentiles]
    between = (
        f"Medians from {milliseconds(min(medians))} to {milliseconds(max(medians))}. " if medians else ""
    )
    longest = f"The longest is {milliseconds(slowest.most)}, {slowest.start:g} s after its repeat began."
    return between + longest


def answersAndErrors(subjects: Sequence[Subject]) -> list[svg.Picture]:
    """Draws answers a second, and below them errors by kind: a picture for each subject."""
    rates = [_rate(each) for subject in subjects for _, _, each, _ in Timeline(subject).answers()]
    most, usual = max(rates, default=0.0), sorted(rates)[int(0.9 * len(rates))] if rates else 0.0
    # The burst after an outage may be ten times as high as the rest, which would be a flat line then.
    top = min(most, _CUT * usual) or most
    return [_rows(subject, n, most, top) for n, subject in enumerate(subjects)]


def _rate(interval: Interval) -> float:
    return interval.answered / interval.seconds if interval.seconds else 0.0


def _rows(subject: Subject, index: int, fastest: float, top: float) -> svg.Picture:
    timeline, colour = Timeline(subject), kindOf(index).split()[-1]
    kinds = _errorKinds(subject)
    height = _ROW * (1 + len(kinds)) + _BETWEEN * len(kinds)
    scale = Linear(top)
    line = timeline.steps(_rate, lambda value: _ROW * (1 - scale.at(value)), isAnswers=True)
    drawn = [
        *svg.frame([], scale.ticks(2), _ROW, "answers that came, a second"),
        svg.stretched(_ROW, svg.path(line, f"line dash0 {colour}")),
    ]
    for number, (kind, names) in enumerate(kinds.items(), 1):
        drawn += _errorRow(
            timeline, f"{kind}, a second, by when they were due", names, number * (_ROW + _BETWEEN)
        )
    below = [svg.rule((tick.at, tick.at), (0, height)) for tick in timeline.ticks()]
    numbers = svg.frame(timeline.ticks(), [], 0, y=height)
    return svg.Picture(
        f"Answers and errors over time: {subject.name}",
        f"{perSecond(fastest)} at most in an interval. {_saidOfErrors(subject)}",
        height,
        [*below, *timeline.marks(height), *drawn, *numbers, timeline.axis(height)],
    )


def _errorRow(timeline: Timeline, title: str, kinds: Sequence[str], y: float) -> list[Tag]:
    counted = [
        (start, end, sum(each.errors.get(kind, 0) for kind in kinds) / (each.seconds or 1))
        for start, end, each, _ in timeline.intervals()
    ]
    scale = Linear(max((value for _, _, value in counted), default=0.0))
    bars = [svg.bar(start, end, _ROW * (1 - scale.at(value)), _ROW) for start, end, value in counted if value]
    path = svg.path("".join(bars), "bars bad")
    return [*svg.frame([], scale.ticks(2), _ROW, title, y), svg.stretched(_ROW, path, y=y)]


def _errorKinds(subject: Subject) -> dict[str, list[str]]:
    """Returns the kinds of error of each row, by its title, the most frequent first."""
    counts: Counter[str] = Counter()
    for run in subject.runs:
        for each in run.intervals:
            counts.update(each.errors)
    kinds = [kind for kind, count in counts.most_common() if count]
    named = {escaped(kind): [kind] for kind in kinds[:_KINDS]}
    return named | ({"other kinds": kinds[_KINDS:]} if len(kinds) > _KINDS else {})


def errorCounts(subject: Subject) -> Counter[str]:
    """Returns the number of errors of each kind in all repeats; the kinds are escaped."""
    counts: Counter[str] = Counter()
    for run in subject.runs:
        counts.update({escaped(kind): count for kind, count in run.errors.items() if count})
    return counts


def _saidOfErrors(subject: Subject) -> str:
    said = (f"{whole(count)} {kind}" for kind, count in errorCounts(subject).most_common())
    return f"Errors: {', '.join(said) or 'none'}."
