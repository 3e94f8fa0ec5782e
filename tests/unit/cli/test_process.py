"""Effects of the command line on its process."""

from __future__ import annotations

import inspect
import os
import resource
import signal
import sys
from collections.abc import Callable
from itertools import count, product
from types import FrameType
from typing import Any

from twisted.internet.selectreactor import SelectReactor
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.cli import process

STOPS = (signal.SIGTERM, signal.SIGINT)


class DescriptorLimitTests(SynchronousTestCase):
    def limited(self, soft: int, hard: int, on: object) -> tuple[int | None, list[tuple[int, int]]]:
        """Returns the limit to heed, and what the process's limit was set to."""
        limits: list[tuple[int, int]] = []
        self.patch(resource, "getrlimit", lambda which: (soft, hard))
        self.patch(resource, "setrlimit", lambda which, pair: limits.append(pair))
        return process.raiseDescriptorLimit(on), limits

    def test_raised(self) -> None:
        """The soft limit becomes the hard one."""
        self.assertEqual(self.limited(256, 4096, MemoryReactorClock()), (4096, [(4096, 4096)]))
        self.assertEqual(self.limited(4096, 4096, MemoryReactorClock()), (4096, []))
        unlimited = resource.RLIM_INFINITY
        self.assertEqual(self.limited(unlimited, unlimited, MemoryReactorClock()), (None, []))

    def test_select(self) -> None:
        """Under select the limit stays, and descriptors stay within its set."""
        on = SelectReactor.__new__(SelectReactor)
        self.assertEqual(self.limited(256, 4096, on), (256, []))
        self.assertEqual(self.limited(4096, 4096, on), (1024, []))
        self.assertEqual(self.limited(resource.RLIM_INFINITY, resource.RLIM_INFINITY, on), (1024, []))


class FakeReactor:
    """A reactor's part for signals.

    :param heard: gets the number of each signal that its own handlers are called for.
    """

    def __init__(self, heard: list[object]) -> None:
        self._heard = heard
        self.during: list[int] = []

    def sigTerm(self, number: int, frame: FrameType | None = None) -> None:
        """Handles a signal, during which others may come."""
        during, self.during = self.during, []
        send(*during)
        self._heard.append(number)

    sigInt = sigTerm

    def callFromThread(self, function: Callable[[], None]) -> None:
        """Calls a function."""
        function()

    def start(self) -> None:
        """Installs the handlers."""
        signal.signal(signal.SIGTERM, self.sigTerm)
        signal.signal(signal.SIGINT, self.sigInt)


def send(*numbers: int) -> None:
    """Sends signals to this process, one after the other."""
    for number in numbers:
        os.kill(os.getpid(), number)


def sendBeforeStep(step: int, first: int, second: int) -> int:
    """Sends a signal, and another one while its handler runs.

    :param step: the step of the handler, an operation of the interpreter, that the second signal precedes.
    :return: how many steps the handler took.
    """
    steps = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal steps
        if frame.f_code.co_filename != process.__file__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            steps += 1
            if steps == step:
                send(second)
        return trace

    # Python 3.12 looks for one frame that wants operations when the tracing begins.
    here = inspect.currentframe()
    assert here is not None
    here.f_trace_opcodes = True
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        send(first)
    finally:
        sys.settrace(before)
    return steps


class SignalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.heard: list[object] = []
        for number in STOPS:
            self.addCleanup(signal.signal, number, signal.getsignal(number))

    def abort(self) -> None:
        """The service's."""
        self.heard.append("abort")

    def reactor(self) -> FakeReactor:
        """Returns a reactor whose service this test case is."""
        self.heard.clear()
        reactor = FakeReactor(self.heard)
        process.abortOnSecondSignal(reactor, self)  # type: ignore[arg-type]
        return reactor

    def test_second(self) -> None:
        """The first signal is the reactor's, each later one, of either kind, aborts."""
        for first, second in product(STOPS, repeat=2):
            self.reactor().start()
            send(first)
            self.assertEqual(self.heard, [first])
            send(second, first)
            self.assertEqual(self.heard, [first, "abort", "abort"])

    def test_nested(self) -> None:
        """Signals that interrupt the handler of the first one abort, and do not stop once more."""
        for first, second in product(STOPS, repeat=2):
            reactor = self.reactor()
            reactor.during = [second, first]
            reactor.start()
            send(first)
            self.assertEqual(self.heard, ["abort", "abort", first])

    def test_everyStep(self) -> None:
        """A signal that comes before any one step of the first one's handler is one of two all the same."""
        for first, second in product(STOPS, repeat=2):
            for step in count(1):
                self.reactor().start()
                steps = sendBeforeStep(step, first, second)
                if steps < step:
                    break
                self.assertEqual(self.heard.count("abort"), 1, f"{step}: {self.heard}")
                self.assertEqual(len(self.heard), 2, f"{step}: {self.heard}")
            self.assertGreater(steps, 5)

    def test_running(self) -> None:
        """The handlers of a reactor that runs already are replaced."""
        reactor = FakeReactor(self.heard)
        reactor.start()
        process.abortOnSecondSignal(reactor, self)  # type: ignore[arg-type]
        send(*STOPS)
        self.assertEqual(self.heard, [signal.SIGTERM, "abort"])

    def test_otherHandlers(self) -> None:
        """A handler that is not the reactor's stays as it is."""
        for handler in (signal.SIG_IGN, signal.SIG_DFL, lambda number, frame: None):
            for number in STOPS:
                signal.signal(number, handler)
            self.reactor()
            process.abortOnSecondSignal(MemoryReactorClock(), self)  # type: ignore[arg-type]
            self.assertEqual([signal.getsignal(number) for number in STOPS], [handler] * 2)
