"""Runs checks one after the other, and bounds each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred

from echo_app.probe.checks import Check, Context
from echo_app.probe.findings import Result, failed, skipped
from echo_app.probe.patience import NothingCame, within
from echo_app.probe.stream import CannotConnect

# Every check, in the order in which it is run.
CHECKS: tuple[Check, ...] = ()

# A check is ended when it takes this many times what it says that it takes, and these seconds.
EXCESS, GRACE = 5.0, 30.0


async def examine(
    context: Context, checks: Sequence[Check], report: Callable[[Result], None]
) -> list[Result]:
    """Runs the checks; returns what they found.

    :param report: is called with each result as it comes.
    """
    results = []
    for check in checks:
        results.append(await _run(check, context))
        report(results[-1])
    return results


async def _run(check: Check, context: Context) -> Result:
    reason = check.reasonToSkip(context)
    if reason:
        return skipped(check.name, reason)
    limit = check.cost(context).seconds * EXCESS + GRACE
    try:
        return await within(context.reactor, limit, Deferred.fromCoroutine(check.run(context)))
    except CannotConnect as error:
        return failed(check.name, f"no connection: {error}", "Some connections are not made.")
    except NothingCame:
        return failed(check.name, f"not done in {limit:g} s", "Something comes, but far too slowly.")
