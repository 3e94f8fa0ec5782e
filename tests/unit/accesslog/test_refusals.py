"""Refused connections: a line each while they are few, and sums beyond that."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.accesslog.file import AccessLog
from echo_app.accesslog.recorder import Recorder
from echo_app.accesslog.refusals import MAX_ENTRIES, PERIOD
from echo_app.connections.record import Ending
from tests.unit.accesslog.test_recorder import Lines

LISTENER = {"transport": "tcp", "listener": "127.0.0.1:8080"}


class RefusalsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.lines = Lines()
        seconds = self.clock.seconds
        self.recorder = Recorder(cast(AccessLog, self.lines), self.clock, seconds, seconds)

    def refuse(self, count: int, ending: Ending = Ending.LIMIT, detail: str = "max-connections") -> int:
        """Ends connections; returns how many a sum took."""
        taken = 0
        for _ in range(count):
            record = self.recorder.begin()
            record.end(ending, detail)
            taken += self.recorder.refusals.take(record, LISTENER)
        return taken

    def test_sums(self) -> None:
        """A hundred in a minute have their own entry; the rest is summed up by reason."""
        self.assertEqual(self.refuse(MAX_ENTRIES), 0)
        self.clock.advance(7)
        self.assertEqual(self.refuse(500), 500)
        self.assertEqual(self.refuse(MAX_ENTRIES + 20, Ending.DENIED, ""), 20)
        self.assertEqual(self.lines.parsed(), [])
        self.clock.advance(PERIOD - 7)
        common: Any = {**LISTENER, "start": "1970-01-01T00:00:07.000Z", "seconds": PERIOD - 7}
        self.assertEqual(
            self.lines.parsed(),
            [
                {**common, "refused": 500, "ended": "limit", "detail": "max-connections"},
                {**common, "refused": 20, "ended": "denied"},
            ],
        )
        self.assertEqual(self.refuse(MAX_ENTRIES), 0)

    def test_gates(self) -> None:
        """Wrong headers, logins and preambles are refusals; a peer's text makes no sum of its own."""
        for ending, detail in ((Ending.HEADER, "x"), (Ending.PREAMBLE, "y"), (Ending.AUTH, "bad-login")):
            self.assertEqual(self.refuse(MAX_ENTRIES, ending, detail), 0)
            self.assertEqual(self.refuse(2, ending, detail), 2)
            self.assertEqual(self.refuse(1, ending, detail + "2"), 1)
        self.recorder.refusals.flush()
        self.assertEqual(
            [(each["ended"], each["refused"], each.get("detail")) for each in self.lines.parsed()],
            [
                ("header", 3, None),
                ("preamble", 3, None),
                ("auth", 2, "bad-login"),
                ("auth", 1, "bad-login2"),
            ],
        )

    def test_others(self) -> None:
        """Connections that were not refused have their own entry, however many there are."""
        self.assertEqual(self.refuse(MAX_ENTRIES + 1, Ending.RESET, ""), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop(self) -> None:
        """At a stop the sums are written, and no call is left."""
        self.refuse(MAX_ENTRIES + 3)
        self.recorder.refusals.flush()
        self.assertEqual([each["refused"] for each in self.lines.parsed()], [3])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.recorder.refusals.flush()
        self.assertEqual(len(self.lines.parsed()), 1)
