"""Labelled datagrams, and the answers that are matched with them."""

from __future__ import annotations

from random import Random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.udpsource import Stray
from tests.support import paths
from tests.support.paths import FakeSource

OURS, OTHERS = b"ours", b"othr"


class SourceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.random = Random(1)
        self.wire: list[bytes] = []
        self.source = self.make(3)

    def make(self, number: int, examination: bytes = OURS) -> FakeSource:
        """Returns a source whose datagrams are only collected."""
        path = paths.datagramPath(lambda source, data: self.wire.append(data) or [])  # type: ignore[func-returns-value]
        made: FakeSource = path(self.clock, paths.UDP, self.random, number, examination)
        return made

    def test_answered(self) -> None:
        """An answer counts once, with its round trip; another one is a copy."""
        datagram = self.source.send(64, "steady")
        self.assertTrue(datagram.isLost)
        for _ in range(2):
            self.clock.advance(0.5)
            self.source.received(self.wire[0])
        self.assertEqual((datagram.roundTrip, datagram.copies, datagram.isLost), (0.5, 1, False))

    def test_overtaken(self) -> None:
        """An answer is overtaken by those to later datagrams that came before it."""
        sent = [self.source.send(64, "steady") for _ in range(3)]
        for place in (2, 0, 1):
            self.source.received(self.wire[place])
        self.assertEqual([each.overtaken for each in sent], [1, 1, 0])

    def test_sizes(self) -> None:
        """Every size is matched, also an empty one, and one without a whole label."""
        for size in (0, 1, 8, 33, 64, 65_507):
            datagram = self.source.send(size, "sizes")
            self.assertEqual(len(self.wire[-1]), size)
            self.source.received(self.wire[-1])
            self.assertIsNotNone(datagram.came, size)

    def test_bits(self) -> None:
        """Any flipped bit makes a changed answer of its own datagram, and nothing else."""
        for place in range(0, 64 * 8, 7):
            self.source.send(64, "steady")
            datagram = self.source.send(64, "steady")
            data = bytearray(self.wire[-1])
            data[place // 8] ^= 1 << place % 8
            self.source.received(bytes(data))
            self.assertEqual((datagram.changed, datagram.bits, datagram.isCut), (64, 1, False), place)
        self.assertEqual(self.source.strays, [])

    def test_cut(self) -> None:
        """The beginning of a datagram is a cut one, down to a few bytes."""
        for size in (63, 32, 4):
            datagram = self.source.send(64, "steady")
            self.source.received(self.wire[-1][:size])
            self.assertEqual((datagram.changed, datagram.isCut), (size, True))

    def test_longer(self) -> None:
        """An answer that begins with its datagram has a tail, and is none of an older, shorter datagram."""
        for size in (64, 12, 1, 0):
            datagram = self.source.send(size, "small")
            self.source.received(self.wire[-1] + bytes(70))
            self.assertEqual((datagram.changed, datagram.isCut), (size + 70, False))
            self.assertEqual((datagram.tail, datagram.isLost), (bytes(70), False))
        self.assertEqual(self.source.strays, [])

    def test_longerOther(self) -> None:
        """Other bytes than zeros are no tail of an empty datagram, unless a longer one has such a tail."""
        empty = self.source.send(0, "empty")
        self.source.received(b"other")
        self.assertEqual((empty.isLost, self.source.strays), (True, [Stray(3, 5)]))
        self.source.send(12, "small")
        self.source.received(self.wire[-1] + b"other")
        self.source.received(b"other")
        self.assertEqual((empty.tail, len(self.source.strays)), (b"other", 1))

    def test_longerLate(self) -> None:
        """A datagram of zeros is no answer to an empty one that was sent long ago, nor to one answered."""
        for seconds, answer in ((2, None), (0, b"")):
            empty = self.source.send(0, "empty")
            if answer is not None:
                self.source.received(answer)
            self.clock.advance(seconds)
            self.source.received(bytes(18))
            self.assertEqual((empty.tail, self.source.strays.pop()), (b"", Stray(3, 18)))

    def test_other(self) -> None:
        """The datagram of another source, or examination, is no answer, and has its owner."""
        for number, examination in ((9, OURS), (3, OTHERS)):
            self.make(number, examination).send(64, "steady")
            mine = self.source.send(64, "steady")
            self.source.received(self.wire[-2])
            self.assertTrue(mine.isLost)
            self.assertEqual(self.source.strays.pop(), Stray(3, 64, number, examination == OURS))

    def test_foreign(self) -> None:
        """Bytes without a label are foreign if they come from the target, and ignored otherwise."""
        self.source.received(b"?" * 60, "192.0.2.9 port 53")
        self.assertEqual(self.source.strays, [])
        self.source.received(b"?" * 60)
        self.assertEqual(self.source.strays, [Stray(3, 60)])

    def test_elsewhere(self) -> None:
        """An answer from another address is one, and its address is kept."""
        datagram = self.source.send(64, "steady")
        self.source.received(self.wire[0], "192.0.2.9 port 7")
        self.assertEqual((datagram.isLost, datagram.elsewhere), (False, "192.0.2.9 port 7"))

    def test_line(self) -> None:
        """A line with our address answers the oldest datagram."""
        first, second = (self.source.send(64, "steady") for _ in range(2))
        self.source.received(b'{"peer": "203.0.113.9:4711"}\n')
        self.assertEqual((first.seenAs, first.isLost, second.isLost), ("203.0.113.9:4711", False, True))
