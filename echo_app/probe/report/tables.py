"""Tables of a page: figures, errors by kind, repeats, and facts of the measurement.

On a narrow screen a table of many columns becomes a block for each row, with the column's name in each cell;
the roles keep it a table for a screen reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from twisted.web.template import Tag

from echo_app.probe.report.overtime import errorCounts
from echo_app.probe.report.svg import element
from echo_app.probe.results.comparison import Verdict, difference
from echo_app.probe.results.figures import FIGURES, MAIN_FIGURES, Figure, Subject, kindOf, summary, whole

_REPEATED = "The median of the repeats, and below it the lowest and the highest."
_ONCE = "Of one repeat, which does not say how far the next one would be from it."

Content = str | Tag

# A name, and the content of each cell.
Row = tuple[Content, Sequence[Sequence[Content]]]


def keyOf(index: int, subject: Subject) -> Tag:
    """Returns a subject's letter, in its colour."""
    return element("b", subject.key, class_=f"key {kindOf(index)}")


def figureTable(compared: Sequence[Subject], isJudged: bool) -> Tag:
    """Returns the table of the figures of each subject.

    :param isJudged: add the differences to the first subject.
    """
    rows = []
    for figure in FIGURES:
        if any(each.values(figure) for each in compared):
            firsts = [None, *(compared[0] if isJudged else None for _ in compared[1:])]
            cells = [_figure(figure, each, first) for each, first in zip(compared, firsts, strict=True)]
            rows.append((figure.name, cells))
    caption = _REPEATED if any(len(each.runs) > 1 for each in compared) else _ONCE
    if isJudged:
        caption += f" Then how much more or less it is than {compared[0].key}."
    return _table(caption, [keyOf(*each) for each in enumerate(compared)], rows)


def _figure(figure: Figure, subject: Subject, first: Subject | None) -> list[Content]:
    said, spread = summary(figure, subject.values(figure))
    found: list[Content] = [element("span", said, class_="said")]
    if spread:
        found.append(element("small", spread))
    differs = difference(figure, first, subject) if first else None
    if differs:
        words = f"difference: {differs}" if differs.verdict is Verdict.NONE else str(differs)
        found.append(element("span", words, class_=f"differs {differs.word}".strip()))
    return found


def errorTable(compared: Sequence[Subject]) -> Tag | None:
    """Returns the table of the errors of all repeats; None where there are none."""
    counts = [errorCounts(each) for each in compared]
    kinds = dict.fromkeys(kind for each in counts for kind, _ in each.most_common())
    rows = [(kind, [[whole(each[kind])] for each in counts]) for kind in kinds]
    heads = [keyOf(*each) for each in enumerate(compared)]
    return _table("Of all repeats together, by kind.", heads, rows) if rows else None


def repeatTable(compared: Sequence[Subject]) -> Tag | None:
    """Returns the table of the main figures of each repeat; None where nothing was repeated."""
    rows: list[Row] = []
    for index, subject in enumerate(compared):
        for number, run in enumerate(subject.runs, 1):
            cells = [[figure.textOf(run, subject.results.settings)] for figure in MAIN_FIGURES]
            rows.append((element("span", keyOf(index, subject), f" {number}"), cells))
    if len(rows) == len(compared):
        return None
    names = [each.name for each in MAIN_FIGURES]
    return _table("In the order in which they were made.", names, rows, "repeats")


def factTable(facts: Mapping[str, Content]) -> Tag:
    """Returns the table of facts by name."""
    rows = [
        element("tr", element("th", name, scope="row"), element("td", said)) for name, said in facts.items()
    ]
    return element("table", element("tbody", *rows), class_="facts")


def _table(caption: str, heads: Sequence[Content], rows: Iterable[Row], kind: str = "figures") -> Tag:
    """Returns a table.

    :param heads: titles of the columns, without the first one's.
    """
    first = element("th", "", role="columnheader")
    columns = [element("th", head, scope="col", role="columnheader") for head in heads]
    return element(
        "table",
        element("caption", caption),
        element("thead", element("tr", first, *columns, role="row"), role="rowgroup"),
        element("tbody", *(_row(name, heads, cells) for name, cells in rows), role="rowgroup"),
        class_=f"{kind} many" if len(heads) > 1 else kind,
        role="table",
    )


def _row(name: Content, heads: Sequence[Content], cells: Sequence[Sequence[Content]]) -> Tag:
    drawn = [element("th", name, scope="row", role="rowheader")]
    for head, cell in zip(heads, cells, strict=True):
        narrow = element("span", head, class_="narrow", aria_hidden="true")
        drawn.append(element("td", narrow, *cell, role="cell"))
    return element("tr", *drawn, role="row")
