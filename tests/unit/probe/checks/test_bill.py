"""The announced cost of an examination, and the limit on its time."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.bill import Bill
from echo_app.probe.checks.check import Context, Cost
from echo_app.probe.checks.evidence import CheckSettings
from echo_app.probe.checks.examination import EXCESS, GRACE, costOf, examine
from echo_app.probe.net.waits import STEPS
from tests.support.evidence import whole
from tests.support.probing import FakeCheck, context


class BillTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.revised: list[tuple[Cost, str]] = []

    def begin(self, maxTime: float = 0) -> Context:
        """Returns the context of an examination."""
        return context("lb.example:7", self.clock, settings=CheckSettings(maxTime=maxTime))

    def examine(self, given: Context, checks: Iterable[FakeCheck]) -> Deferred[None]:
        """Begins the checks, with a bill."""
        checks = list(checks)
        bill = Bill(given, costOf(given, checks), lambda cost, why: self.revised.append((cost, why)))
        return Deferred.fromCoroutine(examine(given, checks, lambda name: None, bill))

    def pump(self, seconds: float) -> None:
        """Lets time go by, in steps of a tenth of a second."""
        self.clock.pump([0.1] * round(seconds * 10))


class BillTests(BillTestCase):
    def test_kept(self) -> None:
        """Within the announced cost nothing is said."""
        given = self.begin()

        def send(context: Context) -> str:
            whole(context.evidence, "a", 2, 50)
            return ""

        self.successResultOf(self.examine(given, [FakeCheck("a", send), FakeCheck("b", send)]))
        self.assertEqual(self.revised, [])

    def test_bytes(self) -> None:
        """More bytes and connections are said, with what other checks may need."""
        given = self.begin()

        def send(context: Context) -> str:
            whole(context.evidence, "a", 5, 100)
            return ""

        self.successResultOf(self.examine(given, [FakeCheck("a", send), FakeCheck("b")]))
        self.assertEqual(self.revised, [(Cost(600, 7, 2), "a")])

    def test_time(self) -> None:
        """A check that needs longer than its cost says so then, with the time after which it is ended."""
        never: Deferred[None] = Deferred()
        done = self.examine(self.begin(), [FakeCheck("a", lambda context: never), FakeCheck("b")])
        self.pump(0.9)
        self.assertEqual(self.revised, [])
        self.pump(0.2)
        ((cost, why),) = self.revised
        self.assertEqual((why, round(cost.seconds)), ("a", EXCESS + GRACE + 1))
        never.callback(None)
        self.successResultOf(done)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class MaxTimeTests(BillTestCase):
    def test_announced(self) -> None:
        """The limit is the maximum that is announced, unless the checks need less."""
        checks = [FakeCheck(name) for name in "abcde"]
        self.assertEqual(costOf(self.begin(3), checks).seconds, 3)
        self.assertEqual(costOf(self.begin(30), checks).seconds, 5)

    def test_over(self) -> None:
        """A check that would take the time of all may take half of what is left, and is unfinished then."""
        given = self.begin(8)
        hanging = [FakeCheck(name, lambda context: Deferred()) for name in "bcd"]
        done = self.examine(given, [FakeCheck("a"), *hanging, FakeCheck("e")])
        self.pump(8.5)
        self.successResultOf(done)
        # In steps of a tenth the clock is a little late.
        reasons = {"b": "not done in 4 s", "c": "not done in 1.9 s", "d": "not done in 1 s"}
        self.assertEqual(given.evidence.unfinished, reasons)
        self.assertIn("e", given.evidence.observations)
        # Nothing above the limit is announced.
        self.assertTrue(all(cost.seconds <= 8 for cost, _ in self.revised))

    def test_noneLeft(self) -> None:
        """A check for which no time is left is not begun."""
        given = self.begin(1)
        self.clock.advance(1.0)
        self.successResultOf(self.examine(given, [FakeCheck("a", lambda context: self.fail("it ran"))]))
        self.assertEqual(given.evidence.unfinished, {"a": "no time left"})

    def test_drip(self) -> None:
        """Without a limit a check may take a multiple of its time."""
        given = self.begin()
        never: Deferred[None] = Deferred()
        done = self.examine(given, [FakeCheck("a", lambda context: never)])
        self.clock.pump([(EXCESS + GRACE) / STEPS] * (STEPS - 1))
        self.assertNoResult(done)
        self.clock.advance((EXCESS + GRACE) / STEPS)
        self.successResultOf(done)
