"""Faults of bytes and connections that a test plants in the evidence of a good path."""

from __future__ import annotations

from random import Random
from typing import Any

from echo_app.probe.checks.burst import CALM_COUNT, ROUNDS
from echo_app.probe.checks.labels import LabelledBytes
from echo_app.probe.checks.lifetimes import Kind
from echo_app.probe.checks.reach import Addresses
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.net.errors import timedOut
from echo_app.probe.results.difference import StreamDifference
from tests.support.evidence import FIN, OURS, REFUSED, RESET, connection, sampled
from tests.support.goodpath import MIB, GoodPath

# A segment of ours that nothing acknowledges.
STUCK = sampled(unacked=1, retransmits=5, backoff=5)


def spoiled(record: ConnectionRecord, kind: str, came: int = 100, foreign: bytes = b"?" * 64) -> None:
    """Makes a difference the end of what came."""
    record.difference = StreamDifference(kind, came, 1, foreign[:8])
    record.came, record.foreign, record.due = came, foreign, b"!" * 64


def lose(record: ConnectionRecord, came: int, silence: float = 10.0, **values: Any) -> None:
    """Makes a connection silent after so many bytes."""
    record.came, record.silence, record.end, record.ended = came, silence, None, None
    record.isHalfClosed = False
    for name, value in values.items():
        setattr(record, name, value)


def changed(path: GoodPath) -> None:
    for record in path.records("identity", "late-reader", "half-close")[:5]:
        spoiled(record, "changed")


def mixed(path: GoodPath) -> None:
    for record in path.records("burst")[:4]:
        other = LabelledBytes(OURS, record.number + 1, Random(1)).take(64)
        spoiled(record, "foreign", 0, other)


def translated(path: GoodPath) -> None:
    for record in path.records("identity", "half-close", "late-reader"):
        spoiled(record, "inserted", 10)
        record.due, record.foreign = b"\nabc" * 16, b"\r\nabc" * 12


def duplicated(path: GoodPath) -> None:
    for record in path.records("half-close")[::2]:
        spoiled(record, "duplicated", 500)


def noEcho(path: GoodPath) -> None:
    for record in path.records("connect", "identity"):
        lose(record, 0)
    only(path, "resolve", "connect", "peer", "identity")


def only(path: GoodPath, *checks: str) -> None:
    """Removes the evidence of the other checks, which come last, as they did not run."""
    path.evidence.connections[:] = path.records(*checks)
    for name in list(path.evidence.observations):
        if name not in checks:
            del path.evidence.observations[name]


def unreachable(path: GoodPath) -> None:
    path.addresses.tried["203.0.113.9"] = REFUSED
    path.records("resolve")[0].failure = REFUSED
    only(path, "resolve")


def unresolved(path: GoodPath) -> None:
    path.evidence.observations["resolve"] = Addresses("lb.example")
    path.evidence.connections.clear()
    only(path, "resolve")


def oneAddress(path: GoodPath) -> None:
    path.addresses.tried = {"2001:db8::9": timedOut(10).whileConnecting, "203.0.113.9": None}
    connection(path.evidence, "resolve", failure=timedOut(10).whileConnecting)


def refusedAtFirst(path: GoodPath) -> None:
    for record in path.records("connect")[:4]:
        record.came, record.end = 0, RESET


def restarted(path: GoodPath) -> None:
    at = path.lives.lives[-1].record.began + 3
    path.cut(lambda record: at, end=RESET)


def limitedAge(path: GoodPath) -> None:
    path.cut(lambda record: record.began + 9.0)


def limitedBytes(path: GoodPath) -> None:
    for record in path.records():
        if record.sent > MIB:
            record.came, record.end, record.ended = MIB, FIN, record.closed
    again = path.made("identity", 1.0, 2 * MIB, came=MIB, end=FIN)
    again.ended = again.closed
    path.sizes.records.append(again)


def idleTold(path: GoodPath) -> None:
    for life in path.lives.lives:
        if life.kind is not Kind.BUSY:
            life.record.came //= 2
            life.record.end, life.record.ended = RESET, life.record.began + 5


