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
        self.patch(timeouts, "owes", fakes.owes)
        self.clock = Clock()

    def sweep(self, idle: float | None = None, stall: float | None = None) -> ConnectionRegistry:
        """Starts a sweep; returns its counts."""
        counts = ConnectionRegistry(Limits(idleTimeout=idle, stallTimeout=stall), self.clock.seconds)
        self.sweeper = TimeoutSweep(counts, self.clock)
        self.sweeper.start()
        return counts

    def opened(self, counts: ConnectionRegistry) -> fakes.FakeConnection:
        """Returns an open connection, whose last byte the clock dates."""
        return fakes.FakeConnection(counts, seconds=self.clock.seconds).open()

    def advance(self, seconds: int) -> None:
        """Lets time pass, a second at a time."""
        self.clock.pump([1] * seconds)

    def test_idle(self) -> None:
        """A connection on which nothing moves is closed when the idle time-out is over, and counted."""
        counts = self.sweep(idle=5)
        silent = self.opened(counts)
        self.advance(4)
        self.assertEqual(silent.done, [])
        self.advance(1)
        self.assertEqual(silent.done, ["finish"])
        self.assertEqual(counts.timedOut.byReason, {"idle": 1})

    def test_heldBack(self) -> None:
        """A connection with an answer under way, or with bytes that are held back, is not idle."""
        counts = self.sweep(idle=3)
        slow, held = (self.opened(counts) for _ in range(2))
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
        silent = self.opened(counts)
        self.advance(20)
        self.assertEqual(silent.done, ["finish", "abort"])
        self.assertEqual(counts.timedOut.byReason, {"idle": 1})

    def test_eitherDirection(self) -> None:
        """Bytes in either direction, and those in the kernel's queues, are activity."""
        counts = self.sweep(idle=3)
        moving = [self.opened(counts) for _ in range(4)]
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
        owed, unread = (self.opened(counts) for _ in range(2))
        owed.move(owed=1)
        unread.move(unread=1)
        self.advance(6)
        self.assertEqual([owed.done, unread.done], [["abort"], ["abort"]])

    def test_stall(self) -> None:
        """A connection whose unsent bytes do not shrink is reset, also if its peer sends."""
        counts = self.sweep(stall=5)
        stalled = self.opened(counts)
        for second in range(10):
            if stalled.done:
                break
            stalled.move(received=1000 * second, sent=7, owed=5000)
            self.advance(1)
        self.assertEqual(stalled.done, ["abort"])
        self.assertEqual(second, 6)
        self.assertEqual(counts.timedOut.byReason, {"stall": 1})

    def test_idleAndStalled(self) -> None:
        """Unsent bytes that stand are idle, too: the shorter time-out ends them, or the stall one."""
        for idle, stall, ending in ((4, 6, "idle"), (6, 4, "stall"), (5, 5, "stall")):
            self.setUp()
            counts = self.sweep(idle, stall)
            both = self.opened(counts)
            self.advance(2)
            both.move(owed=100)
            self.advance(min(idle, stall) + 2)
            self.assertEqual(both.done, ["abort"])
            self.assertEqual(counts.timedOut.byReason, {ending: 1})

    def test_slow(self) -> None:
        """A slow reader stays: a byte in the time-out is enough."""
        counts = self.sweep(stall=5)
        slow = self.opened(counts)
        for second in range(40):
            slow.move(sent=second // 4, owed=5000)
            self.advance(1)
        self.assertEqual(slow.done, [])

    def test_shrinks(self) -> None:
        """Owed bytes may shrink without a count of sent bytes, as on UNIX sockets."""
        counts = self.sweep(stall=5)
        slow = self.opened(counts)
        for second in range(40):
            slow.move(owed=5000 - second // 4)
            self.advance(1)
        self.assertEqual(slow.done, [])

    def test_owedAfterSilence(self) -> None:
        """A connection that was long owed nothing has not been stalling all that time."""
        counts = self.sweep(stall=5)
        quiet = self.opened(counts)
        self.advance(60)
        quiet.move(received=10, owed=10)
        self.advance(4)
        self.assertEqual(quiet.done, [])
        self.advance(3)
        self.assertEqual(quiet.done, ["abort"])

    def test_withoutSocket(self) -> None:
        """A transport that can't be asked is left alone."""
        counts = self.sweep(idle=1, stall=1)
        other = self.opened(counts)
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
        many = [self.opened(counts) for _ in range(BATCH * 2 + 1)]
        self.clock.advance(1)
        self.assertEqual(delays, [INTERVAL, 0, 0, INTERVAL])
        self.advance(4)
        self.assertEqual([each.done for each in many], [["finish"]] * len(many))

    def test_interval(self) -> None:
        """Sweeps are as far apart as a sixtieth of the shorter time-out: looking costs time."""
        for idle, stall, seconds in ((None, 300, 5), (120, 300, 2), (3, 300, 1), (None, 15, 1)):
            self.setUp()
            self.sweep(idle, stall)
            (call,) = self.clock.getDelayedCalls()
            self.assertEqual(call.getTime(), seconds, (idle, stall))

    def looks(self, name: str) -> list[float]:
        """Returns a list that gets the times at which the sweep calls a function on a transport."""
        times: list[float] = []
        function = getattr(fakes, name)

        def looked(transport: fakes.FakeConnection) -> object:
            times.append(self.clock.seconds())
            return function(transport)

        self.patch(timeouts, name, looked)
        return times

    def test_due(self) -> None:
        """A connection is looked at for idleness when its last byte is one time-out old, not before."""
        times = self.looks("progressOf")
        counts = self.sweep(idle=60)
        connection = self.opened(counts)
        self.advance(10)
        connection.move(received=1)
        self.advance(50)
        connection.move(received=2)
        self.advance(60)
        self.assertEqual(connection.done, ["finish"])
        # At its first sweep; a time-out after its opening; after the first byte; after the second.
        self.assertEqual(times[:4], [1, 60, 70, 120])

    def test_debts(self) -> None:
        """All are asked for debts as often as the stall time-out requires; only debtors are looked at."""
        asked, looked = self.looks("owes"), self.looks("progressOf")
        counts = self.sweep(idle=60, stall=300)
        self.opened(counts)
        self.advance(20)
        self.assertEqual(asked, [5, 10, 15, 20])
        self.assertEqual(looked, [1])

    def test_neverAsked(self) -> None:
        """Without a stall time-out no connection is asked for debts."""
        asked = self.looks("owes")
        counts = self.sweep(idle=3)
        self.opened(counts).move(owed=1)
        self.advance(5)
        self.assertEqual(asked, [])

    def test_undated(self) -> None:
        """Where nothing dates the bytes, a change of any count or queue is activity, and nothing else."""
        counts = self.sweep(idle=3)
        moving = [self.opened(counts) for _ in range(5)]
        for each in moving:
            each.isDated = False
        for second in range(20):
            moving[0].move(received=second)
            moving[1].move(sent=second, owed=100)
            moving[2].move(unread=second)
            moving[3].move(owed=100 - second)
            self.advance(1)
            if second == 3:
                # Seen by the first sweep, and silent since.
                self.assertEqual(moving[4].done, ["finish"])
        self.assertEqual([each.done for each in moving[:4]], [[], [], [], []])

    def test_long(self) -> None:
        """A long time-out is exact to a thirtieth of itself."""
        counts = self.sweep(stall=300)
        stalled = self.opened(counts)
        self.advance(6)
        stalled.move(owed=5000)
        self.advance(299)
        self.assertEqual(stalled.done, [])
        self.advance(11)
        self.assertEqual(stalled.done, ["abort"])

    def test_endedMeanwhile(self) -> None:
        """A connection that ends between two batches is not looked at any more."""
        counts = self.sweep(idle=5)
        many = [self.opened(counts) for _ in range(BATCH + 1)]
        self.advance(4)
        self.clock.callLater(1, many[-1].end)
        self.clock.advance(1)
        self.assertEqual([len(each.done) for each in many], [1] * BATCH + [0])
