"""Rules about answers of datagrams: none at all, changed ones, and those that belong to others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.checks.udprecord import FAST, PORTS, PORTS_AGAIN, STEADY, TOLERATED, Datagrams, lostOf
from echo_app.probe.checks.udpsource import Datagram
from echo_app.probe.judge.finding import Confidence, Match, Rule
from echo_app.probe.net.errors import ErrorKind
from echo_app.probe.results.severity import Severity
from echo_app.probe.results.statistics import interval
from echo_app.text import plural


def datagramsOf(evidence: Evidence) -> Datagrams | None:
    """Returns what the check ``udp`` has seen; None if it has not run."""
    seen = evidence.observations.get("udp")
    return seen if isinstance(seen, Datagrams) else None


def percents(hits: int, tries: int) -> str:
    """Returns the 95 % interval of a share: ``8.1 to 11.9 %``."""
    low, high = interval(hits, tries)
    return f"{low * 100:.2g} to {high * 100:.2g} %"


def _findSilent(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = datagramsOf(evidence)
    if seen is None:
        return None
    if seen.failure is not None:
        return Match(f"nothing can be sent: {seen.failure}")
    if not seen.sent or not seen.isFinal:
        return None
    count = len(seen.sent)
    refused = f": {ErrorKind.REFUSED}" if seen.refusals else ""
    return Match(f"all {count} datagrams lost{refused}", Confidence.LIKELY, hits=count, tries=count)


def _findTruncated(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = datagramsOf(evidence)
    cut = [each for each in seen.sent if each.isCut] if seen else []
    if seen is None or not cut:
        return None
    first = min(cut, key=lambda each: each.size)
    lengths = Counter(each.changed for each in cut)
    evidenceLines = [f"answers of {plural(len(lengths), 'length')}, such as {lengths.most_common(1)[0][0]} B"]
    whole = max((each.size for each in seen.sent if each.came is not None), default=0)
    if whole:
        evidenceLines.append(f"the largest whole answer has {whole} B")
    return Match(
        f"{plural(len(cut), 'answer')}: {first.size} B came back as {first.changed} B",
        evidence=evidenceLines,
        hits=len(cut),
        tries=len(seen.sent),
    )


def _findPadded(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = datagramsOf(evidence)
    padded = [each for each in seen.sent if each.tail] if seen else []
    if seen is None or not padded:
        return None
    first, last = (choice(padded, key=lambda each: each.size) for choice in (min, max))
    whole = [each.size for each in seen.sent if each.came is not None and each.size > last.size]
    lines = [f"the further bytes are {'not only ' if any(any(each.tail) for each in padded) else ''}zeros"]
    if whole:
        lines.append(f"up to {last.size} B come back longer, and from {min(whole)} B on equal")
    return Match(
        f"{plural(len(padded), 'answer')}: {first.size} B came back as {first.changed} B",
        evidence=lines,
        hits=len(padded),
        tries=len(seen.sent),
    )


def _findChanged(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = datagramsOf(evidence)
    changed = [each for each in seen.sent if _isChanged(each)] if seen else []
    if seen is None or not changed:
        return None
    first = changed[0]
    how = "altered" if first.size == first.changed else f"as {first.changed} B"
    bits = sorted(each.bits for each in changed if each.size == each.changed)
    lines = [f"{percents(len(changed), len(seen.sent))} of the datagrams"]
    if bits:
        lines.append(f"{bits[0]} to {bits[-1]} bits differ in an answer")
    return Match(
        f"{plural(len(changed), 'answer')}: {first.size} B came back {how}",
        evidence=lines,
        hits=len(changed),
        tries=len(seen.sent),
    )


def _isChanged(datagram: Datagram) -> bool:
    """Says whether an answer has other bytes than its datagram, and not just fewer or more."""
    return datagram.changed is not None and not datagram.isCut and not datagram.tail


def _findMixed(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = datagramsOf(evidence)
    mixed = [each for each in seen.strays if each.owner is not None] if seen else []
    if seen is None or not mixed:
        return None
    ours = [each for each in mixed if each.isOurs]
    lines = [
        f"source port {seen.ports.get(each.source, 0)} got an answer for {seen.ports.get(each.owner or 0, 0)}"
        for each in ours[:3]
    ]
    if others := len(mixed) - len(ours):
        lines.append(f"{plural(others, 'answer')} for other examinations")
    return Match(
        f"{len(mixed)} answers came to another source",
        evidence=lines,
        hits=len(mixed),
        tries=len(mixed) + len(seen.sent),
    )


def _findForeign(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = datagramsOf(evidence)
    foreign = [each for each in seen.strays if each.owner is None] if seen else []
    if seen is None or not foreign:
        return None
    sizes = sorted({each.size for each in foreign})
    return Match(
        f"{plural(len(foreign), 'answer')} to nothing that was asked",
        evidence=[f"{sizes[0]} to {sizes[-1]} B" if len(sizes) > 1 else f"{sizes[0]} B"],
        hits=len(foreign),
        tries=len(foreign) + sum(not each.isLost for each in seen.sent),
    )


def _findElsewhere(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = datagramsOf(evidence)
    moved = [each for each in seen.sent if each.elsewhere] if seen else []
    if seen is None or not moved:
        return None
    answered = sum(not each.isLost for each in seen.sent)
    froms = Counter(each.elsewhere for each in moved)
    lines = [f"{count} from {address}" for address, count in froms.most_common(3)]
    if len(froms) > 3:
        lines.append(f"and from {len(froms) - 3} more")
    return Match(
        f"{len(moved)} of {answered} answers, not from {evidence.target.host} port {evidence.target.port}",
        evidence=lines,
        hits=len(moved),
        tries=answered,
    )


def _findDeadPorts(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = datagramsOf(evidence)
    if seen is None:
        return None
    firsts = {each.source for each in seen.of(PORTS) if each.phase == PORTS}
    again = {each.source for each in seen.sent if each.phase == PORTS_AGAIN}
    dead = seen.deadSources & firsts & again
    # Other causes of losses, such as a limit on the rate, silence no port: the others show it. Of the ports
    # that are tried again some fresh ones may be dead, too; but something must be answered at that time.
    small = seen.of(PORTS, STEADY, FAST)
    heard = {(each.source, each.phase) for each in small if not each.isLost}
    others = [each for each in small if (each.source, each.phase) in heard and each.index]
    isDark = all(phase != PORTS_AGAIN for _, phase in heard)
    if not dead or isDark or len(others) * TOLERATED <= max(lostOf(others), 1):
        return None
    ports = ", ".join(str(seen.ports.get(each, 0)) for each in sorted(dead))
    fresh = again - firsts
    deadToo = len(fresh & seen.deadSources)
    return Match(
        f"{len(dead)} of {len(firsts)} source ports: {ports}",
        Confidence.LIKELY,
        evidence=[
            f"the others lost {lostOf(others)} of {len(others)}",
            f"{deadToo} of {len(fresh)} further ports got no answer, beside the second try",
        ],
        hits=len(dead),
        tries=len(firsts),
    )


SILENT = Rule(
    "datagrams-unanswered",
    Severity.FAIL,
    "no datagram is answered",
    "Nothing that is sent over UDP arrives, or no answer returns.",
    "No datagram of any source port was answered, in two rounds.",
    "Nobody listens, or a filter drops: UDP does not tell, unless an ICMP message comes.",
    _findSilent,
)
TRUNCATED = Rule(
    "datagrams-truncated",
    Severity.FAIL,
    "datagrams lose their end",
    "Larger datagrams lose their end without an error.",
    "An answer is the beginning of its datagram.",
    "The service's own buffer may be the limit.",
    _findTruncated,
)
PADDED = Rule(
    "datagrams-padded",
    Severity.FAIL,
    "datagrams come back longer",
    "An application takes bytes that nobody sent for a part of the message.",
    "An answer begins with its datagram, and further bytes follow; or zeros answer one of 0 or 1 B, as do "
    "other bytes if a longer datagram came back longer, too.",
    "A service that adds bytes to its answers looks the same.",
    _findPadded,
)
CHANGED = Rule(
    "datagrams-changed",
    Severity.FAIL,
    "datagrams are changed",
    "An application needs checksums of its own on this path.",
    "An answer has a label of its datagram, but differs from it.",
    "Never for bytes; which way changed them can't be told.",
    _findChanged,
)
MIXED = Rule(
    "datagrams-mixed",
    Severity.FAIL,
    "answers go to other sources",
    "A client gets what belongs to another one.",
    "A datagram came to a source, and two of its labels name another source.",
    "Never: no accident makes two equal labels.",
    _findMixed,
)
FOREIGN = Rule(
    "datagrams-foreign",
    Severity.FAIL,
    "datagrams come that answer nothing",
    "An application must tell its answers from others.",
    "A datagram came from the target without any label, when nothing of its length was outstanding.",
    "A service that sends by itself looks the same.",
    _findForeign,
)
ELSEWHERE = Rule(
    "datagrams-from-elsewhere",
    Severity.FAIL,
    "answers come from another address or port",
    "Connected sockets, firewalls and NATs drop such answers.",
    "An answer with a label of its source came from another address than the target's.",
    "Never; a firewall of this machine may drop such answers before they are seen.",
    _findElsewhere,
)
DEAD_PORTS = Rule(
    "datagrams-by-port",
    Severity.FAIL,
    "some source ports get no answer",
    "One of several parallel ways loses everything: some clients get no answer, and others lose nothing.",
    "Source ports that lost every datagram in two rounds, while the others lost hardly any.",
    "A NAT that has run out of ports looks the same.",
    _findDeadPorts,
)
