"""The judge: reads all evidence of an examination, and names the causes, the worst first.

It does no I/O, and sees everything: a check that was ended by its limit, and a bad round before a good one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.judge import (
    baselinerules,
    burstrules,
    byterules,
    certificaterules,
    endrules,
    foreignrules,
    holerules,
    liferules,
    raterules,
    reachrules,
    saidrules,
    shakerules,
    silencerules,
    tickrules,
    timerules,
    tlsrules,
    totalrules,
    translationrules,
    udpburstrules,
    udpflowrules,
    udplossrules,
    udpportrules,
    udprules,
    udpsilencerules,
    udpsizerules,
    waitrules,
)
from echo_app.probe.judge.finding import Finding, Rule
from echo_app.probe.results.severity import Severity

# In the order of what hurts an application most. A rule sees the connections that no rule before it explains.
RULES: tuple[Rule, ...] = (
    baselinerules.UNEXAMINED,
    *(shakerules.PLAIN, certificaterules.EXPIRED, certificaterules.NOT_YET_VALID, certificaterules.NAME),
    *(certificaterules.INCOMPLETE, certificaterules.UNTRUSTED, certificaterules.INTERCEPTED),
    *(shakerules.CLIENT_CERTIFICATE_REQUIRED, shakerules.CLIENT_CERTIFICATE_REFUSED, shakerules.ALPN_REFUSED),
    *(shakerules.CHANGED, shakerules.HANDSHAKE),
    *(reachrules.UNRESOLVED, reachrules.UNREACHABLE),
    *(foreignrules.SPEAKS_TLS, foreignrules.HEADER_WANTED, foreignrules.HEADER_ECHOED, foreignrules.OTHER),
    *(
        translationrules.TRANSLATED,
        byterules.MIXED,
        reachrules.REFUSED_AT_FIRST,
        byterules.NO_ECHO,
        udprules.SILENT,
    ),
    saidrules.SAID,
    *byterules.DIFFERENCES,
    *(udprules.MIXED, udprules.CHANGED, udprules.TRUNCATED, udprules.PADDED),
    *(udprules.ELSEWHERE, udprules.FOREIGN),
    *(silencerules.BLACK_HOLE, totalrules.SILENT_TOTAL, silencerules.UNACKNOWLEDGED, liferules.EVENT),
    *(
        totalrules.MESSAGES,
        totalrules.TOTAL,
        liferules.LIFETIME,
        endrules.IDLE,
        liferules.SILENT_ENDS,
        liferules.UNREAD_ENDS,
    ),
    *(endrules.LATE_READER, endrules.HALF_CLOSE),
    *(reachrules.BANNED, burstrules.QUEUED, burstrules.ACCEPT_RATE, burstrules.CAP),
    *(reachrules.UNSERVED, byterules.SHORT),
    *(udprules.DEAD_PORTS, udpflowrules.ENDED, udpsilencerules.FORGOTTEN),
    tlsrules.RESUMPTION_REFUSED,
    *(reachrules.ADDRESS, reachrules.UNMADE, endrules.CUT),
    *(
        silencerules.REORDERED,
        silencerules.LOSS,
        holerules.LOST_BACK,
        waitrules.PAUSES,
        waitrules.OUTLIERS,
        waitrules.LATE_ANSWERS,
        timerules.SIBLINGS,
        waitrules.LATE_ENDS,
    ),
    *(
        timerules.DELAYED,
        timerules.SMALL_SLOW,
        timerules.FIRST_SLOW,
        timerules.AFTER_REST,
        timerules.COLD_START,
    ),
    *(timerules.JITTER, raterules.BLOATED_QUEUE, raterules.UNSCALED, raterules.POLICER, raterules.LIMITED),
    *(
        tickrules.TICKS,
        tickrules.LINES,
        tickrules.SLOW_SERVICE,
        tlsrules.SLOW_HANDSHAKE,
        tlsrules.SOME_HANDSHAKES_SLOW,
    ),
    *(burstrules.SLOW_TOGETHER, burstrules.SYN_LOSS, burstrules.SLOWED),
    endrules.NO_PUSH_BACK,
    *(
        udpportrules.LOSSY_PORTS,
        udplossrules.LIMITED,
        udplossrules.BYTES_LIMITED,
        udplossrules.BLACKOUT,
        udpburstrules.BURST_LOST,
        udplossrules.FIRST_LOST,
        udpsilencerules.AFTER_REST,
        udplossrules.LOSSY,
    ),
    *(udpsizerules.BLACK_HOLE, udpsizerules.SIZE_LIMIT, udpsizerules.FRAGMENTS_LOST),
    *(udpsizerules.SOME_SIZES, udpsizerules.EMPTY_LOST),
    *(udpflowrules.REPEATED, udpflowrules.REORDERED, udpsilencerules.REMAPPED),
    *(udplossrules.FIRST_LATE, udpflowrules.LATE, udpflowrules.JITTER),
    *(tlsrules.AMBIGUOUS_END, certificaterules.ENDS_SOON, tlsrules.ALPN_IGNORED, tlsrules.NOT_RESUMED),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of an examination.

    :param findings: failures first, each kind in the order of the rules.
    :param unfinished: reasons, by the name of the check that has not seen everything.
    :param asked: the names of the checks whose observations each rule has looked at, by cause.
    """

    findings: Sequence[Finding]
    unfinished: Mapping[str, str]
    asked: Mapping[str, frozenset[str]] = field(default_factory=dict)

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
        first = next((f"{each.where}{each.title} ({each.match.seen})" for each in counted), "")
        parts = [first or "nothing wrong was found"]
        if more := len(counted) - 1:
            parts.append(f"and {more} more finding{'s' if more > 1 else ''}" if more > 0 else "")
        if self.unfinished:
            parts.append(f"not examined: {', '.join(self.unfinished)}")
        return "; ".join(filter(None, parts))

    def _has(self, severity: Severity) -> bool:
        return any(each.severity is severity and not each.excuse for each in self.findings)


class _Observations(dict[str, Any]):
    """Observations, which note the names that are asked for.

    :ivar asked: the names, whether or not there is an observation.
    """

    def __init__(self, observations: Mapping[str, Any]) -> None:
        super().__init__(observations)
        self.asked: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        """Returns an observation."""
        self.asked.add(name)
        return super().get(name, default)


def worstFirst(findings: Iterable[Finding]) -> list[Finding]:
    """Returns findings with the failures first, and otherwise in their order."""
    return sorted(findings, key=lambda finding: finding.severity is Severity.WARN)


def judge(evidence: Evidence, rules: Sequence[Rule] = RULES) -> Verdict:
    """Applies the rules in their order, to the evidence of one address."""
    findings: list[Finding] = []
    explained: set[int] = set()
    asked: dict[str, frozenset[str]] = {}
    for rule in rules:
        rest = [each for each in evidence.connections if each.number not in explained]
        observations = _Observations(evidence.observations)
        match = rule.find(replace(evidence, observations=observations), rest)
        asked[rule.cause] = frozenset(observations.asked)
        if match is not None:
            explained.update(match.explains)
            if match.seen:
                findings.append(Finding(rule, match))
    return Verdict(worstFirst(findings), evidence.unfinished, asked)
