"""Test cases of an examination: one for each rule that could be looked at, and for each unfinished check."""

from __future__ import annotations

from collections.abc import Iterator

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.judge.baselinerules import UNEXAMINED
from echo_app.probe.judge.certificaterules import INTERCEPTED
from echo_app.probe.judge.finding import Finding, Rule
from echo_app.probe.judge.judge import RULES, Verdict
from echo_app.probe.report.junit import Case
from echo_app.probe.results.severity import Severity

# Rules that compare with the direct route.
_COMPARING = (UNEXAMINED, INTERCEPTED)


def casesOf(evidence: Evidence, verdict: Verdict, isStrict: bool = False) -> Iterator[Case]:
    """Yields the cases. A finding that does not change the exit status is skipped, with its text.

    :param isStrict: a warning is a failure, too.
    """
    findings = {each.rule.cause: each for each in verdict.findings}
    for rule in RULES:
        name = f"{evidence.target}: no {rule.cause}"
        if (finding := findings.get(rule.cause)) is not None:
            yield _caseOf(name, finding, isStrict)
        elif _isLookedAt(rule, evidence, verdict):
            yield Case(name)
    for check, reason in verdict.unfinished.items():
        yield Case(f"{evidence.target}: {check} has seen everything", error=reason)


def _caseOf(name: str, finding: Finding, isStrict: bool) -> Case:
    match = finding.match
    first = f"{finding.where}{finding.title}: {match.seen} ({match.confidence.value})"
    said = "; ".join([first, finding.meaning, *match.evidence])
    if finding.excuse:
        return Case(name, skipped=f"{finding.excuse}; {said}")
    if finding.severity is Severity.WARN and not isStrict:
        return Case(name, skipped=f"a warning: {said}")
    return Case(name, failure=said)


def _isLookedAt(rule: Rule, evidence: Evidence, verdict: Verdict) -> bool:
    """Says whether there was something in which a rule could find its cause."""
    if rule.kinds and evidence.target.kind not in rule.kinds:
        return False
    if rule in _COMPARING and evidence.baseline is None:
        return False
    asked = verdict.asked.get(rule.cause, frozenset())
    if not asked:
        return bool(evidence.connections)
    return any(name in evidence.observations and name not in evidence.unfinished for name in asked)
