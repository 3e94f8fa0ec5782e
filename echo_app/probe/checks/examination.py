"""Examination: runs checks one after the other, bounds each of them, and collects the evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

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
    *(Identity(), SegmentSizes(), HalfClose(), LateReader(), SmallWrites()),
    *(TimesCheck(), Burst(), Lifetimes(), Idle(), UDP()),
)

# A check is ended after EXCESS times the seconds of its cost, and GRACE seconds more.
EXCESS, GRACE = 5.0, 30.0


def contextOf(reactor: Any, target: Target, settings: CheckSettings, random: Random) -> Context:
    """Returns the context of an examination that begins now."""
    evidence = Evidence(target, settings, random.randbytes(4))
    return Context(reactor, target, evidence, random, start=float(reactor.seconds()))


def costOf(context: Context, checks: Sequence[Check[Any]]) -> Cost:
    """Returns the maximum cost of the checks."""
    asked = (check.cost(context) for check in checks if not check.reasonToSkip(context))
    return sum(asked, start=Cost())


async def examine(context: Context, checks: Sequence[Check[Any]], report: Callable[[str], None]) -> None:
    """Runs the checks; what they see is in the context's evidence.

    All checks use the address that ``resolve`` found, so that all examine one path.

    :param report: called with the name of each check that has run, as soon as it has.
    """
    evidence, waiting = context.evidence, list(checks)
    meter = LatenessMeter(context.reactor, evidence, context.start)
    meter.start()
    try:
        while waiting:
            check = waiting.pop(0)
            if reason := check.reasonToSkip(context):
                evidence.skipped[check.name] = reason
                continue
            await _run(check, replace(context, check=check.name))
            report(check.name)
            seen = evidence.observations[check.name]
            if isinstance(seen, Addresses) and seen.address:
                context = replace(context, target=context.target.at(seen.address))
            if seen.isFinal:
                evidence.skipped.update(
                    (each.name, f"nothing to look at after {check.name}") for each in waiting
                )
                break
    except CancelledError:
        evidence.unfinished.update((each.name, "interrupted") for each in (check, *waiting))
        raise
    finally:
        meter.stop()


async def _run(check: Check[Any], context: Context) -> None:
    evidence = context.evidence
    seen = evidence.observations[check.name] = check.begin()
    limit = check.cost(context).seconds * EXCESS + GRACE
    try:
        await within(context.reactor, limit, Deferred.fromCoroutine(check.run(context, seen)))
    except NetworkError as error:
        evidence.unfinished[check.name] = f"no connection: {error}"
    except NothingCame:
        evidence.unfinished[check.name] = f"not done in {limit:g} s"
