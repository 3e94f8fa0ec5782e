"""Picture of the latency at every percentile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from echo_app.probe.report.scales import Logarithmic, Nines
from echo_app.probe.report.svg import SECOND, Picture, Point, apart, frame, label, path, polyline, stretched
from echo_app.probe.results.figures import Subject, kindOf
from echo_app.probe.results.results import Run
from echo_app.probe.results.statistics import ABOVE, MEDIAN, Output, milliseconds, percentileTexts, shownIn

# Points of a curve for each nine: they are closer than the eye can see.
_DENSITY = 100

# The difference below which two percentiles are the same.
_ROUNDING = 1e-9

# Pixels of the picture's height, and between two letters below each other.
_HEIGHT, _LETTER = 300.0, 15.0


def percentileCurve(subjects: Sequence[Subject]) -> Picture | None:
    """Draws the percentiles that have ten answers above them, with a line for each repeat.

    :return: None when there are too few answers for a median.
    """
    curves = [[curve for run in each.runs if (curve := _curve(run))] for each in subjects]
    every = [curve for each in curves for curve in each]
    if not every:
        return None
    across = Nines(max(percent for curve in every for percent in curve))
    down = Logarithmic.of(seconds for curve in every for seconds in curve.values())

    def points(curve: dict[float, float]) -> list[Point]:
        return [(across.at(percent), _HEIGHT * (1 - down.at(value))) for percent, value in curve.items()]

    lines = [[points(curve) for curve in each] for each in curves]
    paths = [path(polyline(line), f"line {kindOf(n)}") for n, each in enumerate(lines) for line in each]
    paths += [
        path(_dots(curve, across, down), f"dots line {kindOf(n).split()[-1]}")
        for n, each in enumerate(curves)
        for curve in each
    ]
    named = [
        (f"{subjects[n].key}{number}" if len(subjects[n].runs) > 1 else subjects[n].key, n, line[-1])
        for n, each in enumerate(lines)
        for number, line in enumerate(each, 1)
    ]
    downs = apart([y for _, _, (_, y) in named], _LETTER, _HEIGHT)
    letters = [
        label(name, x, y + 4, dx=6, class_=f"key {kindOf(n)}")
        for (name, n, (x, _)), y in zip(named, downs, strict=True)
    ]
    if len(every) == 1:
        letters += [
            label(milliseconds(value), across.at(percent), _HEIGHT * (1 - down.at(value)) - 8, "end")
            for percent, value in _marked(every[0]).items()
        ]
    axis = label("percentile of the answers", 1, _HEIGHT + SECOND, "end")
    grid = frame(across.ticks(), down.ticks(), _HEIGHT, "latency, on a logarithmic axis")
    description = " ".join(_said(each) for each in subjects)
    return Picture(
        "Latency by percentile", description, _HEIGHT, [*grid, axis, stretched(_HEIGHT, *paths), *letters]
    )


def _marked(curve: dict[float, float]) -> dict[float, float]:
    """Returns the values at the percentiles of the axis."""
    values = list(curve.items())
    return {
        percent: next(value for each, value in values if each >= percent - _ROUNDING)
        for percent in shownIn(Output.AXIS)
        if percent <= values[-1][0] + _ROUNDING
    }


def _dots(curve: dict[float, float], across: Nines, down: Logarithmic) -> str:
    """Returns the path of the dots at the percentiles of the axis."""
    places = [
        (across.at(percent), _HEIGHT * (1 - down.at(value))) for percent, value in _marked(curve).items()
    ]
    return "".join(f"{polyline([place])}h0" for place in places)


def _curve(run: Run) -> dict[float, float]:
    """Returns times by percentile; none when there are too few answers for a median."""
    if run.latency.percentile(MEDIAN) is None:
        return {}
    last = math.log10(len(run.latency) / ABOVE)
    return run.latency.percentiles(
        [100 - 100 * 10 ** (-n / _DENSITY) for n in range(int(last * _DENSITY) + 1)]
    )


def _said(subject: Subject) -> str:
    repeats = [run.latency.percentiles() for run in subject.runs]
    shared = [percent for percent in repeats[0] if all(percent in each for each in repeats)]
    medians = {percent: median([each[percent] for each in repeats]) for percent in shared}
    said = ", ".join(percentileTexts(medians)) or "too few answers"
    return f"{subject.key}, {subject.name}: {said}."
