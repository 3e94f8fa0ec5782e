"""Connections that do not move are cut off, and no others."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.connections import timeouts
from echo_app.connections.limits import Limits
from echo_app.connections.registry import ConnectionRegistry
from echo_app.connections.timeouts import BATCH, INTERVAL, TimeoutSweep
from tests.support import fakes


class TimeoutSweepTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(timeouts, "progressOf", fakes.progressOf)
        self.clock = Clock()

    def sweep(self, idle: float | None = None, stall: float | None = None) -> ConnectionRegistry:
        """Starts a sweep; returns its counts."""
        counts = ConnectionRegistry(Limits(idleTimeout=idle, stallTimeout=stall), self.clock.seconds)
        self.sweeper = TimeoutSweep(counts, self.clock)
        self.sweeper.start()
        return counts

    def advance(self, seconds: int) -> None:
        """Lets time pass, a second at a time."""
        self.clock.pump([1] * seconds)

    def test_idle(self) -> None:
        """A connection on which nothing moves is closed when the idle time-out is over, and counted."""
        counts = self.sweep(idle=5)
        silent = fakes.FakeConnection(counts).open()
        self.advance(5)
        self.assertEqual(silent.done, [])
        self.advance(1)
        self.assertEqual(silent.done, ["finish"])
        self.assertEqual(counts.timedOut.byReason, {"idle": 1})

    def test_heldBack(self) -> None:
        """A connection with an answer under way, or with bytes that are held back, is not idle."""
        counts = self.sweep(idle=3)
        slow, held = (fakes.FakeConnection(counts).open() for _ in range(2))
        slow.pending = 1
        held.move(held=1)
        self.advance(20)
        self.assertEqual([slow.done, held.done], [[], []])
        slow.pending = 0
        held.move(held=0)
        self.advance(4)
        self.assertEqual([slow.done[0], held.done[0]], ["finish", "finish"])

    def test_closedInVain(self) -> None:
        """A connection that does not end when it is closed is reset, and counted once."""
        counts = self.sweep(idle=5)
        silent = fakes.FakeConnection(counts).open()
        self.advance(20)
        self.assertEqual(silent.done, ["finish", "abort"])
        self.assertEqual(counts.timedOut.byReason, {"idle": 1})

    def test_eitherDirection(self) -> None:
        """Bytes in either direction, and those in the kernel's queues, are activity."""
        counts = self.sweep(idle=3)
        moving = [fakes.FakeConnection(counts).open() for _ in range(4)]
        for second in range(20):
            moving[0].move(received=second)
            moving[1].move(sent=second, owed=100)
            moving[2].move(unread=second)
            moving[3].move(owed=100 - second)
            self.advance(1)
        self.assertEqual([each.done for each in moving], [[], [], [], []])

    def test_idleButOwed(self) -> None:
        """An idle connection that is owed bytes, or has not been read, is reset: it can't end cleanly."""
        counts = self.sweep(idle=3)
        owed, unread = (fakes.FakeConnection(counts).open() for _ in range(2))
        owed.move(owed=1)
        unread.move(unread=1)
        self.advance(6)
        self.assertEqual([owed.done, unread.done], [["abort"], ["abort"]])

    def test_stall(self) -> None:
        """A connection whose unsent bytes do not shrink is reset, also if its peer sends."""
        counts = self.sweep(stall=5)
        stalled = fakes.FakeConnection(counts).open()
        for second in range(10):
            if stalled.done:
                break
            stalled.move(received=1000 * second, sent=7, owed=5000)
            self.advance(1)
        self.assertEqual(stalled.done, ["abort"])
        self.assertEqual(second, 6)
        self.assertEqual(counts.timedOut.byReason, {"stall": 1})

    def test_slow(self) -> None:
        """A slow reader stays: a byte in the time-out is enough."""
        counts = self.sweep(stall=5)
        slow = fakes.FakeConnection(counts).open()
        for second in range(40):
            slow.move(sent=second // 4, owed=5000)
            self.advance(1)
        self.assertEqual(slow.done, [])

    def test_shrinks(self) -> None:
        """Owed bytes may shrink without a count of sent bytes, as on UNIX sockets."""
        counts = self.sweep(stall=5)
        slow = fakes.FakeConnection(counts).open()
        for second in range(40):
            slow.move(owed=5000 - second // 4)
            self.advance(1)
        self.assertEqual(slow.done, [])

    def test_owedAfterSilence(self) -> None:
        """A connection that was long owed nothing has not been stalling all that time."""
        counts = self.sweep(stall=5)
        quiet = fakes.FakeConnection(counts).open()
        self.advance(60)
        quiet.move(received=10, owed=10)
        self.advance(4)
        self.assertEqual(quiet.done, [])
        self.advance(3)
        self.assertEqual(quiet.done, ["abort"])

    def test_withoutSocket(self) -> None:
        """A transport that can't be asked is left alone."""
        counts = self.sweep(idle=1, stall=1)
        other = fakes.FakeConnection(counts).open()
        other.progress = None
        self.advance(10)
        self.assertEqual(other.done, [])

    def test_never(self) -> None:
        """Without time-outs there is no sweep."""
        self.sweep()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.sweeper.stop()

    def test_stop(self) -> None:
        """A stopped sweep leaves nothing in the reactor; starting twice is starting once."""
        self.sweep(idle=1)
        self.sweeper.start()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.sweeper.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_batches(self) -> None:
        """Many connections are looked at in batches, between which the reactor has its turn."""
        delays: list[float] = []
        callLater = self.clock.callLater

        def recorded(delay: float, *call: object) -> object:
            delays.append(delay)
            return callLater(delay, *call)  # type: ignore[arg-type]

        self.patch(self.clock, "callLater", recorded)
        counts = self.sweep(idle=5)
        many = [fakes.FakeConnection(counts).open() for _ in range(BATCH * 2 + 1)]
        self.clock.advance(1)
        self.assertEqual(delays, [INTERVAL, 0, 0, INTERVAL])
        self.advance(5)
        self.assertEqual([each.done for each in many], [["finish"]] * len(many))

    def test_interval(self) -> None:
        """Sweeps are as far apart as a sixtieth of the shorter time-out: looking costs time."""
        for idle, stall, seconds in ((None, 300, 5), (120, 300, 2), (3, 300, 1), (None, 15, 1)):
            self.setUp()
            self.sweep(idle, stall)
            (call,) = self.clock.getDelayedCalls()
            self.assertEqual(call.getTime(), seconds, (idle, stall))

    def test_long(self) -> None:
        """A long time-out is exact to a thirtieth of itself."""
        counts = self.sweep(stall=300)
        stalled = fakes.FakeConnection(counts).open()
        self.advance(6)
        stalled.move(owed=5000)
        self.advance(299)
        self.assertEqual(stalled.done, [])
        self.advance(11)
        self.assertEqual(stalled.done, ["abort"])

    def test_endedMeanwhile(self) -> None:
        """A connection that ends between two batches is not looked at any more."""
        counts = self.sweep(idle=5)
        many = [fakes.FakeConnection(counts).open() for _ in range(BATCH + 1)]
        self.advance(5)
        self.clock.callLater(1, many[-1].end)
        self.clock.advance(1)
        self.assertEqual([len(each.done) for each in many], [1] * BATCH + [0])
