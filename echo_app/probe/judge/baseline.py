"""Comparison with a direct route: its faults are not the path's."""

from __future__ import annotations

from dataclasses import replace

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.judge.addresses import overAddresses
from echo_app.probe.judge.finding import Finding
from echo_app.probe.judge.judge import Verdict, judge
from echo_app.probe.results.statistics import interval


def judgeAll(evidence: Evidence) -> Verdict:
    """Judges all addresses, and compares with the direct route where there is one."""
    verdict = overAddresses(evidence, judge(evidence))
    direct = evidence.baseline
    return verdict if direct is None else againstBaseline(verdict, judgeAll(direct))


def againstBaseline(verdict: Verdict, direct: Verdict) -> Verdict:
    """Excuses the findings that the direct route has too: the same cause, in the same manner, as often."""
    known = {each.rule.cause: each for each in direct.findings}
    return replace(
        verdict, findings=[_excused(each, known.get(each.rule.cause)) for each in verdict.findings]
    )


def _excused(finding: Finding, direct: Finding | None) -> Finding:
    if direct is None or not _areSimilar(finding, direct):
        return finding
    return replace(finding, excuse=f"not this path's doing; directly: {direct.match.seen}")


def _areSimilar(finding: Finding, direct: Finding) -> bool:
    """Says whether two findings of a cause can be the same fault.

    They have the same manner and title, such as the same outcome of half-closes, and the 95 % intervals of
    their rates overlap.
    """
    if (finding.match.manner, finding.title) != (direct.match.manner, direct.title):
        return False
    low, high = interval(finding.match.hits, finding.match.tries)
    least, most = interval(direct.match.hits, direct.match.tries)
    return low <= most and least <= high
