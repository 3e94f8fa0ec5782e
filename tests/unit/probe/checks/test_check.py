"""The context of a check: connections that keep their distance."""

from __future__ import annotations

import contextlib

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks import check
from echo_app.probe.net.errors import NetworkError
from tests.support import paths
from tests.support.evidence import REFUSED
from tests.support.probing import context


class SpacingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.context = context("192.0.2.1:7", self.clock)
        self.connecting: list[float] = []
        self.patch(check, "connect", self.refuse)

    async def refuse(self, *given: object) -> None:
        self.connecting.append(self.context.now)
        raise NetworkError(REFUSED)

    async def attempt(self, isPrepared: bool) -> None:
        """Tries to connect, with a record that was made before, or without one."""
        record = self.context.newRecord() if isPrepared else None
        with contextlib.suppress(NetworkError):
            await self.context.connect(record=record)

    def begins(self, spacing: float, isPrepared: bool = False) -> list[float]:
        """Makes three attempts; returns when each of them began."""
        self.context.evidence.spacing = spacing
        for _ in range(3):
            paths.result(self.clock, self.attempt(isPrepared), step=0.05)
        connections = self.context.evidence.connections
        self.assertEqual([each.failure for each in connections], [REFUSED] * 3)
        begins = [each.began for each in connections]
        # The time to connect counts from the begin.
        self.assertEqual(begins, self.connecting)
        return begins

    def test_none(self) -> None:
        """Without a limit, connections begin at once."""
        self.assertEqual(self.begins(0.0), [0, 0, 0])

    def test_spaced(self) -> None:
        """Where a limit was seen, each begins some seconds after the one before."""
        for begin, due in zip(self.begins(0.5), (0, 0.5, 1.0), strict=True):
            self.assertApproximates(begin, due, 0.1)

    def test_prepared(self) -> None:
        """The pause is no part of the time to connect, also where the record was made before."""
        for begin, due in zip(self.begins(0.5, isPrepared=True), (0, 0.5, 1.0), strict=True):
            self.assertApproximates(begin, due, 0.1)
