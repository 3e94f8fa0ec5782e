"""What the tests of the probe share: examinations on the reactor that the tests run on."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred

from echo_app.probe.checks.check import CheckSettings, Context
from echo_app.probe.checks.examination import CHECKS, examine
from echo_app.probe.checks.findings import Result, Status
from echo_app.targets import ClientTLS, parseTarget

# Every check of a stream that looks at nothing but bytes.
STREAM = ("resolve", "connect", "identity", "half-close", "late-reader", "small-writes")

QUICK = CheckSettings(isQuick=True)


class Hurried:
    """The reactor, on which time goes faster: for what is only waited for.

    :param pace: seconds that go by in one.
    """

    def __init__(self, pace: float = 10.0) -> None:
        from twisted.internet import reactor

        self._reactor: Any = reactor
        self._pace = pace

    def seconds(self) -> float:
        """Returns the time, as it goes by here."""
        return float(self._reactor.seconds() * self._pace)

    def callLater(self, delay: float, *call: Any, **keywords: Any) -> Any:
        """Calls later, but sooner."""
        return self._reactor.callLater(delay / self._pace, *call, **keywords)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


def context(
    text: str, reactor: Any = None, settings: CheckSettings = QUICK, tls: ClientTLS = ClientTLS()
) -> Context:
    """Returns what a check is given: the same chance each time, and a quick examination."""
    if reactor is None:
        from twisted.internet import reactor
    return Context(reactor, parseTarget(text, tls), QUICK, Random(1))


async def examined(given: Context, *names: str) -> dict[str, Result]:
    """Runs the checks of these names; returns what they found, by name."""
    checks = [check for check in CHECKS if check.name in names]
    assert len(checks) == len(names), names
    results = await Deferred.fromCoroutine(examine(given, checks, lambda result: None))
    return {each.name: each for each in results}


def statusOf(result: Result) -> Status:
    """Returns how a check came out.

    A machine that is late too often to tell whether small writes wait is no finding about the path.
    """
    isUnsteady = result.status is Status.SKIP and "too unsteady to tell" in result.seen
    return Status.PASS if isUnsteady else result.status


def statuses(results: dict[str, Result]) -> dict[str, Status]:
    """Returns how the checks came out."""
    return {name: statusOf(each) for name, each in results.items()}
