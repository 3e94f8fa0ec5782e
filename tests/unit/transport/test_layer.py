"""Transports on top of each other."""

from __future__ import annotations

from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase

from echo_app.transport.layer import bottomOf, downFrom


class DownFromTests(SynchronousTestCase):
    def test_order(self) -> None:
        """The transport comes first, and the lowest transport last."""
        bottom = object()
        middle = SimpleNamespace(transport=bottom)
        top = SimpleNamespace(transport=middle)
        self.assertEqual(list(downFrom(top)), [top, middle, bottom])
        self.assertIs(bottomOf(top), bottom)
        self.assertIs(bottomOf(bottom), bottom)

    def test_notConnected(self) -> None:
        """Nothing is below a layer that is not connected yet; None is no transport."""
        top = SimpleNamespace(transport=None)
        self.assertEqual(list(downFrom(top)), [top])
        self.assertEqual(list(downFrom(None)), [])
