"""Page of a load: one HTML file without scripts, fonts or images from elsewhere.

It is written with Twisted's templates, which escape whatever came from a file or a peer.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.web.template import Tag

from echo_app.probe.report.overtime import answersAndErrors, latencyLegend, latencyOverTime
from echo_app.probe.report.percentilecurve import percentileCurve
from echo_app.probe.report.remarks import remarks
from echo_app.probe.report.summary import addresses, conclusion, describe, headline
from echo_app.probe.report.svg import Picture, element, flattened, style
from echo_app.probe.report.tables import errorTable, factTable, figureTable, keyOf, repeatTable
from echo_app.probe.results.comparison import unlike
from echo_app.probe.results.figures import Subject, kindOf, subjects
from echo_app.probe.results.results import Results
from echo_app.text import escaped

_RULE = (
    "A difference within the spread between repeats is none. It takes three repeats of each: with three or "
    "four, their ranges must be further apart than the wider one is wide, and from five on it is enough that "
    "they do not overlap. (?) is one of too few repeats, or that not every "
    "repeat can state."
)
_CURVE = (
    "A line for each repeat, as far as ten answers stand above. The axis is stretched: each nine is as long "
    "as the one before."
)
_TIME = (
    "Latency counts from the moment a message was due, and stands where that was. Where nothing was "
    "measured, or too little for a percentile, there is a gap; a shade is time that an interrupted run did "
    "not have."
)
_ANSWERS = (
    "Answers stand where they came: an outage is a hole, and what came late is a peak after it, which is cut "
    "at twice the usual rate. Errors stand where their messages were due. All begin at 0, and each kind of "
    "error has its own end."
)
_NO_ERRORS = "None: every message was answered, and every byte was the one that was sent."
_WARMUP = "None in the measured time, but wrong bytes came in the warm-up."
_UNENDED = "None of those that have an end; others were never answered, or never sent."


def page(results: Sequence[Results], names: Sequence[str] = (), title: str = "") -> str:
    """Returns an HTML page about results, side by side when there are several.

    :param names: of the results, such as those of files; by default they are numbered.
    :param title: of the page; by default it names the target.
    """
    compared = subjects(results, names)
    usual = f"Load on {compared[0].runs[0].target}" if len(compared) == 1 else "Load, side by side"
    title = escaped(title or usual)
    parts = _parts(compared) if compared else [element("p", "There is no run in it.")]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", style("picture.css") + style("page.css")),
    )
    main = element("main", element("h1", title), *parts, *_sources(results, names))
    return "<!DOCTYPE html>\n" + flattened(element("html", head, element("body", main), lang="en")) + "\n"


def _parts(compared: Sequence[Subject]) -> list[Tag]:
    said = _unlike(compared)
    isJudged = len(compared) > 1 and not said
    asked = [] if said else [element("p", escaped(describe(compared[0].results.settings)))]
    parts = [*_headline(compared, isJudged), *asked, _keys(compared), *_remarks(compared, said)]
    parts += [element("h2", "Figures"), figureTable(compared, isJudged)]
    parts += [element("p", _RULE)] if isJudged else []
    parts += [*_curve(compared), *_overTime(compared), *_errors(compared)]
    repeats = repeatTable(compared)
    return [*parts, element("h2", "Every repeat"), repeats] if repeats else parts


def _headline(compared: Sequence[Subject], isJudged: bool) -> list[Tag]:
    """Returns the main result: the figures of each subject, or how each differs from the first."""
    if isJudged:
        said = [conclusion(compared[0], each) for each in compared[1:]]
    else:
        said = [headline(each, f"{each.key}: " if len(compared) > 1 else "") for each in compared]
    return [element("p", each, class_="headline") for each in said]


def _unlike(compared: Sequence[Subject]) -> list[str]:
    """Returns the reason for which differences are not judged; empty if they are."""
    first = compared[0]
    for each in compared:
        if found := unlike(first.results.settings, each.results.settings):
            name, one, other = found
            words = f"{name} is {escaped(one)} in {first.source}, and {escaped(other)} in {each.source}"
            return [f"{words}: where other things were asked for, a difference says nothing."]
    return []


def _keys(compared: Sequence[Subject]) -> Tag:
    """Returns the key to letters, dashes and colours."""
    items = []
    for index, each in enumerate(compared):
        line = element("line", x1=2, x2=42, y1=6, y2=6, class_=f"line {kindOf(index)}")
        sample = element("svg", line, width=44, height=12, aria_hidden="true")
        count = f", {len(each.runs)} repeats" if len(each.runs) > 1 else ""
        items.append(element("li", keyOf(index, each), sample, element("span", each.name, count)))
    return element("ul", *items, class_="keys")


def _remarks(compared: Sequence[Subject], more: Sequence[str]) -> list[Tag]:
    said = [*more, *remarks(compared)]
    if not said:
        return []
    items = [element("li", each) for each in said]
    return [element("h2", "Before you read the figures"), element("ul", *items, class_="remarks")]


def _curve(compared: Sequence[Subject]) -> list[Tag]:
    picture, title = percentileCurve(compared), element("h2", "Latency by percentile")
    if picture is None:
        return [title, element("p", "There are too few answers for a median.")]
    return [title, element("p", _CURVE), _figure(picture, "percentiles")]


def _overTime(compared: Sequence[Subject]) -> list[Tag]:
    def figures(name: str, pictures: Sequence[Picture]) -> list[Tag]:
        captions: list[list[str | Tag]] = [
            [keyOf(index, each), f" {each.name}"] if len(compared) > 1 else []
            for index, each in enumerate(compared)
        ]
        pairs = zip(pictures, captions, strict=True)
        return [_figure(each, f"{name}{n}", caption) for n, (each, caption) in enumerate(pairs)]

    return [
        *(element("h2", "Latency over time"), element("p", f"In each interval: {latencyLegend()}. {_TIME}")),
        *figures("latency", latencyOverTime(compared)),
        *(element("h2", "Answers and errors over time"), element("p", _ANSWERS)),
        *figures("answers", answersAndErrors(compared)),
    ]


def _figure(picture: Picture, name: str, caption: Sequence[str | Tag] = ()) -> Tag:
    above = [element("figcaption", *caption)] if caption else []
    return element("figure", *above, element("div", picture.tag(name), class_="picture"))


def _errors(compared: Sequence[Subject]) -> list[Tag]:
    runs = [run for each in compared for run in each.runs]
    isWhole = all(run.isGood and not (run.outstanding or run.unbegun) for run in runs)
    isWrong = any(run.differences for run in runs)
    none = element("p", _WARMUP if isWrong else _NO_ERRORS if isWhole else _UNENDED)
    parts = [element("h2", "Errors"), errorTable(compared) or none]
    items = [
        element("li", keyOf(index, each), element("code", escaped(line)))
        for index, each in enumerate(compared)
        for run in each.runs
        for line in run.differences
    ]
    if items:
        title = element("h3", "Bytes that were not sent, the first ones")
        parts += [title, element("ul", *items, class_="keys")]
    return parts


def _command(text: str) -> Tag:
    """Returns a command; its lines break between words, never at the hyphens of options."""
    words = (part for word in escaped(text).split(" ") for part in (" ", element("span", word)))
    return element("code", *list(words)[1:])


def _sources(results: Sequence[Results], names: Sequence[str]) -> list[Tag]:
    parts = [element("h2", "How it was measured")]
    for index, each in enumerate(results):
        if len(results) > 1:
            parts.append(element("h3", escaped(names[index]) if names else f"result {index + 1}"))
        facts: dict[str, str | Tag] = {"Label": escaped(each.label)} if each.label else {}
        facts |= {
            "Command": _command(each.command),
            "Asked for": escaped(describe(each.settings)),
            "Given up": f"after {each.settings.wait:g} s",
        }
        if each.runs:
            facts["Began"] = escaped(each.runs[0].started)
        if found := addresses(each.runs):
            facts["Addresses"] = found
        facts |= {escaped(name): escaped(said) for name, said in (each.versions | each.machine).items()}
        parts.append(factTable(facts))
    return parts
