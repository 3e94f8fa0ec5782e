"""Datagrams that go on to an upstream: sockets on loopback, read when the test says so, and its own clock."""

from __future__ import annotations

import errno
import socket
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from echo_app.forward import sessions as sessionsmodule
from echo_app.forward.datagrams import ForwardedDatagrams
from echo_app.forward.names import Names, SocketName
from echo_app.forward.session import BATCH
from echo_app.forward.sessions import HELD_BY_ONE, LOOK, Sessions
from echo_app.targets import parseTarget
from echo_app.transport import workqueue
from echo_app.udp.port import DatagramEndpoint
from echo_app.udp.protocol import DatagramRules
from tests.support.fakes import FakePort

HERE, THERE = ("192.0.2.1", 40_000), ("192.0.2.2", 40_000)


class FakeNames:
    """Answers look-ups when the test says so."""

    def __init__(self) -> None:
        self.asked: list[Deferred[list[SocketName]]] = []

    def look(self, host: str, port: int) -> Deferred[list[SocketName]]:
        self.asked.append(Deferred())
        return self.asked[-1]


class ForwardTestCase(SynchronousTestCase):
    """A port that is a fake, in front of an upstream that the test answers for."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.rules = DatagramRules(None, self.clock.seconds)
        self.reactor: Any = MemoryReactorClock()
        self.names = FakeNames()
        self.upstream = self.bound()

    def bound(self, host: str = "127.0.0.1", port: int = 0) -> socket.socket:
        """Returns a socket for datagrams, which does not block."""
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.bind((host, port))
        sock.setblocking(False)
        return sock

    def made(self) -> list[socket.socket]:
        """Returns a list of the sockets that are made from now on."""
        made: list[socket.socket] = []

        class Kept(socket.socket):
            def __init__(self, *arguments: Any, **settings: Any) -> None:
                super().__init__(*arguments, **settings)
                made.append(self)

        self.patch(socket, "socket", Kept)
        return made

    def start(self, target: str | None = None, **settings: Any) -> None:
        """Starts a port that forwards."""
        text = target or "127.0.0.1:{}"
        text = f"udp://{text.format(self.upstream.getsockname()[1])}"
        names = cast(Names, self.names)
        self.sessions = Sessions(self.reactor, self.clock, parseTarget(text), names=names, **settings)
        self.port, self.protocol = self.listen()

    def listen(self, number: int = 7007) -> tuple[FakePort, ForwardedDatagrams]:
        """Opens a port, which is closed at the test's end."""
        port: Any = FakePort(number)
        protocol = ForwardedDatagrams(self.sessions, self.rules)
        protocol.makeConnection(port)
        self.addCleanup(lambda: protocol.numPorts and protocol.doStop())
        return port, protocol

    def ask(self, datagram: bytes = b"hello", client: tuple[str, int] = HERE) -> None:
        """A client sends a datagram."""
        self.port.source = client
        self.protocol.datagramReceived(datagram, client)

    def turn(self) -> None:
        """The reactor reads once what can be read."""
        for reader in list(self.reactor.getReaders()):
            reader.doRead()

    def taken(self) -> list[tuple[bytes, tuple[str, int]]]:
        """Returns what the upstream has got, and from where."""
        got = []
        while True:
            try:
                got.append(self.upstream.recvfrom(65_535))
            except BlockingIOError:
                return got

    def datagrams(self) -> list[bytes]:
        """Returns what the upstream has got."""
        return [datagram for datagram, _ in self.taken()]

    def answer(self, *datagrams: bytes) -> None:
        """The upstream answers its oldest datagram."""
        _, session = self.upstream.recvfrom(65_535)
        for datagram in datagrams:
            self.upstream.sendto(datagram, session)

    def ended(self, **reasons: int) -> None:
        """Asserts why sessions have ended, and that each one is counted once."""
        self.assertEqual(self.sessions.ended, reasons)
        self.assertEqual(self.sessions.made, len(self.sessions) + self.sessions.ended.total())


