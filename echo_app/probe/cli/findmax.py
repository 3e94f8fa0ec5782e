"""``echo-probe load --find-max``: the search, step by step, and its report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from echo_app.probe.cli.loadoptions import LoadOptions
from echo_app.probe.cli.loadreport import LoadReport
from echo_app.probe.cli.loadsession import LoadSession
from echo_app.probe.report.junit import Case
from echo_app.probe.report.summary import describe
from echo_app.probe.results.conditions import Condition
from echo_app.probe.results.figures import perSecond, whole
from echo_app.probe.results.findmax import Step, StepVerdict, judge, ratesOf
from echo_app.probe.results.steps import stepsToJson
from echo_app.text import escaped

# Width of a column of the table, in characters.
_COLUMN = 12

_LIMIT = "so the service may serve more: try more --processes, or another machine for the probe"

_LONGER = "so a longer --duration or a higher --rate is needed"


class MaximumSearch:
    """Searches the highest rate at which conditions hold, by the runs of a session.

    :ivar steps: those that are complete, in order.
    """

    def __init__(self, session: LoadSession, options: LoadOptions) -> None:
        self._session = session
        self._options = options
        self.steps: list[Step] = []

    async def run(self) -> None:
        """Tries rates until the search ends. One that does not hold is tried again: chance may have done it.

        :raise LoadFailed: when the target can't be measured.
        :raise CancelledError: when a run was interrupted.
        """
        rates = ratesOf(self._options.settings.rate or 0.0)
        rate = next(rates, None)
        while rate is not None:
            verdict = await self._try(rate)
            if verdict in (StepVerdict.FAILS, StepVerdict.NOT_EXAMINED):
                verdict = await self._try(rate)
            try:
                rate = rates.send(verdict)
            except StopIteration:
                return

    async def _try(self, rate: float) -> StepVerdict:
        results = await self._session.step(replace(self._options.settings, rate=rate))
        self.steps.append(judge(self._options.held, results))
        return self.steps[-1].verdict

    @property
    def found(self) -> Step | None:
        """The step with the highest rate that holds."""
        holding = [each for each in self.steps if each.verdict is StepVerdict.HOLDS]
        return max(holding, key=lambda each: each.rate, default=None)

    @property
    def next(self) -> Step | None:
        """The step with the lowest rate above the one that was found; where none was, the last one."""
        if self.found is None:
            return self.steps[-1] if self.steps else None
        above = [each for each in self.steps if each.rate > self.found.rate]
        return min(reversed(above), key=lambda each: each.rate, default=None)


class SearchReport(LoadReport):
    """Reports a search: each step with its figures, and the conclusion.

    :param ended: why the search has ended early; empty where it was complete.
    """

    def __init__(self, options: LoadOptions, search: MaximumSearch, ended: str = "") -> None:
        super().__init__(options, [each.results for each in search.steps], ended)
        self._search = search

    @property
    def isSilent(self) -> bool:
        """Says whether nothing was answered in any step."""
        return not any(run.answered for run in self.runs)

    @property
    def isFinding(self) -> bool:
        """Says whether no rate was found, or other bytes came back than were sent."""
        return self._search.found is None or any(run.differences for run in self.runs)

    def lines(self) -> Iterator[str]:
        """Yields the table of the steps, and the conclusion."""
        conditions = self._options.held
        yield f"find-max {', '.join(each.text for each in conditions)}"
        if self._options["label"]:
            yield escaped(self._options["label"])
        yield describe(self._search.steps[0].results.settings)
        yield escaped(self._options.targets[0].text)
        names = dict.fromkeys(each.name for each in conditions if each.name != "errors")
        yield "".join(f"{name:>{_COLUMN}}" for name in ("rate", "answered", *names, "errors"))
        for each in self._search.steps:
            yield _row(each, conditions)
        yield self._conclusion()

    def cases(self) -> Iterator[Case]:
        """Yields the test cases of ``--junit``."""
        yield Case("complete", error=self._ended)
        if self._search.steps:
            conditions = ", ".join(each.text for each in self._options.held)
            failure = self._conclusion() if self.isFinding else ""
            yield Case(f"{self._options.targets[0].text}: a rate with {conditions}", failure)

    def _conclusion(self) -> str:
        found, after = self._search.found, self._search.next
        before = "the search was cut short; " if self._ended else ""
        if after is None:
            assert found is not None
            return f"{before}found: {perSecond(found.rate)} holds, and no higher rate was tried"
        verb = "" if after.verdict is StepVerdict.FAILS else "is "
        failed = f"{perSecond(after.rate)}, {verb}{after.verdict.value}: {after.reason}"
        if found is None:
            advice = f", {_LONGER}" if after.verdict is StepVerdict.NOT_STATED else ""
            return f"{before}no rate was found; the last step, {failed}{advice}"
        limit = f", {_LIMIT}" if after.verdict is StepVerdict.NOT_EXAMINED else ""
        return f"{before}found: {perSecond(found.rate)} holds; the next step, {failed}{limit}"

    def toJson(self) -> str:
        """Returns the results as JSON, with the verdict of each step."""
        found = self._search.found
        verdicts = [
            {"rate": each.rate, "verdict": each.verdict.value, "reason": each.reason}
            for each in self._search.steps
        ]
        more = {
            "conditions": [each.text for each in self._options.held],
            "found": found and found.rate,
            "isComplete": not self._ended,
            "verdicts": verdicts,
        }
        return stepsToJson(self._steps, {"findMax": more})


def _row(step: Step, conditions: Sequence[Condition]) -> str:
    """Returns the row of a step: its figures, and its verdict."""
    runs, settings = step.results.runs, step.results.settings
    values = {each.name: each.cell(runs, settings) for each in conditions if each.name != "errors"}
    answered = sum(run.rate for run in runs) / len(runs)
    errors = whole(sum(sum(run.errors.values()) for run in runs))
    cells = [perSecond(step.rate), perSecond(answered), *values.values(), errors]
    said = f"{step.verdict.value}: {step.reason}" if step.reason else step.verdict.value
    return escaped("".join(f"{cell:>{_COLUMN}}" for cell in cells) + f"  {said}")
