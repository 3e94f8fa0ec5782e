"""Connections one after the other, and those after pauses, on paths whose time is a Clock's."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.reach import CONNECTIONS, ENOUGH, PAUSES, Connect, Connects
from echo_app.probe.judge.judge import judge
from echo_app.probe.net.errors import timedOut
from tests.support import paths
from tests.support.evidence import REFUSED, causes
from tests.support.paths import PathContext, StreamPath

GOOD, REFUSING, MUTE = StreamPath(late=0.01), StreamPath(failure=REFUSED), StreamPath(isMute=True)


class ConnectTests(SynchronousTestCase):
    def look(self, path: Any) -> tuple[Connects, PathContext]:
        """Runs the check over a path; returns what it saw, and the context."""
        clock = Clock()
        given: Any = PathContext(clock, path, check="connect")
        check = Connect()
        seen = given.evidence.observations["connect"] = check.begin()
        paths.result(clock, check.run(given, seen), step=0.01)
        self.assertTrue(all(stream.isClosed for stream in given.streams))
        return seen, given

    def causes(self, path: Any) -> list[str]:
        _, given = self.look(path)
        return causes(judge(given.evidence))

    def test_good(self) -> None:
        """Twenty connections are timed; there is none after a pause."""
        seen, given = self.look(GOOD)
        self.assertEqual((len(seen.answers), seen.later, seen.isFinal), (CONNECTIONS, [], False))
        self.assertTrue(str(seen).endswith("first answer p50 10.0 ms, max 10.0 ms of 20"), str(seen))
        self.assertEqual(causes(judge(given.evidence)), [])

    def test_starting(self) -> None:
        """Where none of twenty is served, one is tried after each pause, until one is."""
        seen, given = self.look(lambda n: REFUSING if n < CONNECTIONS + 2 else GOOD)
        self.assertEqual([each.isServed for each in seen.later], [False, False, True])
        waits = [
            after.began - before.began for before, after in zip(seen.later, seen.later[1:], strict=False)
        ]
        for wait, due in zip(waits, PAUSES[1:], strict=False):
            self.assertApproximates(wait, due, 0.1)
        self.assertIn("after pauses 1 of 3 answered", str(seen))
        self.assertIn("20 of 20 refused", str(seen))
        self.assertFalse(seen.isFinal)
        self.assertEqual(causes(judge(given.evidence)), ["refused-at-first"])

    def test_soon(self) -> None:
        """A service that begins to serve within the twenty needs no pauses."""
        seen, given = self.look(lambda n: REFUSING if n < 5 else GOOD)
        self.assertEqual((len(seen.records), seen.later), (CONNECTIONS, []))
        self.assertEqual(causes(judge(given.evidence)), ["refused-at-first"])

    def test_never(self) -> None:
        """A service that refuses all, and after all pauses, is not reached: the other checks are skipped."""
        seen, given = self.look(REFUSING)
        self.assertEqual((len(seen.later), seen.isFinal), (len(PAUSES), True))
        self.assertEqual(causes(judge(given.evidence)), ["unreachable"])

    def test_mute(self) -> None:
        """After three time-outs there is no more trying, and later waits are short."""
        seen, given = self.look(MUTE)
        self.assertEqual([each.silence for each in seen.records], [10.0, 1.0, 1.0])
        self.assertEqual(len(seen.records), ENOUGH)
        self.assertEqual((len(seen.later), seen.isFinal), (len(PAUSES), False))
        self.assertEqual(causes(judge(given.evidence)), ["no-echo"])

    def test_dropping(self) -> None:
        """SYNs that are dropped are time-outs, too."""
        dropping = StreamPath(failure=timedOut(10).whileConnecting)
        seen, _ = self.look(lambda n: dropping if n in (2, 5, 9) else GOOD)
        self.assertEqual(len(seen.records), 10)
        self.assertIn("3 of 10 connect timed out after 10 s", str(seen))

    def test_nowAndThen(self) -> None:
        """A service that refuses now and then is not one that refuses at first."""
        self.assertEqual(self.causes(lambda n: REFUSING if n in (0, 1, 2, 9) else GOOD), ["connections-fail"])
