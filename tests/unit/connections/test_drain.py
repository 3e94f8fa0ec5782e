"""A drain ends quiet connections, waits for busy ones, and aborts the rest in time."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from echo_app.connections import drain
from echo_app.connections.drain import Drain
from echo_app.connections.limits import Limits
from echo_app.connections.registry import ConnectionRegistry
from tests.support import fakes

ENDED = ["unregister", "end of stream"]


class DrainTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(drain, "progressOf", fakes.progressOf)
        self.clock = Clock()
        self.counts = ConnectionRegistry(Limits(drainTimeout=5), self.clock.seconds)

    def run_(self) -> Deferred[None]:
        """Starts a drain of the open connections."""
        self.drain = Drain(self.counts, self.clock)
        return self.drain.run()

    def advance(self, seconds: float) -> None:
        """Lets time pass in tenths of a second."""
        self.clock.pump([0.1] * round(seconds * 10))

    def test_nothing(self) -> None:
        """Without connections it is done at once, and leaves nothing in the reactor."""
        self.successResultOf(self.run_())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_quiet(self) -> None:
        """A quiet connection gets our end of stream after a second, and is closed after that."""
        quiet = fakes.FakeConnection(self.counts).open()
        done = self.run_()
        self.advance(0.9)
        self.assertEqual(quiet.done, [])
        self.advance(0.3)
        self.assertEqual(quiet.done, ENDED)
        self.advance(0.2)
        self.assertEqual(quiet.done, [*ENDED, "finish"])
        self.assertNoResult(done)
        quiet.end()
        self.successResultOf(done)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_receiving(self) -> None:
        """A connection on which something is received is not quiet, nor one that has input unread."""
        busy, unread = (fakes.FakeConnection(self.counts).open() for _ in range(2))
        self.run_()
        for step in range(40):
            busy.move(received=step // 8)
            unread.move(unread=1)
            self.advance(0.1)
        self.assertEqual([busy.done, unread.done], [[], []])

    def test_owed(self) -> None:
        """A connection that is owed bytes is busy; it is quiet when they are acknowledged."""
        owed = fakes.FakeConnection(self.counts).open()
        owed.move(owed=1)
        self.run_()
        self.advance(3)
        self.assertEqual(owed.done, [])
        owed.move(sent=1)
        self.advance(0.4)
        self.assertEqual(owed.done, ENDED)

    def test_emptied(self) -> None:
        """A connection is busy while the peer empties the kernel's queue: more may wait in the transport."""
        read = fakes.FakeConnection(self.counts).open()
        self.run_()
        for step in range(20):
            read.move(sent=step)
            self.advance(0.2)
        self.assertEqual(read.done, [])
        self.advance(0.2)
        self.assertEqual(read.done, ENDED)

    def test_heldBack(self) -> None:
        """A connection is busy with an answer under way, or bytes that are held back on purpose."""
        slow, held = (fakes.FakeConnection(self.counts).open() for _ in range(2))
        slow.pending = 1
        held.move(held=1)
        self.run_()
        self.advance(3)
        self.assertEqual([slow.done, held.done], [[], []])
        slow.pending = 0
        held.move(held=0)
        self.advance(0.2)
        self.assertEqual([slow.done, held.done], [ENDED, ENDED])

    def test_lingers(self) -> None:
        """While input comes after our end of stream, it is not closed: that would be a reset."""
        chatty = fakes.FakeConnection(self.counts).open()
        self.run_()
        self.advance(1.2)
        self.assertEqual(chatty.done, ENDED)
        for step in range(7):
            chatty.move(received=step + 1)
            self.advance(0.1)
        self.assertEqual(chatty.done, ENDED)
        self.advance(0.4)
        self.assertEqual(chatty.done, [*ENDED, "finish"])

    def test_lingersASecond(self) -> None:
        """A connection that goes on sending is aborted after a second, and counted."""
        chatty = fakes.FakeConnection(self.counts).open()
        done = self.run_()
        self.advance(1.2)
        for step in range(12):
            chatty.move(received=step + 1)
            self.advance(0.1)
        self.assertEqual(chatty.done, [*ENDED, "abort"])
        self.assertEqual(self.counts.aborted, 1)
        self.successResultOf(done)

    def test_deadline(self) -> None:
        """At the drain time-out the remaining connections are aborted, and counted once."""
        busy = [fakes.FakeConnection(self.counts).open() for _ in range(3)]
        for each in busy:
            each.move(owed=1)
        done = self.run_()
        self.advance(4.9)
        self.assertNoResult(done)
        self.advance(0.2)
        self.successResultOf(done)
        self.assertEqual([each.done for each in busy], [["abort"]] * 3)
        self.assertEqual(self.counts.aborted, 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_abort(self) -> None:
        """An abort ends the drain at once, also when its connections take a turn to end."""
        slow = fakes.FakeConnection(self.counts).open()
        slow.abortConnection = lambda: slow.done.append("abort")  # type: ignore[method-assign]
        done = self.run_()
        self.drain.abort()
        self.drain.abort()
        self.assertEqual(slow.done, ["abort"])
        self.assertEqual(self.counts.aborted, 1)
        self.assertNoResult(done)
        slow.end()
        self.successResultOf(done)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_tls(self) -> None:
        """Over TLS there is no half-close: the connection is closed, and not the one below it."""
        tls = fakes.FakeConnection(self.counts).open()
        directlyProvides(tls, ISSLTransport)
        self.run_()
        self.advance(1.2)
        self.assertEqual(tls.done, ["finish"])

    def test_withoutSocket(self) -> None:
        """A transport that can't be asked is taken for a quiet one."""
        other = fakes.FakeConnection(self.counts).open()
        other.progress = None
        self.run_()
        self.advance(1.4)
        self.assertEqual(other.done, [*ENDED, "finish"])

    def test_noDrain(self) -> None:
        """A drain time-out of 0 aborts at once."""
        self.counts.limits = Limits(drainTimeout=0)
        busy = fakes.FakeConnection(self.counts).open()
        self.successResultOf(self.run_())
        self.assertEqual(busy.done, ["abort"])
