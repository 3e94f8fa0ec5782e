"""Small writes on simulated paths: where one ends, others tell a number of messages from other limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks import smallwrites
from echo_app.probe.checks.link import Link
from echo_app.probe.checks.smallwrites import AGAIN, BODY, HEAD, PAIRS, SmallRounds, SmallWrites
from echo_app.probe.judge.judge import judge
from tests.support import paths
from tests.support.evidence import causes
from tests.support.paths import PathContext, StreamPath


class Counting(PathContext):
    """A context whose streams count no pieces."""

    async def connect(self, *arguments: Any, **values: Any) -> Link:
        link = await super().connect(*arguments, **values)
        link.stream.pieces = 0
        return link


class MessageTests(SynchronousTestCase):
    def look(self, path: Callable[[int], StreamPath] | StreamPath) -> tuple[SmallRounds, PathContext]:
        """Runs the check over a path; returns what it saw, and the context."""
        self.patch(smallwrites, "acknowledge", lambda sock, isPrompt: None)
        clock = Clock()
        given: Any = Counting(clock, path, check="small-writes")
        check = SmallWrites()
        seen = given.evidence.observations["small-writes"] = check.begin()
        paths.result(clock, check.run(given, seen), step=0.005)
        return seen, given

    def ending(self, *totals: int) -> PathContext:
        """Returns the context of connections that end after these bytes, and others after none."""
        _, given = self.look(
            lambda number: StreamPath(late=0.01, bytes=totals[number] if number < len(totals) else None)
        )
        return given

    def test_good(self) -> None:
        """On a good path there are two connections, and each round is a message."""
        seen, given = self.look(StreamPath(late=0.01))
        self.assertEqual([each.answered for each in seen.records], [2 * PAIRS, PAIRS])
        self.assertEqual(given.tries, 2)

    def test_messages(self) -> None:
        """Ends after a number of messages, whatever their bytes and their pace, are that."""
        given = self.ending(*(40 * size for size in (HEAD + BODY, *AGAIN)))
        self.assertEqual([each.answered for each in given.evidence.connections], [40, 40, 40, 40, PAIRS])
        verdict = judge(given.evidence)
        self.assertEqual(causes(verdict), ["message-limit"])
        self.assertIn("4 connections after 40 messages, of 800 to 8,000 B: FIN", str(verdict))

    def test_inTwoWrites(self) -> None:
        """Where a message in two writes counts twice, those in one write tell the number."""
        given = self.ending(31 * (HEAD + BODY), *(40 * size for size in AGAIN))
        verdict = judge(given.evidence)
        self.assertEqual(causes(verdict), ["message-limit"])
        self.assertIn("3 connections after 40 messages, of 800 to 8,000 B: FIN", str(verdict))

    def test_bytes(self) -> None:
        """Ends after a number of bytes are none of messages."""
        self.assertNotIn("message-limit", causes(judge(self.ending(*[40 * 64] * 4).evidence)))

    def test_once(self) -> None:
        """Where the further connections live, one end is none of messages."""
        self.assertNotIn("message-limit", causes(judge(self.ending(40 * 64).evidence)))
