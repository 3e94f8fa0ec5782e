"""Picture of the latency at every percentile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from echo_app.probe.report.scales import Logarithmic, Nines
from echo_app.probe.report.svg import SECOND, Picture, Point, apart, frame, label, path, polyline, stretched
from echo_app.probe.results.figures import Subject, kindOf
from echo_app.probe.results.results import Run
from echo_app.probe.results.statistics import ABOVE, MEDIAN, Output, milliseconds, percentileTexts, shownIn

# Points of a curve for each nine: they are closer than the eye can see.
_DENSITY = 100

# Pixels of the picture's height, and between two letters below each other.
_HEIGHT, _LETTER = 300.0, 15.0


@dataclass(frozen=True, slots=True)
class _Line:
    """The line of a repeat.

    :param marked: the times at the percentiles of the axis, as the tables have them.
    """

    name: str
    kind: str
    points: list[Point]
    marked: dict[float, float]


def percentileCurve(subjects: Sequence[Subject]) -> Picture | None:
    """Draws the percentiles that have ten answers above them, with a line for each repeat.

    :return: None when there are too few answers for a median.
    """
    curves = [[(run, curve) for run in each.runs if (curve := _curve(run))] for each in subjects]
    every = [curve for each in curves for _, curve in each]
    if not every:
        return None
    across = Nines(max(percent for curve in every for percent in curve))
    down = Logarithmic.of(seconds for curve in every for seconds in curve.values())

    def points(curve: dict[float, float]) -> list[Point]:
        return [(across.at(percent), _HEIGHT * (1 - down.at(value))) for percent, value in curve.items()]

    drawn = [
        _Line(
            f"{subject.key}{number}" if len(subject.runs) > 1 else subject.key,
            # Repeats that are alone are told apart as subjects are.
            kindOf(number - 1 if len(subjects) == 1 else n),
            points(curve),
            run.latency.percentiles(shownIn(Output.AXIS)),
        )
        for n, (subject, each) in enumerate(zip(subjects, curves, strict=True))
        for number, (run, curve) in enumerate(each, 1)
    ]
    paths = [path(polyline(line.points), f"line {line.kind}") for line in drawn]
    for line in drawn:
        dots = "".join(f"{polyline([place])}h0" for place in points(line.marked))
        paths.append(path(dots, f"marks line {line.kind.split()[-1]}"))
    downs = apart([line.points[-1][1] for line in drawn], _LETTER, _HEIGHT)
    letters = [
        label(line.name, line.points[-1][0], y + 4, dx=6, class_=f"key {line.kind}")
        for line, y in zip(drawn, downs, strict=True)
    ]
    if len(every) == 1:
        letters += [
            label(milliseconds(value), across.at(percent), _HEIGHT * (1 - down.at(value)) - 8, "end")
            for percent, value in drawn[0].marked.items()
        ]
    axis = label("percentile of the answers", 1, _HEIGHT + SECOND, "end")
    grid = frame(across.ticks(), down.ticks(), _HEIGHT, "latency, on a logarithmic axis")
    description = " ".join(_said(each) for each in subjects)
    return Picture(
        "Latency by percentile", description, _HEIGHT, [*grid, axis, stretched(_HEIGHT, *paths), *letters]
    )


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
