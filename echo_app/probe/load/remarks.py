"""What must be known before figures are believed, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from echo_app.probe.findings import plain
from echo_app.probe.load import summary
from echo_app.probe.load.figures import Subject


def remarks(subjects: Sequence[Subject]) -> list[str]:
    """Returns what the figures do not say for themselves; nothing is the usual case."""
    said = [f"{each.key}: {line}" for each in subjects for line in _ofSubject(each)]
    sources = {each.source: each for each in subjects}
    first, *others = sources.values()
    return said + [line for each in others for line in _otherMachine(first, each)]


def _ofSubject(subject: Subject) -> Iterator[str]:
    yield from (plain(line.strip()) for line in summary.remarks(subject.runs, subject.results.settings))
    interrupted = sum(run.isInterrupted for run in subject.runs)
    if 0 < interrupted < len(subject.runs):
        yield f"{summary.plural(interrupted, 'interrupted repeat')} left out of the figures"
    if any(run.differences for run in subject.runs):
        yield "bytes came back that were not sent"
    if not any(run.answered for run in subject.runs):
        yield "nothing was answered"


def _otherMachine(first: Subject, other: Subject) -> Iterator[str]:
    one, two = first.results.machine, other.results.machine
    different = [part for part in one | two if one.get(part) != two.get(part)]
    for part in different[:1]:
        values = plain(f"{part} is {one.get(part)} and {two.get(part)}")
        yield f"{first.source} and {other.source} are from different machines: {values}"
