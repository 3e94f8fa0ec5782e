"""Rules about bytes: those that come back are those that were sent on this connection, in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.labels import BLOCK, labelsIn
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.judge.finding import Confidence, Find, Match, Rule, byCheck, numbers
from echo_app.probe.judge.silencerules import silenceOf, thenOf
from echo_app.probe.results.severity import Severity
from echo_app.text import quoted

# How many connections are named.
_SHOWN = 3


def ownerOf(evidence: Evidence, record: ConnectionRecord) -> str:
    """Returns whose the foreign bytes of a connection are; empty where their labels do not tell.

    Two blocks in a row must have the same owner: one flipped bit can make the label of another connection.
    One is enough where the connection's own bytes go on unchanged behind it.
    """
    labels = list(labelsIn(record.foreign))
    if kindOf(record) == "inserted" and labels and labels[0].examination == evidence.examination:
        labels.insert(1, replace(labels[0], offset=labels[0].offset + BLOCK))
    for label, following in pairwise(labels):
        if replace(label, offset=label.offset + BLOCK) != following:
            continue
        if label.examination != evidence.examination:
            return "another examination"
        if label.connection != record.number and label.connection < len(evidence.connections):
            owner = evidence.connections[label.connection]
            return f"connection {owner.number} ({owner.check}), from its byte {label.offset:,}"
    return ""


def kindOf(record: ConnectionRecord) -> str:
    """Returns the kind of a connection's first difference; empty if there is none."""
    return record.difference.kind if record.difference else ""


