"""Rules about TLS that works: slow handshakes, ALPN, resumption, and ends."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.judge.certificaterules import handshakesOf
from echo_app.probe.judge.finding import Confidence, Match, Rule, numbers
from echo_app.probe.judge.shakerules import isShakingFailure
from echo_app.probe.judge.timerules import someLonger
from echo_app.probe.net.errors import ErrorKind
from echo_app.probe.results.severity import Severity
from echo_app.probe.results.statistics import milliseconds
from echo_app.text import quoted

# Seconds, and times the time to connect, from which on a handshake is slow. It is one round trip, or two in
# TLS 1.2 (RFC 8446, 2), and some milliseconds of computing.
SLOW, TIMES = 0.1, 4.0

# Handshakes at the least, for their time.
_FEW = 3


def _findALPNIgnored(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen, offered = handshakesOf(evidence), evidence.target.tls.protocols
    if seen.agreement is None or not offered or seen.agreement.protocol in offered:
        return None
    names = ", ".join(quoted(each.encode()) for each in offered)
    return Match(f"{names} offered, none chosen")


def _findSlow(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds handshakes that all are slow: the fastest one is compared, as a busy machine slows some."""
    times = [
        (each.shaken - each.connected, each.connected)
        for each in evidence.of("connect") or evidence.of("tls")
        if each.shaken is not None and each.connected is not None
    ]
    if len(times) < _FEW:
        return None
    fastest, connecting = min(took for took, _ in times), median(before for _, before in times)
    if fastest < SLOW or fastest < TIMES * connecting:
        return None
    return Match(
        f"{milliseconds(fastest)} or more in {len(times)} handshakes, {milliseconds(connecting)} to connect",
        Confidence.LIKELY,
        hits=len(times),
        tries=len(times),
    )


def _findSomeSlow(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds handshakes that are far slower than the others; those of a burst wait for each other."""
    times = [
        (each, each.shaken - each.connected - evidence.latenessIn(each.began, each.began + each.shaken))
        for each in evidence.connections
        if each.shaken is not None and each.connected is not None and each.check != "burst"
    ]
    return someLonger([(each, net, net) for each, net in times])


def _findNotResumed(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = handshakesOf(evidence)
    again = seen.resumed.count(False)
    if not again:
        return None
    tries = len(seen.resumed)
    return Match(
        f"{again} of {tries} connections with a ticket shake hands in full",
        Confidence.LIKELY,
        hits=again,
        tries=tries,
        meaning="" if again == tries else "Some backends do not know the tickets of others.",
    )


def _findResumptionRefused(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = handshakesOf(evidence)
    if not seen.refusals:
        return None
    tries = len(seen.refusals) + len(seen.resumed)
    refused = [each for each in rest if each.check == "tls" and isShakingFailure(each)]
    return Match(
        f"{len(seen.refusals)} of {tries} connections with a ticket: {seen.refusals[0]}",
        Confidence.CERTAIN if len(seen.refusals) > 1 else Confidence.LIKELY,
        explains=numbers(refused),
        hits=len(seen.refusals),
        tries=tries,
    )


def _findAmbiguousEnd(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds ends without close_notify.

    One FIN without ``close_notify`` is enough, as only software makes it. A reset, or no end, may be an
    accident, unless every connection has it.
    """
    seen = handshakesOf(evidence)
    if not seen.ends:
        return None
    kinds = [end.kind if end else ErrorKind.NO_END for end in seen.ends]
    if truncated := kinds.count(ErrorKind.TRUNCATED):
        return Match(f"{truncated} of {len(kinds)}: {ErrorKind.TRUNCATED}", hits=truncated, tries=len(kinds))
    if ErrorKind.CLOSE_NOTIFY not in kinds:
        return Match(f"{len(kinds)} of {len(kinds)}: {seen.ends[-1] or ErrorKind.NO_END}", tries=len(kinds))
    return None


ALPN_IGNORED = Rule(
    "alpn-ignored",
    Severity.WARN,
    "the service chooses none of the offered protocols",
    "Clients that need the protocol give up, or speak another one.",
    "With --alpn: the handshake is complete, and no protocol is agreed on (RFC 7301).",
    "What ends TLS before the service may not know its protocols.",
    _findALPNIgnored,
    ("tls",),
)
SLOW_HANDSHAKE = Rule(
    "handshake-slow",
    Severity.WARN,
    "TLS handshakes are slow",
    "Each new connection waits: a slow server, or one that asks others, such as about a certificate (OCSP).",
    "The fastest handshake, of three or more, takes 100 ms, and four times the median time to connect.",
    "What accepts connections near here, in place of a far service, looks the same.",
    _findSlow,
    ("tls",),
)
SOME_HANDSHAKES_SLOW = Rule(
    "some-handshakes-slow",
    Severity.WARN,
    "some TLS handshakes are slow",
    "Some clients wait for their connection: one of several servers is slow, or asks others.",
    "Two handshakes and more, outside of bursts, take ten times the median, and a quarter of a second.",
    "Segments that are lost in a handshake delay it as well.",
    _findSomeSlow,
    ("tls",),
)
NOT_RESUMED = Rule(
    "no-resumption",
    Severity.WARN,
    "sessions are not resumed",
    "Each connection costs a whole handshake: the server forgets its keys, or backends do not share them.",
    "The server gives a ticket (RFC 8446, 4.6.1), and does not take it in the connections that follow.",
    "A server may refuse a ticket for reasons of its own, such as a restart.",
    _findNotResumed,
    ("tls",),
)
RESUMPTION_REFUSED = Rule(
    "resumption-refused",
    Severity.FAIL,
    "connections with a ticket are refused",
    "Clients that resume a session do not connect; those that try again without one do.",
    "Connections that offer the server's ticket fail in the handshake, and others do not.",
    "A failure may be an accident, if it is one.",
    _findResumptionRefused,
    ("tls",),
)
AMBIGUOUS_END = Rule(
    "no-close-notify",
    Severity.WARN,
    "TLS connections end without close_notify",
    "Clients can't tell the end of an answer from a cut (RFC 8446, 6.1).",
    "A connection that had sent close_notify was ended by FIN alone; or all were reset, or did not end.",
    "If no echo came back, the end is not looked at.",
    _findAmbiguousEnd,
    ("tls",),
)
