"""Rule about packets that are lost on the way back, of which this kernel sees the holes alone."""

from __future__ import annotations

from collections.abc import Sequence

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.judge.finding import Confidence, Match, Rule
from echo_app.probe.judge.raterules import BLOATED_QUEUE, LIMITED, POLICER
from echo_app.probe.judge.silencerules import FEW_LONE, findHoles, findLoss, findReordered, loneLosses
from echo_app.probe.results.severity import Severity

# Causes that lose packets of transfers, and leave holes as well.
_RATES = (POLICER, LIMITED, BLOATED_QUEUE)


def _findLostBack(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    holes = findHoles(evidence)
    # Where our own segments are lost or reordered, those rules tell of the way back, too.
    if holes is None or any(find(evidence, rest) is not None for find in (findReordered, findLoss)):
        return None
    lone, tries = loneLosses(evidence)
    if lone < FEW_LONE and any(rule.find(evidence, rest) is not None for rule in _RATES):
        return None
    lines = [f"of our {holes.sent:,} segments {holes.again} were sent again"]
    if lone:
        lines.append(
            f"{lone} of {tries} lone packets were late by a retransmission, so that no rate loses them"
        )
    return Match(
        f"{holes.behind:,} of {holes.came:,} segments ({holes.behind / holes.came:.1%}) came behind a hole, "
        f"on {holes.connections} connections",
        Confidence.LIKELY if lone >= FEW_LONE else Confidence.POSSIBLE,
        lines,
        hits=holes.behind,
        tries=holes.came,
    )


LOST_BACK = Rule(
    "holes-in-arrivals",
    Severity.WARN,
    "what arrives has holes, as if packets were lost on the way back",
    "Transfers to clients are slow, and some answers late by a retransmission time-out.",
    "On three connections and more, segments came out of order (tcpi_rcv_ooopack), above 0.5 % of all with "
    "95 % confidence, while our own were hardly sent again.",
    "The way back is only hinted at: segments that come in another order leave holes as well, and all that "
    "come until a hole is filled count. A slow link that drops what does not fit loses packets, too: where "
    "a limit on the rate is found and no lone packet is late, the limit alone is named.",
    _findLostBack,
)
