"""Further addresses of a name: the cheap checks run at each of them, as backends may differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from echo_app.probe.checks.check import Check, Context
from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.examination import costOf, examine
from echo_app.probe.checks.halfclose import HalfClose
from echo_app.probe.checks.handshake import TLS
from echo_app.probe.checks.identity import Identity
from echo_app.probe.checks.reach import Addresses, Connect

# Those that run, in their order. Without pauses: the first address has shown whether the service is starting.
BRIEF: tuple[Check[Any], ...] = (Connect(pauses=()), TLS(), Identity(), HalfClose())


async def examineFurther(
    context: Context,
    checks: Sequence[Check[Any]],
    began: Callable[[Context], Callable[[str], None]],
) -> None:
    """Examines each further address that works, over a stream; what is seen is in ``Evidence.further``.

    :param checks: of the examination; those of them that are cheap run.
    :param began: called with the context of each address; returns the function that is called with the name
        of each check that has run there.
    """
    names = {each.name for each in checks}
    brief = [each for each in BRIEF if each.name in names]
    if not context.target.isStream or not brief:
        return
    for address in furtherAddresses(context.evidence):
        settings = replace(context.settings, isQuick=True, isThorough=False)
        target = context.target.at(address)
        evidence = Evidence(target, settings, context.random.randbytes(4))
        context.evidence.further[address] = evidence
        there = replace(context, target=target, evidence=evidence)
        await examine(there, brief, began(there))


def furtherAddresses(evidence: Evidence) -> list[str]:
    """Returns the addresses that work, without the first, which all checks have used."""
    seen = evidence.observations.get("resolve")
    if not isinstance(seen, Addresses):
        return []
    return [address for address, reason in seen.tried.items() if reason is None and address != seen.address]
