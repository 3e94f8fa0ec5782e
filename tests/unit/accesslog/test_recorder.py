from __future__ import annotations

import json
import re
from typing import cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.accesslog.file import AccessLog
from echo_app.accesslog.recorder import MAX_TEXT, Recorder, lineOf
from echo_app.connections.record import Ending
from tests.support.fieldstable import DOCUMENT


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
        """A line has its fields in their order. A field that is None is left out, and a zero is not."""
        line = lineOf({"bytes_in": 0, "peer": "a", "number": 1, "user": None})
        self.assertEqual(line, b'{"number":1,"peer":"a","bytes_in":0}\n')

    def test_escaped(self) -> None:
        """No terminal acts on a peer's text, in the line or after it is parsed."""
        hostile = "\x00\x1b[2J\n\x7f\x9b\u202e\u2066\udcff\U000e0001"
        line = lineOf({"user": hostile, "faults": [hostile], "tls_subject": "Zoë"})
        self.assertTrue(line[:-1].decode("ascii").isprintable())
        parsed = json.loads(line)
        self.assertTrue(parsed["user"].isprintable())
        self.assertEqual(parsed["faults"], [parsed["user"]])
        self.assertEqual(parsed["tls_subject"], "Zoë")

    def test_bounded(self) -> None:
        """A long text is cut."""
        self.assertEqual(len(json.loads(lineOf({"user": "x" * 9999}))["user"]), MAX_TEXT)


class RecorderTests(SynchronousTestCase):
    def test_empty(self) -> None:
        """Connections without a byte can be left out, unless something else than the peer ended them."""
        for hasEmpty in (True, False):
            lines = Lines()
            recorder = Recorder(cast(AccessLog, lines), Clock(), hasEmpty=hasEmpty)
            for values, ending in (
                ({"bytes_in": 0, "bytes_out": 0}, Ending.FIN),
                ({"bytes_in": 0, "bytes_out": 0}, Ending.RESET),
                ({"bytes_in": 0, "bytes_out": 0}, Ending.IDLE),
                ({"bytes_in": 1, "bytes_out": 0}, Ending.FIN),
                ({}, Ending.FIN),
            ):
                record = recorder.begin()
                record.end(ending)
                recorder.write(record, values)
            self.assertEqual(len(lines.lines), 5 if hasEmpty else 3)

    def test_times(self) -> None:
        """The start is in UTC; the duration is right though the clock was set meanwhile."""
        clock, elapsed, lines = Clock(), Clock(), Lines()
        recorder = Recorder(cast(AccessLog, lines), clock, elapsed.seconds, clock.seconds)
        clock.advance(1_000_000_000.0625)
        record = recorder.begin()
        clock.rightNow -= 3600
        elapsed.advance(1.5)
        record.faults = ["latency=50ms"]
        record.end(Ending.STALL)
        recorder.write(record, {"bytes_in": 7})
        expected = {
            "start": "2001-09-09T01:46:40.062Z",
            "seconds": 1.5,
            "ended": "stall",
            "faults": ["latency=50ms"],
            "bytes_in": 7,
        }
        self.assertEqual(lines.parsed(), [expected])


class DocumentTests(SynchronousTestCase):
    def test_ends(self) -> None:
        """The document's table of reasons has every reason, in its order, and no other."""
        section = DOCUMENT.read_text().partition("\nWhy it ended\n")[2]
        body = re.split(r"^=+ .*\n", section, flags=re.M)[2]
        self.assertEqual(re.findall(r"^``(\w+)``", body, re.M), [each.value for each in Ending])
