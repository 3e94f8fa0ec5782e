"""Rules about services that speak another protocol than the probe."""

from __future__ import annotations

from collections.abc import Sequence

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.protocol import PROXY, TLS, Protocols
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.judge.finding import Confidence, Match, Rule, byCheck, numbers
from echo_app.probe.net.foreign import ALERT, HEADER, protocolOf
from echo_app.probe.results.severity import Severity
from echo_app.text import quoted

# Bytes that are shown.
_SHOWN = 40

# Bytes behind the first ones of a protocol that tell it, and the most first ones that were due by chance.
_AGREEING, _BY_CHANCE = 4, 3


def _seen(evidence: Evidence) -> Protocols:
    seen = evidence.observations.get("protocol")
    return seen if isinstance(seen, Protocols) else Protocols()


def _spokenAt(record: ConnectionRecord) -> str:
    """Returns the protocol of the first bytes that came on a connection, if they were not those sent."""
    difference = record.difference
    isFirst = difference is not None and difference.offset == 0
    return protocolOf(record.foreign) if isFirst else ""


def _speaking(rest: Sequence[ConnectionRecord], *names: str) -> list[ConnectionRecord]:
    """Returns the connections on which a protocol came first: one of these names, or any.

    Behind them are those whose first bytes were the ones that were due, and the others as on the former ones.
    """
    first = [each for each in rest if (name := _spokenAt(each)) and (name in names or not names)]
    return [*first, *(each for each in rest if any(_goesOnAs(each, one) for one in first))]


def _goesOnAs(record: ConnectionRecord, other: ConnectionRecord) -> bool:
    """Says whether the bytes from a connection's difference on are those of another one in that place."""
    offset = record.difference.offset if record.difference is not None else 0
    expected = other.foreign[offset : offset + _AGREEING]
    isEarly = 0 < offset <= _BY_CHANCE and len(expected) == _AGREEING
    return isEarly and record.foreign.startswith(expected)


def _match(
    found: Sequence[ConnectionRecord],
    rest: Sequence[ConnectionRecord],
    others: Sequence[ConnectionRecord] = (),
) -> Match:
    """Returns the match of connections on which another protocol came first.

    :param others: further connections that it explains.
    """
    asked = [each for each in rest if each.sent]
    example = quoted(found[0].foreign[:_SHOWN])
    name = _spokenAt(found[0])
    return Match(
        f"{name} came first on {len(found)} of {len(asked)} connections: {example}",
        Confidence.CERTAIN,
        [byCheck(found)],
        # What answers in another protocol may be silent until it has heard a whole request.
        numbers([*found, *others, *_unserved(rest)]),
        len(found),
        len(asked),
        manner=name,
    )


def _unserved(rest: Sequence[ConnectionRecord]) -> list[ConnectionRecord]:
    return [each for each in rest if each.sent and not each.came]


def _findTLS(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    seen = _seen(evidence)
    alerted = _speaking(rest, ALERT)
    if not alerted and not seen.tried.get(TLS):
        return None
    unserved = [*_unserved(rest), *(each for each in alerted if each.came)]
    lines = [f"a handshake succeeds: {seen.details[TLS]}"] if TLS in seen.details else []
    if alerted:
        lines.append(f"{ALERT} came on {len(alerted)} connections")
    ends = {str(each.end) for each in unserved if each.end is not None}
    said = f"; {', '.join(sorted(ends))}" if ends and not alerted else ""
    return Match(
        f"plain bytes are not answered on {len(unserved)} connections{said}",
        evidence=lines,
        explains=numbers(unserved),
        hits=len(unserved),
        tries=len([each for each in rest if each.sent]),
    )


def _findHeaderWanted(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    if not _seen(evidence).tried.get(PROXY):
        return None
    unserved = _unserved(rest)
    return Match(
        f"nothing comes back on {len(unserved)} connections, and all after a header",
        Confidence.LIKELY,
        explains=numbers(unserved),
        hits=len(unserved),
        tries=len(unserved),
    )


def _findHeaderEchoed(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    found = _speaking(rest, HEADER)
    return _match(found, rest) if found else None


def _findOther(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    found = _speaking(rest)
    if not found:
        return None
    # The first bytes of some may have been those that were due, by chance.
    others = [each for each in rest if each.difference is not None and protocolOf(each.foreign)]
    return _match(found, rest, others)


SPEAKS_TLS = Rule(
    "service-speaks-tls",
    Severity.FAIL,
    "the service speaks TLS",
    "Clients must use TLS: a target tls://HOST:PORT.",
    "No plain byte is answered, and a handshake succeeds, or a TLS alert comes.",
    "Never: nothing else answers a handshake.",
    _findTLS,
)
HEADER_WANTED = Rule(
    "proxy-header-expected",
    Severity.FAIL,
    "the service expects a PROXY header",
    "Clients must connect through the proxy that sends it.",
    "Nothing comes back on any connection, and then does on one that begins with a PROXY header.",
    "A service that begins to answer at that moment looks the same.",
    _findHeaderWanted,
)
HEADER_ECHOED = Rule(
    "proxy-header-echoed",
    Severity.FAIL,
    "a proxy sends a PROXY header, and the service takes it for data",
    "Each connection begins with bytes that the client did not send: tell the service, or the proxy.",
    "A PROXY header is the first that comes back.",
    "Never: no other bytes look like one.",
    _findHeaderEchoed,
)
OTHER = Rule(
    "other-service",
    Severity.FAIL,
    "another service answers",
    "This is no echo: the address or the port is another service's, or a proxy answers in its place.",
    "The first bytes that come are those of HTTP, SSH, or a character generator.",
    "Services whose first bytes are not known count as no echo.",
    _findOther,
)
