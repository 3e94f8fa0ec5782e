"""Rule about datagrams that are sent at once."""

from __future__ import annotations

from collections.abc import Sequence

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.checks.udp import BURSTS
from echo_app.probe.checks.udprecord import BURST, FAST, lostOf, tooMany
from echo_app.probe.judge.finding import Confidence, Match, Rule
from echo_app.probe.judge.udprules import datagramsOf
from echo_app.probe.results.severity import Severity
from echo_app.probe.results.statistics import interval

# The share of each burst that must be lost.
_MUCH = 0.1


def _findBurstLost(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds bursts that are cut short, while as many datagrams at a rate pass."""
    seen = datagramsOf(evidence)
    bursts = seen.rounds(BURST) if seen else []
    if seen is None or len(bursts) < BURSTS or any(lostOf(each) < len(each) * _MUCH for each in bursts):
        return None
    spread = seen.of(FAST)
    sent = [one for burst in bursts for one in burst]
    isCut = interval(lostOf(sent), len(sent))[0] > 2 * interval(lostOf(spread), len(spread))[1]
    if not spread or tooMany(lostOf(spread), len(spread)) or not isCut:
        return None
    passed = sorted(next(place for place, each in enumerate(burst) if each.isLost) for burst in bursts)
    behind = len(sent) - sum(passed)
    size = len(bursts[0])
    return Match(
        f"of {size} at once the first {passed[0]} to {passed[-1]} pass, of {behind} behind them "
        f"{lostOf(sent)} are lost",
        Confidence.LIKELY,
        evidence=[
            f"{len(bursts)} bursts lost {', '.join(str(lostOf(each)) for each in bursts)}",
            f"{lostOf(spread)} of {len(spread)} lost of those with pauses between them",
        ],
        hits=lostOf(sent),
        tries=len(sent),
    )


BURST_LOST = Rule(
    "datagrams-burst-lost",
    Severity.WARN,
    "datagrams that are sent at once are lost",
    "A queue on the way is short: applications must put pauses between the datagrams of a message.",
    "Each of three bursts of 60 loses a tenth and more, twice as much as 400 datagrams with pauses between "
    "them, between the ends of both 95 % intervals; of those hardly any is lost.",
    "The service's own buffer may be the short queue; a limit above 400 a second with a small allowance "
    "looks the same. Not looked for with --quick.",
    _findBurstLost,
)
