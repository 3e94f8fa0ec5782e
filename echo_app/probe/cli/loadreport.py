"""Report of a load: text, files, and the status that follows from the figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from echo_app.probe.cli.loadoptions import LoadOptions
from echo_app.probe.cli.output import written
from echo_app.probe.report.page import page
from echo_app.probe.report.remarks import remarksOfRuns
from echo_app.probe.report.summary import summary
from echo_app.probe.results.conditions import Outcome, outcomesOf
from echo_app.probe.results.figures import perSecond
from echo_app.probe.results.results import Results, Run
from echo_app.probe.results.steps import stepsToJson
from echo_app.text import escaped


class LoadReport:
    """Reports the results of a command.

    :param steps: the results of each step that was measured.
    """

    def __init__(self, options: LoadOptions, steps: Sequence[Results]) -> None:
        self._options = options
        self._steps = steps
        self._hasSteps = options.hasSteps
        self._failed = [(each, outcome) for each in steps for outcome in self._failures(each)]

    def _failures(self, results: Results) -> Iterator[Outcome]:
        for outcome in outcomesOf(self._options.failures, results):
            if outcome.value is None or outcome.isMet:
                yield outcome

    @property
    def runs(self) -> list[Run]:
        """The runs of all steps."""
        return [run for each in self._steps for run in each.runs]

    @property
    def isSilent(self) -> bool:
        """Says whether nothing was answered in a run."""
        return any(not run.answered for run in self.runs)

    @property
    def isFinding(self) -> bool:
        """Says whether something is a finding: a failure, a condition that holds, with --strict a remark."""
        isTolerant = any(each.isOfErrors for each in self._options.failures)
        isGood = all(run.isRight if isTolerant else run.isGood for run in self.runs)
        remarks = (any(remarksOfRuns(each.runs, each.settings)) for each in self._steps)
        return bool(self._failed) or not isGood or (bool(self._options["strict"]) and any(remarks))

    def lines(self) -> Iterator[str]:
        """Yields the lines of the text."""
        for each in self._steps:
            yield from summary(each)
        for results, outcome in self._failed:
            where = [perSecond(results.settings.rate)] if self._hasSteps and results.settings.rate else []
            where += [outcome.target] if len(results.targets()) > 1 else []
            yield escaped(": ".join(["failed", *where, str(outcome)]))

    def toJson(self) -> str:
        """Returns the results as JSON."""
        return stepsToJson(self._steps) if self._hasSteps else self._steps[0].toJson()

    def page(self) -> str:
        """Returns the page."""
        names = [perSecond(each.settings.rate or 0.0) for each in self._steps] if self._hasSteps else []
        return page(self._steps, names, self._options["title"])

    def publish(self, say: Callable[[str], None], complain: Callable[[str], None]) -> bool:
        """Prints the results, and writes the files; returns whether all could be written."""
        path, report = self._options["json"], self._options["report"]
        for line in self.lines():
            (complain if path == "-" else say)(line)
        isWritten = True
        if path == "-":
            say(self.toJson())
        elif path:
            isWritten = written("json", path, lambda: Path(path).write_text(self.toJson() + "\n"), complain)
        if report:
            isWritten &= written(
                "report", report, lambda: report.write_text(self.page(), encoding="utf-8"), complain
            )
        return isWritten
