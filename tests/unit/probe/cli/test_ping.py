"""The statistics of pings."""

from __future__ import annotations

from array import array
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.check import Status
from echo_app.probe.cli.pingstatistics import PingStatistics
from echo_app.probe.net.errors import ErrorKind
from echo_app.targets import parseTarget

STREAM, DATAGRAMS = parseTarget("127.0.0.1:7"), parseTarget("udp://127.0.0.1:7")

TIMED_OUT = ErrorKind.TIMED_OUT


def missed(*kinds: ErrorKind) -> Counter[ErrorKind]:
    return Counter(kinds)


class PingStatisticsTests(SynchronousTestCase):
    def test_lines(self) -> None:
        """Counts, and times as far as their number allows: ten samples stand above a percentile."""
        statistics = PingStatistics(
            sent=21, missed=missed(TIMED_OUT), times=array("d", [0.001] * 19 + [0.002])
        )
        self.assertEqual(
            statistics.lines(STREAM),
            [
                "--- tcp 127.0.0.1:7",
                "21 sent, 20 answered, 1 timed out, 0 corrupt, 0 reordered",
                "min 1.00 ms, avg 1.05 ms, p50 1.00 ms, max 2.00 ms, jitter 0.0526 ms",
            ],
        )

    def test_datagrams(self) -> None:
        """A datagram without an answer is lost, and a duplicate is reported."""
        statistics = PingStatistics(
            sent=2, missed=missed(ErrorKind.LOST), duplicated=1, times=array("d", [0.001])
        )
        self.assertEqual(
            statistics.lines(DATAGRAMS)[1:],
            [
                "2 sent, 1 answered, 1 lost, 0 corrupt, 0 reordered, 1 duplicate",
                "min 1.00 ms, avg 1.00 ms, max 1.00 ms",
            ],
        )

    def test_late(self) -> None:
        """A late answer is no duplicate, and its ping stays lost."""
        statistics = PingStatistics(sent=1, missed=missed(ErrorKind.LOST), late=1)
        self.assertEqual(
            statistics.lines(DATAGRAMS)[1], "1 sent, 0 answered, 1 lost, 0 corrupt, 0 reordered, 1 late"
        )

    def test_kinds(self) -> None:
        """A refusal is no time-out, and a ping that is under way at the end is counted."""
        statistics = PingStatistics(sent=5, missed=missed(ErrorKind.REFUSED, TIMED_OUT, ErrorKind.REFUSED))
        self.assertEqual(
            statistics.lines(STREAM)[1],
            "5 sent, 0 answered, 1 timed out, 2 refused, 0 corrupt, 0 reordered, 2 under way",
        )

    def test_nothing(self) -> None:
        """Without an answer there are no times."""
        self.assertEqual(len(PingStatistics(sent=3, missed=missed(*3 * [TIMED_OUT])).lines(STREAM)), 2)

    def test_status(self) -> None:
        """On a stream any missing byte is a failure; over UDP only a total loss or corruption is."""
        some = array("d", [0.001])
        for statistics, stream, datagrams in (
            (PingStatistics(1, times=some), Status.PASS, Status.PASS),
            (PingStatistics(2, missed(TIMED_OUT), times=some), Status.FAIL, Status.WARN),
            (PingStatistics(1, missed(TIMED_OUT)), Status.FAIL, Status.FAIL),
            (PingStatistics(), Status.FAIL, Status.FAIL),
            (PingStatistics(3), Status.FAIL, Status.FAIL),
            (PingStatistics(2, corrupt=1, times=some), Status.FAIL, Status.FAIL),
            (PingStatistics(2, reordered=1, times=some), Status.WARN, Status.WARN),
            (PingStatistics(2, duplicated=1, times=some), Status.WARN, Status.WARN),
        ):
            self.assertEqual((statistics.status(True), statistics.status(False)), (stream, datagrams))
