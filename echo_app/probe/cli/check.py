"""Command ``check``: examines the direct route, if there is one, and the target, and reports."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError

from echo_app.probe.checks.bill import Bill
from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.examination import contextOf, costOf, examine
from echo_app.probe.checks.further import examineFurther
from echo_app.probe.cli.checkprogress import CheckProgress
from echo_app.probe.cli.options import CheckOptions
from echo_app.probe.cli.output import emptied, written
from echo_app.probe.judge.baseline import judgeAll
from echo_app.probe.report.checkcases import casesOf
from echo_app.probe.report.examination import Examination
from echo_app.probe.report.junit import junit
from echo_app.targets import Target

# A line is said.
Say = Callable[[str], None]


class CheckSession:
    """One run of the command.

    :param say: called with each line of the report.
    :param complain: called with a line about a file that can't be written.
    :param progress: shows the check that runs.
    """

    def __init__(
        self, reactor: Any, options: CheckOptions, say: Say, complain: Say, progress: CheckProgress
    ) -> None:
        self._reactor = reactor
        self._options = options
        self._say = say
        self._complain = complain
        self._progress = progress
        self._seed = options["seed"] or secrets.randbelow(1 << 32) + 1

    async def run(self) -> tuple[bool, bool]:
        """Examines and reports; returns whether nothing was found, and whether all files were written."""
        options = self._options
        if not emptied("junit", options["junit"], self._complain):
            return False, False
        target, *baselines = options.targets
        direct = [await self._examine(baseline) for baseline in baselines]
        baseline = direct[0].evidence if direct else None
        examination = await self._examine(target, baseline)
        if options["json"]:
            route = {"baseline": direct[0].data()} if direct else {}
            self._say(json.dumps(examination.data() | route, indent=2))
        verdict = examination.verdict
        isGood = not verdict.isFailed and not (options["strict"] and verdict.isWarned)
        return isGood, self._publish(examination)

    async def _examine(self, target: Target, baseline: Evidence | None = None) -> Examination:
        """Examines a target, and compares it with the direct route."""
        options = self._options
        context = contextOf(self._reactor, target, options.settings, Random(self._seed))
        context.evidence.baseline = baseline
        cost = costOf(context, options.checks)
        examination = Examination(context, cost, self._seed, self._tell)
        bill = Bill(context, cost, examination.revised)
        progress = self._progress
        try:
            try:
                await examine(context, options.checks, examination.ran, bill, progress.began)
                if options["address"] == "all":
                    await examineFurther(context, options.checks, examination.ran, bill, progress.began)
            finally:
                progress.ended()
        except CancelledError:
            examination.end(judgeAll(context.evidence), "interrupted: ")
            self._publish(examination)
            raise
        examination.end(judgeAll(context.evidence))
        return examination

    def _tell(self, line: str) -> None:
        self._progress.clear()
        if not self._options["json"]:
            self._say(line)

    def _publish(self, examination: Examination) -> bool:
        """Writes the test cases; returns whether they could be written, or were not asked for."""
        path = self._options["junit"]
        if path is None:
            return True
        cases = list(casesOf(examination.evidence, examination.verdict, bool(self._options["strict"])))
        text = junit("check", cases, examination.seconds)
        return written("junit", path, lambda: path.write_text(text, encoding="utf-8"), self._complain)