def _findMixed(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    differing = [each for each in rest if each.difference is not None]
    owners = {each.number: ownerOf(evidence, each) for each in differing}
    mixed = [each for each in differing if owners[each.number]]
    if not mixed:
        return None
    # A piece of a block has no label that can be read.
    pieces = [each for each in differing if each not in mixed and kindOf(each) == "foreign"]
    first = mixed[0].difference
    assert first is not None
    lines = [byCheck(mixed)]
    lines += [f"connection {each.number} got bytes of {owners[each.number]}" for each in mixed[:_SHOWN]]
    if pieces:
        lines.append(f"{len(pieces)} more got foreign bytes that are too few to tell whose they are")
    return Match(
        f"{shareOf([*mixed, *pieces], evidence)}; first at byte {first.offset:,}",
        Confidence.CERTAIN,
        lines,
        numbers([*mixed, *pieces]),
        len(mixed) + len(pieces),
        sendersIn(evidence),
    )


def _findNoEcho(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    asked = [each for each in rest if each.isMade and each.sent]
    if not asked or any(each.came for each in evidence.connections):
        return None
    others = [each for each in asked if each.difference is not None]
    if others:
        difference = others[0].difference
        assert difference is not None
        seen = f"other bytes come: {quoted(difference.found)}"
    else:
        ends = Counter(str(each.end or f"silence for {each.silence:.3g} s") for each in asked)
        end, count = ends.most_common(1)[0]
        seen = f"nothing comes back on {len(asked)} connections; {end} on {count}"
    lines = [said for said in dict.fromkeys(map(silenceOf, asked)) if said]
    return Match(seen, evidence=lines, explains=numbers(asked), hits=len(asked), tries=len(asked))


def _difference(kind: str) -> Find:
    """Returns the function that finds connections whose first difference is of one kind."""

    def find(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
        found = [each for each in rest if kindOf(each) == kind]
        if not found:
            return None
        first = found[0].difference
        assert first is not None
        shown = f": {quoted(first.found)}" if kind in ("foreign", "inserted") else ""
        isFirst = kind == "lost" and all(each.difference and not each.difference.offset for each in found)
        return Match(
            f"{shareOf(found, evidence)}; first at byte {first.offset:,}{shown}",
            Confidence.CERTAIN,
            [byCheck(found), *(f"connection {each.number}: {each.difference}" for each in found[:_SHOWN])],
            numbers(found),
            len(found),
            sendersIn(evidence),
            title="the first bytes of connections are lost" if isFirst else "",
            manner=shown if first.found.isascii() and first.found.decode().isprintable() else "",
        )

    return find


def _findShort(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    found = [each for each in rest if each.isShort and each.came and each.check != "late-reader"]
    if not found:
        return None
    first = found[0]
    return Match(
        f"{shareOf(found, evidence)}; {first.came:,} of {first.sent:,} B came back, then {thenOf(first)}",
        Confidence.CERTAIN,
        [*filter(None, [byCheck(found), silenceOf(first)])],
        numbers(found),
        len(found),
        sendersIn(evidence),
    )


def sendersIn(evidence: Evidence) -> int:
    """Returns the number of connections that sent something."""
    return sum(1 for each in evidence.connections if each.isMade and each.sent)


def shareOf(found: Sequence[ConnectionRecord], evidence: Evidence) -> str:
    """Returns a share of the connections that sent something, in words."""
    tries = sendersIn(evidence)
    return f"{len(found)} of {tries} connection{'s' if tries != 1 else ''}"


def byteRule(
    cause: str, title: str, meaning: str, observation: str, errs: str, find: Callable[..., Match | None]
) -> Rule:
    """Returns a rule about bytes, which is always a failure."""
    return Rule(cause, Severity.FAIL, title, meaning, observation, errs, find)


_KIND_ERRS = (
    "The kind of a difference of less than four bytes may be another one; that there is one is certain."
)

MIXED = byteRule(
    "connections-mixed",
    "connections are mixed up",
    "A client gets answers that are for another one.",
    "Bytes that came carry the label of another connection of this examination, or of another one.",
    "Never: a label names its connection.",
    _findMixed,
)
NO_ECHO = byteRule(
    "no-echo",
    "nothing there sends back what it gets",
    "This is no echo, or it answers nobody now.",
    "No byte that was sent came back on any connection.",
    "A service that answers line by line, or adds to each line, is no echo to this rule.",
    _findNoEcho,
)
DIFFERENCES = (
    byteRule(
        "bytes-changed",
        "bytes are changed",
        "Something on the way changes data, and TCP's checksum does not see it.",
        "Bytes differ from those sent, and the ones after them are in their place again.",
        _KIND_ERRS + " An echo can't tell on which way they were changed.",
        _difference("changed"),
    ),
    byteRule(
        "bytes-lost",
        "bytes are lost in the midst of a stream",
        "Something on the way loses data without ending the connection.",
        "The stream goes on with bytes that were sent later.",
        _KIND_ERRS,
        _difference("lost"),
    ),
    byteRule(
        "bytes-duplicated",
        "bytes come twice",
        "Something on the way sends data twice.",
        "Bytes that had come already come again.",
        _KIND_ERRS,
        _difference("duplicated"),
    ),
    byteRule(
        "bytes-moved",
        "bytes come in another order",
        "Something on the way changes the order of data.",
        "Bytes come later than ones that were sent after them.",
        _KIND_ERRS,
        _difference("moved"),
    ),
    byteRule(
        "bytes-inserted",
        "bytes come that were never sent",
        "Something on the way adds data of its own.",
        "Bytes without a label come between those sent, or after them.",
        _KIND_ERRS,
        _difference("inserted"),
    ),
    byteRule(
        "bytes-foreign",
        "other bytes come from some point on",
        "Something replaces everything from there on.",
        "No byte from there on was sent, and none has a label.",
        "A change of nearly every byte looks the same.",
        _difference("foreign"),
    ),
)
SHORT = byteRule(
    "answers-short",
    "part of what is sent does not come back",
    "Part of what is sent never arrives, or its answer does not.",
    "A part of the sent bytes came back, and then an end, or nothing more for the time-out.",
    "A path that pauses for longer than the time-out looks the same.",
    _findShort,
)
