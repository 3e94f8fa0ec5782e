from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echo_app.accesslog.fields import FIELDS
from echo_app.testing.records import Record, recordsOf
from echo_app.testing.server import EchoServer


class RecordTests(SynchronousTestCase):
    def test_fields(self) -> None:
        """A record has each field of the access log, in the order of the line."""
        self.assertEqual(tuple(each.name for each in fields(Record)), FIELDS)

    def test_repr(self) -> None:
        """A record shows the fields that are not None."""
        self.assertEqual(repr(Record(number=1, ended="fin")), "Record(number=1, ended='fin')")


class RecordsTests(SynchronousTestCase):
    def test_unknownField(self) -> None:
        """A field that the reader does not know is skipped, and the others are read."""
        line = b'{"number":1,"since_tomorrow":["x"],"ended":"fin"}\n'
        self.assertEqual(recordsOf(line), [Record(number=1, ended="fin")])

    def test_tornLine(self) -> None:
        """A last line without its end is not read yet."""
        self.assertEqual(recordsOf(b'{"number":1}\n{"numb'), [Record(number=1)])


class WaitTests(SynchronousTestCase):
    def test_end(self) -> None:
        """Records that a service writes just before its end are found."""
        server = EchoServer()
        server._folder = folder = Path(self.mktemp())
        folder.mkdir()

        class Process:
            def poll(self) -> int:
                (folder / "access.log").write_text('{"number":1}\n')
                return 0

        process: Any = Process()
        server._process = process
        self.assertEqual(server.waitForRecords(1), [Record(number=1)])
