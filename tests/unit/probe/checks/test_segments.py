"""Segments of several sizes, on simulated paths."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks import segments
from echo_app.probe.checks.evidence import CheckSettings
from echo_app.probe.checks.segments import AGAIN, AMOUNT, SIZES, Segments, SegmentSizes
from echo_app.probe.judge.judge import judge
from tests.support import paths
from tests.support.evidence import REFUSED, causes, sampled
from tests.support.paths import PathContext, StreamPath
from tests.support.probing import context


class SegmentsTests(SynchronousTestCase):
    def look(
        self, path: Any, largest: int = 1460, isProbed: bool = False, options: int = 7
    ) -> tuple[Segments, PathContext]:
        """Runs the check over a path on which the kernel's largest segment is this one."""
        self.patch(segments, "doesKernelProbe", lambda: isProbed)
        clock = Clock()
        given: Any = PathContext(clock, path, check="segments")
        given.made = sampled(sendMSS=largest, options=options)
        check = SegmentSizes()
        seen = given.evidence.observations["segments"] = check.begin()
        paths.result(clock, check.run(given, seen), step=0.05)
        self.assertTrue(all(stream.isClosed for stream in given.streams))
        return seen, given

    def test_good(self) -> None:
        """On a path of Ethernet each size is tried, and passes."""
        seen, given = self.look(StreamPath())
        self.assertEqual(str(seen), "536 1220 1320 1400 1432 1440 1452 1460 B pass")
        self.assertEqual(seen.data()["came"], {str(size): AMOUNT for size in SIZES})
        self.assertEqual(judge(given.evidence).findings, [])

    def test_blackHole(self) -> None:
        """Connections with segments that are too large hang for eight seconds; the smaller ones pass."""
        seen, given = self.look(StreamPath(largest=1350))
        self.assertEqual(str(seen), "536 1220 1320 B pass, 1400 1432 1440 1452 1460 B do not")
        self.assertEqual([seen.bySize[size].silence for size in (1320, 1400)], [0, 8.0])
        self.assertEqual(causes(judge(given.evidence)), ["mtu-black-hole"])

    def test_some(self) -> None:
        """Where a size hangs below one that passes, the least and the largest are tried again."""
        seen, given = self.look(lambda n: StreamPath(largest=1400 if n % 2 else 1460))
        self.assertEqual((len(seen.small), len(seen.large)), (AGAIN, AGAIN))
        self.assertEqual(sum(each.silence > 0 for each in seen.large), AGAIN // 2)
        self.assertEqual(causes(judge(given.evidence)), ["mtu-black-hole"])

    def test_tunnel(self) -> None:
        """No size above the kernel's own is tried, which states it without the time stamps."""
        for options, sizes in ((7, [536, 1220, 1320, 1400]), (6, [536, 1220, 1320])):
            seen, _ = self.look(StreamPath(), largest=1388, options=options)
            self.assertEqual(list(seen.bySize), sizes)

    def test_pppoe(self) -> None:
        """A link of 1,492 B is found, with its MTU."""
        seen, given = self.look(StreamPath(largest=1452), largest=1448)
        self.assertEqual(str(seen), "536 1220 1320 1400 1432 1440 1452 B pass, 1460 B do not")
        (found,) = judge(given.evidence).findings
        self.assertIn("an MTU of 1,492 to 1,499 B", found.match.seen)

    def test_loopback(self) -> None:
        """A path with larger segments is none of Ethernet, and one is left alone."""
        seen, given = self.look(StreamPath(), largest=32_741)
        self.assertEqual((str(seen), seen.bySize), ("segments of 32,741 B: no path of Ethernet", {}))
        self.assertEqual(given.tries, 1)

    def test_probed(self) -> None:
        """A kernel that looks for smaller segments is said to."""
        seen, _ = self.look(StreamPath(), isProbed=True)
        self.assertTrue(str(seen).endswith("(this kernel probes for smaller ones)"))

    def test_refused(self) -> None:
        """A connection that is not made is one that does not pass, and no silence."""
        seen, given = self.look(lambda n: StreamPath(failure=REFUSED if n == 2 else None))
        self.assertEqual(str(seen), "536 1320 1400 1432 1440 1452 1460 B pass, 1220 B do not")
        self.assertNotIn("mtu-black-hole", causes(judge(given.evidence)))

    def test_skipped(self) -> None:
        """Only TCP to an address has such connections; the cost is that of all."""
        check, settings = SegmentSizes(), CheckSettings()
        for target, reason in (
            ("127.0.0.1:7", ""),
            ("[::1]:7", ""),
            ("tls://127.0.0.1:7", "not over TCP"),
            ("unix:///tmp/echo", "not over TCP"),
        ):
            given = context(target, Clock(), settings=settings)
            self.assertEqual(check.reasonToSkip(given), reason, target)
            self.assertEqual(check.cost(given).connections, len(SIZES) + 1)
