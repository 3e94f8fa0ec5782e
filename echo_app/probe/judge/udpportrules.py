"""Rule about losses that some source ports have, and others do not."""

from __future__ import annotations

from collections.abc import Sequence

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.checks.udpports import unequalIn
from echo_app.probe.checks.udprecord import PORTS
from echo_app.probe.judge.finding import Confidence, Match, Rule
from echo_app.probe.judge.udprules import datagramsOf, percents
from echo_app.probe.results.severity import Severity

# Ports that are shown.
_SHOWN = 8


def _findLossyPorts(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = datagramsOf(evidence)
    found = unequalIn(seen) if seen else None
    if seen is None or found is None:
        return None
    (lost, sent), (others, more) = found.lossy, found.clean
    tried = len({each.source for each in seen.of(PORTS) if each.phase == PORTS})
    lossy, clean = found.suspects.lossy, found.suspects.clean
    ports = [str(seen.ports.get(each, 0)) for each in sorted(lossy)]
    return Match(
        f"{len(lossy)} of {tried} source ports lose {percents(lost, sent)} of theirs, "
        f"{len(clean)} {percents(others, more) if others else 'none'}",
        Confidence.LIKELY,
        evidence=[
            f"in a second round, {lost} of {sent} and {others} of {more}",
            f"ports that lose: {', '.join(ports[:_SHOWN])}{' and more' if len(ports) > _SHOWN else ''}",
        ],
        hits=len(lossy),
        tries=tried,
    )


LOSSY_PORTS = Rule(
    "datagrams-lost-by-port",
    Severity.WARN,
    "some source ports lose datagrams, and others do not",
    "One of several parallel links loses datagrams: some clients lose many on each try, and others none.",
    "Source ports that lost datagrams in one round lose at least twice as many in a second one as ports that "
    "lost none, between the ends of both 95 % intervals. No rate is the cause then.",
    "A service with a full queue for some of its workers looks the same. A link with few of the ports may be "
    "missed, above all with --quick, which tries four ports.",
    _findLossyPorts,
)
