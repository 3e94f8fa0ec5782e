"""Rules about rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.identity import Sizes
from echo_app.probe.checks.latereader import Filling
from echo_app.probe.checks.times import LARGE, SMALL, Times
from echo_app.probe.judge.finding import Confidence
from echo_app.probe.judge.raterules import FACTOR, LEAST_BURST, LONG, READ_FACTOR, SLOW
from echo_app.probe.results.severity import Severity
from tests.support.evidence import TRIP, JudgeTestCase, connection, evidenceOf, sampled, timed

KIB, MIB = 1 << 10, 1 << 20

# Bytes a second: 512 KiB.
RATE = 1 << 19

Curve = list[tuple[float, int]]


def curve(*rates: float, begin: float = 0.0, seconds: float = 4.0) -> Curve:
    """Returns a curve of ten points for each rate, in bytes a second, each of which holds equally long."""
    points = [(begin, 0)]
    step = seconds / len(rates) / 10
    for rate in rates:
        for _ in range(10):
            at, size = points[-1]
            points.append((at + step, size + int(rate * step)))
    return points


class UnscaledTests(JudgeTestCase):
    def evidence(self, options: int, minRTT: float) -> Evidence:
        """Returns evidence of connections that agreed on these options."""
        evidence = evidenceOf()
        counts: Any = {"options": options, "minRTT": minRTT}
        for _ in range(3):
            connection(evidence, sent=64, came=64, last=sampled(**counts))
        return evidence

    def test_unscaled(self) -> None:
        """Windows that are not scaled limit the rate of a long path."""
        seen = "at most 800 KiB/s at a round trip of 80.0 ms"
        self.one(self.evidence(3, 0.08), "window-not-scaled", Severity.WARN, seen)
        self.none(self.evidence(7, 0.08))
        self.none(self.evidence(3, 0.004))

    def test_some(self) -> None:
        """One connection that agreed on it tells that the path passes it."""
        evidence = self.evidence(3, 0.08)
        connection(evidence, sent=64, came=64, last=sampled(options=7))
        self.none(evidence)


class BloatTests(JudgeTestCase):
    def evidence(self, roundTrip: float, minRTT: float, again: int = 0, check: str = "identity") -> Evidence:
        """Returns evidence of a transfer at whose end a round trip takes so long."""
        evidence = evidenceOf()
        counts: Any = {"roundTrip": roundTrip, "minRTT": minRTT, "segmentsOut": 100, "allRetransmits": again}
        connection(evidence, check, sent=64, came=64, last=sampled(**counts))
        return evidence

    def test_bloat(self) -> None:
        """A round trip that grows with a transfer is a queue."""
        seen = "1800 ms at the end of a transfer, 20.0 ms at least"
        self.one(self.evidence(1.8, 0.02), "bufferbloat", Severity.WARN, seen)

    def test_thresholds(self) -> None:
        """It must grow by a quarter of a second, to five times, without many losses, and while it is read."""
        self.none(self.evidence(0.26, 0.02))
        self.none(self.evidence(0.6, 0.2))
        self.none(self.evidence(1.8, 0.02, again=6))
        self.none(self.evidence(1.8, 0.02, check="late-reader"))


class LimitedTests(JudgeTestCase):
    def evidence(self, out: Curve, back: Curve, *, rate: float = RATE, seconds: float = 2.0) -> Evidence:
        """Returns evidence of curves of a late reader, and of a transfer that was read at once."""
        return evidenceOf(
            identity=Sizes(batches=[(0, int(rate * seconds), seconds)]),
            late_reader=Filling(8 * MIB, out=out, back=back),
        )

    def limited(self, evidence: Evidence, way: str, confidence: Confidence = Confidence.LIKELY) -> None:
        """Checks that a limit is found, with its way and its rate."""
        found = self.one(evidence, "rate-limited", Severity.WARN, "512 KiB/s")
        self.assertEqual(found.title, f"the rate is limited {way}")
        self.assertIs(found.match.confidence, confidence)

    def test_out(self) -> None:
        """A steady rate of the way out, and a fast way back."""
        self.limited(self.evidence(curve(RATE), curve(20 * RATE)), "on the way out")

    def test_outUnknown(self) -> None:
        """A way back that is over before it has a rate is a fast one."""
        self.limited(self.evidence(curve(RATE), curve(20 * RATE, seconds=0.2)), "on the way out")

    def test_back(self) -> None:
        """A steady rate of the way back, and a fast way out."""
        self.limited(self.evidence(curve(20 * RATE), curve(RATE)), "on the way back")

    def test_both(self) -> None:
        """Equal rates may be a limit on either way, or on both."""
        for out, back in ((RATE, RATE * 1.2), (RATE * 1.2, RATE)):
            evidence = self.evidence(curve(out), curve(back))
            self.limited(evidence, "in one direction or both", Confidence.POSSIBLE)

    def test_slow(self) -> None:
        """A rate that may hold for both ways is named up to 10 Mbit/s: each path has one."""
        for rate, isFound in ((SLOW * 0.99, True), (SLOW * 1.01, False)):
            evidence = self.evidence(curve(rate), curve(rate), rate=rate)
            self.assertEqual(bool(self.findings(evidence)), isFound, rate)

    def test_filledAtOnce(self) -> None:
        """A path that is full before the way out has a rate does not tell which way is limited."""
        evidence = self.evidence(curve(20 * RATE, seconds=0.4), curve(RATE))
        self.limited(evidence, "in one direction or both", Confidence.POSSIBLE)

    def test_factor(self) -> None:
        """The other way must be four times as fast to be without the limit."""
        for factor, way in ((FACTOR + 0.1, "on the way out"), (FACTOR - 0.1, "in one direction or both")):
            found = self.one(
                self.evidence(curve(RATE), curve(RATE * factor)), "rate-limited", Severity.WARN, "512 KiB/s"
            )
            self.assertIn(way, found.title)

    def test_unread(self) -> None:
        """Bytes that lay in this kernel when the reader began are no rate of the way back."""
        evidence = self.evidence(curve(20 * RATE), [(0.0, 0), (0.1, 3 * MIB), (0.2, 4 * MIB)])
        seen = evidence.observations["late-reader"]
        assert isinstance(seen, Filling)
        seen.unread = 4 * MIB
        seen.back += [(0.2 + at, 4 * MIB + 1 + size) for at, size in curve(RATE)]
        self.limited(evidence, "on the way back")

    def test_unsteady(self) -> None:
        """A rate that changes in the midst is no limit: a queue, or a busy machine, is filled so."""
        self.none(self.evidence(curve(2 * RATE, RATE), curve(20 * RATE)))
        self.limited(self.evidence(curve(1.1 * RATE, 0.9 * RATE), curve(20 * RATE)), "on the way out")

    def test_readFaster(self) -> None:
        """Transfers that are read at once, and faster, are not limited: that is the late reader's rate."""
        for factor, isLimit in ((READ_FACTOR - 0.1, True), (READ_FACTOR + 0.1, False)):
            found = self.findings(self.evidence(curve(RATE), curve(20 * RATE), rate=factor * RATE))
            self.assertEqual(bool(found), isLimit, factor)

    def test_far(self) -> None:
        """A rate that is far above that of transfers is not their limit: something else is."""
        for factor, isLimit in ((FACTOR - 0.1, True), (FACTOR + 0.1, False)):
            slow = SLOW / 4
            evidence = self.evidence(curve(2 * slow, slow), curve(factor * slow), rate=slow)
            found = self.findings(evidence)
            self.assertEqual(bool(found), isLimit, factor)

    def test_short(self) -> None:
        """A transfer of less than a second is too fast to tell a limit from the machine's rate."""
        for seconds, isLimit in ((LONG, True), (LONG - 0.1, False)):
            found = self.findings(self.evidence(curve(RATE), curve(20 * RATE), seconds=seconds))
            self.assertEqual(bool(found), isLimit, seconds)

    def test_few(self) -> None:
        """A curve of a few points, or of half a second, has no rate."""
        for out in (curve(RATE)[:4], curve(RATE, seconds=0.4), []):
            self.none(self.evidence(out, []))
        self.none(self.evidence([], curve(RATE)))

    def test_alone(self) -> None:
        """Without both checks nothing is said."""
        self.none(evidenceOf(late_reader=Filling(8 * MIB, out=curve(RATE))))
        self.none(evidenceOf(identity=Sizes(batches=[(0, MIB, 2.0)])))


