"""Checks run in their order and within bounds, and their findings are reported."""

from __future__ import annotations

from random import Random

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.check import Context, Cost, Result, Status, failed, passed, skipped, warned
from echo_app.probe.checks.examination import EXCESS, GRACE, againstBaseline, costOf, examine
from echo_app.probe.checks.reach import Resolve
from echo_app.probe.net.errors import ErrorKind, NetworkError, Reason
from echo_app.probe.net.waits import STEPS
from echo_app.probe.report.examination import Examination
from echo_app.targets import parseTarget
from echo_app.text import binarySize, quoted
from tests.support.probing import FakeCheck


class FakeResolve(Resolve):
    """Finds an address."""

    async def run(self, context: Context) -> Result:
        return passed(self.name, "found", address="192.0.2.1")


class ExamineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.context = Context(self.clock, parseTarget("lb.example:7"), random=Random(1))
        self.reported: list[Result] = []

    def examine(self, *checks: FakeCheck | Resolve) -> Deferred[list[Result]]:
        return Deferred.fromCoroutine(examine(self.context, checks, self.reported.append))

    def good(self, name: str) -> FakeCheck:
        return FakeCheck(name, lambda context: passed(name, str(context.target)))

    def test_order(self) -> None:
        """Checks run one after the other; each result is reported, and returned."""
        results = self.successResultOf(self.examine(self.good("a"), self.good("b")))
        self.assertEqual([each.name for each in results], ["a", "b"])
        self.assertEqual(self.reported, results)

    def test_skipped(self) -> None:
        """A check that does not apply is not run."""
        check = FakeCheck("a", lambda context: self.fail("it ran"), "not asked for")
        self.assertEqual(self.successResultOf(self.examine(check)), [skipped("a", "not asked for")])

    def test_final(self) -> None:
        """After a result that leaves nothing to look at, nothing is looked at."""
        end = FakeCheck("a", lambda context: failed("a", "gone", "It is gone.", isFinal=True))
        never = FakeCheck("b", lambda context: self.fail("it ran"))
        results = self.successResultOf(self.examine(end, never, never))
        self.assertEqual(results[1:], [skipped("b", "nothing to look at after a")] * 2)

    def test_address(self) -> None:
        """The resolved address is the one that the other checks use."""
        results = self.successResultOf(self.examine(FakeResolve(), self.good("a")))
        self.assertEqual(results[1].seen, "tcp 192.0.2.1:7")

    def test_noConnection(self) -> None:
        """A connection that is not made is a finding of the check that wanted it."""

        def refuse(context: Context) -> Result:
            raise NetworkError(Reason(ErrorKind.REFUSED))

        (result,) = self.successResultOf(self.examine(FakeCheck("a", refuse)))
        self.assertEqual((result.status, result.seen), (Status.FAIL, "no connection: refused"))

    def test_tooSlow(self) -> None:
        """A check is cancelled after a multiple of its time, and the next one is run."""
        never: Deferred[Result] = Deferred()
        results = self.examine(FakeCheck("a", lambda context: never), self.good("b"))
        self.clock.pump([(EXCESS + GRACE) / STEPS] * STEPS)
        self.assertTrue(never.called)
        self.assertEqual([each.status for each in self.successResultOf(results)], [Status.WARN, Status.PASS])

    def test_cost(self) -> None:
        """The costs of all checks but the skipped ones are summed up."""
        checks = [self.good("a"), self.good("b"), FakeCheck("c", lambda context: passed("c", ""), "no")]
        self.assertEqual(costOf(self.context, checks), Cost(200, 4, 2))


class BaselineTests(SynchronousTestCase):
    def test_both(self) -> None:
        """A failure on the direct route too is not the path's, and has the direct route's result."""
        found = failed("a", "bad", "It is bad.")
        result = againstBaseline(found, {"a": warned("a", "as bad", "It is.")})
        self.assertEqual((result.status, result.seen), (Status.SKIP, "bad"))
        self.assertIn("as bad", result.meaning)

    def test_one(self) -> None:
        """A failure on one of the routes alone stays as it is."""
        found = failed("a", "bad", "It is bad.")
        for direct in ({}, {"a": passed("a", "good")}, {"b": found}):
            self.assertIs(againstBaseline(found, direct), found)
        good = passed("a", "good")
        self.assertIs(againstBaseline(good, {"a": found}), good)


class ReportTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.said: list[str] = []
        context = Context(self.clock, parseTarget("lb.example:7"))
        self.examination = Examination(context, Cost(64 << 20, 120, 410), 7, self.said.append)
        for each in (
            passed("resolve", "A 192.0.2.1, no AAAA"),
            failed("half-close", "14 of 20: nothing", "Clients lose answers.", tries=20),
            skipped("tls", "not asked for"),
            warned("idle", "gone", "Send keepalives."),
            skipped("udp", "not asked for"),
        ):
            self.examination.found(each)
        self.clock.advance(402)

    def test_lines(self) -> None:
        """The report has the costs, a line for each check as it ends, its meaning below, and the counts."""
        self.examination.end()
        self.assertEqual(
            self.said,
            [
                "tcp lb.example:7; at most 64 MiB, 120 connections, 410 s",
                "pass  resolve       A 192.0.2.1, no AAAA",
                "FAIL  half-close    14 of 20: nothing",
                "                    Clients lose answers.",
                "warn  idle          gone",
                "                    Send keepalives.",
                "skip  tls, udp      not asked for",
                "1 fail, 1 warn, 1 pass, 2 skip in 402 s",
            ],
        )

    def test_interrupted(self) -> None:
        """The findings before an interruption are counted, too."""
        self.examination.end("interrupted: ")
        self.assertEqual(self.said[-1], "interrupted: 1 fail, 1 warn, 1 pass, 2 skip in 402 s")

    def test_data(self) -> None:
        """The data has the results in the order of the checks."""
        self.examination.end()
        data = self.examination.data()
        self.assertEqual((data["target"], data["seed"], data["seconds"]), ("tcp lb.example:7", 7, 402.0))
        results = data["results"]
        assert isinstance(results, list)
        self.assertEqual([each["name"] for each in results], ["resolve", "half-close", "tls", "idle", "udp"])
        self.assertEqual(results[1]["status"], "fail")
        self.assertEqual(results[1]["details"], {"tries": 20})


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
