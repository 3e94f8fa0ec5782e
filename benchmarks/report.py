"""The results as tables: on a terminal, and in reStructuredText for the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from string import Template

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.builds import HERE
from benchmarks.estimates import CONFIDENCE, FEWEST, Estimate, rank
from benchmarks.peers import CANDIDATES
from benchmarks.results import TOO_FEW, Results
from benchmarks.rows import REFERENCE, TAIL, Figure, Row, Target, rowNamed

TEMPLATE = HERE / "performance.rst.in"
# A hyphen would begin a list in reStructuredText.
NOTHING = "—"

_COLOURS = {"met": "green", "undecided": "yellow", "missed": "red"}

_PERCENT = f"{CONFIDENCE * 100:.0f} %"

# The load average below which a machine is idle.
IDLE = 0.5

Lines = list[list[str]]


def number(value: float | None) -> str:
    """Returns a number with three digits or more, without an exponent."""
    if value is None:
        return NOTHING
    if value == inf:
        return "∞"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _title(row: Row, figure: Figure) -> str:
    return ", ".join(filter(None, [row.title, figure.title]))


def _name(row: Row, figure: Figure) -> str:
    return " ".join(filter(None, [row.name, figure.title]))


def figures(results: Results, brief: bool) -> list[Lines]:
    """Returns a table of the servers that echo, and one of the relays, if each was measured.

    A table has a heading, and a line for each figure of each row with a column for each peer.

    :param brief: names, as the command line has them, instead of titles.
    """
    rows = results.rows()
    halves = [[row for row in rows if row.isForwarded is which] for which in (False, True)]
    return [_figures(results, half, brief) for half in halves if half]


def _figures(results: Results, rows: Sequence[Row], brief: bool) -> Lines:
    peers = [peer for peer in results.peers if any(peer in results.samples[row.name] for row in rows)]
    lines = [["", *(peers if brief else [results.peers[peer] for peer in peers])]]
    for row in rows:
        for figure in row.figures:
            label = _name(row, figure) if brief else _title(row, figure)
            estimates = [results.estimate(row.name, peer, figure) for peer in peers]
            values = [number(each.median if each else None) for each in estimates]
            lines.append([f"{label}, {figure.unit}", *values])
    return lines


def targets(results: Results, brief: bool) -> Lines:
    """Returns a heading, and a line for each target of the rows that were asked for.

    :param brief: names, as the command line has them, instead of titles.
    """
    lines = [["", "against", "measured", f"{_PERCENT} interval", "target", "verdict"]]
    for verdict in results.verdicts():
        target = verdict.target
        row = results.row(target.row)
        label = _name(row, target.figure) if brief else _title(row, target.figure)
        unit = "" if target.against or row.base else f", {target.figure.unit}"
        measured = number(verdict.estimate.median if verdict.estimate else None)
        most = f"≤ {number(target.most)}"
        line = [_against(results, target, brief), measured, interval(verdict.estimate), most, verdict.grade()]
        lines.append([f"{label}{unit}", *line])
    return lines


def comparison(results: Results) -> Lines:
    """Returns a heading, and a line for each row: the first Python's figure, and the others' ratios to it."""
    lines = [["", *results.peers]]
    for row in results.rows():
        for figure in row.figures:
            first = results.estimate(row.name, results.reference, figure)
            ratios = [each[3] for each in results.comparison() if each[:2] == (row, figure)]
            line = [f"{_name(row, figure)}, {figure.unit}", number(first.median if first else None)]
            lines.append([*line, *(_ratio(each) for each in ratios)])
    return lines


def _ratio(estimate: Estimate | None) -> str:
    if estimate is None:
        return NOTHING
    ends = "" if estimate.low is None else f" ({interval(estimate)})"
    return f"{number(estimate.median)}{ends}"


def interval(estimate: Estimate | None) -> str:
    """Returns the ends of an interval."""
    if estimate is None or estimate.low is None:
        return NOTHING
    return f"{number(estimate.low)} to {number(estimate.high)}"


def _against(results: Results, target: Target, brief: bool) -> str:
    if target.against is not None:
        return target.against if brief else CANDIDATES[target.against].title
    base = rowNamed(target.row).base
    if not base:
        return NOTHING
    return base if brief else results.row(base).title


def notes(results: Results) -> list[str]:
    """Returns remarks that limit the figures, and the rows and peers that could not be run."""
    said = [*results.missing]
    if results.busy > IDLE:
        said.append(f"the machine was busy (load average {results.busy:.1f}): the figures are too high")
    verdicts = [verdict for verdict in results.verdicts() if verdict.estimate]
    said += sorted({verdict.unjudged for verdict in verdicts if verdict.unjudged})
    if TOO_FEW in [verdict.grade() for verdict in verdicts]:
        said.append(f"fewer than {FEWEST} rounds give no {_PERCENT} interval, and so no verdict")
    if results.load != "C":
        said.append(f"the load was the one in {results.load}")
    slow = [
        f"{title} ({behind} of {rounds} rounds)"
        for peer, title in results.peers.items()
        for behind, rounds in [_fellBehind(results, peer)]
        if behind
    ]
    if slow:
        said.append(f"could not keep up with {results.offered:,} messages a second: {', '.join(slow)}")
    return [f"{line[0].upper()}{line[1:]}." for line in said]


def _fellBehind(results: Results, peer: str) -> tuple[int, int]:
    """Returns in how many rounds of the latency row a server fell behind, and the number of rounds."""
    values = results.values("latency", peer, TAIL)
    return values.count(inf), len(values)


def method(results: Results) -> str:
    """Returns the method of measurement, in one paragraph."""
    rounds = f"the median of {results.rounds} rounds" if results.rounds > 1 else "one round"
    others = sorted({count for row in results.rows() if (count := results.roundsOf(row)) != results.rounds})
    said = (
        f"CPU is the server's, for one echo. Each figure is {rounds} of {results.seconds:g} s, in which all"
        " servers of a row took turns."
    )
    for count in others:
        names = [row.title for row in results.rows() if results.roundsOf(row) == count]
        said += f" These rows have {count}: {'; '.join(names)}."
    if results.rounds > 1:
        said += " A ratio is the median of the rounds' ratios."
    if ends := rank(results.rounds):
        left = f"leaves out the {ends - 1} lowest and the {ends - 1} highest" if ends > 1 else "spans all"
        said += f" Its {_PERCENT} interval {left} of them."
    if results.offered:
        said += (
            f" Latency is at {results.offered:,} messages a second for every server, half of what"
            f" {results.peers[REFERENCE]} does at most."
        )
    return said


def printTables(results: Results, console: Console) -> None:
    """Prints the tables, the method and the notes; of Pythons, the one table that compares them."""
    if results.reference:
        console.print(table(comparison(results)))
        said = [f"{peer}: {version}." for peer, version in results.versions.items()]
        said.append(f"The figures are those of {results.reference}; the others are ratios to it.")
    else:
        for lines in figures(results, brief=True):
            console.print(table(lines))
        said = []
    if results.verdicts():
        console.print(table(targets(results, brief=True)))
    for line in [*said, method(results), *notes(results)]:
        console.print(line)


def table(lines: Lines) -> Table:
    """Returns the table of a heading and lines for a terminal."""
    heading, *rest = lines
    made = Table(box=box.SIMPLE, padding=0, pad_edge=False)
    for title in heading:
        made.add_column(title, justify="left" if title in ("", "against") else "right", no_wrap=True)
    for line in rest:
        colour = _COLOURS.get(line[-1])
        made.add_row(*line[:-1], f"[{colour}]{line[-1]}[/]" if colour else line[-1])
    return made


def page(results: Results) -> str:
    """Returns the page of the documentation."""
    return Template(TEMPLATE.read_text()).substitute(
        date=results.date,
        command=results.command,
        load=results.load,
        method=method(results),
        figures="\n\n".join(map(_listTable, figures(results, brief=False))),
        targets=_listTable(targets(results, brief=False)),
        machine=_listTable([[name, value] for name, value in results.machine.items()], heading=False),
        versions=_listTable(
            [[results.peers[peer], what] for peer, what in results.versions.items()], heading=False
        ),
        notes=_bullets(notes(results) or ["Everything was run."]),
    )


def _listTable(lines: Lines, heading: bool = True) -> str:
    """Returns a table of reStructuredText with one cell a line, for readable differences."""
    options = ["   :header-rows: 1"] if heading else []
    body = [
        f"   {'* -' if index == 0 else '  -'} {cell}".rstrip()
        for line in lines
        for index, cell in enumerate(line)
    ]
    return "\n".join([".. list-table::", *options, "", *body])


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
