"""Rules about sizes of datagrams: limits, fragments, and empty datagrams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.checks.udprecord import (
    CONTROL,
    EMPTY,
    FRAGMENTABLE,
    SIZE,
    SIZES,
    WHOLE,
    Datagrams,
    kindOf,
    lostOf,
)
from echo_app.probe.checks.udpsource import Datagram
from echo_app.probe.judge.finding import Confidence, Match, Rule
from echo_app.probe.judge.udplossrules import limitOf, lossOf
from echo_app.probe.judge.udprules import datagramsOf
from echo_app.probe.results.severity import Severity
from echo_app.probe.results.statistics import interval

# Tries of a size, at the least, to say that it never passes, and the probability of chance below which their
# losses have a cause.
_FEW, _BY_CHANCE = 4, 1e-3

# Payload bytes of a fragment on a path of Ethernet: each may be lost, on both ways.
_FRAGMENT = 1480


@dataclass(frozen=True, slots=True)
class SizeLimit:
    """The largest size that came back, and the smallest larger one that never did.

    :param tries: of the latter, whose small neighbours came back.
    """

    largest: int
    lost: int
    tries: int


def _tries(seen: Datagrams, kind: str) -> list[Datagram]:
    """Returns the datagrams of a phase that were answered, or whose neighbour behind them was."""
    tries = []
    for one, control in pairwise(seen.sent):
        isFair = kindOf(control) == CONTROL and not control.isLost
        if kindOf(one) == kind and (isFair or not one.isLost):
            tries.append(one)
    return tries


def limitOfSizes(seen: Datagrams) -> SizeLimit | None:
    """Returns the limit of sizes, if it is none of chance."""
    tries = _tries(seen, SIZES)
    largest = max((each.size for each in tries if not each.isLost), default=0)
    above = sorted({each.size for each in tries if each.size > largest})
    if not largest or not above:
        return None
    lost = above[0]
    count = sum(each.size >= lost for each in tries if each.size <= 2 * lost)
    limit = SizeLimit(largest, lost, sum(each.size == lost for each in tries))
    return None if count < _FEW or _isByChance(seen, lost, count) else limit


def _isByChance(seen: Datagrams, size: int, count: int) -> bool:
    """Says whether so many datagrams of a size may all be lost by chance: each with any of its fragments."""
    _, high = interval(*lossOf(seen))
    passes = (1 - high) ** (2 * -(-size // _FRAGMENT))
    return (1 - passes) ** count >= _BY_CHANCE


def _isInFragments(seen: Datagrams, limit: SizeLimit) -> bool:
    """Says whether the limit lies where datagrams begin to leave in several packets."""
    return bool(seen.unfragmented) and limit.largest <= seen.unfragmented < limit.lost


def _findFragmentsLost(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = datagramsOf(evidence)
    limit = limitOfSizes(seen) if seen else None
    if seen is None or limit is None or not _isInFragments(seen, limit):
        return None
    isExact = limit.lost == limit.largest + 1
    return Match(
        f"{limit.largest} B come back, {limit.lost} B do not",
        Confidence.LIKELY if isExact else Confidence.POSSIBLE,
        evidence=[
            f"up to {seen.unfragmented} B leave this machine in one packet",
            f"{limit.tries} tries of {limit.lost} B, each beside a small datagram that came back",
        ],
        hits=limit.tries,
        tries=limit.tries,
    )


def _isBlackHole(seen: Datagrams) -> bool:
    """Says whether a size is lost just where routers must not fragment it."""
    whole, fragmentable = _tries(seen, WHOLE), _tries(seen, FRAGMENTABLE)
    isFew = min(len(whole), len(fragmentable)) < _FEW
    return not isFew and lostOf(whole) == len(whole) and not lostOf(fragmentable)


def _withAndWithout(seen: Datagrams) -> list[str]:
    """Returns what became of a size where routers must not fragment it, and where they may."""
    whole, fragmentable = _tries(seen, WHOLE), _tries(seen, FRAGMENTABLE)
    if not whole or not fragmentable:
        return []
    return [
        f"of {whole[0].size} B, {lostOf(whole)} of {len(whole)} are lost where routers must not fragment, "
        f"{lostOf(fragmentable)} of {len(fragmentable)} where they may"
    ]


def _findBlackHole(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = datagramsOf(evidence)
    if seen is None or not _isBlackHole(seen):
        return None
    tries, lost = _tries(seen, SIZES), _tries(seen, WHOLE)
    largest = max((each.size for each in tries if not each.isLost and each.size < lost[0].size), default=SIZE)
    return Match(
        f"{largest} B come back, {lost[0].size} B only where routers may fragment",
        Confidence.LIKELY,
        evidence=_withAndWithout(seen),
        hits=len(lost),
        tries=len(lost),
    )


def _findSomeSizes(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = datagramsOf(evidence)
    tries = _tries(seen, SIZES) if seen else []
    largest = max((each.size for each in tries if not each.isLost), default=0)
    below = [each for each in tries if each.size < largest]
    came = {each.size for each in below if not each.isLost}
    lost = [each for each in below if each.size not in came]
    if seen is None or len(lost) < _FEW or _isBlackHole(seen):
        return None
    sizes = sorted({each.size for each in lost})
    if _isByChance(seen, sizes[-1], len(lost)):
        return None
    return Match(
        f"{', '.join(map(str, sizes))} B, {len(lost)} of {len(lost)} lost; up to {largest} B come back",
        Confidence.LIKELY,
        hits=len(lost),
        tries=len(lost),
    )


def _findSizeLimit(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = datagramsOf(evidence)
    limit = limitOfSizes(seen) if seen else None
    if seen is None or limit is None or _isInFragments(seen, limit) or _isBlackHole(seen):
        return None
    where = "less" if limit.largest < seen.unfragmented else "more"
    lines = [f"{limit.tries} tries of {limit.lost} B, each beside a small datagram that came back"]
    if seen.unfragmented:
        lines.append(f"that is {where} than the {seen.unfragmented} B that leave this machine in one packet")
    lines += _withAndWithout(seen)
    isLimited = limitOf(seen) is not None
    return Match(
        f"{limit.largest} B come back, {limit.lost} B do not",
        Confidence.POSSIBLE if isLimited else Confidence.LIKELY,
        evidence=lines,
        hits=limit.tries,
        tries=limit.tries,
    )


def _findEmptyLost(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = datagramsOf(evidence)
    tries = _tries(seen, EMPTY) if seen else []
    if seen is None or len(tries) < _FEW or not all(each.isLost for each in tries):
        return None
    _, high = interval(*lossOf(seen))
    if (2 * high) ** len(tries) > _BY_CHANCE:
        return None
    return Match(
        f"{len(tries)} of {len(tries)}, while small ones beside them came back",
        Confidence.LIKELY,
        hits=len(tries),
        tries=len(tries),
    )


FRAGMENTS_LOST = Rule(
    "datagrams-fragments-lost",
    Severity.WARN,
    "datagrams in fragments are lost",
    "Applications must keep datagrams within one packet.",
    "What leaves in one packet comes back, and what leaves in two never does.",
    "A service with just that limit looks the same.",
    _findFragmentsLost,
)
BLACK_HOLE = Rule(
    "datagrams-mtu-black-hole",
    Severity.WARN,
    "datagrams above the MTU of a link are lost, and no ICMP message comes",
    "Path MTU discovery fails: protocols that forbid fragments, such as QUIC, must use smaller datagrams.",
    "A size that leaves in one packet never comes back where routers must not fragment (IP_PMTUDISC_PROBE, "
    "ip(7)), and always where they may (IP_PMTUDISC_DONT).",
    "A firewall that drops by size and that bit looks the same. Over IPv6, where routers never fragment, "
    "this is not told from a limit of size.",
    _findBlackHole,
)
SOME_SIZES = Rule(
    "datagrams-by-size",
    Severity.WARN,
    "datagrams of some sizes are lost",
    "Whether a message arrives depends on its length.",
    "No datagram of a size comes back, while smaller and larger ones do.",
    "A filter of contents that takes a size for something else looks the same.",
    _findSomeSizes,
)
SIZE_LIMIT = Rule(
    "datagrams-size",
    Severity.WARN,
    "datagrams above a size are lost",
    "Applications must send smaller datagrams.",
    "A size comes back, and larger ones never do, while small ones beside them do.",
    "The service's own limit looks the same; so does a limit on bytes a second.",
    _findSizeLimit,
)
EMPTY_LOST = Rule(
    "datagrams-empty-lost",
    Severity.WARN,
    "empty datagrams are lost",
    "Protocols that use empty datagrams, such as keep-alives, do not work.",
    "No empty datagram is answered, while small ones beside them are.",
    "A service that does not answer empty datagrams looks the same.",
    _findEmptyLost,
)
