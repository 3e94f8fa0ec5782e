"""Report of an examination, as text and as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from echo_app import __version__
from echo_app.probe.checks.check import Context, Cost
from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.judge.finding import Finding
from echo_app.probe.judge.judge import Verdict
from echo_app.text import binarySize, escaped

# Columns of the name of a check, and of a finding's severity.
_NAME, _SEVERITY = 14, 6


def findingLines(finding: Finding) -> list[str]:
    """Returns the lines of a finding: the cause and what was seen, its meaning, and its evidence."""
    severity = "skip" if finding.excuse else finding.severity.value
    match = finding.match
    first = f"{severity:{_SEVERITY}}{finding.where}{finding.title}: {match.seen} ({match.confidence.value})"
    more = [finding.excuse or finding.meaning, *match.evidence]
    return [escaped(first), *(" " * _SEVERITY + escaped(each) for each in more if each)]


def _written(cost: Cost) -> str:
    return f"{binarySize(cost.bytes)}, {cost.connections} connections, {cost.seconds:.0f} s"


def _dataOf(evidence: Evidence) -> dict[str, object]:
    """Returns what was seen at one address."""
    return {
        "skipped": evidence.skipped,
        "checks": {name: {"seen": str(seen), **seen.data()} for name, seen in evidence.observations.items()},
        "connections": [each.data() for each in evidence.connections],
    }


class Examination:
    """Reports an examination: the observations in lines while it goes on, then the judgement.

    :param say: called with each line.
    :ivar evidence: everything that was seen.
    :ivar verdict: at the end.
    :ivar seconds: that it took, at the end.
    """

    def __init__(self, context: Context, cost: Cost, seed: int, say: Callable[[str], None]) -> None:
        self._context = context
        self._cost = cost
        self._seed = seed
        self._say = say
        self.seconds = 0.0
        self.evidence = context.evidence
        self.verdict = Verdict((), {})
        say(f"{context.target}; at most {_written(cost)}")

    def revised(self, cost: Cost, why: str) -> None:
        """Reports a higher maximum cost, and what needs it."""
        self._say(f"{why} needs more: now at most {_written(cost)}")

    def ran(self, name: str, evidence: Evidence | None = None) -> None:
        """Reports the observations of a check that has run.

        :param evidence: of a further address.
        """
        address = f"at {evidence.target.host}: " if evidence else ""
        evidence = evidence or self._context.evidence
        seen = address + str(evidence.observations[name])
        unfinished = evidence.unfinished.get(name)
        parts = filter(None, [seen, f"({unfinished})" if unfinished else ""])
        self._say(f"{name:{_NAME}}{escaped(' '.join(parts))}".rstrip())

    def end(self, verdict: Verdict, how: str = "") -> None:
        """Reports the findings, the checks that were skipped, and the verdict.

        :param how: text before the verdict.
        """
        self.seconds, self.verdict = self._context.now, verdict
        for line in [*self._skipped(), *(line for each in verdict.findings for line in findingLines(each))]:
            self._say(line)
        evidence = self._context.evidence
        count = sum(each.isMade for at in (evidence, *evidence.further.values()) for each in at.connections)
        made = f"{count} connections, " if count else ""
        self._say(f"VERDICT  {how}{escaped(str(verdict))} [{made}{self.seconds:.0f} s]")

    def data(self) -> dict[str, object]:
        """Returns the examination for JSON."""
        evidence = self._context.evidence
        settings = evidence.settings
        return {
            "version": __version__,
            "target": str(evidence.target),
            "settings": {
                "quick": settings.isQuick,
                "thorough": settings.isThorough,
                "idle": settings.idle,
                "maxTime": settings.maxTime,
            },
            "seed": self._seed,
            "cost": asdict(self._cost),
            "verdict": str(self.verdict),
            "findings": [each.data() for each in self.verdict.findings],
            "unfinished": dict(self.verdict.unfinished),
            **_dataOf(evidence),
            "addresses": {address: _dataOf(each) for address, each in evidence.further.items()},
            "seconds": round(self.seconds, 3),
        }

    def _skipped(self) -> list[str]:
        """Returns a line for each reason, with all checks that were skipped for it."""
        names: dict[str, list[str]] = {}
        for name, reason in self._context.evidence.skipped.items():
            names.setdefault(reason, []).append(name)
        return [f"skipped: {', '.join(each)} ({reason})" for reason, each in names.items()]
