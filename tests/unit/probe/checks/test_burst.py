"""Observations of connections that come together."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.burst import COUNT, ROUNDS, Series, failureOf, isSuspicious, secondsOf
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.net.errors import timedOut
from tests.support.evidence import FLIPPED, REFUSED, RESET, connection, evidenceOf, sampled


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
