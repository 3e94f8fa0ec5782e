"""Evidence: records by number, and the lateness of this process."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.evidence import LatenessMeter
from tests.support.evidence import evidenceOf


class EvidenceTests(SynchronousTestCase):
    def test_numbers(self) -> None:
        """Connections are numbered in the order of their begins, and found by check."""
        evidence = evidenceOf()
        records = [evidence.newRecord(check, at) for at, check in enumerate("aba")]
        self.assertEqual([each.number for each in records], [0, 1, 2])
        self.assertEqual(evidence.of("a"), [records[0], records[2]])
        self.assertEqual(evidence.connections, records)


class LatenessTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(100)
        self.evidence = evidenceOf()
        self.meter = LatenessMeter(self.clock, self.evidence, 100.0)
        self.meter.start()

    def test_late(self) -> None:
        """A pause of the process is noted, with its moment since the begin."""
        self.clock.pump([0.02] * 50)
        self.assertEqual(self.evidence.lateness, [])
        self.clock.advance(0.3)
        ((at, late),) = self.evidence.lateness
        self.assertAlmostEqual(at, 1.3)
        self.assertAlmostEqual(late, 0.28)

    def test_within(self) -> None:
        """The greatest lateness within a time counts, also where it only overlaps."""
        self.evidence.lateness += [(1.3, 0.28), (2.0, 0.5), (9.0, 0.1)]
        for begin, end, late in (
            (0.0, 1.0, 0.0),
            (0.0, 1.1, 0.28),
            (1.2, 1.25, 0.28),
            (1.2, 1.6, 0.5),
            (2.1, 8.8, 0.0),
            (0.0, 10.0, 0.5),
        ):
            self.assertEqual(self.evidence.latenessIn(begin, end), late, (begin, end))

    def test_stop(self) -> None:
        """Nothing is left behind."""
        self.clock.advance(0.02)
        self.meter.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.meter.stop()
