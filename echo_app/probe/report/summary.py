"""Summary of a load, as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from statistics import median

from echo_app.probe.report.remarks import remarksOfRuns
from echo_app.probe.results.comparison import ENOUGH, Verdict, difference
from echo_app.probe.results.figures import FIGURES, MAIN_FIGURES, Subject
from echo_app.probe.results.results import INFLIGHT, LoadSettings, Results, Run
from echo_app.probe.results.statistics import TAIL, Output, milliseconds, nameOf, percentileTexts, shownIn
from echo_app.text import binarySize, escaped, plural

# Width of a line's name, and of each figure in a table, in characters.
_NAME, _FIGURE = 11, 10


def summary(results: Results) -> Iterator[str]:
    """Yields the lines of a summary: label, settings, and the results at each target."""
    if results.label:
        yield escaped(results.label)
    yield describe(results.settings)
    for target in results.targets():
        runs = results.runsAt(target)
        yield target
        yield from _single(runs[0]) if len(runs) == 1 else _repeated(runs)
        if found := addresses(runs):
            yield _line("addresses", found)
        yield _line("errors", _errors(runs))
        for wrong in [line for run in runs for line in run.differences]:
            yield _line("wrong", escaped(wrong))
        yield from (f"  {remark}" for remark in remarksOfRuns(runs, results.settings))


def describe(settings: LoadSettings) -> str:
    """Returns the settings in a line."""
    rate = settings.rate
    ramp = "" if settings.rampTo is None else f" to {_rate(settings.rampTo)}"
    parts = ["closed loop" if rate is None else f"open loop of {_rate(rate)}{ramp} ({settings.arrivals})"]
    parts += [plural(settings.connections, "connection"), _sizes(settings)]
    if settings.maxInflight != (1 if rate is None else INFLIGHT):
        parts.append(f"up to {settings.maxInflight:,} under way on each")
    if settings.perConnection is not None:
        parts.append(f"{plural(settings.perConnection, 'message')} on each")
    if settings.processes > 1:
        parts.append(f"{settings.processes} processes")
    if settings.proxy is not None:
        parts.append(f"PROXY header {settings.proxy}")
    before = f"after {settings.warmup:g} s of warm-up" if settings.warmup else "without a warm-up"
    measured = f"{settings.duration:g} s"
    if settings.count is not None:
        measured = f"{plural(settings.count, 'message')} in {measured} at the most,"
    return f"{', '.join(parts)}; {measured} {before}"


def figures(run: Run) -> str:
    """Returns the main figures of a run in a line."""
    parts = [_rate(run.rate)]
    parts += percentileTexts(run.latency.percentiles(shownIn(Output.LINE)))
    parts += [f"max {milliseconds(run.latency.most)}"] if run.answered else []
    return ", ".join([*parts, plural(sum(run.errors.values()), "error")])


def _sizes(settings: LoadSettings) -> str:
    total = sum(weight for _, weight in settings.sizes) or 1.0
    if len(settings.sizes) == 1:
        return binarySize(settings.sizes[0][0])
    return " + ".join(f"{weight / total:.0%} {binarySize(size)}" for size, weight in settings.sizes)


def _line(name: str, text: str) -> str:
    return f"  {name:{_NAME}}{text}".rstrip()


def _row(name: str, cells: Sequence[str]) -> str:
    return _line(name, "".join(f"{cell:>{_FIGURE}}" for cell in cells))


def _single(run: Run) -> Iterator[str]:
    late = f" of {run.due:,} that were due" if run.due != run.sent else ""
    more = f", and {run.carried:,} under way from the warm-up" if run.carried and not run.isGood else ""
    yield _line("sent", f"{plural(run.sent, 'message')}{late}, {_rate(run.sent / run.seconds)}{more}")
    rate = run.rate
    throughput = binarySize(round(rate * run.bytes / run.answered)) if run.answered else "0 B"
    yield _line("answered", f"{run.answered:,}, {_rate(rate)}, {throughput}/s each way")
    stated = run.latency.percentiles()
    if run.answered:
        yield _row("latency", [*map(nameOf, stated), "max"])
        yield _row("", [milliseconds(each) for each in (*stated.values(), run.latency.most)])
    if run.connects:
        times = percentileTexts(run.connects.percentiles(shownIn(Output.LINE)))
        longest = f"max {milliseconds(run.connects.most)}"
        yield _line("connects", ", ".join([f"{len(run.connects):,}", *times, longest]))
    if len(run.lateness):
        tail = run.lateness.percentile(TAIL)
        said = f"at most {milliseconds(run.lateness.most)}" if tail is None else _stated(TAIL, tail)
        share = f", {run.busy:.0%} busy" if run.busy else ""
        yield _line("probe", f"{said} late{share}")


def _stated(percent: float, seconds: float) -> str:
    return "".join(percentileTexts({percent: seconds}))


def _rate(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 100 else f"{rate:.3g}/s"


def _repeated(runs: Sequence[Run]) -> Iterator[str]:
    """Yields the table of the repeats: a row for each, the lowest and the highest."""
    stated = [run.latency.percentiles(shownIn(Output.REPEATS)) for run in runs]
    shared = [percent for percent in stated[0] if all(percent in each for each in stated)]
    rows = [
        [run.rate, *(each[percent] for percent in shared), run.latency.most]
        for run, each in zip(runs, stated, strict=True)
    ]
    yield _row("", ["answered", *map(nameOf, shared), "max", "errors"])
    for number, (row, run) in enumerate(zip(rows, runs, strict=True), 1):
        yield _row(f"{number}", [*_cells(row), f"{sum(run.errors.values()):,}"])
    spread: Sequence[tuple[str, Callable[[list[float]], float]]] = (("lowest", min), ("highest", max))
    for name, choose in spread:
        yield _row(name, _cells([choose(list(column)) for column in zip(*rows, strict=True)]))


def _cells(row: Sequence[float]) -> list[str]:
    return [_rate(row[0]), *map(milliseconds, row[1:])]


def addresses(runs: Sequence[Run]) -> str:
    """Returns the connections by address, of a name with several; otherwise an empty text."""
    counts: Counter[str] = Counter()
    for run in runs:
        counts.update(run.addresses)
    said = [f"{escaped(address)} {plural(count, 'connection')}" for address, count in counts.items()]
    return ", ".join(said)


def _errors(runs: Sequence[Run]) -> str:
    kinds: Counter[str] = Counter()
    for run in runs:
        kinds.update(run.errors)
    if not kinds and any(run.differences for run in runs):
        return "none in the measured time, but wrong bytes in the warm-up"
    if not kinds:
        return "none" if any(run.answered for run in runs) else "no answer"
    said = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
    parts = [each for run in runs for each in run.intervals if each.errors]
    if not parts:
        return said
    first, last = min(each.start for each in parts), max(each.end for each in parts)
    return f"{said}; between {first:g} s and {last:g} s"


def conclusion(first: Subject, other: Subject) -> str:
    """Returns the figures in which a subject is worse or better than the first one."""
    found = [(figure.name, difference(figure, first, other)) for figure in FIGURES if figure.isBetter]
    differences = [(name, each) for name, each in found if each is not None]
    parts = [
        f"{word} than {first.key} in {', '.join(names)}"
        for word in ("worse", "better")
        if (names := [name for name, each in differences if each.word == word])
    ]
    unknown = [name for name, each in differences if each.verdict is Verdict.UNKNOWN]
    if len(unknown) == len(differences):
        return f"{other.key}: too few repeats to tell; {ENOUGH} of each are needed (echo-probe load --repeat)"
    parts = parts or [f"no difference to {first.key}"]
    parts += [f"it can't be told of {', '.join(unknown)}"] if unknown else []
    return f"{other.key}: {'; '.join(parts)}"


def headline(subject: Subject, before: str = "") -> str:
    """Returns the main figures of a subject in a line, as medians of its repeats."""
    repeats = f", medians of {len(subject.counted)} repeats" if len(subject.counted) > 1 else ""
    stated = [(each, subject.values(each)) for each in MAIN_FIGURES]
    said = [f"{each.name} {each.text(median(values))}" for each, values in stated if values]
    return f"{before}{', '.join(said)}{repeats}"
