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
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from echo_app.cli import process
from echo_app.cli.early import endAtOnce

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
        docker = 1 << 30
        self.assertEqual(self.limited(1024, docker, MemoryReactorClock()), (docker, [(docker, docker)]))

    def test_notPermitted(self) -> None:
        """Where the kernel does not permit it, the soft limit stays, which is logged."""
        for error in (PermissionError(1, "Operation not permitted"), ValueError("not allowed")):

            def refuse(*_: object, error: Exception = error) -> None:
                raise error

            self.patch(resource, "getrlimit", lambda which: (256, 4096))
            self.patch(resource, "setrlimit", refuse)
            with capturedLogs() as events:
                self.assertEqual(process.raiseDescriptorLimit(MemoryReactorClock()), 256)
            self.assertEqual([(each["soft"], each["why"]) for each in events], [(256, error)])

    def test_room(self) -> None:
        """There is room where the next descriptors are below those that stay free."""
        with open(os.devnull) as file:
            # The next one, those of the log and of SIGCHLD, and a connection's.
            first = file.fileno() + 1 + 3
        self.assertTrue(process.hasDescriptors(None))
        found = [process.hasDescriptors(first + 16 + more) for more in (-1, 0, 1)]
        self.assertEqual(found, [False, True, True])

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

    running = False

    def __init__(self, heard: list[object]) -> None:
        self._heard = heard
        self.during: list[int] = []
        self._whenRunning: list[Callable[[], None]] = []

    def callWhenRunning(self, function: Callable[[], None]) -> None:
        """Calls a function at the start."""
        self._whenRunning.append(function)

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
        """Installs the handlers, as a reactor does: that of SIGINT only in place of Python's own."""
        signal.signal(signal.SIGTERM, self.sigTerm)
        if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
            signal.signal(signal.SIGINT, self.sigInt)
        self.begin()

    def begin(self) -> None:
        """Runs, without handlers."""
        for function in self._whenRunning:
            function()


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
        self.default()

    def default(self) -> None:
        """Restores the handlers that Python begins with."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def abort(self) -> None:
        """The service's."""
        self.heard.append("abort")

    def reactor(self) -> FakeReactor:
        """Returns a reactor whose service this test case is."""
        self.heard.clear()
        self.default()
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
            process.abortOnSecondSignal(FakeReactor(self.heard), self)  # type: ignore[arg-type]
            process.abortOnSecondSignal(MemoryReactorClock(), self)  # type: ignore[arg-type]
            self.assertEqual([signal.getsignal(number) for number in STOPS], [handler] * 2)

    def test_held(self) -> None:
        """Signals before the reactor runs are held back, and delivered when it does."""
        for early in ((signal.SIGTERM,), (signal.SIGINT,), (signal.SIGINT, signal.SIGINT), STOPS):
            for handler in (None, endAtOnce):
                reactor = self.reactor()
                if handler is not None:
                    for number in STOPS:
                        signal.signal(number, handler)
                process.holdSignals(reactor)
                send(*early)
                self.assertEqual(self.heard, [])
                reactor.start()
                self.assertEqual(self.heard, [early[0], "abort"] if early == STOPS else [early[0]])
                send(signal.SIGINT)
                self.assertEqual(self.heard[-1], "abort")

    def test_heldElsewhere(self) -> None:
        """A program's own handlers stay, and a reactor without handlers gets Python's own again."""
        reactor = self.reactor()
        process.holdSignals(reactor)
        reactor.begin()
        handlers = [signal.getsignal(number) for number in STOPS]
        self.assertEqual(handlers, [signal.SIG_DFL, signal.default_int_handler])
        for number in STOPS:
            signal.signal(number, signal.SIG_IGN)
        process.holdSignals(FakeReactor(self.heard))
        self.assertEqual([signal.getsignal(number) for number in STOPS], [signal.SIG_IGN] * 2)
