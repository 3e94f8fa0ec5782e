"""What a peer chose, at the edge where it is printed."""

from __future__ import annotations

import io

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.check import Cost
from echo_app.probe.checks.peer import FirstLine, parsed
from echo_app.probe.cli.output import writeLine
from echo_app.probe.report.examination import Examination
from tests.support.probing import context


class EscapeTests(SynchronousTestCase):
    def test_line(self) -> None:
        """No character that a terminal could act upon is written, and none that the stream can't have."""
        for encoding, said in (("utf-8", "a\\x1b[2J\n\u00fc\n"), ("ascii", "a\\x1b[2J\n\\xfc\n")):
            stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
            self.assertIsNone(writeLine("a\x1b[2J\n\u00fc", stream))
            stream.seek(0)
            self.assertEqual(stream.read(), said)

    def test_peer(self) -> None:
        """The zone of an address that a service states may be anything; it stays in its line."""
        zone = b'{"peer": "[fe80::1%\\u001b[2J\\nFAIL]:4711"}\n'
        given = context("127.0.0.1:7", Clock())
        given.evidence.observations["peer"] = FirstLine(parsed(zone), ("127.0.0.1", 4711))
        said: list[str] = []
        Examination(given, Cost(), 1, said.append).ran("peer")
        self.assertIn("seen as [fe80::1%\\x1b[2J\\nFAIL]:4711", said[1])
