from __future__ import annotations

import json
import re
from typing import cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.accesslog.file import AccessLog
from echo_app.accesslog.recorder import FIELDS, LONGEST, Recorder, lineOf
from echo_app.connections.record import Ending
from tests import ROOT

DOCUMENT = ROOT / "docs" / "access-log.rst"


class Lines:
    """An access log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def write(self, line: bytes) -> None:
        self.lines.append(line)

    def parsed(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.lines]


class LineTests(SynchronousTestCase):
    def test_order(self) -> None:
        """Fields come in their order; what has nothing to say is left out, and a zero is not nothing."""
        line = lineOf({"bytes_in": 0, "peer": "a", "number": 1, "user": None})
        self.assertEqual(line, b'{"number":1,"peer":"a","bytes_in":0}\n')

    def test_escaped(self) -> None:
        """Nothing that a peer chooses is acted upon by a terminal, in the line or when it is parsed."""
        hostile = "\x00\x1b[2J\n\x7f\x9b\u202e\u2066\udcff\U000e0001"
        line = lineOf({"user": hostile, "faults": [hostile], "tls_subject": "Zoë"})
        self.assertTrue(line[:-1].decode("ascii").isprintable())
        parsed = json.loads(line)
        self.assertTrue(parsed["user"].isprintable())
        self.assertEqual(parsed["faults"], [parsed["user"]])
        self.assertEqual(parsed["tls_subject"], "Zoë")

    def test_bounded(self) -> None:
        """A text that a peer chooses has an end."""
        self.assertEqual(len(json.loads(lineOf({"user": "x" * 9999}))["user"]), LONGEST)


class RecorderTests(SynchronousTestCase):
    def test_times(self) -> None:
        """The start is in UTC; the duration is right though the clock was set meanwhile."""
        clock, elapsed, lines = Clock(), Clock(), Lines()
        recorder = Recorder(cast(AccessLog, lines), clock, elapsed.seconds)
        clock.advance(1_000_000_000.0625)
        record = recorder.begin()
        clock.rightNow -= 3600
        elapsed.advance(1.5)
        record.user, record.faults = "someone", ["latency=50ms"]
        record.end(Ending.STALL)
        recorder.write(record, {"bytes_in": 7})
        expected = {
            "user": "someone",
            "start": "2001-09-09T01:46:40.062Z",
            "seconds": 1.5,
            "ended": "stall",
            "faults": ["latency=50ms"],
            "bytes_in": 7,
        }
        self.assertEqual(lines.parsed(), [expected])


class DocumentTests(SynchronousTestCase):
    def table(self, heading: str) -> list[str]:
        """Returns the first column of the table under a heading."""
        section = DOCUMENT.read_text().partition(f"\n{heading}\n")[2]
        body = re.split(r"^=+ .*\n", section, flags=re.M)[2]
        return re.findall(r"^``(\w+)``", body, re.M)

    def test_fields(self) -> None:
        """The table has every field, in its order, and no other."""
        self.assertEqual(self.table("Fields"), list(FIELDS))

    def test_ends(self) -> None:
        """So has the table of reasons."""
        self.assertEqual(self.table("Why it ended"), [each.value for each in Ending])
