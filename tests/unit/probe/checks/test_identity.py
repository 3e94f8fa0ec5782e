"""Transfers of many sizes, and their repetition, on paths whose time is a Clock's."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.identity import PAUSED, PAUSES, QUICK, SIZES, Identity, Sizes
from tests.support import paths
from tests.support.evidence import FLIPPED, REFUSED, connection, evidenceOf
from tests.support.paths import RESET, PathContext, StreamPath
from tests.support.probing import QUICK as QUICK_SETTINGS

GOOD = StreamPath(late=0.001)


class IdentityTests(SynchronousTestCase):
    def look(self, path: Any, step: float = 0.005) -> tuple[Sizes, PathContext]:
        """Runs a quick check over a path; returns what it saw, and the context."""
        clock = Clock()
        given: Any = PathContext(clock, path, QUICK_SETTINGS, "identity")
        check = Identity()
        seen = check.begin()
        paths.result(clock, check.run(given, seen), step=step)
        self.assertTrue(all(stream.isClosed for stream in given.streams))
        return seen, given

    def test_good(self) -> None:
        """On a good path there is one connection, on which every size comes back, with its time."""
        seen, _ = self.look(GOOD)
        self.assertEqual(len(seen.records), 1)
        self.assertEqual(seen.done, [size for size in SIZES if size <= QUICK])
        self.assertEqual((seen.left, seen.isFinal), (0, False))
        before, size, seconds = seen.batches[-1]
        self.assertEqual(size, QUICK)
        self.assertEqual(before + size, seen.records[0].sent)
        self.assertEqual(seen.rate, size / seconds)

    def test_endedInTheMidst(self) -> None:
        """A connection that ends in the midst is tried again, once; its batches are the last one's."""
        seen, _ = self.look(lambda n: StreamPath(late=0.001, bytes=5000, end=RESET) if n == 0 else GOOD)
        self.assertEqual([each.isShort for each in seen.records], [True, False])
        self.assertEqual(seen.batches[0][0], 260)
        self.assertEqual(seen.batches[-1][1], QUICK)
        self.assertTrue(str(seen).startswith("5000 of "), str(seen))
        seen, _ = self.look(StreamPath(late=0.001, bytes=5000, end=RESET))
        self.assertEqual([each.came for each in seen.records], [5000, 5000])

    def test_silence(self) -> None:
        """So is one that goes silent."""
        seen, _ = self.look(lambda n: StreamPath(late=0.001, bytes=5000, end=None) if n == 0 else GOOD, 0.05)
        self.assertEqual([each.silence > 0 for each in seen.records], [True, False])

    def test_paused(self) -> None:
        """A transfer that pauses is tried again; a slow one that does not is none."""
        for late, count in ((PAUSED + 0.05, 2), (PAUSED - 0.1, 1)):
            seen, _ = self.look(StreamPath(late=late), 0.01)
            self.assertEqual(len(seen.records), count, late)
            self.assertGreater(seen.left, 0)

    def test_mute(self) -> None:
        """If no byte comes, others are tried after pauses, and there is nothing more to examine."""
        seen, given = self.look(StreamPath(isMute=True), 0.05)
        self.assertEqual((len(seen.records), seen.isFinal), (len(PAUSES), True))
        before, last = given.evidence.connections[-2:]
        assert before.closed is not None
        self.assertApproximates(last.began - before.closed, PAUSES[-1], 0.2)

    def test_otherBytes(self) -> None:
        """A greeting alone is no echo: all connections get it, and the difference is shown."""
        seen, _ = self.look(StreamPath(greeting=b"220 ready\r\n", isMute=True, late=0.001), 0.05)
        self.assertEqual((len(seen.records), seen.isFinal), (len(PAUSES), True))
        self.assertIn("220 ready", str(seen))

    def test_served(self) -> None:
        """A service that answers the second connection is not tried again."""
        seen, _ = self.look(lambda n: StreamPath(isMute=n == 0, late=0.001), 0.02)
        self.assertEqual([each.came > 0 for each in seen.records], [False, True])
        self.assertFalse(seen.isFinal)

    def test_refused(self) -> None:
        """A connection that is refused is recorded, and another one is tried."""
        seen, _ = self.look(lambda n: StreamPath(failure=REFUSED) if n == 0 else GOOD, 0.02)
        self.assertEqual([each.failure for each in seen.records], [REFUSED, None])
        self.assertEqual(seen.batches[-1][1], QUICK)

    def test_difference(self) -> None:
        """A difference is not looked for again."""
        record = connection(evidenceOf(), sent=100, came=5, difference=FLIPPED)
        self.assertEqual(str(Sizes(records=[record])), "1 byte flipped at offset 5")
        seen, _ = self.look(lambda n: StreamPath(greeting=b"?", late=0.001) if n == 0 else GOOD, 0.02)
        self.assertEqual(len(seen.records), 2)

    def test_words(self) -> None:
        """What was seen is said: failures, sizes that are left, and nothing."""
        self.assertEqual(str(Sizes()), "not begun")
        failed = connection(evidenceOf(), failure=REFUSED)
        self.assertEqual(str(Sizes(records=[failed])), "refused")
        seen = Sizes([1, 2], 39, [(0, 2, 0.0009765625)])
        self.assertEqual(
            str(seen), "2 sizes, 1 B to 2 B, the last at 2 KiB/s; 39 larger ones would take too long here"
        )
