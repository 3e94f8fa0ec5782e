"""Many descriptors that are one to the reactor."""

from __future__ import annotations

import os
import socket
import struct
import weakref
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IHalfCloseableDescriptor,
    ILoggingContext,
    IReactorFDSet,
    IReadDescriptor,
)
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides
from zope.interface.verify import verifyObject

from echo_app.transport import poller as pollerModule
from echo_app.transport.poller import EVENTS, TURN, NestedPoller, pollerOf


class FakeReactor:
    """Remembers its readers."""

    def __init__(self) -> None:
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)


class FakeDescriptor:
    """A descriptor that does as a test says.

    :param sock: what it polls.
    :ivar reads: how often it was told to read.
    :ivar onRead: what it does then; the result is its own.
    :ivar ends: what it was told of its end, in order.
    """

    disconnecting = False

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.reads = self.writes = 0
        self.onRead: Callable[[], Any] = lambda: None
        self.onWrite: Callable[[], Any] = lambda: None
        self.ends: list[object] = []

    def fileno(self) -> int:
        return self.sock.fileno()

    def doRead(self) -> Any:
        self.reads += 1
        return self.onRead()

    def doWrite(self) -> Any:
        self.writes += 1
        return self.onWrite()

    def readConnectionLost(self, reason: Failure) -> None:
        self.ends.append(("read", reason.type))

    def connectionLost(self, reason: Failure) -> None:
        self.ends.append(reason.type)


class PollerTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.poller = NestedPoller(self.reactor)  # type: ignore[arg-type]
        self.peers: dict[FakeDescriptor, socket.socket] = {}

    def descriptor(self) -> FakeDescriptor:
        """Returns a descriptor that is read from, and has a peer."""
        ours, peer = socket.socketpair()
        for sock in (ours, peer):
            sock.setblocking(False)
            self.addCleanup(sock.close)
        descriptor = FakeDescriptor(ours)
        self.peers[descriptor] = peer
        self.poller.addReader(descriptor)
        self.addCleanup(self.poller.removeAll)
        return descriptor

    def send(self, *descriptors: FakeDescriptor) -> None:
        """Has something to read for each of them."""
        for descriptor in descriptors:
            self.peers[descriptor].send(b"x")

    def take(self, descriptor: FakeDescriptor) -> Callable[[], None]:
        """Returns what reads one byte."""

        def read() -> None:
            descriptor.sock.recv(1)

        return read


class MembershipTests(PollerTestCase):
    """When the reactor knows of it."""

    def test_interfaces(self) -> None:
        """A poller is a set of descriptors, and a descriptor."""
        for interface in (IReactorFDSet, IReadDescriptor, ILoggingContext):
            verifyObject(interface, self.poller)

    def test_firstAndLast(self) -> None:
        """A poller joins the reactor with its first descriptor, leaves with its last, and is closed."""
        before = len(os.listdir("/proc/self/fd"))
        self.assertEqual((self.reactor.readers, self.poller.fileno()), ([], -1))
        first, second = self.descriptor(), self.descriptor()
        self.assertEqual(self.reactor.readers, [self.poller])
        self.assertGreater(self.poller.fileno(), 0)
        self.poller.removeReader(first)
        self.assertEqual(self.reactor.readers, [self.poller])
        self.poller.removeReader(second)
        self.assertEqual((self.reactor.readers, self.poller.fileno()), ([], -1))
        self.assertEqual(len(os.listdir("/proc/self/fd")), before + 4)

    def test_lists(self) -> None:
        """A poller lists its readers and its writers, and lets go of all."""
        descriptor = self.descriptor()
        self.poller.addWriter(descriptor)
        self.assertEqual(self.poller.getReaders(), [descriptor])
        self.assertEqual(self.poller.getWriters(), [descriptor])
        self.poller.removeReader(descriptor)
        self.assertEqual((self.poller.getReaders(), self.poller.getWriters()), ([], [descriptor]))
        self.assertEqual(self.poller.removeAll(), [descriptor])
        self.assertEqual(self.poller.removeAll(), [])

    def test_twice(self) -> None:
        """To add or to remove twice is harmless."""
        descriptor = self.descriptor()
        self.poller.addReader(descriptor)
        self.poller.removeReader(descriptor)
        self.poller.removeReader(descriptor)
        self.poller.removeWriter(descriptor)
        self.assertEqual(self.reactor.readers, [])

    def test_repr(self) -> None:
        """A poller's repr shows its descriptors, as in trial's complaint about a dirty reactor."""
        self.assertIn("FakeDescriptor", repr([self.descriptor(), self.poller][1]))


