"""The table of rules as a whole: nothing on a good path, and one cause for one fault."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from echo_app.probe.checks.burst import CALM_COUNT, ROUNDS
from echo_app.probe.checks.labels import LabelledBytes
from echo_app.probe.checks.latereader import LIMIT
from echo_app.probe.checks.lifetimes import Kind
from echo_app.probe.checks.reach import Addresses
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.checks.smallwrites import PAIRS, Pair
from echo_app.probe.checks.times import LARGE, SEGMENT, SMALL
from echo_app.probe.net.errors import timedOut
from echo_app.probe.results.difference import StreamDifference
from echo_app.probe.results.severity import Severity
from tests.support.evidence import FIN, OURS, REFUSED, RESET, JudgeTestCase, connection, sampled
from tests.support.goodpath import MIB, GoodPath

Plant = Callable[[GoodPath], None]

# A segment of ours that nothing acknowledges.
STUCK = sampled(unacked=1, retransmits=5, backoff=5)

# Seconds by which a planted fault makes something late.
LATE = 0.25


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
    again = path._made("identity", 1.0, 2 * MIB, came=MIB, end=FIN)
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
            path.bursts.atOnce.rounds.append([path._made("burst", 0.01, 64) for _ in range(100)])
        for record in path.bursts.atOnce.rounds[n][20:]:
            record.came, record.end = 0, RESET
    path.bursts.calm.rounds.append([path._made("burst", 0.02, 64) for _ in range(CALM_COUNT)])


def acceptRate(path: GoodPath) -> None:
    for n in range(ROUNDS):
        for series in (path.bursts.atOnce, path.bursts.inSuccession):
            if n:
                series.rounds.append([path._made("burst", 0.01, 64) for _ in range(100)])
            for record in series.rounds[n][40:45]:
                record.came, record.end = 0, RESET
    path.bursts.calm.rounds.append([path._made("burst", 0.02, 64) for _ in range(CALM_COUNT)])


def synsLost(path: GoodPath) -> None:
    for n in range(ROUNDS):
        if n:
            path.bursts.atOnce.rounds.append([path._made("burst", 0.01, 64) for _ in range(100)])
        for record in path.bursts.atOnce.rounds[n][50:]:
            record.connected = 1.003
            record.made = record.last = sampled(allRetransmits=1, segmentsOut=6)
    path.bursts.calm.rounds.append([path._made("burst", 0.02, 64) for _ in range(CALM_COUNT)])


def segmentsLost(path: GoodPath) -> None:
    for record in path.records("identity", "times"):
        if record.last is not None:
            record.last = sampled(segmentsOut=record.last.segmentsOut, allRetransmits=30)


def someRefused(path: GoodPath) -> None:
    for record in path.records("connect")[5:19:6]:
        record.came, record.sent, record.connected, record.failure = 0, 0, None, REFUSED


def someUnserved(path: GoodPath) -> None:
    for record in path.records("connect")[5:19:6]:
        record.came, record.end = 0, RESET


def noPushBack(path: GoodPath) -> None:
    path.filling.swallowed, path.filling.isPushedBack = LIMIT, False


def nagle(path: GoodPath) -> None:
    path.rounds.batches[0] = [Pair(path.rtt + 0.044, path.rtt)] * PAIRS


def delay(path: GoodPath, sizes: Sequence[int], which: slice = slice(None), late: float = LATE) -> None:
    """Makes round trips of these sizes late on some of the connections."""
    for timed in path.times.connections[which]:
        for size in sizes:
            for trips in (timed.trips, timed.net):
                trips[size] = [each + late for each in trips[size]]


def smallSlow(path: GoodPath) -> None:
    delay(path, (SMALL, SEGMENT))


def firstSlow(path: GoodPath) -> None:
    for timed in path.times.connections:
        timed.first = LATE


def coldStart(path: GoodPath) -> None:
    path.connects.records[0].firstAnswer = 2.0


def siblings(path: GoodPath) -> None:
    delay(path, (SMALL, SEGMENT, LARGE), slice(0, None, 3))


def slowService(path: GoodPath) -> None:
    delay(path, (SMALL, SEGMENT, LARGE))
    for timed in path.times.connections:
        timed.first = LATE


def jitter(path: GoodPath) -> None:
    for timed in path.times.connections:
        for n in range(1, len(timed.net[SMALL])):
            for trips in (timed.trips, timed.net):
                for size in (SMALL, SEGMENT, LARGE):
                    trips[size][n] += 0.03 * n


def outliers(path: GoodPath) -> None:
    for record in (path.records("identity")[0], path.records("burst")[-1]):
        record.longestWait, record.waitedSince = 0.3, record.began


def pauses(path: GoodPath) -> None:
    path.sizes.records.append(path._made("identity", 3.0, 30 * MIB))
    for record in path.sizes.records:
        record.longestWait, record.waitedAt, record.waitedSince = 0.7, MIB, record.began + 1


def lateEnd(path: GoodPath) -> None:
    for record in path.halfCloses.records:
        assert record.lastCame is not None
        record.ended = record.lastCame + 1.0


def limitedOut(path: GoodPath) -> None:
    path.sizes.batches[-1] = (17 * MIB, 16 * MIB, 8.0)
    path.filling.out = [(n * 0.3, n * 600_000) for n in range(11)]


def policed(path: GoodPath) -> None:
    # 8 MiB a second at first, and then a half.
    path.sizes.batches[-2:] = [(9 * MIB, 8 * MIB, 16.0), (17 * MIB, 16 * MIB, 32.0)]


FAIL, WARN = Severity.FAIL, Severity.WARN

PLANTED: Sequence[tuple[str, Severity, Plant]] = (
    ("unresolved", FAIL, unresolved),
    ("unreachable", FAIL, unreachable),
    ("bytes-translated", FAIL, translated),
    ("connections-mixed", FAIL, mixed),
    ("refused-at-first", FAIL, refusedAtFirst),
    ("no-echo", FAIL, noEcho),
    ("bytes-changed", FAIL, changed),
    ("bytes-duplicated", FAIL, duplicated),
    ("mtu-black-hole", FAIL, blackHole),
    ("not-acknowledged", FAIL, unacknowledged),
    ("all-end-at-once", FAIL, restarted),
    ("byte-limit", FAIL, limitedBytes),
    ("lifetime", WARN, limitedAge),
    ("idle-cut", WARN, idleTold),
    ("idle-cut", WARN, idleSilent),
    ("unread-cut", FAIL, unreadCut),
    ("late-reader-cut", FAIL, lateReaderHangs),
    ("half-close-broken", FAIL, halfCloseBroken),
    ("accept-rate", WARN, acceptRate),
    ("connection-cap", WARN, cap),
    ("connections-unserved", FAIL, someUnserved),
    ("address-fails", WARN, oneAddress),
    ("connections-fail", WARN, someRefused),
    ("segments-lost", WARN, segmentsLost),
    ("round-trip-outliers", WARN, outliers),
    ("transfer-pauses", WARN, pauses),
    ("connections-unequal", WARN, siblings),
    ("end-late", WARN, lateEnd),
    ("nagle-delays", WARN, nagle),
    ("small-slower-than-large", WARN, smallSlow),
    ("first-answer-slow", WARN, firstSlow),
    ("cold-start", WARN, coldStart),
    ("jitter", WARN, jitter),
    ("rate-after-burst", WARN, policed),
    ("rate-limited", WARN, limitedOut),
    ("answers-slow", WARN, slowService),
    ("burst-slowed", WARN, synsLost),
    ("no-push-back", WARN, noPushBack),
)


class GoodTests(JudgeTestCase):
    def test_good(self) -> None:
        """No rule finds anything on a good path, on one machine, in one house, or across an ocean."""
        for rtt, rate in ((0.00005, 400e6), (0.0004, 50e6), (0.02, 20e6), (0.18, 20e6)):
            self.assertEqual(self.findings(GoodPath(rtt, rate).evidence), [], rtt)

    def test_lateMachine(self) -> None:
        """A machine that is late by as much as its times differ has no finding about the path."""
        path = GoodPath()
        for record in path.records("connect", "identity", "half-close"):
            path.evidence.lateness.append((record.began + 0.3, 0.3))
        outliers(path)
        path.connects.records[0].firstAnswer = 0.3
        for record in path.halfCloses.records:
            assert record.lastCame is not None
            record.ended = record.lastCame + 0.3
        self.assertEqual(
            [each.rule.cause for each in self.findings(path.evidence)], [], path.evidence.lateness[:1]
        )


class PlantedTests(JudgeTestCase):
    def test_first(self) -> None:
        """The first finding about a planted fault names it, and no other failure has the same cause."""
        for cause, severity, plant in PLANTED:
            with self.subTest(cause=cause, plant=plant.__name__):
                path = GoodPath()
                plant(path)
                findings = self.findings(path.evidence)
                causes = [(each.rule.cause, each.severity) for each in findings]
                self.assertEqual(causes[:1], [(cause, severity)], findings)
                failures = [each for each in causes if each[1] is FAIL]
                self.assertLessEqual(len(failures), 1)

    def test_together(self) -> None:
        """Two faults are two findings, the failure first."""
        path = GoodPath()
        nagle(path)
        changed(path)
        found = self.findings(path.evidence)
        self.assertEqual([each.rule.cause for each in found], ["bytes-changed", "nagle-delays"])
