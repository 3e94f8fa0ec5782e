"""Accepting connections: a second class runs the same over Twisted's own way, so that it is no dialect."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet import tcp
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from echo_app.transport import acceptor
from echo_app.transport.acceptor import MAX_WAITING, TURN
from echo_app.transport.direct import direct
from echo_app.transport.workqueue import WorkQueue

# struct linger: closing resets.
RESETTING = b"\1\0\0\0\0\0\0\0"


class TurnedReactor(Clock):
    """A reactor that has its turn when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []
        self.addWriter = self.removeWriter = lambda writer: None

    def addReader(self, reader: Any) -> None:
        if reader not in self.readers:
            self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        if reader in self.readers:
            self.readers.remove(reader)

    def getReaders(self) -> list[Any]:
        return list(self.readers)

    def turn(self) -> None:
        """Has every reader read, whether there is anything or not."""
        for reader in self.getReaders():
            why = reader.doRead()
            if why:
                self.removeReader(reader)
                reader.connectionLost(Failure(why))


class Answering(Protocol):
    """Echoes, and remembers what became of it."""

    transport: Any

    def __init__(self) -> None:
        self.ends: list[Any] = []

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ends.append(reason.type)


class ServingFactory(Factory):
    """Remembers what it was asked for, and makes what a test says.

    :ivar onBuild: is told the number of the connection before; it may raise, or return what is made.
    """

    noisy = False

    def __init__(self) -> None:
        self.addresses: list[Any] = []
        self.protocols: list[Answering] = []
        self.onBuild: Callable[[int], Any] = lambda number: Answering()

    def buildProtocol(self, addr: Any) -> Any:
        self.addresses.append(addr)
        protocol = self.onBuild(len(self.addresses) - 1)
        if protocol is not None:
            self.protocols.append(protocol)
        return protocol


