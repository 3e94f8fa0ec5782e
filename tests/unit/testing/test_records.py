from __future__ import annotations

import subprocess
from dataclasses import fields
from pathlib import Path
from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from echo_app.accesslog.fields import FIELDS
from echo_app.testing import EchoServer, Record


class RecordTests(SynchronousTestCase):
    def test_fields(self) -> None:
        """A record has each field of the access log, in the order of the line."""
        self.assertEqual(tuple(each.name for each in fields(Record)), FIELDS)

    def test_repr(self) -> None:
        """A record shows the fields that are not None."""
        self.assertEqual(repr(Record(number=1, ended="fin")), "Record(number=1, ended='fin')")


class EchoServerTests(SynchronousTestCase):
    def records(self, content: bytes) -> list[Record]:
        """Returns the records that a server reads from an access log."""
        server = EchoServer()
        # The server needs a process only to know that its folder is there.
        server._process = cast("subprocess.Popen[bytes]", object())
        server._folder = folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "access.log").write_bytes(content)
        try:
            return server.records()
        finally:
            server._process = None

    def test_unknownField(self) -> None:
        """A field that the reader does not know is skipped, and the others are read."""
        line = b'{"number":1,"since_tomorrow":["x"],"ended":"fin"}\n'
        self.assertEqual(self.records(line), [Record(number=1, ended="fin")])

    def test_tornLine(self) -> None:
        """A last line without its end is not read yet."""
        self.assertEqual(self.records(b'{"number":1}\n{"numb'), [Record(number=1)])
