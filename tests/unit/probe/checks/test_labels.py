"""Labels name the origin of bytes, also of a part of them, and never a wrong one."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.labels import BLOCK, Label, LabelledBytes, labelsIn

OURS = b"\x01\x02\x03\x04"


def labelled(connection: int = 7, seed: int = 1, examination: bytes = OURS) -> LabelledBytes:
    return LabelledBytes(examination, connection, Random(seed))


class LabelTests(SynchronousTestCase):
    def test_blocks(self) -> None:
        """Each block names its examination, its connection and its offset."""
        found = list(labelsIn(labelled().take(3 * BLOCK)))
        self.assertEqual(found, [Label(OURS, 7, offset) for offset in (0, 32, 64)])

    def test_pieces(self) -> None:
        """The size of the pieces, and what was prepared, make no difference to the bytes."""
        whole = labelled().take(100)
        pieces = labelled()
        pieces.prepare(100)
        self.assertEqual(b"".join(pieces.take(size) for size in (1, 31, 33, 0, 35)), whole)
        # Without preparation the random bytes are taken in another order; the labels are the same.
        byOne = labelled()
        data = b"".join(byOne.take(1) for _ in range(100))
        self.assertEqual(list(labelsIn(data)), list(labelsIn(whole)))

    def test_anywhere(self) -> None:
        """Whole blocks are found at any place, and cut ones are not."""
        data = labelled().take(4 * BLOCK)
        self.assertEqual([each.offset for each in labelsIn(b"noise" + data[5:-1])], [32, 64])
        self.assertEqual(list(labelsIn(data[: BLOCK - 1])), [])

    def test_none(self) -> None:
        """Random bytes, zeros and text have no labels."""
        text = b"HTTP/1.1 400 Bad Request\r\n" * 3000
        for data in (Random(1).randbytes(1 << 16), bytes(1 << 16), text, b""):
            self.assertEqual(list(labelsIn(data)), [])

    def test_looksRandom(self) -> None:
        """Sixteen bytes occur in one place alone, so that lost and moved bytes are told apart."""
        data = labelled().take(1 << 16)
        places = {data[at : at + 16] for at in range(len(data) - 15)}
        self.assertEqual(len(places), len(data) - 15)

    def test_far(self) -> None:
        """An offset may be beyond what a check sends."""
        far = labelled(connection=(1 << 32) - 1)
        far._next = 1 << 30
        self.assertEqual(list(labelsIn(far.take(BLOCK))), [Label(OURS, (1 << 32) - 1, 1 << 35)])