class AcceptorTests(SynchronousTestCase):
    """A port on loopback that takes the direct path."""

    def setUp(self) -> None:
        # A busy machine ends no batch.
        self.patch(acceptor, "monotonic", lambda: 0.0)
        self.reactor = TurnedReactor()
        self.factory = ServingFactory()
        self.port: Any = self.listen("127.0.0.1")

    def prepare(self, port: tcp.Port) -> None:
        """Makes the port what is tested."""
        self.assertTrue(direct(port))

    def listen(self, interface: str) -> tcp.Port:
        """Opens a port that is closed at the end of the test, with its connections."""
        port = tcp.Port(0, self.factory, 200, interface, self.reactor)
        port.startListening()
        self.prepare(port)

        def close() -> None:
            for protocol in self.factory.protocols:
                if not protocol.ends:
                    protocol.transport.connectionLost(connectionDone)
            port.stopListening()
            self.reactor.advance(0)

        self.addCleanup(close)
        return port

    def connect(self, count: int) -> list[socket.socket]:
        """Returns peers that wait to be accepted, in their order."""
        peers = [socket.socket(self.port.addressFamily) for _ in range(count)]
        for peer in peers:
            self.addCleanup(peer.close)
            peer.settimeout(10)
            peer.connect(self.port.socket.getsockname())
        return peers

    def assertServed(self, *peers: socket.socket) -> None:
        """Asserts that each of them gets an echo."""
        for peer in peers:
            peer.send(b"?")
        self.reactor.turn()
        # Twisted's own transports, which wait for their turn to write.
        for protocol in self.factory.protocols:
            if not protocol.ends:
                protocol.transport.doWrite()
        self.assertEqual([peer.recv(2) for peer in peers], [b"?"] * len(peers))

    def test_batch(self) -> None:
        """Waiting connections are accepted in one turn, in their order, each with its address and number."""
        peers = self.connect(5)
        self.reactor.turn()
        self.assertEqual(self.factory.addresses, [IPv4Address("TCP", *peer.getsockname()) for peer in peers])
        transports = [protocol.transport for protocol in self.factory.protocols]
        self.assertEqual([each.sessionno for each in transports], [0, 1, 2, 3, 4])
        self.assertEqual([each.getPeer() for each in transports], self.factory.addresses)
        self.assertEqual({each.getHost() for each in transports}, {self.port.getHost()})
        self.assertServed(*peers)

    def test_howMany(self) -> None:
        """A turn accepts a hundred at first, then as many as the last one; twenty more after a full one."""
        self.assertEqual(self.port.numberAccepts, 100)
        for count, accepted, most in ((3, 3, 3), (2, 2, 2), (5, 2, 22), (0, 3, 3), (0, 0, 1), (1, 1, 21)):
            before = len(self.factory.addresses)
            self.connect(count)
            self.port.doRead()
            self.assertEqual(len(self.factory.addresses) - before, accepted)
            self.assertEqual(self.port.numberAccepts, most)

    def test_gone(self) -> None:
        """A peer that has reset its connection before it is accepted does no harm."""
        gone, peer = self.connect(2)
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
        gone.close()
        self.reactor.turn()
        self.reactor.turn()
        self.assertIn(self.factory.protocols[0].ends, ([ConnectionDone], [ConnectionLost]))
        self.assertServed(peer)

    def test_refused(self) -> None:
        """A peer for which the factory makes no protocol is closed, and has no number."""
        self.factory.onBuild = lambda number: Answering() if number else None
        refused, peer = self.connect(2)
        self.reactor.turn()
        self.assertEqual(refused.recv(1), b"")
        self.assertEqual(self.factory.protocols[0].transport.sessionno, 0)
        self.assertServed(peer)

    def test_exception(self) -> None:
        """A factory's exception is logged, and the other waiting peers are accepted by the next turn."""

        def fail(number: int) -> Any:
            if number == 1:
                raise RuntimeError("a factory's mistake")
            return Answering()

        self.factory.onBuild = fail
        peers = self.connect(3)
        self.reactor.turn()
        self.reactor.turn()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertServed(peers[0], peers[2])

    def test_stopped(self) -> None:
        """A port that is stopped in the midst of a batch serves what it has accepted, and no more."""

        def stop(number: int) -> Any:
            if number == 1:
                self.port.stopListening()
            return Answering()

        self.factory.onBuild = stop
        peers = self.connect(3)
        self.reactor.turn()
        self.reactor.advance(0)
        self.assertFalse(self.port.connected)
        self.assertServed(*peers)

    def test_closed(self) -> None:
        """A port that is closed in the midst of a batch is logged, and does no other harm."""

        def close(number: int) -> Any:
            self.port.connectionLost(connectionDone)
            return Answering()

        self.factory.onBuild = close
        peer, _ = self.connect(2)
        self.reactor.turn()
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.assertServed(peer)

    def test_paused(self) -> None:
        """A paused port accepts no connection until it is resumed."""
        self.port.pauseProducing()
        peers = self.connect(2)
        self.reactor.turn()
        self.assertEqual(self.factory.protocols, [])
        self.port.resumeProducing()
        self.reactor.turn()
        self.assertServed(*peers)

    def test_descriptorsRunOut(self) -> None:
        """A peer above the limit of descriptors is reset; served peers stay, and later ones are served."""
        peers = self.connect(6)
        with descriptorsLeft(3):
            # A connection takes one, and before the first one a poller's epoll may, too.
            self.reactor.turn()
        inside = len(self.factory.protocols)
        self.assertIn(inside, (2, 3))
        self.assertEqual([peer.recv(1) for peer in peers[inside:]], [b""] * (6 - inside))
        self.assertServed(*peers[:inside])
        (late,) = self.connect(1)
        self.reactor.turn()
        self.assertServed(late)

    def test_ipv6(self) -> None:
        """IPv6 peers have their addresses."""
        self.port = self.listen("::1")
        (peer,) = self.connect(1)
        self.reactor.turn()
        self.assertEqual(self.factory.addresses, [IPv6Address("TCP", *peer.getsockname())])
        self.assertEqual(self.factory.protocols[0].transport.getPeer(), self.factory.addresses[0])

    def test_scope(self) -> None:
        """A link-local peer's address has its scope, as text and as number."""
        with open("/proc/net/if_inet6") as file:
            found = [line.split() for line in file if line.startswith("fe80")]
        if not found:
            self.skipTest("no link-local address here")
        literal = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(found[0][0]))
        self.port = self.listen(f"{literal}%{found[0][5]}")
        self.connect(1)
        self.reactor.turn()
        self.assertEqual(self.factory.addresses[0].host, f"{literal}%{found[0][5]}")
        self.assertEqual(self.factory.addresses[0].scopeID, int(found[0][1], 16))

    def test_shutdown(self) -> None:
        """The reactor's shutdown closes the port and its connections, and leaves nothing open."""
        before = len(os.listdir("/proc/self/fd"))
        peers = self.connect(2)
        self.reactor.turn()
        for reader in self.reactor.getReaders():
            self.reactor.removeReader(reader)
            reader.connectionLost(connectionDone)
        self.assertEqual([protocol.ends for protocol in self.factory.protocols], [[ConnectionDone]] * 2)
        self.assertEqual((self.port.connected, self.reactor.readers), (False, []))
        for peer in peers:
            self.assertEqual(peer.recv(1), b"")
            peer.close()
        self.assertLess(len(os.listdir("/proc/self/fd")), before)


