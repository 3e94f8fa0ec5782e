"""Further addresses of a name: the cheap checks run at each of them, as backends may differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from echo_app.probe.checks.bill import Bill
from echo_app.probe.checks.check import Check, Context, Cost
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
    report: Callable[[str, Evidence], None],
    bill: Bill | None = None,
    began: Callable[[str, float], object] = lambda name, seconds: None,
) -> None:
    """Examines each further address that works, over a stream; what is seen is in ``Evidence.further``.

    :param checks: of the examination; those of them that are cheap run.
    :param report: called with the name of each check that has run, and the evidence of its address.
    :param bill: of the whole examination.
    :param began: called with the name of each check that begins, and the seconds after which it is ended.
    """
    names = {each.name for each in checks}
    brief = [each for each in BRIEF if each.name in names]
    if not context.target.isStream or not brief:
        return
    further = {address: _contextAt(address, context) for address in furtherAddresses(context.evidence)}
    if bill is not None and further:
        ahead = sum((costOf(there, brief) for there in further.values()), start=Cost())
        bill.expect(ahead, f"{len(further) + 1} addresses")
    for address, there in further.items():
        context.evidence.further[address] = there.evidence
        await examine(there, brief, _reporting(report, there.evidence), bill, began)


def _reporting(report: Callable[[str, Evidence], None], evidence: Evidence) -> Callable[[str], None]:
    """Returns the report of one address."""
    return lambda name: report(name, evidence)


def _contextAt(address: str, context: Context) -> Context:
    """Returns the context of a quick examination of one address; labels tell it from the others."""
    settings = replace(context.settings, isQuick=True, isThorough=False)
    target = context.target.at(address)
    evidence = Evidence(target, settings, context.random.randbytes(4), spacing=context.evidence.spacing)
    return replace(context, target=target, evidence=evidence)


def furtherAddresses(evidence: Evidence) -> list[str]:
    """Returns the addresses that work, without the first, which all checks have used."""
    seen = evidence.observations.get("resolve")
    if not isinstance(seen, Addresses):
        return []
    return [address for address, reason in seen.tried.items() if reason is None and address != seen.address]