class ForwardingTests(ForwardTestCase):
    def test_bothWays(self) -> None:
        """A datagram goes to the upstream, and each of its answers to the client, longer ones too."""
        self.start()
        self.ask()
        self.answer(b"one", b"longer than the request", b"")
        self.turn()
        self.assertEqual(self.port.sent, [(b"one", HERE), (b"longer than the request", HERE), (b"", HERE)])
        self.assertEqual((self.sessions.sent, self.sessions.received, self.rules.answered), (1, 3, 3))

    def test_sizes(self) -> None:
        """Datagrams of every size pass whole, the empty and the largest ones, both ways."""
        self.start()
        for size in (0, 1, 1472, 8193, 65_507):
            data = b"x" * size
            self.ask(data)
            self.answer(data)
            self.turn()
            self.assertEqual(self.port.sent.pop(), (data, HERE))
        self.assertEqual(len(self.sessions), 1)

    def test_sessionOfEachClient(self) -> None:
        """Each client has a source of its own at the upstream, also behind two ports of the service."""
        self.start()
        self.ask(b"a")
        self.ask(b"b", THERE)
        self.ask(b"c")
        self.ask(b"d", (HERE[0], HERE[1] + 1))
        other, protocol = self.listen(7008)
        protocol.datagramReceived(b"e", HERE)
        sources = dict(self.taken())
        self.assertEqual(sources[b"a"], sources[b"c"])
        self.assertEqual(len({*sources.values()}), 4)
        for data, source in sources.items():
            self.upstream.sendto(data.upper(), source)
        self.turn()
        self.assertEqual(
            dict(self.port.sent), {b"A": HERE, b"B": THERE, b"C": HERE, b"D": (HERE[0], HERE[1] + 1)}
        )
        self.assertEqual(other.sent, [(b"E", HERE)])

    def test_rules(self) -> None:
        """A datagram that the rules refuse begins no session."""
        self.start()
        self.ask(client=(HERE[0], 53))
        self.ask(client=(HERE[0], 7007))
        self.assertEqual((len(self.sessions), self.datagrams()), (0, []))
        self.assertEqual(self.rules.dropped.byReason, {"server-port": 1, "own-port": 1})

    def test_itself(self) -> None:
        """A datagram from a session's own socket begins no session: the upstream is the service."""
        self.start()
        self.ask()
        _, (host, port) = self.taken()[0]
        self.ask(client=(host, port))
        self.ask(client=("::ffff:" + host, port))
        self.assertEqual((len(self.sessions), self.rules.dropped.byReason), (1, {"own-port": 2}))
        self.clock.advance(61)
        self.ask(client=(host, port))
        self.assertEqual(len(self.sessions), 1)

    def test_otherSource(self) -> None:
        """A datagram from anywhere but the upstream's address and port does not reach a client."""
        self.start()
        self.ask()
        _, session = self.taken()[0]
        self.bound().sendto(b"forged", session)
        self.turn()
        self.assertEqual((self.port.sent, self.sessions.received), ([], 0))

    def test_batch(self) -> None:
        """One session gets a batch of answers in a turn, or some of the large ones."""
        self.start()
        self.ask()
        _, session = self.taken()[0]
        (poller,) = self.reactor.getReaders()
        reader = poller.getReaders()[0]
        for _ in range(BATCH + 1):
            self.upstream.sendto(b"", session)
        reader.doRead()
        self.assertEqual(len(self.port.sent), BATCH)
        reader.doRead()
        self.assertEqual(len(self.port.sent), BATCH + 1)
        for _ in range(3):
            self.upstream.sendto(bytes(40_000), session)
        reader.doRead()
        self.assertEqual(len(self.port.sent), BATCH + 3)

    def test_unsendable(self) -> None:
        """An answer that the port can't send is counted."""
        self.start()
        self.port.error = OSError("no route")
        self.ask()
        self.answer(b"answer")
        self.turn()
        self.assertEqual((self.rules.answered, self.rules.dropped.byReason), (0, {"unsendable": 1}))
        self.assertEqual((self.sessions.received, len(self.sessions)), (1, 1))

    def test_tooLong(self) -> None:
        """A datagram that is too long for the upstream's family is counted, and the session goes on."""
        self.start()
        self.ask(bytes(65_508))
        self.ask(b"next")
        self.assertEqual(self.datagrams(), [b"next"])
        self.assertEqual((self.rules.dropped.byReason, self.sessions.sent), ({"unsendable": 1}, 1))

    def test_otherKind(self) -> None:
        """Only a target for datagrams is taken."""
        for text in ("tcp://127.0.0.1:1", "unix:///x"):
            self.assertRaises(ValueError, Sessions, self.reactor, self.clock, parseTarget(text))

    def test_failing(self) -> None:
        """A reply that raises ends its session, and no other one."""
        self.start()
        self.ask()
        self.ask(client=THERE)
        self.port.error = ZeroDivisionError()
        self.answer(b"answer")
        self.turn()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.ended(lost=1)


