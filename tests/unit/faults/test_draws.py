"""Draws of faults are equal with an equal seed, in any pieces, and spread as they should be."""

from __future__ import annotations

from itertools import islice, pairwise
from math import sqrt

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echo_app.faults.draws import Corruption, Draws
from tests.support.properties import given

PROBABILITIES = st.sampled_from((0.0, 5e-324, 1e-6, 0.01, 0.5, 1.0))


def split(data: bytes, cuts: set[int]) -> list[bytes]:
    """Returns the data, cut at these offsets."""
    edges = [0, *sorted(cut for cut in cuts if 0 < cut < len(data)), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def corrupted(pieces: list[bytes], corruption: Corruption) -> bytes:
    """Returns the corrupted bytes of a stream that comes in these pieces."""
    result = b""
    for piece in pieces:
        result += corruption.apply(piece, len(result), lambda _: True)
    return result


class DrawsTests(SynchronousTestCase):
    def test_known(self) -> None:
        """A seed means the same in every version: users write seeds down."""
        draws = Draws(7, "latency=1s", 1, 3, "out")
        self.assertEqual(draws.at(0), 0.3206747188933242)
        self.assertEqual(draws.inOrder()(), 0.11086381436057824)

    def test_places(self) -> None:
        """Another seed, fault, number or direction means other numbers; the same ones mean the same."""
        places = [(7, "a", 1), (8, "a", 1), (7, "b", 1), (7, "a", 2), (7, "a", 11)]
        self.assertEqual(len({Draws(*place).at(0) for place in places}), len(places))
        self.assertEqual(Draws(7, "a", 1).at(5), Draws(7, "a", 1).at(5))

    @given(st.integers(0, 1 << 62))
    def test_range(self, offset: int) -> None:
        """A number is at least 0 and less than 1."""
        self.assertTrue(0 <= Draws(0).at(offset) < 1)

    def test_spread(self) -> None:
        """Numbers of neighbouring offsets are independent: as many as should be are in each tenth."""
        count = 10_000
        tenths = [int(Draws(1).at(offset) * 10) for offset in range(count)]
        for tenth in range(10):
            self.assertLess(abs(tenths.count(tenth) - count / 10), 4 * sqrt(count * 0.09))


class CorruptionTests(SynchronousTestCase):
    @given(PROBABILITIES, st.binary(max_size=300), st.sets(st.integers(0, 300)))
    def test_anyReads(self, probability: float, data: bytes, cuts: set[int]) -> None:
        """However a stream is cut into reads, the same bytes become the same others."""
        whole = corrupted([data], Corruption(probability, Draws(1)))
        self.assertEqual(corrupted(split(data, cuts), Corruption(probability, Draws(1))), whole)

    def test_rate(self) -> None:
        """As many bytes are changed as the probability says, within three standard deviations."""
        for count, probability in ((1 << 20, 1e-4), (1 << 20, 0.01), (1 << 16, 0.5)):
            result = corrupted([bytes(count)], Corruption(probability, Draws(3)))
            changed = count - result.count(0)
            deviation = sqrt(count * probability * (1 - probability))
            self.assertLess(abs(changed - count * probability), 3 * deviation, probability)

    def test_everyByte(self) -> None:
        """A probability of one leaves no byte as it was, and makes all others of it."""
        result = corrupted([bytes(10_000)], Corruption(1, Draws(1)))
        self.assertEqual(set(result), set(range(1, 256)))

    def test_untouched(self) -> None:
        """Without a change the very bytes come back, and nothing is copied."""
        data = bytes(1000)
        self.assertIs(Corruption(0, Draws(1)).apply(data, 0, lambda _: True), data)

    def test_parts(self) -> None:
        """A part that is not to be touched changes nothing of the rest."""
        data = bytes(1000)
        whole = Corruption(0.5, Draws(1)).apply(data, 0, lambda _: True)
        part = Corruption(0.5, Draws(1)).apply(data, 0, lambda offset: offset >= 500)
        self.assertEqual(part, data[:500] + whole[500:])


class SizesTests(SynchronousTestCase):
    def test_range(self) -> None:
        """All sizes of the range are drawn, and no others."""
        draw = Draws(1).sizes(2, 5)
        self.assertEqual({draw() for _ in range(200)}, {2, 3, 4, 5})

    def test_again(self) -> None:
        """Equal draws mean equal sizes."""
        first, second = (iter(Draws(1).sizes(1, 100), 0) for _ in range(2))
        self.assertEqual(list(islice(first, 20)), list(islice(second, 20)))
