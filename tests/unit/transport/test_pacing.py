"""Pacing: a slow read makes the next one smaller, and fast ones make it large again."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from echo_app.transport.pacing import GOAL, pace


class Direct:
    readSize = 1 << 17
    bufferSize = 1 << 16


class Twisteds:
    bufferSize = 1 << 16


class PaceTests(SynchronousTestCase):
    def test_sizes(self) -> None:
        """The next read takes about a millisecond by the cost of the last; fast ones grow again."""
        for kind, name in ((Direct, "readSize"), (Twisteds, "bufferSize")):
            transport = kind()
            usual = getattr(kind, name)
            pace(transport, usual, GOAL / 2)
            self.assertEqual(vars(transport), {})
            pace(transport, usual, 64 * GOAL)
            self.assertEqual(getattr(transport, name), usual // 64)
            pace(transport, usual // 64, GOAL)
            self.assertEqual(getattr(transport, name), usual // 64)
            for _ in range(6):
                pace(transport, 1, GOAL / 2)
            self.assertEqual(vars(transport), {})

    def test_smallest(self) -> None:
        """A read is never empty."""
        transport = Direct()
        pace(transport, 1, 10.0)
        self.assertGreater(transport.readSize, 0)
        self.assertEqual(transport.bufferSize, Direct.bufferSize)
