"""Rule about connections that the far end ends with a line of text, such as its reason."""

from __future__ import annotations

from collections.abc import Sequence

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.judge.byterules import sendersIn, shareOf
from echo_app.probe.judge.finding import Confidence, Match, Rule, byCheck, numbers
from echo_app.probe.judge.silencerules import SILENT, thenOf
from echo_app.probe.results.severity import Severity
from echo_app.text import quoted

# Bytes of a text at the least: fewer are text by chance.
_FEW = 8

# The check that makes many connections at once.
_BURST = "burst"


def _isSaid(record: ConnectionRecord) -> bool:
    """Says whether a connection ended with text in place of the bytes that were due, or behind them."""
    difference = record.difference
    if difference is None or record.end is None or difference.kind not in ("foreign", "inserted"):
        return False
    found = difference.found
    isText = found.isascii() and found.decode("ascii").replace("\r", "").replace("\n", "").isprintable()
    return isText and len(found) >= _FEW


def _findSaid(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    said = [each for each in rest if _isSaid(each)]
    if not said:
        return None
    first = said[0].difference
    assert first is not None
    isQuiet = all(each.check in SILENT for each in said)
    isMany = all(each.check == _BURST for each in said)
    title = "silent connections are ended with a line of text" if isQuiet else ""
    title = "connections that come together are turned away with a line of text" if isMany else title
    return Match(
        f"{quoted(first.found)}, then {thenOf(said[0])}; {shareOf(said, evidence)}",
        Confidence.CERTAIN,
        [byCheck(said)],
        numbers(said),
        len(said),
        sendersIn(evidence),
        title=title,
        severity=Severity.WARN if title else None,
    )


SAID = Rule(
    "ended-with-text",
    Severity.FAIL,
    "connections are ended with a line of text",
    "The far end, or something before it, says why it ends a connection: a client takes that for its answer.",
    "Text comes that was never sent, and then the end of the connection. Where these are connections of a "
    "burst, or silent ones, alone, it is a warning.",
    "A service that is no echo, and speaks once, looks the same.",
    _findSaid,
)
