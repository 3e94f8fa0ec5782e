"""What the command line does to its process."""

from __future__ import annotations

import os
import resource
import signal
import threading
from typing import Any

from twisted.internet.selectreactor import SelectReactor
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from echo_app import process


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


class SignalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.heard: list[object] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
            signal.signal(number, lambda number, frame: self.heard.append(number))

    def abort(self) -> None:
        """The service's."""
        self.heard.append("abort")

    def callFromThread(self, function: Any) -> None:
        """The reactor's."""
        function()

    def test_second(self) -> None:
        """The first signal is the reactor's, each later one, of either kind, aborts."""
        process.abortOnSecondSignal(self, self)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGTERM)
        self.assertEqual(self.heard, [signal.SIGTERM])
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        self.assertEqual(self.heard, [signal.SIGTERM, "abort", "abort"])

    def test_ignored(self) -> None:
        """A signal that nobody handles stays as it is."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        process.abortOnSecondSignal(self, self)  # type: ignore[arg-type]
        self.assertIs(signal.getsignal(signal.SIGINT), signal.SIG_IGN)

    def test_otherThread(self) -> None:
        """Off the main thread, where Python allows no handlers, there are none."""
        before = signal.getsignal(signal.SIGTERM)
        thread = threading.Thread(target=process.abortOnSecondSignal, args=(self, self))
        thread.start()
        thread.join()
        self.assertIs(signal.getsignal(signal.SIGTERM), before)
