"""Places of values on axes, and the labels."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.report.scales import Linear, Logarithmic, Nines


class LogarithmicTests(SynchronousTestCase):
    def test_ends(self) -> None:
        """A logarithmic axis goes from a 1, 2 or 5 to another one, and no further than it must."""
        for values, low, high in (
            ([0.0003, 0.7], 0.0002, 1.0),
            ([0.001, 0.01], 0.001, 0.01),
            ([0.0019], 0.001, 0.002),
        ):
            axis = Logarithmic.of(values)
            self.assertApproximates(axis.low, low, low / 1e6)
            self.assertApproximates(axis.high, high, high / 1e6)

    def test_at(self) -> None:
        """Every factor of ten is as long as another, and a value outside stands at an end."""
        axis = Logarithmic(0.001, 0.1)
        self.assertApproximates(axis.at(0.01), 0.5, 1e-9)
        self.assertEqual((axis.at(0.0), axis.at(1e-9), axis.at(5.0)), (0, 0, 1))

    def test_ticks(self) -> None:
        """A short axis has ones, twos and fives; a long one has only ones."""
        short = [tick.text for tick in Logarithmic(0.001, 0.05).ticks()]
        self.assertEqual(short, ["1 ms", "2 ms", "5 ms", "10 ms", "20 ms", "50 ms"])
        long = [tick.text for tick in Logarithmic(0.00005, 2.0).ticks()]
        self.assertEqual(long, ["0.1 ms", "1 ms", "10 ms", "100 ms", "1,000 ms"])

    def test_nothing(self) -> None:
        """Of no value, or of zeros, there is an axis all the same."""
        for values in ([], [0.0]):
            axis = Logarithmic.of(values)
            self.assertLess(axis.low, axis.high)

    def test_one(self) -> None:
        """A single value that is a round number has an axis around it."""
        axis = Logarithmic.of([0.001])
        self.assertLess(axis.low, axis.high)
        self.assertEqual(axis.at(0.001), 0)


class LinearTests(SynchronousTestCase):
    def test_ticks(self) -> None:
        """The ticks are round, begin at 0, and are no more than asked for."""
        for high, most, texts in (
            (10, 5, ["0", "2", "4", "6", "8", "10"]),
            (13.7, 3, ["0", "5", "10"]),
            (1, 2, ["0", "0.5", "1"]),
            (123456, 2, ["0", "100,000"]),
        ):
            self.assertEqual([tick.text for tick in Linear(high).ticks(most)], texts)

    def test_nothing(self) -> None:
        """An axis of nothing has 0 on it."""
        self.assertEqual([(tick.at, tick.text) for tick in Linear(0).ticks(5)], [(0, "0")])
        self.assertEqual(Linear(0).at(3), 0)


class NinesTests(SynchronousTestCase):
    def test_at(self) -> None:
        """Each nine is as long as the one before."""
        axis = Nines(99.99)
        places = [axis.at(rank) for rank in (0, 90, 99, 99.9, 99.99)]
        for place, expected in zip(places, (0, 0.25, 0.5, 0.75, 1), strict=True):
            self.assertApproximates(place, expected, 1e-9)

    def test_ticks(self) -> None:
        """No tick is beyond the end."""
        self.assertEqual([tick.text for tick in Nines(99.5).ticks()], ["0", "50", "90", "99"])
