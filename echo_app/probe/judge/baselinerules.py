"""Rule about the direct route: without an examination of it, it excuses nothing."""

from __future__ import annotations

from collections.abc import Sequence

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.checks.udprecord import Datagrams
from echo_app.probe.judge.finding import Match, Rule
from echo_app.probe.results.severity import Severity


def _findUnexamined(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    direct = evidence.baseline
    if direct is None:
        return None
    if reason := _unserved(direct):
        return Match(f"{direct.target}: {reason}")
    if direct.unfinished:
        said = ", ".join(f"{name} ({reason})" for name, reason in direct.unfinished.items())
        return Match(f"{direct.target}: {said}")
    return None


def _unserved(direct: Evidence) -> str:
    """Returns why nothing was seen on a route; empty where something came back, or nothing was asked for."""
    seen = direct.observations.get("udp")
    if isinstance(seen, Datagrams):
        return str(seen.failure or "no datagram is answered") if seen.isFinal else ""
    made = [each for each in direct.connections if each.isMade]
    if not made:
        failures = [each.failure for each in direct.connections if each.failure]
        return str(failures[-1]) if failures else "no connection is made"
    asked = [each for each in made if each.sent]
    isAnswered = any(each.came or each.difference for each in asked)
    return "nothing comes back" if asked and not isAnswered else ""


UNEXAMINED = Rule(
    "baseline-unexamined",
    Severity.FAIL,
    "the direct route was not examined",
    "Findings are not compared: the path, the service, or both may be at fault.",
    "With --baseline: no connection is made there, nothing comes back, or a check has not seen everything.",
    "A fault of the service itself is on both routes.",
    _findUnexamined,
)