class WatchTests(PollerTestCase):
    """A descriptor that waits for nothing but a reset."""

    def watched(self) -> tuple[FakeDescriptor, socket.socket]:
        """Returns a watched TCP connection, whose input is paused, and its peer."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            peer = socket.create_connection(listening.getsockname())
            ours, _ = listening.accept()
        for sock in (ours, peer):
            self.addCleanup(sock.close)
        descriptor = FakeDescriptor(ours)
        self.poller.addReader(descriptor)
        self.poller.addWatch(descriptor)
        self.addCleanup(self.poller.removeAll)
        self.poller.removeReader(descriptor)
        return descriptor, peer

    def test_reset(self) -> None:
        """A reset ends it; unread input before it does not wake anybody."""
        descriptor, peer = self.watched()
        peer.send(b"unread")
        self.poller.doRead()
        self.assertEqual((descriptor.reads, descriptor.ends), (0, []))
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        self.poller.doRead()
        self.assertEqual(descriptor.ends, [ConnectionLost])
        self.assertEqual(self.reactor.readers, [])

    def test_bothEnds(self) -> None:
        """The end of both sides is no reset, and is not told of again and again."""
        descriptor, peer = self.watched()
        peer.shutdown(socket.SHUT_WR)
        descriptor.sock.shutdown(socket.SHUT_WR)
        self.poller.doRead()
        self.poller.doRead()
        self.assertEqual((descriptor.reads, descriptor.writes, descriptor.ends), (0, 0, []))

    def test_readsAgain(self) -> None:
        """With its input resumed it is read as before: whatever is left is told of again."""
        descriptor, peer = self.watched()
        peer.send(b"two")
        self.poller.addReader(descriptor)
        self.poller.doRead()
        reads = descriptor.reads
        self.poller.doRead()
        self.assertGreater(descriptor.reads, reads > 0)


class SharedTests(SynchronousTestCase):
    """One poller for a reactor."""

    def test_shared(self) -> None:
        """A reactor has one poller while anything uses it, and another reactor another one."""
        first, second = (pollerOf(FakeReactor()) for _ in range(2))  # type: ignore[arg-type]
        self.assertIsNot(first, second)
        reactor: Any = FakeReactor()
        poller = pollerOf(reactor)
        self.assertIs(pollerOf(reactor), poller)
        gone = weakref.ref(poller)
        del poller
        self.assertIsNone(gone())


class EventTests(PollerTestCase):
    """Calls on the poller's descriptors."""

    def test_read(self) -> None:
        """A descriptor with input reads, and no other does."""
        ready, idle = self.descriptor(), self.descriptor()
        ready.onRead = self.take(ready)
        self.send(ready)
        self.poller.doRead()
        self.assertEqual((ready.reads, idle.reads), (1, 0))

    def test_readAndWrite(self) -> None:
        """A descriptor with input, and room to write, does both."""
        descriptor = self.descriptor()
        descriptor.onRead = self.take(descriptor)
        descriptor.onWrite = lambda: self.poller.removeWriter(descriptor)
        self.poller.addWriter(descriptor)
        self.send(descriptor)
        self.poller.doRead()
        self.assertEqual((descriptor.reads, descriptor.writes), (1, 1))

    def test_exception(self) -> None:
        """An exception is logged, and disconnects its descriptor alone."""
        failing, other = self.descriptor(), self.descriptor()

        def fail() -> None:
            raise RuntimeError("a protocol's mistake")

        failing.onRead = fail
        other.onRead = self.take(other)
        self.send(failing, other)
        self.poller.doRead()
        self.assertEqual((failing.ends, other.ends, other.reads), ([RuntimeError], [], 1))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_exceptionAtTheEnd(self) -> None:
        """A descriptor that fails at its end affects no other."""
        failing, other = self.descriptor(), self.descriptor()

        def fail(reason: Failure) -> None:
            raise RuntimeError("a protocol's mistake")

        failing.connectionLost = fail  # type: ignore[method-assign]
        failing.onRead = lambda: CONNECTION_LOST
        other.onRead = self.take(other)
        self.send(failing, other)
        self.poller.doRead()
        self.assertEqual((other.reads, self.poller.getReaders()), (1, [other]))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_end(self) -> None:
        """The end of the input ends a descriptor, or only its reading if it can be half-closed."""
        whole, half = self.descriptor(), self.descriptor()
        directlyProvides(half, IHalfCloseableDescriptor)
        for descriptor in (whole, half):
            descriptor.onRead = lambda: CONNECTION_DONE
            self.poller.addWriter(descriptor)
        self.send(whole, half)
        self.poller.doRead()
        self.assertEqual((whole.ends, half.ends), ([ConnectionDone], [("read", ConnectionDone)]))
        self.assertEqual((self.poller.getReaders(), self.poller.getWriters()), ([], [half]))

    def test_writeError(self) -> None:
        """An error of writing is the end."""
        descriptor = self.descriptor()
        descriptor.onWrite = lambda: CONNECTION_LOST
        self.poller.addWriter(descriptor)
        self.poller.doRead()
        self.assertEqual((descriptor.ends, self.reactor.readers), ([ConnectionLost], []))

    def test_gone(self) -> None:
        """The peer's leaving ends a descriptor that only writes; one that reads sees it by reading."""
        writing, reading = self.descriptor(), self.descriptor()
        self.poller.addWriter(writing)
        self.poller.removeReader(writing)
        reading.onRead = lambda: CONNECTION_DONE
        for descriptor in (writing, reading):
            self.peers[descriptor].close()
        self.poller.doRead()
        self.assertEqual((writing.ends, reading.ends), ([ConnectionLost], [ConnectionDone]))
        self.assertEqual((writing.writes, reading.reads), (0, 1))

    def test_goneAtTheEnd(self) -> None:
        """One that is closing says itself whether a peer that is gone is a loss."""
        sent, unsent, waiting = (self.descriptor() for _ in range(3))
        for descriptor, why in ((sent, CONNECTION_DONE), (unsent, CONNECTION_LOST), (waiting, None)):
            descriptor.disconnecting = True
            descriptor.onWrite = lambda why=why: why  # type: ignore[misc]
            self.poller.addWriter(descriptor)
            self.poller.removeReader(descriptor)
            self.peers[descriptor].close()
        self.poller.doRead()
        ends = [descriptor.ends for descriptor in (sent, unsent, waiting)]
        self.assertEqual(ends, [[ConnectionDone], [ConnectionLost], [ConnectionLost]])

    def test_shutdown(self) -> None:
        """The reactor's shutdown reaches all descriptors, also if one of them fails."""
        first, second = self.descriptor(), self.descriptor()

        def fail(reason: Failure) -> None:
            raise RuntimeError("a protocol's mistake")

        first.connectionLost = fail  # type: ignore[method-assign]
        self.poller.connectionLost(Failure(CONNECTION_LOST))
        self.assertEqual((second.ends, self.reactor.readers), ([ConnectionLost], []))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class BatchTests(PollerTestCase):
    """Calls on other descriptors in the midst of a batch."""

    def _pair(self) -> tuple[FakeDescriptor, FakeDescriptor]:
        """Returns two that are ready, in the order in which they are served."""
        first, second = self.descriptor(), self.descriptor()
        first.onRead, second.onRead = self.take(first), self.take(second)
        self.send(first, second)
        return first, second

    def test_closed(self) -> None:
        """A descriptor that another one closes is not touched."""
        first, second = self._pair()

        def close() -> None:
            first.sock.recv(1)
            self.poller.removeReader(second)
            second.sock.close()

        first.onRead = close
        self.poller.doRead()
        self.assertEqual((second.reads, second.ends), (0, []))

    def test_reused(self) -> None:
        """A new descriptor with a closed one's number is not told of the old one's events in the batch."""
        first, second = self._pair()
        self.peers[second].close()
        number = second.fileno()
        successors: list[FakeDescriptor] = []

        def replace() -> None:
            first.sock.recv(1)
            self.poller.removeReader(second)
            second.sock.close()
            spare = socket.socketpair()
            successor = FakeDescriptor(spare[0])
            if successor.fileno() != number:
                os.dup2(successor.fileno(), number)
                successor = FakeDescriptor(socket.socket(fileno=number))
            for sock in (*spare, successor.sock):
                self.addCleanup(sock.close)
            successors.append(successor)
            self.poller.addReader(successor)

        first.onRead = replace
        self.poller.doRead()
        (successor,) = successors
        self.assertEqual((successor.fileno(), successor.reads, successor.ends), (number, 0, []))
        self.assertEqual(self.poller.getReaders(), [first, successor])

    def test_paused(self) -> None:
        """A descriptor that another one pauses does not read, until it is resumed."""
        first, second = self._pair()

        def pause() -> None:
            first.sock.recv(1)
            self.poller.removeReader(second)

        first.onRead = pause
        self.poller.doRead()
        self.assertEqual(second.reads, 0)
        self.poller.addReader(second)
        self.poller.doRead()
        self.assertEqual(second.reads, 1)

    def test_pausedAndResumed(self) -> None:
        """A descriptor that is paused and resumed at once is served all the same."""
        first, second = self._pair()

        def toggle() -> None:
            first.sock.recv(1)
            self.poller.removeReader(second)
            self.poller.addReader(second)

        first.onRead = toggle
        self.poller.doRead()
        self.assertEqual(second.reads, 1)

    def test_everybodyCloses(self) -> None:
        """When the last one is closed, the batch ends, and so does the poller."""
        first, second = self._pair()

        def close() -> None:
            self.poller.removeAll()

        first.onRead = close
        self.poller.doRead()
        self.assertEqual((second.reads, self.reactor.readers, self.poller.fileno()), (0, [], -1))

    def test_closedBehindItsBack(self) -> None:
        """A descriptor that is closed unnoticed, while a duplicate lives on, is not seen again."""
        first, second = self._pair()
        duplicate = os.dup(first.fileno())
        self.addCleanup(os.close, duplicate)
        first.sock.close()
        first.onRead = lambda: CONNECTION_LOST
        self.poller.doRead()
        self.assertEqual((first.ends, second.reads), ([ConnectionLost], 1))
        reads = first.reads
        self.poller.doRead()
        self.assertEqual((first.reads, self.poller.getReaders()), (reads, [second]))
        self.assertEqual(self.reactor.readers, [self.poller])

    def test_bounded(self) -> None:
        """The reactor has its turn in time, and every descriptor is served, for any amount of input."""

        def clock() -> Iterator[float]:
            # Each look at the clock finds a quarter of the turn gone.
            return (number * TURN / 4 for number in count())

        self.patch(pollerModule, "monotonic", clock().__next__)
        busy = [self.descriptor() for _ in range(EVENTS * 2)]
        self.send(*busy)
        self.poller.doRead()
        self.assertEqual({descriptor.reads for descriptor in busy}, {2})
