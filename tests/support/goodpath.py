"""Evidence of a whole examination of a good path, as the checks record it, for tests of the judge's table.

A test takes one, changes what a fault of the path would change, and judges it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from echo_app.probe.checks.burst import COUNT, Bursts
from echo_app.probe.checks.halfclose import LARGE as LARGE_TRY
from echo_app.probe.checks.halfclose import SMALL as SMALL_TRY
from echo_app.probe.checks.halfclose import HalfCloses
from echo_app.probe.checks.identity import ALONE, SIZES, Sizes
from echo_app.probe.checks.labels import MESSAGE
from echo_app.probe.checks.latereader import Filling
from echo_app.probe.checks.lifetimes import INTERVAL, STAGGER, WATCHED, Kind, Life, Lives
from echo_app.probe.checks.peer import FirstLine
from echo_app.probe.checks.reach import CONNECTIONS, Addresses, Connects
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.checks.segments import AMOUNT, Segments
from echo_app.probe.checks.segments import SIZES as SEGMENT_SIZES
from echo_app.probe.checks.smallwrites import PAIRS, Pair, SmallRounds
from echo_app.probe.checks.times import CONNECTIONS as TIMED
from echo_app.probe.checks.times import LARGE, ROUNDS, SEGMENT, SMALL, Timed, Times
from tests.support.evidence import FIN, connection, evidenceOf, sampled

MIB = 1 << 20

# Bytes of a segment, and of what the path stores before it pushes back.
_SEGMENT, STORED = 1448, 6 * MIB


class GoodPath:
    """The evidence of a good path.

    :param rtt: seconds of a round trip.
    :param rate: bytes a second, there and back.
    :ivar now: the moment, in seconds since the examination's begin.
    """

    def __init__(self, rtt: float = 0.0004, rate: float = 20e6, target: str = "tcp://lb.example:7") -> None:
        self.evidence = evidenceOf(target)
        self.rtt = rtt
        self.rate = rate
        self.now = 0.0
        self.addresses = self._resolve()
        self.connects = self._connect()
        self.evidence.observations["peer"] = FirstLine()
        self.made("peer", 2.0, 0)
        self.sizes = self._identity()
        self.segments = self._segments()
        self.halfCloses = self._halfClose()
        self.filling = self._lateReader()
        self.rounds = self._smallWrites()
        self.times = self._times()
        self.bursts = self._burst()
        self.lives = self._lifetimes()

    def records(self, *checks: str) -> list[ConnectionRecord]:
        """Returns the records of some checks; of all without a name."""
        return [each for each in self.evidence.connections if not checks or each.check in checks]

    def cut(self, isCut: Callable[[ConnectionRecord], float | None], **ending: Any) -> None:
        """Ends connections.

        :param isCut: returns the moment of a connection's end; None if it lives until it is closed.
        :param ending: what is then different in its record.
        """
        for record in self.evidence.connections:
            at = isCut(record)
            if at is not None and record.began < at < (record.closed or 0.0):
                lived = (at - record.began) / ((record.closed or at) - record.began)
                record.came = int(record.came * lived)
                record.ended = at
                record.lastCame = at - self.rtt
                for name, value in ({"end": FIN} | ending).items():
                    setattr(record, name, value)

    def made(self, check: str, seconds: float, size: int, **values: Any) -> ConnectionRecord:
        """Adds the record of a connection whose echo is whole, and passes its time."""
        segments = 4 + 2 * -(-size // _SEGMENT)
        last = sampled(state=1, segmentsOut=segments, segmentsIn=segments) if "last" not in values else None
        record = connection(
            self.evidence,
            check,
            connected=self.rtt,
            sent=size,
            came=size,
            firstAnswer=self.rtt if size else None,
            lastCame=self.now + seconds if size else None,
            closed=self.now + seconds,
            longestWait=self.rtt,
            waitedSince=self.now,
            made=sampled(state=1, sendMSS=_SEGMENT),
            last=last,
        )
        record.began = self.now
        for name, value in values.items():
            setattr(record, name, value)
        self.now += seconds
        return record

    def _resolve(self) -> Addresses:
        seen = self.evidence.observations["resolve"] = Addresses("lb.example", {"203.0.113.9": None})
        self.made("resolve", 2 * self.rtt, 0)
        return seen

    def _connect(self) -> Connects:
        seen = self.evidence.observations["connect"] = Connects()
        seen.records.extend(self.made("connect", 3 * self.rtt, MESSAGE) for _ in range(CONNECTIONS))
        return seen

    def _identity(self) -> Sizes:
        seen = self.evidence.observations["identity"] = Sizes(list(SIZES))
        small = [each for each in SIZES if each <= ALONE]
        sent = 260
        for size in [*small, sum(small), *SIZES[len(small) :]]:
            seen.batches.append((sent, size, self.rtt + size / self.rate))
            sent += size
        spent = sum(seconds for _, _, seconds in seen.batches)
        seen.records.append(self.made("identity", 2 * self.rtt + spent + 0.2, sent))
        return seen

    def _segments(self) -> Segments:
        seen = self.evidence.observations["segments"] = Segments(largest=_SEGMENT)
        self.made("segments", self.rtt, 0)
        for size in SEGMENT_SIZES:
            if size <= _SEGMENT:
                seen.bySize[size] = self.made("segments", self.rtt + AMOUNT / self.rate, AMOUNT)
        return seen

    def _halfClose(self) -> HalfCloses:
        seen = self.evidence.observations["half-close"] = HalfCloses()
        for n in range(20):
            size = LARGE_TRY if n % 2 else SMALL_TRY
            seconds = 2 * self.rtt + size / self.rate
            came, over = self.now + seconds, self.now + seconds + 0.001
            values = {"isHalfClosed": True, "end": FIN, "ended": over, "lastCame": came}
            seen.records.append(self.made("half-close", seconds + 0.002, size, **values))
        return seen

    def _lateReader(self) -> Filling:
        seen = self.evidence.observations["late-reader"] = Filling(STORED, MIB, MIB, MIB, isPushedBack=True)
        begin, filled = self.now, STORED / self.rate
        seen.out = [(begin + n * filled / 10, STORED * n // 10) for n in range(11)]
        reading = begin + filled + 8
        seen.back = [(reading + n * filled / 10, STORED * n // 10) for n in range(11)]
        seen.record = self.made("late-reader", 8 + 2 * filled, STORED)
        return seen

    def _smallWrites(self) -> SmallRounds:
        seen = self.evidence.observations["small-writes"] = SmallRounds()
        seen.batches.append([Pair(self.rtt, self.rtt)] * PAIRS)
        seen.whole, seen.pieces = [self.rtt] * PAIRS, [1] * PAIRS
        for count in (2 * PAIRS, PAIRS):
            seen.records.append(self.made("small-writes", (count + 1) * self.rtt, count * 64))
        return seen

    def _times(self) -> Times:
        seen = self.evidence.observations["times"] = Times()
        for _ in range(TIMED):
            sizes = {size: [self.rtt + size / self.rate] * ROUNDS for size in (SMALL, SEGMENT, LARGE)}
            spent = sum(map(sum, sizes.values())) + 3 * self.rtt
            least = int(self.rtt * 1e6) / 1e6
            counts: Any = {"minRTT": least}
            over = self.now + spent
            record = self.made(
                "times",
                spent,
                1 + ROUNDS * sum(sizes),
                isHalfClosed=True,
                end=FIN,
                ended=over,
                last=sampled(segmentsOut=400, **counts),
            )
            trips, net = ({size: list(times) for size, times in sizes.items()} for _ in range(2))
            seen.connections.append(Timed(record, self.rtt, trips, net, self.rtt))
        return seen

    def _burst(self) -> Bursts:
        seen = self.evidence.observations["burst"] = Bursts()
        for series in (seen.atOnce, seen.inSuccession):
            series.rounds.append([self.made("burst", 2 * self.rtt, MESSAGE) for _ in range(COUNT)])
        return seen

    def _lifetimes(self) -> Lives:
        seen = self.evidence.observations["lifetimes"] = Lives(WATCHED)
        begin = self.now
        for delay in (0.0, WATCHED * STAGGER):
            for kind in Kind:
                self.now = begin + delay
                size = {Kind.BUSY: int(WATCHED / INTERVAL) * MESSAGE, Kind.SILENT: 2 * MESSAGE}
                record = self.made("lifetimes", WATCHED + self.rtt, size.get(kind, STORED))
                seen.lives.append(Life(kind, record, self.now, kind is Kind.UNREAD))
        return seen
