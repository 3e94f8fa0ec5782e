"""Paths of datagrams whose fault is known, and whose time is a Clock's, and the check over them, judged."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.evidence import CheckSettings
from echo_app.probe.checks.examination import contextOf
from echo_app.probe.checks.udp import UDP
from echo_app.probe.checks.udprecord import Datagrams
from echo_app.probe.judge.judge import judge
from tests.support import paths
from tests.support.paths import FakeSource
from tests.support.probing import Examined

Answers = Callable[[FakeSource, bytes], list[tuple[float, bytes]]]


def examined(answers: Answers, isQuick: bool = False, idle: float = 0) -> Examined:
    """Runs the check over a path; returns what it saw, judged."""
    clock = Clock()
    context = contextOf(clock, paths.UDP, CheckSettings(isQuick=isQuick, idle=idle), Random(1))
    check = UDP(paths.datagramPath(answers))
    seen = context.evidence.observations["udp"] = check.begin()
    paths.result(clock, check.run(context, seen))
    return Examined(context.evidence, judge(context.evidence))


def recordOf(done: Examined) -> Datagrams:
    """Returns the record of an examination."""
    seen = done.evidence.observations["udp"]
    assert isinstance(seen, Datagrams)
    return seen


def echo(source: FakeSource, data: bytes) -> list[tuple[float, bytes]]:
    """Answers after 2 ms."""
    return [(0.002, data)]


def when(isLost: Callable[[FakeSource, bytes], bool]) -> Answers:
    """Returns a path that loses some datagrams."""
    return lambda source, data: [] if isLost(source, data) else echo(source, data)


def lossy(loss: float, seed: int = 1) -> Answers:
    """Returns a path that loses a share of the datagrams by chance."""
    chance = Random(seed)
    return when(lambda source, data: chance.random() < loss)


class DatagramPathTestCase(SynchronousTestCase):
    """Base of tests that let the check examine a path."""

    def check(self, done: Examined, cause: str, *parts: str) -> None:
        """Checks the one cause that was found, or that none was, and parts of what was seen."""
        self.assertEqual(list(done.causes), [cause] if cause else [], str(done))
        said = done.finding(cause).match.seen if cause else done.seen("udp")
        for part in parts:
            self.assertIn(part, said)