def idleSilent(path: GoodPath) -> None:
    for life in path.lives.lives:
        if life.kind is not Kind.BUSY:
            lose(life.record, life.record.came // 2, silent=STUCK)
    assert path.filling.record is not None
    lose(path.filling.record, MIB, silent=STUCK)


def unreadCut(path: GoodPath) -> None:
    for life in path.lives.lives:
        if life.kind is Kind.UNREAD:
            life.record.came //= 2
            life.record.end, life.record.ended = RESET, life.record.began + 7


def blackHole(path: GoodPath) -> None:
    for record in [record for size, record in path.segments.bySize.items() if size > 1300]:
        lose(record, 0, 8.0, silent=STUCK)
    for record in path.records("identity", "half-close", "late-reader"):
        if record.sent >= 4096:
            lose(record, 0, silent=STUCK)


def unacknowledged(path: GoodPath) -> None:
    for record in path.records("identity", "half-close")[:3]:
        lose(record, record.came // 2, silent=STUCK)


def halfCloseBroken(path: GoodPath) -> None:
    for record in path.records("half-close"):
        record.came, record.ended = 0, record.began + 0.01


def lateReaderHangs(path: GoodPath) -> None:
    record = path.filling.record
    assert record is not None
    lose(record, MIB, silent=sampled(notSent=MIB))


def cap(path: GoodPath) -> None:
    for n in range(ROUNDS):
        if n:
            path.bursts.atOnce.rounds.append([path.made("burst", 0.01, 64) for _ in range(100)])
        for record in path.bursts.atOnce.rounds[n][20:]:
            record.came, record.end = 0, RESET
    path.bursts.calm.rounds.append([path.made("burst", 0.02, 64) for _ in range(CALM_COUNT)])


def acceptRate(path: GoodPath) -> None:
    for n in range(ROUNDS):
        for series in (path.bursts.atOnce, path.bursts.inSuccession):
            if n:
                series.rounds.append([path.made("burst", 0.01, 64) for _ in range(100)])
            for record in series.rounds[n][40:45]:
                record.came, record.end = 0, RESET
    path.bursts.calm.rounds.append([path.made("burst", 0.02, 64) for _ in range(CALM_COUNT)])


def synsLost(path: GoodPath) -> None:
    for n in range(ROUNDS):
        if n:
            path.bursts.atOnce.rounds.append([path.made("burst", 0.01, 64) for _ in range(100)])
        for record in path.bursts.atOnce.rounds[n][50:]:
            record.connected = 1.003
            record.made = record.last = sampled(allRetransmits=1, segmentsOut=6)
    path.bursts.calm.rounds.append([path.made("burst", 0.02, 64) for _ in range(CALM_COUNT)])


def segmentsLost(path: GoodPath) -> None:
    for record in path.records("identity", "times"):
        if record.last is not None:
            record.last = sampled(segmentsOut=record.last.segmentsOut, allRetransmits=30)


def reordered(path: GoodPath) -> None:
    for record in path.records("identity", "times"):
        if record.last is not None:
            count = record.last.segmentsOut
            record.last = sampled(segmentsOut=count, allRetransmits=30, reorderings=3)


def singleSYNsLost(path: GoodPath) -> None:
    for record in path.records("connect", "half-close", "times")[::6]:
        record.connected, record.made = 1.003, sampled(allRetransmits=1)
        assert record.last is not None
        record.last = sampled(segmentsOut=record.last.segmentsOut, allRetransmits=1)


def limitedConnects(path: GoodPath) -> None:
    for record in path.records("connect")[12:]:
        record.came, record.sent, record.connected, record.failure = 0, 0, None, REFUSED


def someRefused(path: GoodPath) -> None:
    for record in path.records("connect")[5:19:6]:
        record.came, record.sent, record.connected, record.failure = 0, 0, None, REFUSED


def someUnserved(path: GoodPath) -> None:
    for record in path.records("connect")[5:19:6]:
        record.came, record.end = 0, RESET