class EndTests(ForwardTestCase):
    def test_timeout(self) -> None:
        """A session ends when neither side has sent for the time-out, and the next datagram begins one."""
        self.start(timeout=60)
        self.ask()
        self.clock.advance(40)
        self.answer(b"late")
        self.turn()
        self.assertEqual(len(self.port.sent), 1)
        self.clock.advance(40)
        self.ask()
        self.clock.advance(59.9)
        self.assertEqual(len(self.sessions), 1)
        self.clock.advance(0.1 + LOOK)
        self.ended(timeout=1)
        self.assertEqual(self.reactor.getReaders(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.ask()
        self.assertEqual((self.sessions.made, len(self.sessions)), (2, 1))

    def test_eachAtItsTime(self) -> None:
        """Each session ends at its own time, no more than a look late, and there is one call for all."""
        self.start(timeout=10)
        for number in range(30):
            self.ask(client=(HERE[0], 40_000 + number))
            self.clock.advance(0.1)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        while self.clock.seconds() < 13.5:
            now = self.clock.seconds()
            late = sum(began * 0.1 + 10 + LOOK < now - 1e-6 for began in range(30))
            due = sum(began * 0.1 + 10 <= now + 1e-6 for began in range(30))
            self.assertTrue(late <= self.sessions.ended["timeout"] <= due, now)
            self.clock.advance(0.05)
        self.ended(timeout=30)

    def test_manyAtOnce(self) -> None:
        """Many sessions end in slices, between which the reactor has its turns."""
        self.patch(sessionsmodule, "ENDS", 10)
        callLater = self.clock.callLater
        self.patch(self.clock, "callLater", lambda delay, call: callLater(max(delay, 0.001), call))
        self.start(timeout=10)
        for number in range(25):
            self.ask(client=(HERE[0], 40_000 + number))
        self.clock.advance(10)
        self.ended(timeout=10)
        self.clock.advance(0.001)
        self.ended(timeout=20)
        self.clock.advance(0.001)
        self.ended(timeout=25)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_late(self) -> None:
        """An answer after the session's end reaches nobody."""
        self.start(timeout=10)
        self.ask()
        self.clock.advance(11)
        self.answer(b"late")
        self.turn()
        self.assertEqual(self.port.sent, [])

    def test_most(self) -> None:
        """One session too many ends the one that was silent longest."""
        self.start(most=3)
        clients = [(HERE[0], 40_000 + number) for number in range(4)]
        for client in clients[:3]:
            self.ask(b"%d" % client[1], client)
        self.answer(b"answer")
        self.turn()
        self.taken()
        self.ask(b"new", clients[3])
        self.ended(evicted=1)
        self.ask(b"0", clients[0])
        self.ask(b"2", clients[2])
        self.ended(evicted=1)
        self.ask(b"1", clients[1])
        self.ended(evicted=2)

    def test_stop(self) -> None:
        """A port that stops ends its sessions, with their sockets and the time-out, and no others."""
        self.start()
        self.ask()
        self.ask(client=THERE)
        _, other = self.listen(7008)
        other.datagramReceived(b"", HERE)
        self.protocol.doStop()
        self.ended(closed=2)
        self.assertEqual(len(self.sessions), 1)
        other.doStop()
        self.ended(closed=3)
        self.assertEqual((self.reactor.getReaders(), self.clock.getDelayedCalls()), ([], []))

    def test_shutdown(self) -> None:
        """A reactor that disconnects everything ends the sessions."""
        self.start()
        self.ask()
        (poller,) = self.reactor.getReaders()
        poller.connectionLost(Failure(CONNECTION_LOST))
        self.ended(lost=1)


class UnreachableTests(ForwardTestCase):
    def test_refused(self) -> None:
        """An upstream that does not listen is counted, when it is asked again and when it is read."""
        self.start()
        self.upstream.close()
        self.ask()
        self.turn()
        self.assertEqual(self.sessions.unreachable.byReason, {"refused": 1})
        self.ask()
        self.ask()
        self.assertEqual(self.sessions.unreachable.byReason, {"refused": 2})
        self.turn()
        self.assertEqual(self.sessions.unreachable.byReason, {"refused": 3})
        self.assertEqual((self.sessions.sent, self.port.sent, len(self.sessions)), (3, [], 1))

    def test_back(self) -> None:
        """The datagram after a refusal is not lost: an upstream that is back gets it, in the same session."""
        self.start()
        name = self.upstream.getsockname()
        self.upstream.close()
        self.ask()
        self.upstream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.upstream.close)
        self.upstream.bind(name)
        self.ask(b"again")
        self.answer(b"answer")
        self.turn()
        self.assertEqual((self.port.sent, self.sessions.made), ([(b"answer", HERE)], 1))

    def test_noRoute(self) -> None:
        """An upstream without a route ends the session, with the error."""
        self.start("255.255.255.255:{}")
        made = self.made()
        self.ask()
        self.assertEqual([each.fileno() for each in made], [-1])
        self.ended(unreachable=1)
        self.assertEqual(self.sessions.failures.byReason, {"unreachable": 1})
        self.assertEqual(self.rules.dropped.byReason, {"upstream": 1})

    def test_noScope(self) -> None:
        """A scope that is no interface ends the session."""
        self.start("[fe80::1%nowhere]:{}")
        self.ask()
        self.ended(unresolved=1)

    def test_descriptors(self) -> None:
        """A socket that can't be made ends the session, and the next datagram tries again."""
        self.start()
        error = OSError(errno.EMFILE, "no more")

        def fail(*_: object) -> None:
            raise error

        patch = self.patch(socket, "socket", fail)
        self.ask()
        self.ended(descriptors=1)
        self.assertEqual(self.rules.dropped.byReason, {"upstream": 1})
        patch.restore()
        self.ask()
        self.assertEqual(self.datagrams(), [b"hello"])

    def test_descriptorLimit(self) -> None:
        """The last descriptors of the process stay free."""
        self.start(descriptorLimit=self.upstream.fileno() + 10)
        self.ask()
        self.ended(descriptors=1)

    def test_poller(self) -> None:
        """A poller that can't take a socket ends the session, whose socket is closed."""
        self.start()
        made = self.made()

        def fail(_: object) -> None:
            raise OSError(errno.EMFILE, "no more")

        self.patch(self.sessions.poller, "addReader", fail)
        self.ask()
        self.ended(descriptors=1)
        self.assertEqual([each.fileno() for each in made], [-1])


class NameTests(ForwardTestCase):
    """An upstream with a name."""

    def setUp(self) -> None:
        super().setUp()
        self.start("upstream.example:{}")

    def found(self, *hosts: str) -> None:
        """Answers the last look-up."""
        port = self.upstream.getsockname()[1]
        names = [(int(socket.AF_INET6 if ":" in host else socket.AF_INET), (host, port)) for host in hosts]
        self.names.asked[-1].callback(names)

    def test_waits(self) -> None:
        """What comes during a look-up waits for it, in its order, and sessions share the look-up."""
        self.ask(b"a")
        self.ask(b"b", THERE)
        self.ask(b"c")
        self.assertEqual((len(self.names.asked), self.datagrams()), (1, []))
        self.found("127.0.0.1")
        got = self.taken()
        self.assertEqual([data for data, _ in got], [b"a", b"c", b"b"])
        self.assertEqual(len({source for _, source in got}), 2)

    def test_eachSession(self) -> None:
        """Each new session looks the name up again, and an open one does not."""
        self.ask()
        self.found("127.0.0.1")
        self.ask()
        self.assertEqual(len(self.names.asked), 1)
        self.ask(client=THERE)
        self.assertEqual(len(self.names.asked), 2)

    def test_unresolved(self) -> None:
        """A name without an address ends the sessions that wait; the next datagram asks again."""
        self.ask()
        self.ask(client=THERE)
        self.names.asked[-1].errback(DNSLookupError("no"))
        self.ended(unresolved=2)
        self.assertEqual(self.rules.dropped.byReason, {"upstream": 2})
        self.ask()
        self.assertEqual(len(self.names.asked), 2)

    def test_bug(self) -> None:
        """A look-up that fails in another way is logged."""
        self.ask()
        self.names.asked[-1].errback(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.ended(unresolved=1)

    def test_bounded(self) -> None:
        """A session holds so many datagrams, and all sessions so many, and so many bytes."""
        for _ in range(HELD_BY_ONE + 2):
            self.ask()
        self.assertEqual(self.rules.dropped.byReason, {"look-up": 2})
        self.found("127.0.0.1")
        self.assertEqual(len(self.datagrams()), HELD_BY_ONE)
        self.patch(sessionsmodule, "HELD_BYTES", 100)
        self.ask(bytes(60), THERE)
        self.ask(bytes(60), THERE)
        self.ask(bytes(40), THERE)
        self.assertEqual(self.rules.dropped.byReason, {"look-up": 3})
        self.found("127.0.0.1")
        self.assertEqual(len(self.datagrams()), 2)
        self.patch(sessionsmodule, "HELD", 2)
        for number in range(3):
            self.ask(b"", ("192.0.2.3", 40_000 + number))
        self.assertEqual(self.rules.dropped.byReason, {"look-up": 4})

    def test_endsWaiting(self) -> None:
        """A session that waits can end, by each reason, and gives its room back; the answer finds it gone."""
        self.patch(sessionsmodule, "HELD", 1)
        self.ask()
        self.clock.advance(61)
        self.ended(timeout=1)
        self.ask()
        self.protocol.doStop()
        self.ended(timeout=1, closed=1)
        self.assertEqual(self.rules.dropped.byReason, {"upstream": 2})
        self.assertEqual(len(self.names.asked), 1)
        self.found("127.0.0.1")
        self.assertEqual((self.datagrams(), self.reactor.getReaders()), ([], []))

    def test_keepsNothing(self) -> None:
        """Sessions that end during a long look-up leave nothing behind."""
        for _ in range(10):
            self.ask()
            self.clock.advance(61)
        self.assertEqual(len(self.sessions._unresolved), 0)
        self.assertEqual(self.sessions._held, 0)

    def test_slices(self) -> None:
        """The sessions that waited are connected in slices, before which one may end."""
        self.patch(workqueue, "SLICE", 0)
        self.ask()
        self.ask(client=THERE)
        self.found("127.0.0.1")
        self.assertEqual(self.datagrams(), [])
        self.ask(b"more")
        self.sessions.end(next(iter(self.sessions._sessions.values())), "closed")
        self.patch(workqueue, "SLICE", 1)
        self.clock.advance(0)
        self.assertEqual(self.datagrams(), [b"hello", b"more"])
        self.assertEqual(len(self.sessions.poller.getReaders()), 1)

    def test_nextFamily(self) -> None:
        """An address without a route falls to the next one."""
        self.ask()
        self.found("255.255.255.255", "127.0.0.1")
        self.assertEqual(self.datagrams(), [b"hello"])
        self.assertEqual(self.sessions.unreachable.byReason, {})

    def test_noFamily(self) -> None:
        """A name whose addresses have no route, or that has none, ends the session."""
        self.ask()
        self.found("255.255.255.255")
        self.ask()
        self.found()
        self.ended(unreachable=2)

    def test_refusedFirst(self) -> None:
        """An address that refuses falls to the next one before any answer, and no datagram is lost."""
        self.ask(b"a")
        self.ask(b"b")
        self.found("127.0.0.3", "127.0.0.1")
        self.ask(b"c")
        got = self.taken()
        self.assertEqual([data for data, _ in got], [b"a", b"b", b"c"])
        self.assertEqual(self.sessions.unreachable.byReason, {"refused": 1})
        self.assertEqual(self.sessions._own, {got[0][1]})
        self.upstream.sendto(b"answer", got[0][1])
        self.turn()
        self.assertEqual(self.port.sent, [(b"answer", HERE)])
        self.assertEqual((self.sessions.made, self.sessions.sent), (1, 3))

    def test_refusedLater(self) -> None:
        """An address that has answered is kept when it refuses."""
        other = self.bound("127.0.0.2", self.upstream.getsockname()[1])
        self.ask()
        self.found("127.0.0.1", "127.0.0.2")
        self.answer(b"answer")
        self.turn()
        self.upstream.close()
        self.ask()
        self.ask()
        self.assertEqual(self.sessions.unreachable.byReason, {"refused": 1})
        self.assertRaises(BlockingIOError, other.recv, 1)

    def test_noAddressLeft(self) -> None:
        """When every address refuses, the last one that has a route is kept."""
        name = self.upstream.getsockname()
        self.ask()
        self.upstream.close()
        self.names.asked[-1].callback(
            [(int(socket.AF_INET), (host, name[1])) for host in ("127.0.0.1", "127.0.0.2", "255.255.255.255")]
        )
        self.ask()
        self.assertEqual(len(self.sessions), 1)
        self.assertGreaterEqual(self.sessions.unreachable.byReason["refused"], 2)


class OwnAddressTests(ForwardTestCase):
    """Our own port: the answer leaves from the address that was asked."""

    def test_addresses(self) -> None:
        """A client that asks two of our addresses has two sessions, and each answer its own source."""
        self.start()
        endpoint = DatagramEndpoint(self.reactor, 0, "0.0.0.0")
        port: Any = endpoint.listen(ForwardedDatagrams(self.sessions, self.rules))
        self.addCleanup(port.connectionLost)
        client = self.bound()
        number = port.getHost().port
        for host in ("127.0.0.2", "127.0.0.3", "127.0.0.2"):
            client.sendto(host.encode(), (host, number))
        port.doRead()
        got = self.taken()
        self.assertEqual((len(got), len(self.sessions)), (3, 2))
        for data, session in reversed(got):
            self.upstream.sendto(data, session)
        for reader in self.sessions.poller.getReaders():
            reader.doRead()
        answers = [client.recvfrom(100) for _ in range(3)]
        self.assertEqual([(data.decode(), number) for data, _ in answers], [source for _, source in answers])
