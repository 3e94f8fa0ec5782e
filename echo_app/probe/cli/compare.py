"""``echo-probe compare``: compares results, and states whether they differ."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from twisted.python.usage import UsageError

from echo_app.probe.cli.arguments import JUNIT, REPORT, TITLE, CommandOptions, checkExtra, row
from echo_app.probe.cli.loadvalues import fileOf
from echo_app.probe.report.remarks import remarks
from echo_app.probe.report.summary import conclusion, describe
from echo_app.probe.results.comparison import ENOUGH, comparison, difference, unlike
from echo_app.probe.results.figures import FIGURES, Subject, subjects, summary
from echo_app.probe.results.results import Results
from echo_app.probe.results.steps import isOfSteps
from echo_app.text import binarySize, escaped, plural

# Bytes of a result, at the most: a run of 600 intervals has 100 KiB.
LARGEST_FILE = 1 << 26

# Bytes of a result within which its format stands.
_HEAD = 100

# Width of a figure's name, of a subject's key, and of a figure and its range, in characters.
_NAME, _KEY, _FIGURE, _SPREAD = 16, 3, 12, 26


def _output(text: str) -> str:
    """Returns the path of a file that can be written, or ``-``; none that has a result of a load."""
    path = fileOf(text)
    if path != "-" and Path(path).is_file():
        try:
            with open(path, "rb") as file:
                isResult = b'"echo-probe load' in file.read(_HEAD)
        except OSError as error:
            raise ValueError(error.strerror) from None
        if isResult:
            raise ValueError("it has the result of a load, which would be lost")
    return path


class CompareOptions(CommandOptions):
    """The options of ``compare``.

    :ivar results: of the files.
    :ivar subjects: of the comparison; all others are compared with the first one.
    """

    synopsis = "compare FILE.json... [options]"
    longdesc = (
        "A FILE is written by echo-probe load --json. All are compared to the first one; the targets of "
        "one file are compared with each other too. A difference within the spread between repeats is none."
    )
    optFlags = [
        ["fail-if-worse", None, "Exit with 1 when a figure is worse than the first one's."],
    ]
    optParameters = [
        row("json", None, None, "File for the comparison as JSON; - is standard output.", _output),
        JUNIT,
        REPORT,
        TITLE,
    ]
    results: list[Results]
    subjects: list[Subject]

    def postOptions(self) -> None:
        """Reads the files, and checks that they can be compared."""
        checkExtra()
        if not self.texts:
            raise UsageError("no file, such as echo-probe load --json wrote")
        self.results = [_read(text) for text in self.texts]
        for text, each in zip(self.texts, self.results, strict=True):
            if found := unlike(self.results[0].settings, each.settings):
                name, one, other = found
                raise UsageError(
                    f"{name} is {other} in {text!r} and {one} in {self.texts[0]!r}: they can't be compared"
                )
        self.subjects = subjects(self.results, self.texts)
        if self["fail-if-worse"]:
            self._checkRepeats()

    def _checkRepeats(self) -> None:
        """Checks that there are enough repeats to find a figure that is worse."""
        if len(self.subjects) < 2:
            raise UsageError(f"--fail-if-worse: {self.texts[0]!r} is alone")
        for each in self.subjects:
            complete = [run for run in each.runs if not run.isInterrupted]
            if len(complete) < ENOUGH:
                raise UsageError(
                    f"--fail-if-worse: {each.name}: a difference is certain from {ENOUGH} repeats on, "
                    f"not of {len(complete)}"
                )


def _content(text: str) -> bytes:
    """Returns the bytes of a file.

    :raise ValueError: when it is too large, or would never end.
    """
    with open(text, "rb") as file:
        if _isOutput(file.fileno()):
            raise ValueError("it is this command's standard output")
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise ValueError(f"more than {binarySize(LARGEST_FILE)}")
    return content


def _isOutput(descriptor: int) -> bool:
    """Says whether a descriptor is our standard output: a read would wait for what we write ourselves."""
    try:
        return os.path.sameopenfile(descriptor, sys.stdout.fileno())
    except (OSError, ValueError):
        # In a test it has no descriptor.
        return False


def _read(text: str) -> Results:
    try:
        content = _content(text).decode()
        if isOfSteps(content):
            raise ValueError("each of its steps has a rate of its own; a result of one rate can be compared")
        results = Results.fromJson(content)
    except OSError as error:
        raise UsageError(f"{text!r}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{text!r}: no JSON") from None
    except ValueError as error:
        raise UsageError(f"{text!r}: {error}") from None
    if not results.runs:
        raise UsageError(f"{text!r}: there is no run in it")
    return results


def toJson(compared: Sequence[Subject]) -> str:
    """Returns the comparison as JSON, with its remarks."""
    return json.dumps(comparison(compared) | {"remarks": remarks(compared)}, indent=1)


def runCompare(options: CompareOptions, say: Callable[[str], None], complain: Callable[[str], None]) -> bool:
    """Prints the comparison; as text on standard error, where JSON is on standard output.

    :param say: called with each line.
    :param complain: called with each line for standard error.
    :return: whether a figure is worse than the first one's.
    """
    isData = options["json"] == "-"
    for line in lines(options.subjects):
        (complain if isData else say)(line)
    if isData:
        say(toJson(options.subjects))
    first, *others = options.subjects
    found = (difference(figure, first, each) for figure in FIGURES for each in others)
    return any(each is not None and each.word == "worse" for each in found)


def lines(compared: Sequence[Subject]) -> Iterator[str]:
    """Yields the lines of the comparison: figures of each subject, conclusions and remarks."""
    first, *others = compared
    yield escaped(describe(first.results.settings))
    for each in compared:
        yield f"{each.key:{_KEY}}{each.name}, {plural(len(each.runs), 'repeat')}"
    for figure in FIGURES:
        if not any(each.values(figure) for each in compared):
            continue
        name = figure.name
        for each in compared:
            said, spread = summary(figure, each.values(figure))
            differs = None if each is first else difference(figure, first, each)
            line = f"{name:{_NAME}}{each.key:{_KEY}}{said:{_FIGURE}}{spread:{_SPREAD}}{differs or ''}"
            yield line.rstrip()
            name = ""
    yield from (conclusion(first, each) for each in others)
    yield from remarks(compared)
