"""Findings at several addresses of a name: which of the addresses that were examined have a cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.further import BRIEF
from echo_app.probe.checks.reach import Addresses
from echo_app.probe.judge.finding import Finding
from echo_app.probe.judge.judge import RULES, Verdict, judge, worstFirst

# The checks that run at every address.
_NAMES = frozenset(check.name for check in BRIEF)


def overAddresses(evidence: Evidence, verdict: Verdict) -> Verdict:
    """Adds the findings at the further addresses to those at the first.

    A cause that several addresses have is one finding, with the figures of the first of them.
    """
    if not evidence.further:
        return verdict
    seen = evidence.observations.get("resolve")
    first = (isinstance(seen, Addresses) and seen.address) or evidence.target.host
    verdicts = {first: verdict} | {address: judge(each) for address, each in evidence.further.items()}
    having: dict[str, list[str]] = {}
    findings: dict[str, Finding] = {}
    for address, each in verdicts.items():
        for finding in each.findings:
            cause = finding.rule.cause
            findings.setdefault(cause, finding)
            if address != first or _isComparable(finding, evidence, verdict):
                having.setdefault(cause, []).append(address)
    merged = [_at(findings[cause], having.get(cause, ()), len(verdicts)) for cause in findings]
    order = [rule.cause for rule in RULES]
    merged.sort(key=lambda finding: order.index(finding.rule.cause))
    unfinished = {**verdict.unfinished}
    for address, there in evidence.further.items():
        unfinished |= {f"{name} at {address}": reason for name, reason in there.unfinished.items()}
    return replace(verdict, findings=worstFirst(merged), unfinished=unfinished)


def _isComparable(finding: Finding, evidence: Evidence, verdict: Verdict) -> bool:
    """Says whether the checks that run at every address would see a finding of the first address."""
    numbers = set(finding.match.explains)
    if numbers:
        return any(evidence.connections[each].check in _NAMES for each in numbers)
    asked = verdict.asked.get(finding.rule.cause, frozenset())
    return bool(asked) and asked <= _NAMES


def _at(finding: Finding, addresses: Sequence[str], examined: int) -> Finding:
    """Returns a finding with its addresses, which are in its evidence too."""
    if not addresses:
        return finding
    lines = [f"at {', '.join(addresses)}", *finding.match.evidence]
    match = replace(finding.match, evidence=lines)
    return replace(finding, match=match, addresses=tuple(addresses), examined=examined)
