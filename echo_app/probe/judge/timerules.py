"""Rules about time."""

from __future__ import annotations

from collections.abc import Sequence

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.checks.smallwrites import LAG, SmallRounds, counts, doWait
from echo_app.probe.judge.finding import Confidence, Match, Rule
from echo_app.probe.results.severity import Severity
from echo_app.probe.results.statistics import milliseconds


def _findDelayed(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = evidence.observations.get("small-writes")
    if not isinstance(seen, SmallRounds) or not seen.pairs or not doWait(seen.batches):
        return None
    longer, _ = counts(seen.batches)
    waits = sorted(pair.added for pair in seen.pairs if pair.added >= LAG)
    added = milliseconds(waits[len(waits) // 2])
    least = min(pair.prompt for pair in seen.pairs)
    isCured = sum(each - least >= LAG for each in seen.whole) < len(seen.whole) / 2
    cure = "write a message in one piece, or set it there." if isCured else "set it there."
    return Match(
        f"{longer} of {len(seen.pairs)} rounds wait {added} more where we delay acknowledgements",
        Confidence.LIKELY,
        hits=longer,
        tries=len(seen.pairs),
        meaning=f"The far end sends without TCP_NODELAY: {cure}",
    )


DELAYED = Rule(
    "nagle-delays",
    Severity.WARN,
    "small answers wait for acknowledgements",
    "The far end sends without TCP_NODELAY (RFC 896): write a message in one piece, or set it there.",
    "Rounds of two writes take 35 ms longer where this kernel delays its acknowledgements (RFC 1122, "
    "4.2.3.2) than where it sends them at once, in more pairs than chance explains (one in a million).",
    "If both writes arrive together, as on loopback, the far end does not wait. One answer in ten, or fewer, "
    "may pass.",
    _findDelayed,
)
