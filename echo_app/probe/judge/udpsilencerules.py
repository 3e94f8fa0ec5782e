"""Rules about sources that were silent for a time: forgotten ones, lost first datagrams, and new mappings."""

from __future__ import annotations

from collections.abc import Sequence

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.checks.udprecord import AFTER, BEFORE, Datagrams, kindOf, lostOf
from echo_app.probe.judge.finding import Confidence, Match, Rule
from echo_app.probe.judge.udpflowrules import findEnded
from echo_app.probe.judge.udplossrules import lossOf
from echo_app.probe.judge.udprules import datagramsOf
from echo_app.probe.results.severity import Severity
from echo_app.probe.results.statistics import interval

# The probability of chance below which a silence is no random loss.
_BY_CHANCE = 1e-4

# Silences, of two sources each, after which the first datagrams must be lost: one may be a short outage.
_FEW = 2


def _findForgotten(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = datagramsOf(evidence)
    if seen is None:
        return None
    gone, alive = silentFates(seen)
    if not gone or max(alive, default=0.0) >= min(gone) or findEnded(evidence, rest):
        return None
    _, high = interval(*lossOf(seen))
    isSure = len(gone) > 1 and high ** (3 * len(gone)) < _BY_CHANCE
    lived = max(alive, default=0.0)
    return Match(
        f"answered after {lived:.3g} s of silence, not after {min(gone):.3g} s",
        Confidence.LIKELY if isSure else Confidence.POSSIBLE,
        evidence=[
            f"two sources each, gone after {', '.join(f'{each:.3g}' for each in gone)} s",
            "a fresh source was answered at the same moments",
        ],
        hits=len(gone),
        tries=len(gone) + len(alive),
    )


def silentFates(seen: Datagrams) -> tuple[list[float], list[float]]:
    """Returns the silences after which no source of a pair was answered, and those after which each was.

    Pairs with two fates count for neither; nor do those whose fresh source was not answered.
    """
    answered = {(each.source, kindOf(each)) for each in seen.sent if not each.isLost}
    gone, alive = [], []
    for silence in seen.silences:
        known = [each for each in silence.sources if (each, BEFORE) in answered]
        after = [(each, AFTER) in answered for each in known]
        if len(known) < len(silence.sources) or (silence.fresh, AFTER) not in answered:
            continue
        if not any(after):
            gone.append(silence.seconds)
        elif all(after):
            alive.append(silence.seconds)
    return gone, alive


def _findAfterRest(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds silences after which the first datagrams of both sources are lost, and the next ones are not."""
    seen = datagramsOf(evidence)
    lost, passed = firstFates(seen) if seen else ([], [])
    if seen is None or len(lost) < _FEW or max(passed, default=0.0) >= min(lost):
        return None
    _, high = interval(*lossOf(seen))
    if high ** (2 * len(lost)) >= _BY_CHANCE:
        return None
    return Match(
        f"after {min(lost):.3g} s of silence, not after {max(passed, default=0.0):.3g} s",
        Confidence.LIKELY,
        evidence=[
            f"the first datagrams of two sources each, after {', '.join(f'{each:.3g}' for each in lost)} s",
            "the next ones were answered, and so was a fresh source at the same moments",
        ],
        hits=len(lost),
        tries=len(lost) + len(passed),
    )


def firstFates(seen: Datagrams) -> tuple[list[float], list[float]]:
    """Returns the silences after which both first datagrams of a pair were lost, and those with none lost.

    Pairs with two fates count for neither; nor do those whose later datagrams, or fresh source, lost any.
    """
    lost: list[float] = []
    passed: list[float] = []
    for silence in seen.silences:
        sources = (*silence.sources, silence.fresh)
        after = [[each for each in seen.of(AFTER) if each.source == source] for source in sources]
        if any(len(sent) < 2 or lostOf(sent[1:]) for sent in after) or after.pop()[0].isLost:
            continue
        fates = {sent[0].isLost for sent in after}
        if len(fates) == 1:
            (lost if fates.pop() else passed).append(silence.seconds)
    return lost, passed


def _findRemapped(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = datagramsOf(evidence)
    if seen is None:
        return None
    ports: dict[tuple[int, str], set[str]] = {}
    for each in seen.of(BEFORE, AFTER):
        if each.seenAs:
            ports.setdefault((each.source, kindOf(each)), set()).add(each.seenAs)
    new: list[float] = []
    same: list[float] = []
    for silence in seen.silences:
        pairs = [(ports.get((each, BEFORE)), ports.get((each, AFTER))) for each in silence.sources]
        known = [before.isdisjoint(after) for before, after in pairs if before and after]
        if len(known) == len(silence.sources) and len(set(known)) == 1:
            (new if known[0] else same).append(silence.seconds)
    if not new or max(same, default=0.0) >= min(new):
        return None
    return Match(
        f"the same after {max(same, default=0.0):.3g} s of silence, new after {min(new):.3g} s",
        Confidence.LIKELY if len(new) > 1 else Confidence.POSSIBLE,
        evidence=["by our port, as the service sees it: two sources each"],
        hits=len(new),
        tries=len(new) + len(same),
    )


FORGOTTEN = Rule(
    "datagrams-forgotten",
    Severity.FAIL,
    "a source is forgotten after silence",
    "Clients that pause get no answer any more; they must send at shorter intervals, or from a new port.",
    "Sources that were silent are not answered, and a fresh one is; both sources of each silence.",
    "A firewall of this machine with a short life of its states looks the same.",
    _findForgotten,
)
AFTER_REST = Rule(
    "datagrams-lost-after-rest",
    Severity.WARN,
    "the first datagram after a rest is lost",
    "The first question after a pause needs a second try, or a keep-alive before.",
    "After silences of some length the first datagrams of both sources are lost and the next ones answered, "
    "as are those of a fresh source; after shorter silences none is lost.",
    "Something on the way that must ask for an address, or set up a tunnel or a flow again, can't be told "
    "from a service that sleeps. Where other sources keep it awake, it is not found. Not looked for with "
    "--quick.",
    _findAfterRest,
)
REMAPPED = Rule(
    "datagrams-remapped",
    Severity.WARN,
    "a NAT forgets its mapping after silence",
    "Servers can't send to clients that are silent for so long: they must send keep-alives.",
    "The service reports another port of ours after a silence (responder peer), for both sources.",
    "A plain echo does not report ports: it can't be told then.",
    _findRemapped,
)
