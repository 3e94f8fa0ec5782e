"""Remarks on a load: reasons to doubt or qualify its figures, as sentences."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from math import sqrt
from statistics import median

from echo_app.probe.net.errors import hintOf
from echo_app.probe.results.figures import Subject
from echo_app.probe.results.results import DEVIATIONS, EXACT, LoadSettings, Run
from echo_app.probe.results.statistics import TAIL, milliseconds, nameOf
from echo_app.text import escaped, plural

# Repeats of one subject in a row that are still in turns, as in A B B A; and those of an order that is shown.
IN_A_ROW, SHOWN = 2, 20

# The share of its time below which a probe is late because of other programs, not of its own work.
IDLE = 0.5


def remarks(subjects: Sequence[Subject]) -> list[str]:
    """Returns the remarks on subjects; usually there is none."""
    said = [f"{each.key}: {line}" for each in subjects for line in _ofSubject(each)]
    sources = {each.source: each for each in subjects}
    first, *others = sources.values()
    said += [line for each in others for line in _otherMachine(first, each)]
    return said + [line for each in subjects[1:] if (line := _notInTurns(subjects[0], each))]


def _ofSubject(subject: Subject) -> Iterator[str]:
    yield from (escaped(line.strip()) for line in remarksOfRuns(subject.runs, subject.results.settings))
    interrupted = sum(run.isInterrupted for run in subject.runs)
    if 0 < interrupted < len(subject.runs):
        yield f"{plural(interrupted, 'interrupted repeat')} left out of the figures"
    if any(run.differences for run in subject.runs):
        yield "bytes came back that were not sent"


def _notInTurns(first: Subject, other: Subject) -> str:
    """Returns a remark where one of two subjects was measured several times in a row; otherwise empty.

    Repeats that began in the same second were in turns, as far as their times tell.
    """
    if min(len(first.runs), len(other.runs)) < 2:
        return ""
    begun = [
        (run.started, number, each.key)
        for each in (first, other)
        for number, run in enumerate(each.runs)
        if run.started
    ]
    keys = [key for _, _, key in sorted(begun)]
    if max((sum(1 for _ in same) for _, same in groupby(keys)), default=0) <= IN_A_ROW:
        return ""
    order = f" ({' '.join(keys)})" if len(keys) <= SHOWN else ""
    return (
        f"{first.key} and {other.key} were not measured in turns{order}: a machine that changed meanwhile "
        "makes a difference, too; echo-probe load A B --repeat takes turns"
    )


def _otherMachine(first: Subject, other: Subject) -> Iterator[str]:
    one, two = first.results.machine, other.results.machine
    different = [part for part in one | two if one.get(part) != two.get(part)]
    for part in different[:1]:
        values = escaped(f"{part} is {one.get(part)} and {two.get(part)}")
        yield f"{first.source} and {other.source} are from different machines: {values}"


def remarksOfRuns(runs: Sequence[Run], settings: LoadSettings) -> Iterator[str]:
    """Yields the remarks on runs: each difference to the settings, and its cause."""
    for each in runs:
        if each.isInterrupted:
            most = "up to " if settings.count is not None else ""
            yield f"interrupted after {each.seconds:.1f} s of {most}{settings.duration:g} s"
        elif settings.count is not None and each.due < settings.count:
            yield f"{each.due:,} of {plural(settings.count, 'message')} in {each.seconds:g} s (--duration)"
        yield from _unended(each)
    yield from _unanswered(runs, settings)
    dropped = sum(run.dropped for run in runs)
    if dropped:
        yield (
            f"{plural(dropped, 'answer')} found the probe's own receive queue full: "
            "try a lower --max-inflight or --size, or more --processes"
        )
    yield from _held(runs, settings)
    yield from (said for each in runs if (said := _missed(each, settings) or _late(each)))
    late = [each for each in runs if each.isProbeLate]
    if late:
        # The same figures as in the tables.
        lateness, result = (
            median([each for run in late if (each := times(run).percentile(TAIL)) is not None] or [0.0])
            for times in (lambda run: run.lateness, lambda run: run.latency)
        )
        busy = max(each.busy for each in late)
        cause = "the probe was the bottleneck" if busy >= IDLE else "this machine woke the probe late"
        tail = nameOf(TAIL)
        yield (
            f"{cause} ({busy:.0%} busy, {tail} {milliseconds(lateness)} late): "
            f"up to that much of {tail} {milliseconds(result)} is its own"
        )
        yield f"  {_advice(settings, busy)}"
    yield from (
        f"the probe stood still for up to {milliseconds(each.lateness.most)}: "
        f"max {milliseconds(each.latency.most)} and the rate are partly its own"
        for each in runs
        if each.hasPaused and not each.isProbeLate
    )


def _unended(run: Run) -> Iterator[str]:
    """Yields the messages that an interruption left without an end."""
    for count, said in ((run.outstanding, "under way"), (run.unbegun, "due and not sent")):
        if count:
            yield f"at the end {plural(count, 'message')} {'was' if count == 1 else 'were'} {said}"


def _unanswered(runs: Sequence[Run], settings: LoadSettings) -> Iterator[str]:
    unserved = max((run.unserved for run in runs if run.answered), default=0)
    if unserved:
        yield f"{unserved:,} of {plural(settings.connections, 'connection')} never got an answer"
    silent = [run for run in runs if not run.answered]
    if silent:
        which = "" if len(silent) == len(runs) else f" in {plural(len(silent), 'repeat')} of {len(runs)}"
        yield f"nothing was answered{which}"
        kinds = {kind for run in silent for kind in run.errors}
        if hint := hintOf(kinds, any(run.target.startswith("tls:") for run in silent)):
            yield hint


def _held(runs: Sequence[Run], settings: LoadSettings) -> Iterator[str]:
    """Yields a remark on messages that waited because of ``--max-inflight``."""
    held = [run.held for run in runs if len(run.held)]
    if held:
        count, most = sum(map(len, held)), max(each.most for each in held)
        tails = [seconds for each in held if (seconds := each.percentile(TAIL)) is not None]
        waits = ", ".join([*(f"{nameOf(TAIL)} {milliseconds(max(tails))}" for _ in tails[:1]), ""])
        yield (
            f"{plural(count, 'message')} waited, as {settings.maxInflight:,} were under way on a connection "
            f"(--max-inflight; {waits}max {milliseconds(most)}): the latencies have this wait, too"
        )


def _missed(run: Run, settings: LoadSettings) -> str:
    """Returns a remark on a rate below the one that was asked for; empty if it was reached."""
    if settings.rate is None or run.isInterrupted:
        return ""
    expected = settings.meanRate * run.seconds
    if not expected:
        return ""
    chance = DEVIATIONS / sqrt(expected) if settings.arrivals == "poisson" else 1 / expected
    who = "the probe" if run.isProbeLate else "the service, or the path to it,"
    slope, missing = run.growth, 1 - run.sent / expected
    if slope > EXACT:
        return f"{who} was too slow: latencies grew by {slope:.2g} s a second, and would have gone on to"
    if missing > max(EXACT, chance):
        return f"{who} was too slow: {missing:.1%} of the messages that were asked for were not sent"
    return ""


def _late(run: Run) -> str:
    """Returns a remark on answers that came after the measured time; empty if they are few."""
    late = run.lateAnswers
    # A random number of messages is under way at the end, and another one at the beginning.
    if late <= max(EXACT * run.answered, DEVIATIONS * sqrt(run.answered)):
        return ""
    return f"{plural(late, 'answer')} came after the measured time: the rate is without them"


def _advice(settings: LoadSettings, busy: float) -> str:
    if busy < IDLE:
        return "other programs keep this machine from waking it in time: try a quieter one"
    cores = len(os.sched_getaffinity(0))
    advice = ["fewer --connections" if settings.rate is None else "a lower --rate"]
    if settings.processes < min(cores, settings.connections):
        advice.insert(0, f"more --processes (now {settings.processes}, with {cores} cores)")
    return f"try {', or '.join(advice)}"
