"""Checks run in their order and within bounds, and what they see is kept."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.check import Check, Context, Cost
from echo_app.probe.checks.examination import CHECKS, EXCESS, GRACE, costOf, examine
from echo_app.probe.checks.reach import Addresses, Resolve
from echo_app.probe.net.errors import ErrorKind, NetworkError, Reason
from echo_app.probe.net.waits import STEPS
from echo_app.text import binarySize, quoted
from tests.support.probing import FakeCheck, Noted, context


class FakeResolve(Resolve):
    """Finds an address."""

    async def run(self, context: Context, seen: Addresses) -> None:
        seen.host, seen.tried = "lb.example", {"192.0.2.1": None}


class Final(FakeCheck):
    """A check after which there is nothing to look at."""

    async def run(self, context: Context, seen: Noted) -> None:
        seen.isFinal = True


class ExamineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.context = context("lb.example:7", self.clock)
        self.evidence = self.context.evidence
        self.reported: list[str] = []

    def examine(self, *checks: Check) -> Deferred[None]:  # type: ignore[type-arg]
        return Deferred.fromCoroutine(examine(self.context, checks, self.reported.append))

    def done(self, *checks: Check) -> None:  # type: ignore[type-arg]
        self.successResultOf(self.examine(*checks))
        # The meter of lateness has ended, too.
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def good(self, name: str) -> FakeCheck:
        return FakeCheck(name, lambda context: f"{context.check} at {context.target}")

    def never(self, name: str, reason: str = "") -> FakeCheck:
        return FakeCheck(name, lambda context: self.fail("it ran"), reason)

    def test_order(self) -> None:
        """Checks run one after the other; each is reported, and its observation kept under its name."""
        self.done(self.good("a"), self.good("b"))
        self.assertEqual(self.reported, ["a", "b"])
        seen = {name: str(each) for name, each in self.evidence.observations.items()}
        self.assertEqual(seen, {"a": "a at tcp lb.example:7", "b": "b at tcp lb.example:7"})

    def test_skipped(self) -> None:
        """A check that does not apply is not run, and its reason is kept."""
        self.done(self.never("a", "not asked for"))
        self.assertEqual(self.evidence.skipped, {"a": "not asked for"})
        self.assertEqual((self.reported, self.evidence.observations), ([], {}))

    def test_final(self) -> None:
        """After an observation that leaves nothing to look at, nothing is looked at."""
        self.done(Final("a"), self.never("b"), self.never("c"))
        reason = "nothing to look at after a"
        self.assertEqual(self.evidence.skipped, {"b": reason, "c": reason})
        self.assertEqual(self.evidence.unfinished, {})

    def test_address(self) -> None:
        """The resolved address is the one that the other checks use; the evidence keeps the name."""
        self.done(FakeResolve(), self.good("a"))
        self.assertEqual(str(self.evidence.observations["a"]), "a at tcp 192.0.2.1:7")
        self.assertEqual(str(self.evidence.target), "tcp lb.example:7")

    def test_noConnection(self) -> None:
        """A check that gets no connection is unfinished, and the next one runs."""

        def refuse(context: Context) -> str:
            raise NetworkError(Reason(ErrorKind.REFUSED))

        self.done(FakeCheck("a", refuse), self.good("b"))
        self.assertEqual(self.evidence.unfinished, {"a": "no connection: refused"})
        self.assertEqual(self.reported, ["a", "b"])

    def test_tooSlow(self) -> None:
        """A check is cancelled after a multiple of its time; what it has seen is kept."""
        never: Deferred[None] = Deferred()
        done = self.examine(FakeCheck("a", lambda context: never), self.good("b"))
        self.clock.pump([(EXCESS + GRACE) / STEPS] * STEPS)
        self.successResultOf(done)
        self.assertTrue(never.called)
        self.assertEqual(self.evidence.unfinished, {"a": f"not done in {EXCESS + GRACE:g} s"})
        self.assertEqual(str(self.evidence.observations["a"]), "begun")
        self.assertEqual(self.reported, ["a", "b"])

    def test_interrupted(self) -> None:
        """After Ctrl-C, the check that ran and those after it are unfinished; the ones before are not."""
        never: Deferred[None] = Deferred()
        done = self.examine(self.good("a"), FakeCheck("b", lambda context: never), self.never("c"))
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertEqual(self.evidence.unfinished, {"b": "interrupted", "c": "interrupted"})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lateness(self) -> None:
        """The lateness of the process is noted while a check runs."""
        never: Deferred[None] = Deferred()
        done = self.examine(FakeCheck("a", lambda context: never))
        self.clock.advance(1.0)
        never.callback(None)
        self.successResultOf(done)
        ((at, late),) = self.evidence.lateness
        self.assertEqual((at, round(late, 3)), (1.0, 0.98))

    def test_cost(self) -> None:
        """The costs of all checks but the skipped ones are summed up."""
        checks = [self.good("a"), self.good("b"), self.never("c", "no")]
        self.assertEqual(costOf(self.context, checks), Cost(200, 4, 2))


class AllTests(SynchronousTestCase):
    def test_names(self) -> None:
        """Checks have different names, and begin with an observation that can be shown."""
        names = [each.name for each in CHECKS]
        self.assertEqual(len(set(names)), len(names))
        for check in CHECKS:
            self.assertRegex(check.name, r"^[a-z]+(-[a-z]+)*$")
            seen = check.begin()
            self.assertIsInstance(str(seen), str)
            self.assertIsInstance(dict(seen.data()), dict)


class WordsTests(SynchronousTestCase):
    def test_sizes(self) -> None:
        """Sizes as people say them."""
        for size, text in (
            (0, "0 B"),
            (1023, "1023 B"),
            (1 << 20, "1 MiB"),
            (6502000, "6.2 MiB"),
            (3 << 30, "3 GiB"),
        ):
            self.assertEqual(binarySize(size), text)

    def test_printable(self) -> None:
        """A peer's control characters are escaped."""
        self.assertEqual(quoted(b"\x1b[2J'\n"), r'''"\x1b[2J'\n"''')
