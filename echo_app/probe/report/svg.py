"""SVG elements of the pictures: the text keeps its size while the picture follows the page's width.

Horizontal positions are per cent of the width, vertical ones pixels. Lines are in an inner picture that is
stretched (``preserveAspectRatio="none"``), while their strokes are not (``vector-effect``). So one picture
fits a phone, a wide screen and print, without a script. Its colours are CSS variables and follow the reader's
theme. Plotting libraries draw for one width and in fixed colours. Therefore Twisted's templates make the
elements.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from typing import Any

from twisted.python.failure import Failure
from twisted.web.template import Tag, flattenString

from echo_app.probe.report.scales import Tick

# Pixels around a picture for its labels.
LEFT, RIGHT, TOP, BOTTOM = 66, 40, 24, 56

# Pixels from the bottom down to the first, the second and the third line below it.
FIRST, SECOND, THIRD = 17, 34, 51

# Pixels of a stand-alone picture's width and margin, and of a line of text.
WIDTH, MARGIN, LINE = 640, 8, 20

# Width of the stretched inner picture, in its own units.
_UNITS = 1000

Point = tuple[float, float]


def element(name: str, /, *children: str | Tag, **attributes: object) -> Tag:
    """Returns an element. In names of attributes ``_`` is ``-``, and a ``_`` at the end is dropped."""
    names: dict[Any, Any] = {
        key.rstrip("_").replace("_", "-"): str(value) for key, value in attributes.items()
    }
    return Tag(name, attributes=names, children=list(children))


def flattened(root: Tag) -> str:
    """Returns an element as text."""
    done: list[Any] = []
    flattenString(None, root).addBoth(done.append)
    if isinstance(done[0], Failure):
        done[0].raiseException()
    return str(done[0].decode())


def style(name: str) -> str:
    """Returns a style sheet of this folder."""
    return files(__package__).joinpath(name).read_text()


def label(words: str | Tag, across: float, down: float, anchor: str = "start", **more: object) -> Tag:
    """Returns a text at a horizontal position and at pixels from the top."""
    return element("text", words, x=f"{across * 100:.2f}%", y=f"{down:.1f}", text_anchor=anchor, **more)


def rule(across: Point, down: Point, kind: str = "grid") -> Tag:
    """Returns a thin line between two horizontal positions, and two pixels from the top."""
    (x1, x2), (y1, y2) = (tuple(f"{each * 100:.2f}%" for each in across), down)
    return element("line", x1=x1, x2=x2, y1=f"{y1:.1f}", y2=f"{y2:.1f}", class_=kind)


def shade(across: Point, height: float) -> Tag:
    """Returns a shade between two horizontal positions."""
    start, end = across
    place = {"x": f"{start * 100:.2f}%", "width": f"{(end - start) * 100:.2f}%"}
    return element("rect", **place, height=f"{height:g}", class_="void")


def stretched(height: float, *paths: Tag, y: float = 0) -> Tag:
    """Returns paths, such as those of :func:`polyline`, stretched to the width of the picture."""
    return element(
        "svg",
        *paths,
        y=f"{y:g}",
        width="100%",
        height=f"{height:g}",
        viewBox=f"0 0 {_UNITS} {height:g}",
        preserveAspectRatio="none",
        overflow="visible",
    )


def path(description: str, kind: str) -> Tag:
    """Returns a path with classes of the style sheet."""
    return element("path", d=description, class_=kind, vector_effect="non-scaling-stroke")


def polyline(points: Iterable[Point]) -> str:
    """Returns the path of straight lines; a point is a horizontal position, and pixels from the top."""
    return "M" + " ".join(f"{x * _UNITS:.1f},{y:.1f}" for x, y in points)


def step(start: float, end: float, y: float, isFirst: bool) -> str:
    """Returns the path of a level line between two horizontal positions, joined to the line before it."""
    before = f"M{start * _UNITS:.1f},{y:.1f}" if isFirst else f"V{y:.1f}"
    return f"{before}H{end * _UNITS:.1f}"


def bar(start: float, end: float, top: float, bottom: float) -> str:
    """Returns the path of a bar between two horizontal positions, and two pixels from the top."""
    return f"M{start * _UNITS:.1f},{bottom:.1f}V{top:.1f}H{end * _UNITS:.1f}V{bottom:.1f}Z"


def apart(places: Sequence[float], distance: float, limit: float) -> list[float]:
    """Returns places that are moved until they are that far apart; keeps their order.

    :param limit: the lowest place, as far as there is room above it.
    """
    moved = list(places)
    order = sorted(range(len(places)), key=places.__getitem__)
    for before, index in pairwise(order):
        moved[index] = max(moved[index], moved[before] + distance)
    for index in reversed(order):
        moved[index] = min(moved[index], limit)
        limit = moved[index] - distance
    return moved


def frame(
    across: Sequence[Tick], down: Sequence[Tick], height: float, title: str = "", y: float = 0
) -> list[Tag]:
    """Returns a grid with its labels.

    :param across: labels below the grid.
    :param down: labels to the left of the grid.
    :param title: of the labels to the left.
    :param y: pixels from the top to the grid.
    """
    bottom = y + height
    drawn = [rule((tick.at, tick.at), (y, bottom)) for tick in across]
    drawn += [
        label(tick.text, tick.at, bottom + FIRST, "middle", class_="minor" if tick.isMinor else "tick")
        for tick in across
    ]
    for tick in down:
        place = bottom - tick.at * height
        drawn += [rule((0, 1), (place, place)), label(tick.text, 0, place + 4, "end", dx=-7)]
    drawn.append(rule((0, 1), (bottom, bottom), "edge"))
    return [*drawn, label(title, 0, y - 10, dx=-LEFT, class_="axis")] if title else drawn


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, with the texts that a screen reader reads.

    :param title: a few words; a screen reader reads them first.
    :param description: the same in sentences, with the main figures.
    :param height: pixels, without the labels around the picture.
    :param drawn: its elements.
    """

    title: str
    description: str
    height: float
    drawn: Sequence[Tag]

    def tag(self, name: str, **attributes: object) -> Tag:
        """Returns the picture as an element.

        :param name: unique on the page.
        """
        title, description = f"{name}-title", f"{name}-description"
        placed: dict[str, object] = {"width": "100%", "overflow": "visible", "role": "img", **attributes}
        return element(
            "svg",
            element("title", self.title, id=title),
            element("desc", self.description, id=description),
            *self.drawn,
            height=f"{self.height:g}",
            aria_labelledby=title,
            aria_describedby=description,
            **placed,
        )


