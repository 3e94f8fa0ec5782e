"""Rules about datagrams."""

from __future__ import annotations

from collections.abc import Sequence

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.checks.udp import PORTS, ROUNDS, Datagrams, tooMany, total
from echo_app.probe.judge.finding import Confidence, Match, Rule
from echo_app.probe.net.errors import ErrorKind
from echo_app.probe.results.severity import Severity
from echo_app.probe.results.statistics import interval


def _seen(evidence: Evidence) -> Datagrams | None:
    seen = evidence.observations.get("udp")
    return seen if isinstance(seen, Datagrams) else None


def _findSilent(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = _seen(evidence)
    if seen is None:
        return None
    if seen.failure is not None:
        return Match(f"nothing can be sent: {seen.failure}")
    lost, sent = total(seen.everything)
    if not sent or lost < sent or any(each.strange for each in seen.everything):
        return None
    refused = f": {ErrorKind.REFUSED}" if seen.refusals else ""
    return Match(f"all {sent} datagrams lost{refused}", Confidence.LIKELY, hits=lost, tries=sent)


def _findDiffering(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = _seen(evidence)
    differing = [sizes for each in seen.everything for sizes in each.differing.values()] if seen else []
    if seen is None or not differing:
        return None
    went, came = differing[0]
    how = f"{went} B came back " + (f"as {came} B" if went != came else "altered")
    isCut = all(came < went for went, came in differing)
    strange = sum(each.strange for each in seen.everything)
    lines = [f"{strange} more answer nothing that was asked: their numbers may be changed"] if strange else []
    return Match(
        f"{len(differing)} answers: {how}",
        evidence=lines,
        hits=len(differing),
        tries=total(seen.everything)[1],
        title="datagrams lose their end" if isCut else "",
        meaning="Larger datagrams lose their end without an error." if isCut else "",
    )


def _findStrange(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = _seen(evidence)
    strange = sum(each.strange for each in seen.everything) if seen else 0
    if seen is None or not strange or any(each.differing for each in seen.everything):
        return None
    # Of all that came: there may be more of them than were sent.
    answered = sum(len(each.sent) - each.lost for each in seen.everything)
    return Match(f"{strange} answers to nothing that was asked", hits=strange, tries=strange + answered)


def _findDeadPorts(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = _seen(evidence)
    if seen is None or not seen.ports.areBad:
        return None
    silent = seen.ports.silent
    ports = ", ".join(map(str, silent))
    return Match(
        f"{len(silent)} of {PORTS} source ports: {ports}", Confidence.LIKELY, hits=len(silent), tries=PORTS
    )


def _findLossy(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = _seen(evidence)
    if seen is None or len(seen.rounds) < ROUNDS or not all(tooMany(*total([each])) for each in seen.rounds):
        return None
    lost, sent = total(seen.rounds)
    low, high = (f"{end * 100:.1f}" for end in interval(lost, sent))
    return Match(f"{lost} of {sent}, {low} to {high} %", Confidence.LIKELY, hits=lost, tries=sent)


SILENT = Rule(
    "datagrams-unanswered",
    Severity.FAIL,
    "no datagram is answered",
    "Nothing that is sent over UDP arrives, or no answer returns.",
    "No datagram of any source port was answered.",
    "Nobody listens, or a filter drops: UDP does not tell, unless an ICMP message comes.",
    _findSilent,
    ("udp",),
)
DIFFERING = Rule(
    "datagrams-changed",
    Severity.FAIL,
    "datagrams are changed",
    "An application needs checksums of its own on this path.",
    "An answer differs from its datagram, in bytes or in length.",
    "Never for bytes; which way changed them can't be told.",
    _findDiffering,
    ("udp",),
)
STRANGE = Rule(
    "datagrams-foreign",
    Severity.FAIL,
    "datagrams come that answer nothing",
    "An application needs checksums of its own on this path.",
    "A datagram came that begins with no number that was sent.",
    "A change of the first eight bytes looks the same.",
    _findStrange,
    ("udp",),
)
DEAD_PORTS = Rule(
    "datagrams-by-port",
    Severity.FAIL,
    "some source ports get no answer",
    "One of several parallel ways loses everything: some clients get no answer, and others lose nothing.",
    "Source ports that lost every datagram in two rounds, while the others lost hardly any.",
    "A NAT that has run out of ports looks the same.",
    _findDeadPorts,
    ("udp",),
)
LOSSY = Rule(
    "datagrams-lost",
    Severity.WARN,
    "datagrams are lost",
    "Applications must send lost datagrams again, or do without them.",
    "More than 1 % of the datagrams of three rounds are lost, with 95 % confidence in each.",
    "An echo can't tell on which way they are lost.",
    _findLossy,
    ("udp",),
)