class PolicerTests(JudgeTestCase):
    def batches(self, *batches: tuple[int, float], late: Sequence[float] = ()) -> Evidence:
        """Returns evidence of transfers on one connection: bytes, and seconds.

        :param late: rates of the way out of a late reader.
        """
        seen = Sizes()
        sent = 0
        for size, seconds in batches:
            seen.batches.append((sent, size, seconds))
            sent += size
        return evidenceOf(identity=seen, late_reader=Filling(8 * MIB, out=curve(*late) if late else []))

    def test_unequal(self) -> None:
        """Large messages that are slower behind a burst make no connections unequal."""
        evidence = self.batches((MIB, 0.05), (2 * MIB, 0.1), (4 * MIB, 8.0), (8 * MIB, 16.0))
        evidence.observations["times"] = Times()
        for large in (TRIP, TRIP, 0.6, 0.6):
            timed(evidence, trips={SMALL: [TRIP] * 4, LARGE: [large] * 4})
        self.one(evidence, "rate-after-burst", Severity.WARN)

    def test_policer(self) -> None:
        """Transfers that are fast at first, and four times slower later, are policed; no limit as well."""
        self.one(
            self.batches((MIB, 0.05), (2 * MIB, 0.1), (4 * MIB, 8.0), (8 * MIB, 16.0), late=[MIB / 2]),
            "rate-after-burst",
            Severity.WARN,
            "after about 1 MiB to 512 KiB/s",
        )

    def test_steady(self) -> None:
        """Transfers at one rate are not policed: small ones are slow by their round trip."""
        self.none(self.batches((1, 0.1), (64 * KIB, 0.2), (4 * MIB, 8.0), (8 * MIB, 16.0)))

    def test_factor(self) -> None:
        """The begin must be four times as fast."""
        for factor, isFound in ((FACTOR + 0.1, True), (FACTOR - 0.1, False)):
            rate = MIB / 2 * factor
            evidence = self.batches((MIB, 0.1), (MIB, MIB / rate), (4 * MIB, 8.0), (8 * MIB, 16.0))
            seen = evidence.observations["identity"]
            assert isinstance(seen, Sizes)
            del seen.batches[0]
            self.assertEqual(bool(self.findings(evidence)), isFound, factor)

    def test_burst(self) -> None:
        """A burst of less than 256 KiB is what buffers and slow starts make."""
        for before, isFound in ((LEAST_BURST, True), (LEAST_BURST - 1, False)):
            evidence = self.batches((before, 0.01), (64 * KIB, 0.01), (4 * MIB, 8.0), (8 * MIB, 16.0))
            self.assertEqual(bool(self.findings(evidence)), isFound, before)

    def test_once(self) -> None:
        """One slow transfer may be an accident, and so may two of less than a second."""
        self.none(self.batches((MIB, 0.05), (2 * MIB, 0.1), (4 * MIB, 0.2), (8 * MIB, 16.0)))
        self.none(self.batches((MIB, 0.05), (2 * MIB, 0.1), (64 * KIB, 0.9), (64 * KIB, 0.9)))

    def test_machine(self) -> None:
        """A fast path whose last transfer takes a second is not policed."""
        self.none(self.batches((MIB, 0.05), (4 * MIB, 0.3), (8 * MIB, 0.7), (16 * MIB, 1.3)))
