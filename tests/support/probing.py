"""Support for tests of the probe: examinations on the tests' reactor."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.check import Check, CheckSettings, Context, Cost, Result, Status
from echo_app.probe.checks.examination import CHECKS, examine
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


def context(text: str, reactor: Any = None, tls: ClientTLS = ClientTLS()) -> Context:
    """Returns the context of a check, with a fixed seed and the settings of ``--quick``."""
    if reactor is None:
        from twisted.internet import reactor
    return Context(reactor, parseTarget(text, tls), QUICK, Random(1))


class FakeCheck(Check):
    """A check with the result of a test.

    :param act: what it does to come to its result.
    :param reason: why it is skipped.
    """

    def __init__(
        self, name: str, act: Callable[[Context], Result | Deferred[Result]], reason: str = ""
    ) -> None:
        self.name = name
        self._act = act
        self._reason = reason

    def reasonToSkip(self, context: Context) -> str:
        return self._reason

    def cost(self, context: Context) -> Cost:
        return Cost(100, 2, 1)

    async def run(self, context: Context) -> Result:
        result = self._act(context)
        return await result if isinstance(result, Deferred) else result


class ResultTestCase(SynchronousTestCase):
    """Tests of results of checks."""

    def check(self, result: Result, status: Status, *parts: str) -> None:
        """Checks the status of a result, and parts of what was seen."""
        self.assertIs(result.status, status, result.seen)
        for part in parts:
            self.assertIn(part, result.seen)


async def examined(given: Context, *names: str) -> dict[str, Result]:
    """Runs the checks of these names; returns their results by name."""
    checks = [check for check in CHECKS if check.name in names]
    assert len(checks) == len(names), names
    results = await Deferred.fromCoroutine(examine(given, checks, lambda result: None))
    return {each.name: each for each in results}


def statusOf(result: Result) -> Status:
    """Returns the status of a check.

    The check of small writes may be skipped on a busy machine. That counts as a pass.
    """
    isUnsteady = result.status is Status.SKIP and "too unsteady to tell" in result.seen
    return Status.PASS if isUnsteady else result.status


def statuses(results: dict[str, Result]) -> dict[str, Status]:
    """Returns the statuses of checks."""
    return {name: statusOf(each) for name, each in results.items()}
