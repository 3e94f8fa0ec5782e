"""The statistics and the reports of pings."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from datetime import UTC, datetime

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.cli.pingreport import JsonReport, PingReport, PingStatistics, TextReport
from echo_app.probe.net.errors import ErrorKind, Reason
from echo_app.probe.results.severity import Severity
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
            (PingStatistics(1, times=some), None, None),
            (PingStatistics(2, missed(TIMED_OUT), times=some), Severity.FAIL, Severity.WARN),
            (PingStatistics(1, missed(TIMED_OUT)), Severity.FAIL, Severity.FAIL),
            (PingStatistics(), Severity.FAIL, Severity.FAIL),
            (PingStatistics(3), Severity.FAIL, Severity.FAIL),
            (PingStatistics(2, corrupt=1, times=some), Severity.FAIL, Severity.FAIL),
            (PingStatistics(2, reordered=1, times=some), Severity.WARN, Severity.WARN),
            (PingStatistics(2, duplicated=1, times=some), Severity.WARN, Severity.WARN),
        ):
            self.assertEqual((statistics.status(True), statistics.status(False)), (stream, datagrams))


MOMENT = datetime(2026, 11, 25, 12, 0, 0, 123456, UTC)


def report(made: PingReport) -> None:
    """Tells a report of one ping of each kind."""
    made.statistics.sent = 4
    made.answered(1, 56, 0.0015)
    made.missed(2, Reason(ErrorKind.REFUSED), "no connection: ")
    made.missed(3, Reason(TIMED_OUT, "after 1 s"))
    made.corrupt(4, "1 byte flipped at offset 0")
    made.corrupt(None, "other bytes")
    made.again(1)
    made.end()


class ReportTests(SynchronousTestCase):
    def test_text(self) -> None:
        """A line for each ping, with a time if one is asked for; the summary has none."""
        plain: list[str] = []
        report(TextReport(STREAM, plain.append))
        self.assertEqual(
            plain[:6],
            [
                "tcp 127.0.0.1:7: 56 bytes, number 1, 1.50 ms",
                "tcp 127.0.0.1:7: number 2: no connection: refused",
                "tcp 127.0.0.1:7: number 3: timed out after 1 s",
                "tcp 127.0.0.1:7: number 4: 1 byte flipped at offset 0",
                "tcp 127.0.0.1:7: other bytes",
                "tcp 127.0.0.1:7: number 1 again",
            ],
        )
        said: list[str] = []
        report(TextReport(STREAM, said.append, lambda: MOMENT))
        self.assertEqual(said[:6], [f"2026-11-25T12:00:00.123+00:00 {line}" for line in plain[:6]])
        self.assertEqual(said[6:], plain[6:])

    def test_json(self) -> None:
        """An object for each ping, and one for the summary, each with the time and the target."""
        said: list[str] = []
        report(JsonReport(STREAM, said.append, lambda: MOMENT))
        objects = [json.loads(line) for line in said]
        for each in objects:
            self.assertEqual(each.pop("time"), "2026-11-25T12:00:00.123456+00:00")
            self.assertEqual(each.pop("target"), "tcp 127.0.0.1:7")
        self.assertEqual(
            objects[:6],
            [
                {"number": 1, "bytes": 56, "seconds": 0.0015},
                {"number": 2, "error": "refused", "detail": "no connection"},
                {"number": 3, "error": "timed out", "detail": "after 1 s"},
                {"number": 4, "error": "corrupt", "detail": "1 byte flipped at offset 0"},
                {"error": "corrupt", "detail": "other bytes"},
                {"number": 1, "error": "duplicate"},
            ],
        )
        self.assertEqual(
            objects[6:],
            [
                {
                    "summary": {
                        "sent": 4,
                        "answered": 1,
                        "missed": {"timed out": 1, "refused": 1},
                        "corrupt": 2,
                        "reordered": 0,
                        "duplicated": 1,
                        "late": 0,
                        "underWay": 0,
                        "seconds": {"min": 0.0015, "avg": 0.0015, "max": 0.0015},
                    }
                }
            ],
        )