def standAlone(pictures: Sequence[Picture], keys: Sequence[Sequence[Tag]] = ()) -> str:
    """Returns an SVG file with pictures, one below the other; it follows the reader's theme, too.

    :param keys: for each picture the lines above it; see :func:`keyLine`.
    """
    drawn, y = [], 8.0
    for number, picture in enumerate(pictures):
        drawn.append(label(picture.title, 0, y + 15, dx=MARGIN, class_="strong"))
        y += LINE + 4
        for line in keys[number] if keys else ():
            drawn.append(element("svg", line, x=MARGIN, y=f"{y:g}", overflow="visible"))
            y += LINE
        place = {"x": MARGIN + LEFT, "y": f"{y + TOP:g}", "width": WIDTH - LEFT - RIGHT - 2 * MARGIN}
        drawn.append(picture.tag(f"picture{number}", **place))
        y += TOP + picture.height + BOTTOM + 8
    root = element(
        "svg",
        element("style", style("picture.css")),
        element("rect", width="100%", height="100%", class_="ground"),
        *drawn,
        xmlns="http://www.w3.org/2000/svg",
        width=WIDTH,
        height=f"{y:g}",
        viewBox=f"0 0 {WIDTH} {y:g}",
    )
    return flattened(root) + "\n"


def keyLine(key: str, kind: str, words: str) -> Tag:
    """Returns a line of a picture's key: letter, sample of the line, and name of the subject."""
    return element(
        "g",
        element("text", key, x=0, y=14, class_=f"key {kind.split()[-1]}"),
        element("line", x1=18, x2=58, y1=10, y2=10, class_=f"line {kind}"),
        element("text", words, x=68, y=14),
    )
