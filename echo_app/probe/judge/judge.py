"""The judge: reads all evidence of an examination, and names the causes, the worst first.

It does no I/O, and sees everything: a check that was ended by its limit, and a bad round before a good one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.judge import (
    burstrules,
    byterules,
    endrules,
    liferules,
    raterules,
    reachrules,
    silencerules,
    timerules,
    tlsrules,
    udpflowrules,
    udplossrules,
    udprules,
    udpsizerules,
    waitrules,
)
from echo_app.probe.judge.finding import Finding, Rule
from echo_app.probe.results.severity import Severity
from echo_app.probe.results.statistics import interval

# In the order of what hurts an application most. A rule sees the connections that no rule before it explains.
RULES: tuple[Rule, ...] = (
    *(reachrules.UNRESOLVED, reachrules.UNREACHABLE),
    *(byterules.TRANSLATED, byterules.MIXED, reachrules.REFUSED_AT_FIRST, byterules.NO_ECHO, udprules.SILENT),
    *byterules.DIFFERENCES,
    *(udprules.MIXED, udprules.CHANGED, udprules.TRUNCATED, udprules.ELSEWHERE, udprules.FOREIGN),
    *(silencerules.BLACK_HOLE, silencerules.UNACKNOWLEDGED, liferules.EVENT),
    *(liferules.TOTAL, liferules.LIFETIME, endrules.IDLE, liferules.SILENT_ENDS, liferules.UNREAD_ENDS),
    *(endrules.LATE_READER, endrules.HALF_CLOSE),
    *(burstrules.ACCEPT_RATE, burstrules.CAP, reachrules.UNSERVED, byterules.SHORT),
    *(udprules.DEAD_PORTS, udpflowrules.ENDED, udpflowrules.FORGOTTEN, tlsrules.DISTRUSTED),
    *(reachrules.ADDRESS, reachrules.UNMADE, endrules.CUT),
    *(
        silencerules.REORDERED,
        silencerules.LOSS,
        waitrules.PAUSES,
        waitrules.OUTLIERS,
        timerules.SIBLINGS,
        waitrules.LATE_ENDS,
    ),
    *(timerules.DELAYED, timerules.SMALL_SLOW, timerules.FIRST_SLOW, timerules.COLD_START),
    *(timerules.JITTER, raterules.POLICER, raterules.LIMITED),
    *(timerules.SLOW_SERVICE, burstrules.SYN_LOSS, burstrules.SLOWED, endrules.NO_PUSH_BACK),
    *(udplossrules.LIMITED, udplossrules.BLACKOUT, udplossrules.FIRST_LOST, udplossrules.LOSSY),
    *(udpsizerules.SIZE_LIMIT, udpsizerules.FRAGMENTS_LOST, udpsizerules.EMPTY_LOST),
    *(udpflowrules.REPEATED, udpflowrules.REORDERED, udpflowrules.REMAPPED),
    *(udplossrules.FIRST_LATE, udpflowrules.LATE, udpflowrules.JITTER),
    *(tlsrules.AMBIGUOUS_END, tlsrules.EXPIRING),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of an examination.

    :param findings: failures first, each kind in the order of the rules.
    :param unfinished: reasons, by the name of the check that has not seen everything.
    """

    findings: Sequence[Finding]
    unfinished: dict[str, str]

    @property
    def isFailed(self) -> bool:
        """Says whether a failure was found, or something was not examined."""
        return self._has(Severity.FAIL) or bool(self.unfinished)

    @property
    def isWarned(self) -> bool:
        """Says whether a warning was found."""
        return self._has(Severity.WARN)

    def __str__(self) -> str:
        """Returns the verdict in one line."""
        counted = [each for each in self.findings if not each.excuse]
        parts = [f"{counted[0].title} ({counted[0].match.seen})"] if counted else ["nothing wrong was found"]
        if more := len(counted) - 1:
            parts.append(f"and {more} more finding{'s' if more > 1 else ''}" if more > 0 else "")
        if self.unfinished:
            parts.append(f"not examined: {', '.join(self.unfinished)}")
        return "; ".join(filter(None, parts))

    def _has(self, severity: Severity) -> bool:
        return any(each.severity is severity and not each.excuse for each in self.findings)


def judge(evidence: Evidence, rules: Sequence[Rule] = RULES) -> Verdict:
    """Applies the rules in their order."""
    findings: list[Finding] = []
    explained: set[int] = set()
    for rule in rules:
        rest = [each for each in evidence.connections if each.number not in explained]
        match = rule.find(evidence, rest)
        if match is not None:
            explained.update(match.explains)
            if match.seen:
                findings.append(Finding(rule, match))
    findings.sort(key=lambda finding: finding.severity is Severity.WARN)
    return Verdict(findings, evidence.unfinished)


def againstBaseline(verdict: Verdict, direct: Verdict) -> Verdict:
    """Excuses the findings that the direct route has too: of the same cause, and at a similar rate."""
    known = {each.rule.cause: each for each in direct.findings}
    return replace(
        verdict, findings=[_excused(each, known.get(each.rule.cause)) for each in verdict.findings]
    )


def _excused(finding: Finding, direct: Finding | None) -> Finding:
    if direct is None or not _areSimilar(finding, direct):
        return finding
    return replace(finding, excuse=f"not this path's doing; directly: {direct.match.seen}")


def _areSimilar(finding: Finding, direct: Finding) -> bool:
    """Says whether the rates of two findings can be the same: their 95 % intervals overlap."""
    low, high = interval(finding.match.hits, finding.match.tries)
    least, most = interval(direct.match.hits, direct.match.tries)
    return low <= most and least <= high
