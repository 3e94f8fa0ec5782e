"""Pacing: a slow read makes the next one smaller, and fast ones make it large again."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from echo_app.transport.pacing import GOAL, SMALLEST, pace


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
            self.assertFalse(pace(transport, usual, GOAL / 2))
            self.assertEqual(vars(transport), {})
            self.assertTrue(pace(transport, usual, 16 * GOAL))
            self.assertEqual(getattr(transport, name), usual // 16)
            self.assertTrue(pace(transport, usual // 16, GOAL))
            self.assertEqual(getattr(transport, name), usual // 16)
            self.assertEqual([pace(transport, 1, GOAL / 2) for _ in range(4)], [True, True, True, False])
            self.assertEqual(vars(transport), {})

    def test_smallest(self) -> None:
        """A read is never smaller than the smallest, and a small read that was slow changes nothing."""
        transport = Direct()
        self.assertFalse(pace(transport, SMALLEST, 10.0))
        self.assertTrue(pace(transport, SMALLEST + 1, 10.0))
        self.assertEqual(transport.readSize, SMALLEST)
        self.assertEqual(transport.bufferSize, Direct.bufferSize)
