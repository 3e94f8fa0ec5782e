"""Report of a load: text, files, and the status that follows from the figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from echo_app.probe.cli.loadoptions import LoadOptions
from echo_app.probe.cli.output import written
from echo_app.probe.report.junit import Case, answered, junit
from echo_app.probe.report.page import page
from echo_app.probe.report.remarks import remarksOfRuns
from echo_app.probe.report.summary import summary
from echo_app.probe.results.conditions import outcomesOf
from echo_app.probe.results.figures import perSecond
from echo_app.probe.results.results import Results, Run
from echo_app.probe.results.steps import stepsToJson
from echo_app.text import escaped


class LoadReport:
    """Reports the results of a command.

    :param steps: the results of each step that was measured.
    :param ended: why the load has ended early; empty where it was complete.
    """

    def __init__(self, options: LoadOptions, steps: Sequence[Results], ended: str = "") -> None:
        self._options = options
        self._steps = steps
        self._ended = ended
        self._hasSteps = options.hasSteps
        self._outcomes = [
            (results, outcome) for results in steps for outcome in outcomesOf(options.failures, results)
        ]
        self._failed = [each for each in self._outcomes if each[1].value is None or each[1].isMet]
        self._isTolerant = any(each.isOfErrors for each in options.failures)

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
        isGood = all(run.isRight if self._isTolerant else run.isGood for run in self.runs)
        return bool(self._failed) or not isGood or (bool(self._options["strict"]) and any(self._remarks()))

    def _remarks(self) -> Iterator[str]:
        for each in self._steps:
            yield from remarksOfRuns(each.runs, each.settings)

    def lines(self) -> Iterator[str]:
        """Yields the lines of the text."""
        for each in self._steps:
            yield from summary(each)
        for results, outcome in self._failed:
            where = [self._where(results, "")]
            where += [outcome.target] if len(results.targets()) > 1 else []
            yield escaped(": ".join(filter(None, ["failed", *where, str(outcome)])))

    def _where(self, results: Results, target: str) -> str:
        """Returns the place of a finding: its target and, of several rates, its rate."""
        isOfRate = self._hasSteps and results.settings.rate
        rate = perSecond(results.settings.rate) if isOfRate and results.settings.rate else ""
        return ", ".join(filter(None, [target, rate]))

    def cases(self) -> Iterator[Case]:
        """Yields the test cases of ``--junit``."""
        yield Case("complete", error=self._ended)
        for results in self._steps:
            for target in results.targets():
                where = self._where(results, target)
                yield answered(where, results.runsAt(target), self._isTolerant)
        for results, outcome in self._outcomes:
            isFailed = (results, outcome) in self._failed
            where = self._where(results, outcome.target)
            yield Case(f"{where}: not {outcome.condition.text}", str(outcome) if isFailed else "")
        if self._options["strict"]:
            yield Case("without a remark", "; ".join(self._remarks()))

    def toJson(self) -> str:
        """Returns the results as JSON."""
        return stepsToJson(self._steps) if self._hasSteps else self._steps[0].toJson()

    def page(self) -> str:
        """Returns the page."""
        names = [perSecond(each.settings.rate or 0.0) for each in self._steps] if self._hasSteps else []
        return page(self._steps, names, self._options["title"])

    def publish(self, say: Callable[[str], None], complain: Callable[[str], None]) -> bool:
        """Prints the results, and writes the files; returns whether all could be written."""
        path, report, cases = (self._options[name] for name in ("json", "report", "junit"))
        isWritten = True
        if cases:
            seconds = sum(run.seconds for run in self.runs)
            text = junit("load", list(self.cases()), seconds)
            isWritten = written("junit", cases, lambda: cases.write_text(text, encoding="utf-8"), complain)
        if not self.runs:
            return isWritten
        for line in self.lines():
            (complain if path == "-" else say)(line)
        if path == "-":
            say(self.toJson())
        elif path:
            isWritten &= written("json", path, lambda: Path(path).write_text(self.toJson() + "\n"), complain)
        if report:
            isWritten &= written(
                "report", report, lambda: report.write_text(self.page(), encoding="utf-8"), complain
            )
        return isWritten
