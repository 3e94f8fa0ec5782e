"""Conclusions about connections that come together."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.burst import (
    CALM_COUNT,
    COUNT,
    FAILING,
    ROUNDS,
    SLOWED,
    TURNED_AWAY,
    UNRELIABLE,
    Attempt,
    Series,
    isSuspicious,
    judge,
)
from echo_app.probe.checks.check import Status
from echo_app.probe.net.errors import ErrorKind, Reason, timedOut
from tests.support.probing import ResultTestCase

RESET = Reason(ErrorKind.RESET)

QUIET = Series("one by one", ())


def attempts(count: int, retransmitted: int = 0, failed: int = 0) -> list[Attempt]:
    """Returns that many, of which the first ones were retransmitted, and the last ones failed."""
    return [
        Attempt(
            1.002 if n < retransmitted else 0.002, n < retransmitted, RESET if n >= count - failed else None
        )
        for n in range(count)
    ]


def series(rounds: Sequence[Sequence[Attempt]], manner: str = "at once") -> Series:
    """Returns a series of those rounds."""
    return Series(manner, rounds)


def calm(retransmitted: int = 0, failed: int = 0) -> Series:
    """Returns connections that came one by one."""
    return Series("one by one", [attempts(CALM_COUNT, retransmitted, failed)])


class SuspicionTests(SynchronousTestCase):
    def test_retransmits(self) -> None:
        """Two lost SYNs of a hundred may be chance at one per cent, three no more."""
        suspicious = [isSuspicious(attempts(COUNT, count)) for count in (0, 2, 3)]
        self.assertEqual(suspicious, [False, False, True])

    def test_failure(self) -> None:
        """A single failure is not chance."""
        self.assertTrue(isSuspicious(attempts(COUNT, failed=1)))


class JudgeTests(ResultTestCase):
    def test_good(self) -> None:
        """A round without a fault ends the matter."""
        self.check(judge([series([attempts(COUNT)])], QUIET), Status.PASS, "100 at once in 2.00 ms at most")

    def test_once(self) -> None:
        """An error that does not come again is no finding; the last round is reported."""
        result = judge([series([attempts(COUNT, 50), attempts(COUNT, 1)])], QUIET)
        self.check(result, Status.PASS, "1 SYNs retransmitted")

    def test_retransmits(self) -> None:
        """SYNs that are lost in every burst, and not otherwise, are a finding."""
        result = judge([series([attempts(COUNT, 8)] * ROUNDS)], calm())
        self.check(result, Status.WARN, "24 of 300 SYNs at once retransmitted, up to 1002 ms")

    def test_lossy(self) -> None:
        """SYNs that are lost as often without a burst are not the burst's doing."""
        self.check(judge([series([attempts(COUNT, 3)] * ROUNDS)], calm(retransmitted=6)), Status.PASS)

    def test_turnedAway(self) -> None:
        """Failures in every burst, and not otherwise, are a finding with their reason."""
        result = judge([series([attempts(COUNT, failed=20)] * ROUNDS, "in succession")], calm())
        self.check(result, Status.WARN, "60 of 300 connections in succession fail: reset")
        self.assertEqual(result.meaning, TURNED_AWAY)

    def test_always(self) -> None:
        """Failures that need no burst are a finding too, but another one."""
        result = judge([series([attempts(COUNT, failed=2)] * ROUNDS)], calm(failed=6))
        self.check(result, Status.WARN)
        self.assertEqual(result.meaning, FAILING)

    def test_rare(self) -> None:
        """Failures that are too few to be a burst's doing are not called that."""
        result = judge([series([attempts(COUNT, failed=1)] * ROUNDS)], calm())
        self.check(result, Status.WARN)
        self.assertEqual(result.meaning, UNRELIABLE)

    def test_silent(self) -> None:
        """Silence, which takes its time, is not asked for three times."""
        for reason in (timedOut(10), timedOut(10).whileConnecting, timedOut(10).inHandshake):
            result = judge([series([[*attempts(COUNT), Attempt(0.002, False, reason)]])], calm())
            self.check(result, Status.WARN, f"1 of 101 connections at once fail: {reason}")

    def test_failedOnce(self) -> None:
        """A failure in one round is not reported if SYNs were lost in all rounds."""
        rounds = [attempts(COUNT, 8), attempts(COUNT, 8, 1), attempts(COUNT, 8)]
        self.assertEqual(judge([series(rounds)], calm()).meaning, SLOWED)
