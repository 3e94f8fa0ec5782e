"""The commands of ``echo-probe`` on a reactor, until they are done."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.check import Context
from echo_app.probe.cli import command
from echo_app.probe.cli.command import (
    FINDING,
    GOOD,
    INTERRUPTED,
    NOT_STARTED,
    runCheck,
    runPing,
    runUntilDone,
)
from echo_app.probe.cli.options import CheckOptions, Options, PingOptions
from echo_app.probe.judge.judge import RULES
from echo_app.probe.net.errors import ErrorKind, NetworkError, Reason
from tests.support.evidence import FLIPPED, connection
from tests.support.probing import FakeCheck


class FakeReactor(Clock):
    """A reactor that runs what it is told to, and then what a test does to it."""

    def __init__(self, then: Callable[[FakeReactor], object] = lambda reactor: None) -> None:
        super().__init__()
        self._then = then
        self._first: list[Callable[[], object]] = []
        self._last: list[Callable[[], object]] = []
        self.isRunning = False
        self.waitsFor: list[Deferred[object]] = []

    def callWhenRunning(self, call: Callable[..., object], *arguments: object) -> None:
        self._first.append(lambda: call(*arguments))

    def addSystemEventTrigger(
        self, phase: str, event: str, call: Callable[..., object], *arguments: object
    ) -> None:
        self._last.append(lambda: call(*arguments))

    def callFromThread(self, call: Callable[[], object]) -> None:
        call()

    def run(self) -> None:
        self.isRunning = True
        for each in self._first:
            each()
        self._then(self)

    def stop(self) -> None:
        if not self.isRunning:
            raise ReactorNotRunning
        self.isRunning = False
        self.waitsFor = [maybeDeferred(each) for each in self._last]


class RunTests(SynchronousTestCase):
    def run_(self, work: Callable[[Any], Any], reactor: FakeReactor) -> int:
        status = runUntilDone(reactor, work)
        self.assertFalse(reactor.isRunning)
        for each in reactor.waitsFor:
            self.successResultOf(each)
        return status

    def test_done(self) -> None:
        """The status is the work's, and the reactor is stopped."""

        async def work(reactor: object) -> int:
            return FINDING

        self.assertEqual(self.run_(work, FakeReactor()), FINDING)

    def test_interrupted(self) -> None:
        """Ctrl-C cancels the work, and the reactor waits for the rest of it."""
        never: Deferred[None] = Deferred()
        done: list[str] = []

        async def work(reactor: object) -> int:
            try:
                await never
            finally:
                done.append("said")
            return GOOD

        self.assertEqual(self.run_(work, FakeReactor(FakeReactor.stop)), INTERRUPTED)
        self.assertEqual(done, ["said"])

    def test_interruptedTwice(self) -> None:
        """A second Ctrl-C cancels the rest of the first one's work; then Python handles the signal again."""
        before = signal.getsignal(signal.SIGINT)
        never: list[Deferred[None]] = [Deferred(), Deferred()]

        async def work(reactor: object) -> int:
            try:
                await never[0]
            except CancelledError:
                await never[1]
            return GOOD

        def twice(reactor: FakeReactor) -> None:
            reactor.stop()
            signal.raise_signal(signal.SIGINT)

        self.assertEqual(self.run_(work, FakeReactor(twice)), INTERRUPTED)
        self.assertIs(signal.getsignal(signal.SIGINT), before)

    def test_bug(self) -> None:
        """A mistake of ours is a traceback, and no finding."""
        output = io.StringIO()
        self.patch(sys, "stderr", output)

        async def work(reactor: object) -> int:
            raise ZeroDivisionError

        self.assertEqual(self.run_(work, FakeReactor()), NOT_STARTED)
        self.assertIn("ZeroDivisionError", output.getvalue())

    def test_nobodyReads(self) -> None:
        """A closed output ends the writing."""
        read, write = os.pipe()
        os.close(read)
        with open(write, "w") as output:
            self.patch(sys, "stdout", output)

            async def work(reactor: object) -> int:
                command.say("nobody reads this")
                return FINDING

            self.assertEqual(self.run_(work, FakeReactor()), GOOD)
            output.write("nor this")


class CommandTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.said: list[str] = []
        self.patch(command, "say", self.said.append)

    def check(self, *arguments: str, act: Callable[[Context], str] = lambda context: "good") -> int:
        """Runs ``check`` with a check that does this; returns the status."""
        options = Options()
        options.parseOptions(["check", "127.0.0.1:7", "--seed", "3", *arguments])
        assert isinstance(options.subOptions, CheckOptions)
        options.subOptions.checks = [FakeCheck("a", act)]
        return self.successResultOf(Deferred.fromCoroutine(runCheck(FakeReactor(), options.subOptions)))

    def bad(self, context: Context) -> str:
        """Sees a changed byte."""
        connection(context.evidence, "a", sent=100, came=5, difference=FLIPPED)
        connection(context.evidence, "a", sent=100, came=100)
        return "bad"

    def odd(self, context: Context) -> str:
        """Sees a connection that is not made, beside one that is."""
        connection(context.evidence, "a", failure=Reason(ErrorKind.REFUSED))
        connection(context.evidence, "a", sent=100, came=100)
        return "odd"

    def refused(self, context: Context) -> str:
        """Gets no connection."""
        raise NetworkError(Reason(ErrorKind.REFUSED))

    def test_status(self) -> None:
        """A failure is a finding, and a warning is one with ``--strict``."""
        self.assertEqual(self.check(), GOOD)
        self.assertEqual(self.check("--strict"), GOOD)
        self.assertEqual(self.check(act=self.bad), FINDING)
        self.assertEqual(self.check(act=self.odd), GOOD)
        self.assertEqual(self.check("--strict", act=self.odd), FINDING)

    def test_unfinished(self) -> None:
        """A check that is not done is no good result, though nothing was found."""
        self.assertEqual(self.check(act=self.refused), FINDING)
        self.assertIn("VERDICT  nothing wrong was found; not examined: a [0 s]", self.said)

    def test_baseline(self) -> None:
        """A failure on the direct route too is no finding, and both are reported."""
        self.assertEqual(self.check("--baseline", "127.0.0.2:7", act=self.bad), GOOD)
        targets = [line for line in self.said if "at most" in line]
        self.assertEqual([each.partition(";")[0] for each in targets], ["tcp 127.0.0.2:7", "tcp 127.0.0.1:7"])
        verdicts = [line for line in self.said if line.startswith("VERDICT")]
        self.assertIn("bytes are changed", verdicts[0])
        self.assertIn("nothing wrong was found", verdicts[1])

    def test_json(self) -> None:
        """As data it is one text, with the direct route inside."""
        self.check("--json", "--baseline", "127.0.0.2:7", act=self.bad)
        data = json.loads("".join(self.said))
        self.assertEqual((data["target"], data["seed"]), ("tcp 127.0.0.1:7", 3))
        self.assertEqual(data["baseline"]["target"], "tcp 127.0.0.2:7")
        for each, isExcused in ((data, True), (data["baseline"], False)):
            (found,) = each["findings"]
            self.assertIn(found["cause"], [rule.cause for rule in RULES])
            self.assertEqual(bool(found["excuse"]), isExcused)

    def test_ping(self) -> None:
        """Pings without answers are a finding."""
        options = Options()
        options.parseOptions(["ping", "udp://127.0.0.1:7", "-c", "1"])
        assert isinstance(options.subOptions, PingOptions)
        reactor = FakeReactor()
        reactor.listenUDP = lambda *arguments: (_ for _ in ()).throw(OSError("no network"))  # type: ignore[attr-defined]
        status = Deferred.fromCoroutine(runPing(reactor, options.subOptions))
        reactor.pump([0.05] * 250)
        self.assertEqual(self.successResultOf(status), FINDING)
        self.assertIn("1 sent, 0 answered, 0 lost, 1 failed, 0 corrupt, 0 reordered", self.said)
