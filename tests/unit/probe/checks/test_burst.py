"""Observations of connections that come together."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.burst import (
    CALM_COUNT,
    COUNT,
    ENOUGH,
    QUICK_COUNT,
    ROUNDS,
    Burst,
    Bursts,
    Series,
    failureOf,
    isLate,
    isSuspicious,
    secondsOf,
)
from echo_app.probe.checks.evidence import CheckSettings
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.judge.judge import judge
from echo_app.probe.net.errors import timedOut
from tests.support import paths
from tests.support.evidence import FLIPPED, REFUSED, RESET, causes, connection, evidenceOf, sampled
from tests.support.paths import PathContext, StreamPath
from tests.support.probing import QUICK


def attempts(count: int, again: int = 0, failed: int = 0) -> list[ConnectionRecord]:
    """Returns that many, of which the first ones sent a SYN again, and the last ones were reset."""
    evidence = evidenceOf()
    return [
        connection(
            evidence,
            "burst",
            made=sampled(allRetransmits=int(n < again)),
            sent=64,
            **({"end": RESET} if n >= count - failed else {"came": 64}),
        )
        for n in range(count)
    ]


class SuspicionTests(SynchronousTestCase):
    def test_retransmits(self) -> None:
        """Two lost SYNs of a hundred may be chance at one per cent, three no more."""
        suspicious = [isSuspicious(attempts(COUNT, count)) for count in (0, 2, 3)]
        self.assertEqual(suspicious, [False, False, True])

    def test_failure(self) -> None:
        """A single failure is not chance."""
        self.assertTrue(isSuspicious(attempts(COUNT, failed=1)))

    def test_late(self) -> None:
        """Answers are late that take long, and longer than the way; a tenth of them may be in time."""
        for way, answer, inTime, expected in (
            (0.001, 0.2, 0, True),
            (0.001, 0.2, 5, True),
            (0.001, 0.2, 11, False),
            (0.001, 0.09, 0, False),
            (0.15, 0.2, 0, False),
        ):
            records = attempts(COUNT)
            for n, record in enumerate(records):
                record.connected, record.firstAnswer = way, 0.001 if n < inTime else answer
            self.assertEqual(isLate(records), expected, (way, answer, inTime))
        self.assertFalse(isLate([]))

    def test_reasons(self) -> None:
        """A connection fails that is not made, or not answered; other bytes are an answer, too."""
        evidence = evidenceOf()
        for values, reason in (
            ({"failure": REFUSED}, REFUSED),
            ({"sent": 64, "end": RESET}, RESET),
            ({"sent": 64, "silence": 10.0}, timedOut(10)),
            ({"sent": 64, "came": 64}, None),
            ({"sent": 64, "difference": FLIPPED, "end": RESET}, None),
        ):
            self.assertEqual(failureOf(connection(evidence, **values)), reason)

    def test_seconds(self) -> None:
        """Over TLS the handshake counts."""
        evidence = evidenceOf()
        self.assertEqual(secondsOf(connection(evidence, connected=0.1, shaken=0.3)), 0.3)
        self.assertEqual(secondsOf(connection(evidence, connected=0.1)), 0.1)
        self.assertEqual(secondsOf(connection(evidence, failure=REFUSED)), 0)


class SeriesTests(SynchronousTestCase):
    def test_bad(self) -> None:
        """A series is bad when all its rounds are; one good round ends the matter."""
        bad, good = attempts(COUNT, failed=1), attempts(COUNT)
        for rounds, isBad in (([bad] * ROUNDS, True), ([bad] * (ROUNDS - 1), False), ([bad, good], False)):
            self.assertEqual(Series("at once", list(rounds)).isBad, isBad)

    def test_silent(self) -> None:
        """Silence, which takes its time, is not asked for three times."""
        for values in (
            {"sent": 64, "silence": 10.0},
            {"failure": timedOut(10).whileConnecting},
            {"failure": timedOut(10).inHandshake},
        ):
            silent = [*attempts(COUNT), connection(evidenceOf(), **values)]
            self.assertTrue(Series("at once", [silent]).isBad)

    def test_alwaysFails(self) -> None:
        """Rounds without a failure in each are no failing series, although all are bad."""
        rounds = [attempts(COUNT, 8), attempts(COUNT, 8, 1), attempts(COUNT, 8)]
        series = Series("at once", list(rounds))
        self.assertEqual((series.isBad, series.alwaysFails, series.served), (True, False, [100, 99, 100]))

    def test_data(self) -> None:
        """The counts are those of all rounds."""
        data = Series("at once", [attempts(10, 2, 1), attempts(10)]).data()
        self.assertEqual(data["connections"], 20)
        self.assertEqual((data["retransmitted"], data["failed"], data["served"]), (2, 1, [9, 10]))


GOOD, REFUSING, MUTE = StreamPath(late=0.01), StreamPath(failure=REFUSED), StreamPath(isMute=True)


class RoundTests(SynchronousTestCase):
    """Rounds, on paths whose time is a Clock's."""

    def look(self, path: Any, settings: CheckSettings = QUICK) -> tuple[Bursts, PathContext]:
        """Runs the check over a path, or over the function of a context that makes one."""
        clock = Clock()
        given: Any = PathContext(clock, GOOD, settings, "burst")
        given._path = path(given) if callable(path) else path
        check = Burst()
        seen = given.evidence.observations["burst"] = check.begin()
        paths.result(clock, check.run(given, seen), step=0.005)
        self.assertTrue(all(stream.isClosed for stream in given.streams))
        return seen, given

    def test_good(self) -> None:
        """One round of each series is enough where nothing went wrong, and no comparison is made."""
        for settings, count in ((QUICK, QUICK_COUNT), (CheckSettings(), COUNT)):
            seen, given = self.look(GOOD, settings)
            rounds = [[len(each) for each in series.rounds] for series in seen.series]
            self.assertEqual(rounds, [[count], [count]])
            self.assertEqual(causes(judge(given.evidence)), [])

    def test_together(self) -> None:
        """Connections at once are open together, those in succession are not."""
        most: list[int] = []

        def watching(given: PathContext) -> Any:
            def path(number: int) -> StreamPath:
                most.append(sum(not stream.isClosed for stream in given.streams))
                return GOOD

            return path

        self.look(watching)
        self.assertEqual((max(most), max(most[QUICK_COUNT:])), (QUICK_COUNT - 1, 0))

    def test_once(self) -> None:
        """A round that goes wrong is repeated; a good one ends the series."""
        seen, given = self.look(lambda given: lambda n: REFUSING if n == 3 else GOOD)
        self.assertEqual([len(each.rounds) for each in seen.series], [2, 1])
        first, second = seen.atOnce.rounds
        self.assertGreaterEqual(second[0].began - first[-1].began, 1.0)
        self.assertEqual(causes(judge(given.evidence)), ["connections-fail"])

    def test_cap(self) -> None:
        """Where only ten may be open, three rounds go wrong, and calm connections do not."""

        def capped(given: PathContext) -> Any:
            return lambda n: GOOD if sum(not each.isClosed for each in given.streams) < 10 else REFUSING

        seen, given = self.look(capped)
        self.assertEqual([len(each.rounds) for each in seen.series], [ROUNDS, 1, 1])
        self.assertEqual((seen.atOnce.served, len(seen.calm.records)), ([10] * ROUNDS, CALM_COUNT))
        (found,) = judge(given.evidence).findings
        self.assertEqual(found.title, "only 10 connections at a time are served")

    def test_rate(self) -> None:
        """A limit on the rate refuses connections at once and in succession, and no calm ones."""

        def limited(given: PathContext) -> Any:
            # A bucket of fifteen, which gets sixty a second.
            level, at = 15.0, 0.0

            def path(number: int) -> StreamPath:
                nonlocal level, at
                level, at = min(15.0, level + (given.now - at) * 60), given.now
                if level < 1:
                    return REFUSING
                level -= 1
                return StreamPath(late=0.001)

            return path

        seen, given = self.look(limited)
        self.assertEqual([len(each.rounds) for each in seen.series], [ROUNDS, ROUNDS, 1])
        # A series is given up after some failures.
        self.assertTrue(
            all(sum(map(bool, map(failureOf, each))) == ENOUGH for each in seen.inSuccession.rounds)
        )
        self.assertEqual(causes(judge(given.evidence)), ["accept-rate"])

    def test_silent(self) -> None:
        """Silence is not asked for three times; in succession it ends the round at once."""
        seen, _ = self.look(MUTE)
        self.assertEqual([len(each.rounds) for each in seen.series], [1, 1, 1])
        self.assertEqual([len(each.records) for each in seen.series], [QUICK_COUNT, 1, 1])
