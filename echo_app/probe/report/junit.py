"""Test cases as JUnit XML, the form that build servers read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from echo_app.probe.results.comparison import Verdict, difference
from echo_app.probe.results.figures import FIGURES, Figure, Subject, summary
from echo_app.probe.results.results import Run
from echo_app.text import escaped, plural


@dataclass(frozen=True, slots=True)
class Case:
    """A test case. At most one of the three texts is not empty.

    :param failure: the finding.
    :param error: why there is no result.
    :param skipped: why nothing can be told.
    """

    name: str
    failure: str = ""
    error: str = ""
    skipped: str = ""


def junit(suite: str, cases: Sequence[Case], seconds: float = 0.0) -> str:
    """Returns the file of a suite.

    :param suite: its name, such as ``load``.
    :param seconds: the time that was measured.
    """
    counts = {
        "tests": len(cases),
        "failures": sum(bool(each.failure) for each in cases),
        "errors": sum(bool(each.error) for each in cases),
        "skipped": sum(bool(each.skipped) for each in cases),
    }
    attributes = {"name": f"echo-probe {suite}", **{name: str(count) for name, count in counts.items()}}
    root = Element("testsuites")
    element = SubElement(root, "testsuite", {**attributes, "time": f"{seconds:.3f}"})
    for each in cases:
        case = SubElement(
            element, "testcase", {"classname": f"echo-probe.{suite}", "name": escaped(each.name)}
        )
        for kind in ("failure", "error", "skipped"):
            if message := getattr(each, kind):
                SubElement(case, kind, {"message": escaped(message)})
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def answered(where: str, runs: Sequence[Run], isTolerant: bool = False) -> Case:
    """Returns the case of the answers of some runs.

    :param where: the target or the subject.
    :param isTolerant: errors are no failure, as a condition says how many there may be.
    """
    silent = sum(not run.answered for run in runs)
    wrong = sum(bool(run.differences) for run in runs)
    errors: dict[str, int] = {}
    for run in runs:
        for kind, count in run.errors.items():
            errors[kind] = errors.get(kind, 0) + count
    said = [f"nothing was answered in {plural(silent, 'run')}"] if silent else []
    said += [f"other bytes than were sent in {plural(wrong, 'run')}"] if wrong else []
    said += [f"{count:,} {kind}" for kind, count in errors.items()] if said or not isTolerant else []
    name = "answered with the bytes that were sent" if isTolerant else "answered without errors"
    return Case(f"{where}: {name}", ", ".join(said))


def comparisonCases(compared: Sequence[Subject]) -> Iterator[Case]:
    """Yields the cases of a comparison: the answers of each subject, and each figure of all but the first."""
    first, *others = compared
    for each in compared:
        yield answered(f"{each.key} {each.name}", each.counted)
    for other in others:
        for figure in FIGURES:
            if figure.isBetter and (case := _verdict(figure, first, other)):
                yield case


def _verdict(figure: Figure, first: Subject, other: Subject) -> Case | None:
    """Returns the case of a figure; None where one of the two subjects can't state it."""
    found = difference(figure, first, other)
    if found is None:
        return None
    name = f"{other.key} {other.name}: no worse than {first.key} in {figure.name}"
    before, after = (summary(figure, each.values(figure))[0] for each in (first, other))
    said = f"{before}, then {after}: {found}"
    if found.verdict is Verdict.UNKNOWN:
        return Case(name, skipped=f"too few repeats can state it; {said}")
    return Case(name, said if found.word == "worse" else "")
