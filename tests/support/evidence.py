"""Evidence made by hand, for tests of the judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.evidence import CheckSettings, Evidence, Observation
from echo_app.probe.checks.record import ConnectionRecord, TCPSample
from echo_app.probe.checks.times import LARGE, ROUNDS, SEGMENT, SMALL, Timed, Times
from echo_app.probe.judge.finding import Finding, Rule
from echo_app.probe.judge.judge import RULES, Verdict, judge
from echo_app.probe.net.errors import ErrorKind, Reason
from echo_app.probe.results.difference import StreamDifference
from echo_app.probe.results.severity import Severity
from echo_app.targets import parseTarget

FIN, RESET, REFUSED = map(Reason, (ErrorKind.FIN, ErrorKind.RESET, ErrorKind.REFUSED))
CLOSE_NOTIFY, TRUNCATED = map(Reason, (ErrorKind.CLOSE_NOTIFY, ErrorKind.TRUNCATED))

FLIPPED = StreamDifference("changed", 5, 1, b"x")

OURS = b"\x01\x02\x03\x04"


def evidenceOf(target: str = "lb.example:7", **observations: Observation) -> Evidence:
    """Returns the evidence of checks that have seen this, by name; ``_`` stands for a hyphen."""
    evidence = Evidence(parseTarget(target), CheckSettings(), OURS)
    evidence.observations.update(
        (name.replace("_", "-").strip("-"), seen) for name, seen in observations.items()
    )
    return evidence


def connection(evidence: Evidence, check: str = "identity", **values: Any) -> ConnectionRecord:
    """Adds the record of a connection that was made, unless it is given a failure, with these values."""
    record = evidence.newRecord(check, 0.0)
    if "failure" not in values:
        record.connected = 0.001
    for name, value in values.items():
        setattr(record, name, value)
    return record


def sampled(**values: int) -> TCPSample:
    """Returns the kernel's counts, which are 0 but for these, and all options agreed on."""
    names = (each.name for each in fields(TCPSample))
    return TCPSample(**dict.fromkeys(names, 0) | {"options": 7} | values)


def whole(evidence: Evidence, check: str = "identity", count: int = 1, size: int = 100) -> None:
    """Adds connections whose echo was whole."""
    for _ in range(count):
        connection(evidence, check, sent=size, came=size)


# Seconds of a good round trip.
TRIP = 0.002

Trips = Mapping[int, Sequence[float]]


def timed(
    evidence: Evidence,
    first: float = TRIP,
    minRTT: float = TRIP,
    trips: float | Trips = TRIP,
    rested: Sequence[float] = (TRIP,) * 3,
) -> Timed:
    """Adds a connection to the evidence of ``times``, whose trips take so long, or those of each size."""
    seen = evidence.observations["times"]
    assert isinstance(seen, Times)
    counts: Any = {"minRTT": minRTT}
    record = connection(evidence, "times", sent=1, came=1, last=sampled(**counts))
    sizes = trips if isinstance(trips, Mapping) else {SMALL: [trips] * ROUNDS}
    all_ = {size: list(sizes.get(size, sizes[SMALL])) for size in (SMALL, SEGMENT, LARGE)}
    seen.connections.append(
        Timed(record, first, all_, {size: list(each) for size, each in all_.items()}, TRIP, list(rested))
    )
    return seen.connections[-1]


def timesOf(*connections: Mapping[str, Any]) -> Evidence:
    """Returns the evidence of ``times`` with these connections."""
    evidence = evidenceOf(times=Times())
    for values in connections:
        timed(evidence, **values)
    return evidence


class JudgeTestCase(SynchronousTestCase):
    """Tests of rules, on evidence made by hand."""

    def findings(self, evidence: Evidence, rules: Sequence[Rule] = RULES) -> list[Finding]:
        """Judges the evidence by all rules."""
        return list(judge(evidence, rules).findings)

    def one(self, evidence: Evidence, cause: str, severity: Severity, *parts: str) -> Finding:
        """Checks that there is one finding, its cause, severity, and parts of what was seen; returns it."""
        found = self.findings(evidence)
        self.assertEqual([(each.rule.cause, each.severity) for each in found], [(cause, severity)], found)
        for part in parts:
            self.assertIn(part, found[0].match.seen)
        self.assertTrue(found[0].meaning)
        return found[0]

    def none(self, evidence: Evidence) -> None:
        """Checks that nothing is found."""
        self.assertEqual(self.findings(evidence), [])


def causes(verdict: Verdict) -> list[str]:
    """Returns the causes of a verdict's findings that are not excused."""
    return [each.rule.cause for each in verdict.findings if not each.excuse]
