"""Support for tests of the probe: examinations on the tests' reactor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from twisted.internet.defer import Deferred

from echo_app.probe.checks.check import Check, Context, Cost
from echo_app.probe.checks.evidence import CheckSettings, Evidence, Observation
from echo_app.probe.checks.examination import CHECKS, contextOf, examine
from echo_app.probe.judge.finding import Finding
from echo_app.probe.judge.judge import Verdict, judge
from echo_app.probe.report.examination import findingLines
from echo_app.probe.results.severity import Severity
from echo_app.targets import ClientTLS, parseTarget

# The checks of a stream that examine only bytes.
STREAM = ("resolve", "connect", "identity", "half-close", "late-reader", "small-writes")

QUICK = CheckSettings(isQuick=True)


class Hurried:
    """The reactor with a faster clock, for tests that only wait.

    :param pace: seconds of this clock in a real second.
    """

    def __init__(self, pace: float = 10.0) -> None:
        from twisted.internet import reactor

        self._reactor: Any = reactor
        self._pace = pace

    def seconds(self) -> float:
        """Returns the time of the faster clock."""
        return float(self._reactor.seconds() * self._pace)

    def callLater(self, delay: float, *call: Any, **keywords: Any) -> Any:
        """Schedules a call by the faster clock."""
        return self._reactor.callLater(delay / self._pace, *call, **keywords)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


def context(
    text: str, reactor: Any = None, tls: ClientTLS = ClientTLS(), settings: CheckSettings = QUICK
) -> Context:
    """Returns the context of an examination, with a fixed seed, by default a quick one."""
    if reactor is None:
        from twisted.internet import reactor
    return contextOf(reactor, parseTarget(text, tls), settings, Random(1))


@dataclass(slots=True)
class Noted(Observation):
    """What a fake check has seen."""

    text: str = ""
    isFinal: bool = False

    def __str__(self) -> str:
        return self.text


class FakeCheck(Check[Noted]):
    """A check that does what a test says.

    :param act: returns what it sees, or a Deferred that it waits for.
    :param reason: why it is skipped.
    """

    begin = Noted

    def __init__(
        self, name: str, act: Callable[[Context], str | Deferred[None]] = lambda context: "", reason: str = ""
    ) -> None:
        self.name = name
        self._act = act
        self._reason = reason

    def reasonToSkip(self, context: Context) -> str:
        return self._reason

    def cost(self, context: Context) -> Cost:
        return Cost(100, 2, 1)

    async def run(self, context: Context, seen: Noted) -> None:
        seen.text = "begun"
        result = self._act(context)
        if isinstance(result, Deferred):
            await result
        else:
            seen.text = result


@dataclass(frozen=True, slots=True)
class Examined:
    """An examination that is done.

    :param evidence: of its checks.
    :param verdict: of the judge.
    """

    evidence: Evidence
    verdict: Verdict

    @property
    def causes(self) -> dict[str, Severity]:
        """The severities of the findings, by cause."""
        return {each.rule.cause: each.severity for each in self.verdict.findings}

    def finding(self, cause: str) -> Finding:
        """Returns the finding of a cause."""
        (found,) = (each for each in self.verdict.findings if each.rule.cause == cause)
        return found

    def seen(self, check: str) -> str:
        """Returns what a check has seen, in words."""
        return str(self.evidence.observations[check])

    def data(self, check: str) -> Mapping[str, Any]:
        """Returns what a check has seen, as data."""
        return self.evidence.observations[check].data()

    def __str__(self) -> str:
        """Returns the report, for a test that has failed."""
        lines = [f"{name}: {seen}" for name, seen in self.evidence.observations.items()]
        lines += [f"unfinished: {self.evidence.unfinished}", f"skipped: {self.evidence.skipped}"]
        return "\n".join([*lines, *(line for each in self.verdict.findings for line in findingLines(each))])


async def examined(given: Context, *checks: str | Check[Any]) -> Examined:
    """Runs checks, those given and those of these names; returns what they saw, judged."""
    named = {each.name: each for each in CHECKS}
    chosen = [named[each] if isinstance(each, str) else each for each in checks]
    await Deferred.fromCoroutine(examine(given, chosen, lambda name: None))
    return Examined(given.evidence, judge(given.evidence))
