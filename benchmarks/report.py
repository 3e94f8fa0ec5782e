"""The results as tables: on a terminal, and in reStructuredText for the page."""

from __future__ import annotations

from collections.abc import Iterable
from string import Template

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.results import Results, Verdict
from benchmarks.rows import OURS, REFERENCE, TARGETS, Figure, Row, rowNamed
from benchmarks.tools import HERE

TEMPLATE = HERE / "performance.rst.in"
_COLOURS = {"aim met": "green", "must met": "yellow", "not met": "red"}

Lines = list[list[str]]


def number(value: float | None) -> str:
    """Returns the digits that matter, without an exponent."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _title(row: Row, figure: Figure) -> str:
    return ", ".join(filter(None, [row.title, figure.title])) + f" ({figure.unit})"


def figures(results: Results) -> Lines:
    """Returns a heading, and a line for each figure of each row with a column for each peer."""
    lines = [["", *results.peers.values()]]
    for row in results.rows():
        for figure in row.figures:
            values = [number(results.lowest(row.name, peer, figure)) for peer in results.peers]
            lines.append([_title(row, figure), *values])
    return lines


def promises(results: Results) -> Lines:
    """Returns a heading, and a line for each promise of which something was measured."""
    lines = [["echo_app against", "row", "ratio", "must", "aim", ""]]
    for verdict in _measured(results):
        target = verdict.target
        against = "(itself)" if target.against is None else results.peers[target.against]
        limits = [number(target.must), number(target.aim)]
        title = _title(rowNamed(target.row), target.figure)
        lines.append([against, title, number(verdict.value), *limits, verdict.grade()])
    return lines


def _measured(results: Results) -> list[Verdict]:
    verdicts = [results.verdict(target) for target in TARGETS]
    return [verdict for verdict in verdicts if verdict.value is not None]


def notes(results: Results) -> list[str]:
    """Returns what has to be known to read the figures, and what could not be run."""
    said = [*results.missing]
    said += sorted({verdict.unjudged for verdict in _measured(results) if verdict.unjudged})
    if results.load != "C":
        said.append(f"the load was the one in {results.load}")
    slow = [title for peer, title in results.peers.items() if _fellBehind(results, peer)]
    if slow:
        said.append(f"could not keep up with {results.offered:,} messages a second: {', '.join(slow)}")
    return [f"{line[0].upper()}{line[1:]}." for line in said]


def _fellBehind(results: Results, peer: str) -> bool:
    samples = results.samples.get("latency", {}).get(peer, [])
    return bool(samples) and all(sample.tail is None for sample in samples)


def method(results: Results) -> str:
    """Says how the figures came about, in one paragraph."""
    said = (
        f"CPU is the server's, for one echo. Each figure is the lowest of {results.rounds} rounds of"
        f" {results.seconds:g} s, in which all servers of a row took turns; ratios are within this run."
    )
    if results.offered:
        said += (
            f" Latency is at {results.offered:,} messages a second for every server, half of what"
            f" {results.peers[REFERENCE]} does at most."
        )
    return said


def printTables(results: Results, console: Console) -> None:
    """Prints everything."""
    console.print(_table(figures(results), OURS in results.peers))
    if OURS in results.peers:
        console.print(_table(promises(results), False))
    for line in [method(results), *notes(results)]:
        console.print(line)


def _table(lines: Lines, emphasize: bool) -> Table:
    heading, *rest = lines
    table = Table(box=box.SIMPLE)
    for index, title in enumerate(heading):
        left = index == 0 or title in ("row", "")
        table.add_column(
            title, justify="left" if left else "right", style="bold" if emphasize and index == 1 else None
        )
    for line in rest:
        colour = _COLOURS.get(line[-1])
        table.add_row(*line[:-1], f"[{colour}]{line[-1]}[/]" if colour else line[-1])
    return table


def page(results: Results) -> str:
    """Returns the page of the documentation."""
    return Template(TEMPLATE.read_text()).substitute(
        date=results.date,
        method=method(results),
        figures=_listTable(figures(results)),
        promises=_listTable(promises(results)),
        machine=_listTable([[name, value] for name, value in results.machine.items()], heading=False),
        versions=_listTable(
            [[results.peers[peer], what] for peer, what in results.versions.items()], heading=False
        ),
        notes=_bullets(notes(results) or ["Everything was run."]),
    )


def _listTable(lines: Lines, heading: bool = True) -> str:
    """Returns a table of reStructuredText whose source can be read and compared too."""
    options = ["   :header-rows: 1"] if heading else []
    body = [
        f"   {'* -' if index == 0 else '  -'} {cell}".rstrip()
        for line in lines
        for index, cell in enumerate(line)
    ]
    return "\n".join([".. list-table::", *options, "", *body])


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
