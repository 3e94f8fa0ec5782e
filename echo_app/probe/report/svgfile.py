"""Pictures of a load as SVG files, for documents."""

from __future__ import annotations

from collections.abc import Sequence

from echo_app.probe.report.overtime import latencyOverTime
from echo_app.probe.report.percentilecurve import percentileCurve
from echo_app.probe.report.svg import keyLine, standAlone
from echo_app.probe.results.figures import kindOf, subjects
from echo_app.probe.results.results import Results


def percentileSvg(results: Sequence[Results], names: Sequence[str] = ()) -> str:
    """Returns the percentile curves of results in one picture.

    :param names: of the results, for the key; by default they are numbered.
    :raise ValueError: when there are too few answers for a curve.
    """
    compared = subjects(results, names)
    picture = percentileCurve(compared)
    if picture is None:
        raise ValueError("too few answers for a median")
    keys = [keyLine(each.key, kindOf(index), each.name) for index, each in enumerate(compared)]
    return standAlone([picture], [keys])


def latencySvg(results: Sequence[Results], names: Sequence[str] = ()) -> str:
    """Returns the latencies over time: pictures below each other, on one scale.

    :param names: of the results; by default they are numbered.
    """
    return standAlone(latencyOverTime(subjects(results, names)))
