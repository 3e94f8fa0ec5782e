"""Examination: runs checks one after the other, bounds each of them, and collects the evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from echo_app.probe.checks.bill import Bill
from echo_app.probe.checks.burst import Burst
from echo_app.probe.checks.check import Check, Context, Cost
from echo_app.probe.checks.evidence import CheckSettings, Evidence, LatenessMeter
from echo_app.probe.checks.halfclose import HalfClose
from echo_app.probe.checks.handshake import TLS
from echo_app.probe.checks.identity import Identity
from echo_app.probe.checks.idle import Idle
from echo_app.probe.checks.latereader import LateReader
from echo_app.probe.checks.lifetimes import Lifetimes
from echo_app.probe.checks.peer import Peer
from echo_app.probe.checks.protocol import Protocol
from echo_app.probe.checks.reach import Addresses, Connect, Resolve
from echo_app.probe.checks.segments import SegmentSizes
from echo_app.probe.checks.smallwrites import SmallWrites
from echo_app.probe.checks.times import TimesCheck
from echo_app.probe.checks.udp import UDP
from echo_app.probe.net.errors import NetworkError
from echo_app.probe.net.waits import NothingCame, within
from echo_app.targets import Target

# All checks, in the order in which they run: those that cost little, and those whose failure ends the others,
# first.
CHECKS: tuple[Check[Any], ...] = (
    *(Resolve(), Connect(), TLS(), Peer()),
    *(Identity(), Protocol(), SegmentSizes(), HalfClose(), LateReader(), SmallWrites()),
    *(TimesCheck(), Burst(), Lifetimes(), Idle(), UDP()),
)

# A check is ended after EXCESS times the seconds of its cost, and GRACE seconds more.
EXCESS, GRACE = 5.0, 30.0

# The reason for which a check is not begun, where there is a limit on the time of all.
NO_TIME = "no time left"

# The share of the time that is left which a check may take while others wait, unless its cost is higher.
_SHARE = 0.5


def contextOf(reactor: Any, target: Target, settings: CheckSettings, random: Random) -> Context:
    """Returns the context of an examination that begins now."""
    evidence = Evidence(target, settings, random.randbytes(4))
    return Context(reactor, target, evidence, random, start=float(reactor.seconds()))


def costOf(context: Context, checks: Sequence[Check[Any]]) -> Cost:
    """Returns the maximum cost of the checks that apply, within the limit on the time of all."""
    asked = (check.cost(context) for check in checks if not check.reasonToSkip(context))
    cost = sum(asked, start=Cost())
    most = context.settings.maxTime
    return replace(cost, seconds=min(cost.seconds, most)) if most else cost


async def examine(
    context: Context,
    checks: Sequence[Check[Any]],
    report: Callable[[str], None],
    bill: Bill | None = None,
    began: Callable[[str, float], object] = lambda name, seconds: None,
) -> None:
    """Runs the checks; what they see is in the context's evidence.

    All checks use the address that ``resolve`` found, so that all examine one path.

    :param report: called with the name of each check that has run, as soon as it has.
    :param bill: is told what is to come; None is one that tells no one.
    :param began: called with the name of each check that begins, and the seconds after which it is ended.
    """
    evidence, waiting = context.evidence, list(checks)
    bill = bill or Bill(context, costOf(context, checks))
    meter = LatenessMeter(context.reactor, evidence, context.start)
    meter.start()
    try:
        while waiting:
            check = waiting.pop(0)
            if reason := check.reasonToSkip(context):
                evidence.skipped[check.name] = reason
                continue
            limit = _limitOf(check, context, bool(waiting))
            if limit <= 0:
                evidence.unfinished[check.name] = NO_TIME
                continue
            began(check.name, limit)
            await _run(check, replace(context, check=check.name), limit, waiting, bill)
            report(check.name)
            seen = evidence.observations[check.name]
            if isinstance(seen, Addresses) and seen.address:
                context = replace(context, target=context.target.at(seen.address))
            if seen.isFinal:
                waiting = _afterFinal(check, waiting, evidence)
    except CancelledError:
        evidence.unfinished.update((each.name, "interrupted") for each in (check, *waiting))
        raise
    finally:
        meter.stop()


def _afterFinal(check: Check[Any], waiting: Sequence[Check[Any]], evidence: Evidence) -> list[Check[Any]]:
    """Returns the checks that explain a final observation; the others are skipped."""
    explaining = [each for each in waiting if check.name in each.explains]
    reason = f"nothing to look at after {check.name}"
    evidence.skipped.update((each.name, reason) for each in waiting if each not in explaining)
    return explaining


def _limitOf(check: Check[Any], context: Context, isWaited: bool) -> float:
    """Returns the seconds after which a check is ended.

    :param isWaited: other checks wait: half of the time that is left is theirs.
    """
    cost = check.cost(context).seconds
    limit = cost * EXCESS + GRACE
    if not context.settings.maxTime:
        return limit
    left = context.settings.maxTime - context.now
    return min(limit, left, max(cost, left * _SHARE)) if isWaited else min(limit, left)


async def _run(
    check: Check[Any], context: Context, limit: float, waiting: Sequence[Check[Any]], bill: Bill
) -> None:
    evidence, clock = context.evidence, context.reactor
    seen = evidence.observations[check.name] = check.begin()
    cost, ahead = check.cost(context), costOf(context, waiting)
    bill.expect(cost + ahead, check.name)

    def isLate() -> None:
        bill.expect(replace(ahead, seconds=ahead.seconds + limit - cost.seconds), check.name)

    late = clock.callLater(cost.seconds, isLate) if cost.seconds < limit else None
    try:
        await within(clock, limit, Deferred.fromCoroutine(check.run(context, seen)))
    except NetworkError as error:
        evidence.unfinished[check.name] = f"no connection: {error}"
    except NothingCame:
        evidence.unfinished[check.name] = f"not done in {limit:.3g} s"
    finally:
        if late is not None and late.active():
            late.cancel()
        bill.expect(ahead, check.name)
