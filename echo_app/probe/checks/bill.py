"""Bill of an examination: the cost that was announced, which a check exceeds only aloud."""

from __future__ import annotations

from collections.abc import Callable

from echo_app.probe.checks.check import Context, Cost


class Bill:
    """The announced maximum cost of an examination.

    :param announced: before the first check.
    :param revised: called with each higher cost that takes the place of the announced one, and its reason.
    """

    def __init__(
        self,
        context: Context,
        announced: Cost,
        revised: Callable[[Cost, str], object] = lambda cost, why: None,
    ) -> None:
        self._context = context
        self.announced = announced
        self._revised = revised

    @property
    def spent(self) -> Cost:
        """The cost so far, at all addresses."""
        evidence = self._context.evidence
        records = [*evidence.connections]
        for each in evidence.further.values():
            records += each.connections
        return Cost(sum(each.sent for each in records), len(records), self._context.now)

    def expect(self, ahead: Cost, why: str) -> None:
        """Compares what is spent, and the maximum that is to come, with the announced cost."""
        total, announced = self.spent + ahead, self.announced
        most = self._context.settings.maxTime
        seconds = min(total.seconds, most) if most else total.seconds
        # A check may take a part of a second more than it should.
        if seconds < announced.seconds + 1.0:
            seconds = announced.seconds
        higher = Cost(
            max(total.bytes, announced.bytes), max(total.connections, announced.connections), seconds
        )
        if higher != announced:
            self.announced = higher
            self._revised(higher, why)