class InheritedTests(AcceptorTests):
    """The tests of the port on Twisted's own accept."""

    def prepare(self, port: tcp.Port) -> None:
        """Leaves it as it is."""


class SlowTests(AcceptorTests):
    """The tests of the port under a clock that the test moves."""

    def setUp(self) -> None:
        super().setUp()
        self.now = 0.0
        self.patch(acceptor, "monotonic", lambda: self.now)

    def test_turn(self) -> None:
        """A flood of connections is accepted in batches that leave other connections their turn."""

        def slowly(number: int) -> Any:
            self.now += TURN / 3
            return Answering()

        self.factory.onBuild = slowly
        peers = self.connect(7)
        for accepted in (3, 6, 7):
            self.port.doRead()
            self.assertEqual(len(self.factory.addresses), accepted)
        self.assertServed(*peers)

    def test_one(self) -> None:
        """A connection that takes longer than a turn is accepted."""

        def slowly(number: int) -> Any:
            self.now += 2 * TURN
            return Answering()

        self.factory.onBuild = slowly
        peers = self.connect(2)
        for accepted in (1, 2):
            self.port.doRead()
            self.assertEqual(len(self.factory.addresses), accepted)
        self.assertServed(*peers)


class BusyTests(AcceptorTests):
    """The tests of the port whose factory has a work queue."""

    def setUp(self) -> None:
        super().setUp()
        self.queue = WorkQueue(self.reactor)
        self.factory.workQueue = self.queue  # type: ignore[attr-defined]

    def fill(self) -> None:
        for _ in range(MAX_WAITING):
            self.queue.add(lambda: None)

    def test_full(self) -> None:
        """With a full queue the port accepts no more, until the work that waits is done."""
        peers = self.connect(1)
        self.fill()
        self.reactor.turn()
        peers += self.connect(1)
        self.reactor.turn()
        self.assertEqual(len(self.factory.addresses), 1)
        self.reactor.advance(0)
        self.reactor.turn()
        self.assertEqual(len(self.factory.addresses), 2)
        self.assertServed(*peers)

    def test_stoppedMeanwhile(self) -> None:
        """A port that is closed, or shut down for a while, does not read again."""
        for stop in (self.port.stopListening, lambda: self.port.socket.shutdown(socket.SHUT_RD)):
            self.fill()
            self.port.doRead()
            stop()
            before = self.reactor.getReaders()
            self.reactor.advance(0)
            self.assertEqual([each for each in self.reactor.getReaders() if each not in before], [])
            self.port = self.listen("127.0.0.1")


class DirectPortTests(SynchronousTestCase):
    """Effects on the port itself."""

    def setUp(self) -> None:
        self.reactor = TurnedReactor()

    def test_notListening(self) -> None:
        """A port that does not listen, or is paused, does not begin to read."""
        port: Any = tcp.Port(0, ServingFactory(), 5, "127.0.0.1", self.reactor)
        self.assertTrue(direct(port))
        self.assertEqual(self.reactor.readers, [])
        port.startListening()
        self.assertEqual(len(self.reactor.readers), 1)
        port.stopListening()
        self.assertEqual(self.reactor.readers, [])
        self.reactor.advance(0)

    def test_derived(self) -> None:
        """A port of a user's own class accepts in its own way."""

        class Port(tcp.Port):
            def doRead(self) -> None:
                reads.append(self)

        reads: list[Any] = []
        port = Port(0, ServingFactory(), 5, "127.0.0.1", self.reactor)
        port.startListening()
        self.assertTrue(direct(port))
        with socket.create_connection(port.socket.getsockname()):
            (poller,) = self.reactor.readers
            poller.doRead()
        self.assertIs(reads[0], port)
        port.stopListening()
        self.reactor.advance(0)


@contextmanager
def descriptorsLeft(count: int) -> Iterator[None]:
    """No more than so many descriptors can be opened inside."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    taken = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + count + 1, hard))
    try:
        try:
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            for _ in range(count):
                os.close(taken.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in taken:
            os.close(fd)
