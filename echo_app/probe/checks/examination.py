"""Examination: runs checks one after the other, and bounds each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from twisted.internet.defer import Deferred

from echo_app.probe.checks.burst import Burst
from echo_app.probe.checks.check import Check, Context, Cost, Result, Status, failed, skipped, warned
from echo_app.probe.checks.halfclose import HalfClose
from echo_app.probe.checks.handshake import TLS
from echo_app.probe.checks.identity import Identity
from echo_app.probe.checks.idle import Idle
from echo_app.probe.checks.latereader import LateReader
from echo_app.probe.checks.peer import Peer
from echo_app.probe.checks.reach import Connect, Resolve
from echo_app.probe.checks.smallwrites import SmallWrites
from echo_app.probe.checks.udp import UDP
from echo_app.probe.net.errors import NetworkError
from echo_app.probe.net.waits import NothingCame, within

# All checks, in the order in which they run: those that cost little, and those whose failure ends the others,
# first.
CHECKS: tuple[Check, ...] = (
    *(Resolve(), Connect(), TLS(), Peer()),
    *(Identity(), HalfClose(), LateReader(), SmallWrites()),
    *(Burst(), Idle(), UDP()),
)

# A check is ended after EXCESS times the seconds of its cost, and GRACE seconds more.
EXCESS, GRACE = 5.0, 30.0


def costOf(context: Context, checks: Sequence[Check]) -> Cost:
    """Returns the maximum cost of the checks."""
    asked = (check.cost(context) for check in checks if not check.reasonToSkip(context))
    return sum(asked, start=Cost())


async def examine(
    context: Context, checks: Sequence[Check], report: Callable[[Result], None]
) -> list[Result]:
    """Runs the checks; returns their results.

    All checks use the address that ``resolve`` found, so that all examine one path.

    :param report: called with each result, as soon as it is there.
    """
    results: list[Result] = []
    for check in checks:
        final = next((each.name for each in results if each.isFinal), None)
        if final is not None:
            result = skipped(check.name, f"nothing to look at after {final}")
        else:
            result = await _run(check, context)
        address = result.details.get("address")
        if isinstance(check, Resolve) and isinstance(address, str):
            context = replace(context, target=context.target.at(address))
        results.append(result)
        report(result)
    return results


async def _run(check: Check, context: Context) -> Result:
    reason = check.reasonToSkip(context)
    if reason:
        return skipped(check.name, reason)
    limit = check.cost(context).seconds * EXCESS + GRACE
    try:
        return await within(context.reactor, limit, Deferred.fromCoroutine(check.run(context)))
    except NetworkError as error:
        return failed(check.name, f"no connection: {error}", "Some connections are not made.")
    except NothingCame:
        return warned(
            check.name, f"not done in {limit:g} s", "This path is slower than the check is made for."
        )


def againstBaseline(result: Result, baseline: Mapping[str, Result]) -> Result:
    """Returns a result, as skipped where the same check failed on the direct route, too.

    :param baseline: the results of the direct route, by name.
    """
    direct = baseline.get(result.name)
    isFinding = result.status in (Status.WARN, Status.FAIL)
    if not isFinding or direct is None or direct.status not in (Status.WARN, Status.FAIL):
        return result
    meaning = f"Not this path's doing; directly: {direct.seen}"
    return replace(result, status=Status.SKIP, meaning=meaning)
