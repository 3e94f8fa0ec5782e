"""Streams and datagrams that a responder answers: order, limits, and ends."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer, ISSLTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides
from zope.interface.verify import verifyObject

from echo_app.responders.answering import (
    MAX_DATAGRAMS,
    MAX_OWED,
    AnsweringDatagramProtocol,
    AnsweringProtocol,
)
from echo_app.responders.answers import Answers
from echo_app.responders.framing import BadRequest, lengthPrefixed
from echo_app.transport.closing import LINGER
from echo_app.transport.workqueue import SLICE
from echo_app.udp.protocol import DatagramRules
from tests.support.fakes import TurnClock
from tests.support.properties import given
from tests.unit.stream.test_protocol import HIGH_WATER


class PeerTransport(StringTransport):
    """A transport whose sides end independently, and that holds what is written until the test drains it.

    :ivar held: bytes that are not sent yet.
    :ivar done: what ended, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.protocol: Any = None
        self.held = 0
        self.done: list[str] = []

    def write(self, data: bytes) -> None:
        super().write(data)
        self.held += len(data)
        if self.held > HIGH_WATER and self.producer is not None:
            self.producer.pauseProducing()

    def drain(self) -> None:
        """Sends everything."""
        self.held = 0
        if self.producer is not None and self.producerState == "paused":
            self.producer.resumeProducing()

    def loseWriteConnection(self) -> None:
        self.done.append("write")

    def loseConnection(self) -> None:
        self.done.append("close")
        super().loseConnection()

    def abortConnection(self) -> None:
        self.done.append("abort")


class Later:
    """A responder that answers when a test says so.

    :ivar asked: the requests, in order.
    :ivar cancelled: the requests whose answers were cancelled.
    """

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.cancelled: list[bytes] = []
        self._under: dict[bytes, Deferred[bytes]] = {}

    def __call__(self, request: bytes) -> Deferred[bytes]:
        self.asked.append(request)
        self._under[request] = Deferred(lambda _: self.cancelled.append(request))
        return self._under[request]

    @property
    def underWay(self) -> list[bytes]:
        """The requests that wait for an answer."""
        return list(self._under)

    def answer(self, *requests: bytes) -> None:
        """Answers with the requests in capitals."""
        for request in requests:
            self._under.pop(request).callback(request.upper())


def shout(request: bytes) -> bytes:
    if request == b"wrong\n":
        raise BadRequest("shouting", b"error\n")
    if request == b"fail\n":
        raise ArithmeticError
    return request.upper()


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"line %d\n" % n for n in range(start, start + count)]


class AnsweringTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.later = Later()
        self.answers = Answers(self.later, self.clock)
        self.enterContext(capturedLogs())

    def connect(self, answers: Answers | None = None) -> tuple[AnsweringProtocol, PeerTransport]:
        protocol, transport = AnsweringProtocol(answers or self.answers), PeerTransport()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        return protocol, transport

    def shouting(self) -> tuple[AnsweringProtocol, PeerTransport]:
        return self.connect(Answers(shout, self.clock))


class OrderTests(AnsweringTestCase):
    def test_interfaces(self) -> None:
        """The protocol half-closes, and is a push producer."""
        protocol, _ = self.connect()
        verifyObject(IHalfCloseableProtocol, protocol)
        verifyObject(IPushProducer, protocol)

    def test_atOnce(self) -> None:
        """An immediate answer is sent at once, for complete requests alone."""
        protocol, transport = self.shouting()
        protocol.dataReceived(b"a\nb\nc")
        self.assertEqual(transport.value(), b"A\nB\n")
        protocol.dataReceived(b"\n")
        self.assertEqual((transport.value(), protocol.pending), (b"A\nB\nC\n", 0))

    def test_order(self) -> None:
        """Answers are sent in the order of their requests, not in that of their completion."""
        protocol, transport = self.connect()
        protocol.dataReceived(b"a\nb\nc\nd\n")
        self.assertEqual((self.later.asked, protocol.pending), ([b"a\n", b"b\n", b"c\n", b"d\n"], 4))
        self.later.answer(b"c\n", b"b\n")
        self.assertEqual((transport.value(), protocol.pending), (b"", 4))
        self.later.answer(b"a\n")
        self.assertEqual((transport.value(), protocol.pending), (b"A\nB\nC\n", 1))
        self.later.answer(b"d\n")
        self.assertEqual((transport.value(), protocol.pending), (b"A\nB\nC\nD\n", 0))

    def test_within(self) -> None:
        """A responder that has an earlier answer ready while it is asked does not disturb the order."""

        def within(request: bytes) -> Any:
            if request == b"b\n":
                self.later.answer(b"a\n")
            return self.later(request) if request == b"a\n" else request.upper()

        protocol, transport = self.connect(Answers(within, self.clock))
        protocol.dataReceived(b"a\nb\nc\n")
        self.assertEqual(transport.value(), b"A\nB\nC\n")

    def test_wrap(self) -> None:
        """Answers are sent in the framing of the requests."""
        self.later.framing = lengthPrefixed  # type: ignore[attr-defined]
        protocol, transport = self.connect(Answers(self.later, self.clock))
        protocol.dataReceived(b"\0\0\0\1a")
        self.later.answer(b"a")
        self.assertEqual(transport.value(), b"\0\0\0\1A")


class PauseTests(AnsweringTestCase):
    """Reading stops while there is enough to do."""

    def test_connection(self) -> None:
        """A connection is owed a bounded number of answers; the next request is asked as one is sent."""
        protocol, transport = self.connect()
        protocol.dataReceived(b"".join(numbered(MAX_OWED - 1)))
        self.assertEqual(transport.producerState, "producing")
        protocol.dataReceived(b"".join(numbered(2, MAX_OWED - 1)))
        self.assertEqual((len(self.later.asked), transport.producerState), (MAX_OWED, "paused"))
        self.later.answer(b"line 1\n")
        self.assertEqual(len(self.later.asked), MAX_OWED)
        self.later.answer(b"line 0\n")
        self.assertEqual((len(self.later.asked), transport.producerState), (MAX_OWED + 1, "producing"))

    def test_service(self) -> None:
        """The service is bounded, and a connection that waits for room is owed an answer: a drain waits."""
        answers = Answers(self.later, self.clock, most=1)
        first, second = self.connect(answers), self.connect(answers)
        first[0].dataReceived(b"a\n")
        second[0].dataReceived(b"b\n")
        self.assertEqual((self.later.asked, second[0].pending), ([b"a\n"], 1))
        self.assertEqual(second[1].producerState, "paused")
        self.later.answer(b"a\n")
        self.assertEqual(self.later.asked, [b"a\n", b"b\n"])
        self.later.answer(b"b\n")
        self.assertEqual((second[1].value(), second[0].pending), (b"B\n", 0))
        self.assertEqual([each[1].producerState for each in (first, second)], ["producing"] * 2)

    def test_fair(self) -> None:
        """A connection that has more to ask than there is room for does not keep the room to itself."""
        answers = Answers(self.later, self.clock, most=1)
        first, second = self.connect(answers)[0], self.connect(answers)[0]
        first.dataReceived(b"a1\na2\na3\n")
        second.dataReceived(b"b1\n")
        self.later.answer(b"a1\n")
        self.later.answer(b"a2\n")
        self.assertEqual(self.later.asked, [b"a1\n", b"a2\n", b"b1\n"])

    def test_waitsNoMore(self) -> None:
        """A connection that is lost while it waits for room is not asked for."""
        answers = Answers(self.later, self.clock, most=1)
        first, second = self.connect(answers)[0], self.connect(answers)[0]
        first.dataReceived(b"a\n")
        second.dataReceived(b"b\n")
        second.connectionLost(Failure(ConnectionLost()))
        self.later.answer(b"a\n")
        self.assertEqual(self.later.asked, [b"a\n"])

    def test_backpressure(self) -> None:
        """While the peer does not read nothing is asked; the rest is when it does."""
        protocol, transport = self.shouting()
        line = b"x" * 30_000 + b"\n"
        protocol.dataReceived(line * 3 + line[:-1])
        self.assertEqual((transport.held, transport.producerState), (90_003, "paused"))
        protocol.dataReceived(b"\n" + line)
        self.assertEqual(transport.held, 90_003)
        transport.drain()
        self.assertEqual((transport.held, transport.producerState), (60_002, "producing"))

    def test_fullAndOwed(self) -> None:
        """A peer that reads again is not read from while enough is owed; and the other way round."""
        protocol, transport = self.connect()
        protocol.dataReceived(b"".join(numbered(MAX_OWED + 1)))
        protocol.pauseProducing()
        protocol.resumeProducing()
        self.assertEqual(transport.producerState, "paused")
        protocol.pauseProducing()
        self.later.answer(*numbered(MAX_OWED))
        self.assertEqual((len(self.later.asked), transport.producerState), (MAX_OWED, "paused"))
        protocol.resumeProducing()
        self.assertEqual((len(self.later.asked), transport.producerState), (MAX_OWED + 1, "producing"))

    def test_turns(self) -> None:
        """A flood of small requests leaves the reactor its turn after MAX_OWED of them."""
        protocol, transport = self.shouting()
        protocol.dataReceived(b"\n" * (MAX_OWED * 3))
        self.assertEqual((len(transport.value()), transport.producerState), (MAX_OWED, "paused"))
        self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual(len(transport.value()), MAX_OWED * 3)
        self.assertEqual(transport.producerState, "producing")

    def test_manyFloods(self) -> None:
        """Floods of many connections share a slice of each turn; another connection is answered at once."""
        clock = TurnClock()

        def slowly(request: bytes) -> bytes:
            clock.rightNow += 1.01 * SLICE / MAX_OWED
            return request

        answers = Answers(slowly, clock)
        floods = [self.connect(answers) for _ in range(10)]
        for protocol, _ in floods:
            protocol.dataReceived(b"\n" * (MAX_OWED * 2))
        peer, transport = self.connect(answers)
        for answered in range(10):
            self.assertEqual(sum(len(flood.value()) for _, flood in floods), MAX_OWED * (10 + answered))
            peer.dataReceived(b"ping\n")
            self.assertEqual(transport.value(), b"ping\n" * (answered + 1))
            clock.turn()
        self.assertEqual({len(flood.value()) for _, flood in floods}, {MAX_OWED * 2})
        for _ in floods:
            # A connection learns then that no request is left.
            clock.turn()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_lostBetween(self) -> None:
        """A connection that is lost between two turns has no third."""
        protocol, _ = self.shouting()
        protocol.dataReceived(b"\n" * (MAX_OWED * 2))
        protocol.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class AnyOrderTests(SynchronousTestCase):
    """Events in any order: everything is answered, in order, and then comes the end."""

    @given(
        st.lists(st.integers(0, 5), max_size=80),
        st.lists(
            st.one_of(st.integers(1, 200), st.integers(-9, -1), st.sampled_from(["pause", "resume", "turn"]))
        ),
    )
    def test_all(self, sizes: list[int], steps: list[int | str]) -> None:
        """Pieces come, answers are ready, and the peer reads or not, in any order."""
        sent = b"".join(b"%d:%s\n" % (n, b"x" * size) for n, size in enumerate(sizes))
        clock, later = Clock(), Later()
        protocol, transport = AnsweringProtocol(Answers(later, clock, most=5)), PeerTransport()
        protocol.makeConnection(transport)
        rest, isFull = sent, False
        for step in steps:
            if isinstance(step, int) and step > 0 and transport.producerState == "producing":
                piece, rest = rest[:step], rest[step:]
                protocol.dataReceived(piece)
            elif isinstance(step, int) and later.underWay:
                later.answer(later.underWay[step % len(later.underWay)])
            elif step == "pause":
                isFull = True
                protocol.pauseProducing()
            elif step == "resume":
                isFull = False
                protocol.resumeProducing()
            elif step == "turn":
                clock.advance(0)
            self.assertLessEqual(len(later.underWay), 5)
            self.assertTrue(sent.upper().startswith(transport.value()))
            if later.underWay or transport.producerState == "paused":
                self.assertTrue(protocol.pending or isFull)
        protocol.resumeProducing()
        protocol.dataReceived(rest)
        protocol.readConnectionLost()
        while later.underWay:
            later.answer(later.underWay[-1])
        self.assertEqual((transport.value(), transport.done), (sent.upper(), ["close"]))
        self.assertEqual((protocol.pending, clock.getDelayedCalls()), (0, []))


class EndTests(AnsweringTestCase):
    def test_halfClose(self) -> None:
        """After the peer's end every complete request is answered, and the last line, then comes ours."""
        protocol, transport = self.connect()
        protocol.dataReceived(b"a\nb")
        protocol.readConnectionLost()
        self.assertEqual((self.later.asked, transport.done), ([b"a\n", b"b"], []))
        self.later.answer(b"a\n")
        self.assertEqual(transport.done, [])
        self.later.answer(b"b")
        self.assertEqual((transport.value(), transport.done), (b"A\nB", ["close"]))

    def test_halfCloseOverRoom(self) -> None:
        """Requests that wait for room at the peer's end are answered before our end."""
        protocol, transport = self.connect()
        protocol.dataReceived(b"".join(numbered(MAX_OWED + 1)))
        protocol.readConnectionLost()
        self.later.answer(*numbered(MAX_OWED))
        self.assertEqual((len(self.later.asked), transport.done), (MAX_OWED + 1, []))
        self.later.answer(b"line %d\n" % MAX_OWED)
        self.assertEqual((transport.value().count(b"\n"), transport.done), (MAX_OWED + 1, ["close"]))

    def test_nothing(self) -> None:
        """A silent peer gets our end at its own."""
        protocol, transport = self.connect()
        protocol.readConnectionLost()
        self.assertEqual((transport.done, transport.producer), (["close"], None))

    def test_incomplete(self) -> None:
        """A request that the stream ends in is counted, not answered."""
        self.later.framing = lengthPrefixed  # type: ignore[attr-defined]
        answers = Answers(self.later, self.clock)
        protocol, transport = self.connect(answers)
        protocol.dataReceived(b"\0\0\0\1a\0\0")
        protocol.readConnectionLost()
        self.assertEqual((transport.done, answers.unanswered.byReason), ([], {"incomplete": 1}))
        self.later.answer(b"a")
        self.assertEqual((transport.value(), transport.done), (b"\0\0\0\1A", ["close"]))

    def test_lost(self) -> None:
        """A peer that leaves cancels its answers under way, and frees their room."""
        answers = Answers(self.later, self.clock, most=2)
        protocol, transport = self.connect(answers)
        protocol.dataReceived(b"a\nb\n")
        protocol.connectionLost(Failure(ConnectionLost()))
        self.assertEqual((self.later.cancelled, transport.value()), ([b"a\n", b"b\n"], b""))
        self.assertTrue(answers.hasRoom)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class WrongTests(AnsweringTestCase):
    """A wrong request, or one that the responder fails at, ends its connection in its turn."""

    def test_failed(self) -> None:
        """Requests before a failed one are answered, those after it are not; then comes our end of stream."""
        _, transport = self.shouting()
        transport.protocol.dataReceived(b"a\nfail\nb\n")
        self.assertEqual((transport.value(), transport.done, transport.producer), (b"A\n", ["write"], None))
        transport.protocol.dataReceived(b"c\n")
        self.assertEqual(transport.value(), b"A\n")
        transport.protocol.readConnectionLost()
        self.assertEqual(transport.done, ["write", "close"])

    def test_inTurn(self) -> None:
        """A failure waits until the requests before it are answered."""
        _, transport = self.connect(Answers(self._laterOrWrong, self.clock))
        transport.protocol.dataReceived(b"a\nwrong\nb\n")
        self.assertEqual((transport.value(), transport.done), (b"", []))
        self.later.answer(b"a\n")
        self.assertEqual((transport.value(), transport.done), (b"A\nerror\n", ["write"]))
        self.assertEqual(self.later.asked, [b"a\n"])

    def test_nothingAfter(self) -> None:
        """Bytes after a request that is too long are no request, also while that one waits for its turn."""
        _, transport = self.connect()
        transport.protocol.dataReceived(b"a\n" + b"x" * 70_000 + b"\nb\n")
        transport.protocol.dataReceived(b"c\n")
        self.assertEqual((self.later.asked, transport.producerState), ([b"a\n"], "paused"))
        self.later.answer(b"a\n")
        self.assertEqual(transport.value(), b"A\nerror: a line has 65536 bytes at the most\n")
        self.assertEqual(self.answers.unanswered.byReason, {"too-long": 1})
        self.assertEqual((self.later.asked, transport.done), ([b"a\n"], ["write"]))

    def _laterOrWrong(self, request: bytes) -> Any:
        return shout(request) if request == b"wrong\n" else self.later(request)

    def test_tooLong(self) -> None:
        """Over the longest line there is one error line, however much comes."""
        _, transport = self.shouting()
        for _ in range(3):
            transport.protocol.dataReceived(bytes(1 << 16))
        self.assertEqual(transport.value(), b"error: a line has 65536 bytes at the most\n")
        self.assertEqual((transport.done, transport.producerState), (["write"], "producing"))

    def test_lingers(self) -> None:
        """A peer that does not end its side has a second from when all is sent, and is read meanwhile."""
        _, transport = self.shouting()
        transport.protocol.dataReceived(b"x" * 70_000)
        self.clock.advance(5)
        transport.protocol.writeConnectionLost()
        self.clock.advance(LINGER - 0.01)
        self.assertEqual(transport.done, ["write"])
        self.clock.advance(0.01)
        self.assertEqual(transport.done, ["write", "close"])

    def test_late(self) -> None:
        """An answer that takes too long ends its connection alone."""
        first, second = self.connect(), self.connect()
        first[0].dataReceived(b"a\n")
        self.clock.advance(20)
        second[0].dataReceived(b"b\n")
        self.clock.advance(10)
        self.assertEqual((first[1].done, second[1].done, self.later.cancelled), (["write"], [], [b"a\n"]))
        self.later.answer(b"b\n")
        self.assertEqual(second[1].value(), b"B\n")

    def test_paused(self) -> None:
        """A connection whose reading was paused is read to its end."""
        _, transport = self.connect()
        transport.protocol.dataReceived(b"".join(numbered(MAX_OWED + 1)))
        self.assertEqual(transport.producerState, "paused")
        self.clock.advance(30)
        self.assertEqual((transport.done, transport.producerState), (["write"], "producing"))

    def test_forgotten(self) -> None:
        """Bytes after a failed request are not kept."""
        _, transport = self.shouting()
        transport.protocol.dataReceived(b"fail\n")
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for _ in range(100):
            transport.protocol.dataReceived(bytes(1 << 16))
        self.assertLess(tracemalloc.get_traced_memory()[0], 1 << 20)

    def test_twistedTLS(self) -> None:
        """Twisted's own TLS can't be ended on one side alone: it is closed."""
        _, transport = self.shouting()
        directlyProvides(transport, ISSLTransport)
        transport.protocol.dataReceived(b"a\nfail\n")
        self.assertEqual((transport.value(), transport.done), (b"A\n", ["close"]))

    def test_wrongFraming(self) -> None:
        """A framing that raises is the user's mistake: logged, and the connection is closed."""
        self.later.framing = lengthPrefixed  # type: ignore[attr-defined]
        answers = Answers(self.later, self.clock)

        def wrong(answer: bytes) -> bytes:
            raise ArithmeticError

        answers.framing = type(lengthPrefixed)(lengthPrefixed.read, wrong)
        _, transport = self.connect(answers)
        transport.protocol.dataReceived(b"\0\0\0\1a")
        self.later.answer(b"a")
        self.assertEqual((transport.done, answers.unanswered.byReason), (["write"], {"error": 1}))


class FakePort:
    """A UDP transport."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, tuple[str, int]]] = []

    def getHost(self) -> IPv4Address:
        return IPv4Address("UDP", "192.0.2.9", 7)

    def write(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.sent.append((datagram, addr))


FAR = ("192.0.2.1", 4242)
NEAR = ("127.0.0.1", 4242)


class DatagramTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.later = Later()
        self.enterContext(capturedLogs())

    def open(
        self, responder: Callable[[bytes], Any], **more: Any
    ) -> tuple[AnsweringDatagramProtocol, FakePort]:
        rules = DatagramRules(None, self.clock.seconds)
        protocol = AnsweringDatagramProtocol(Answers(responder, self.clock, **more), rules)
        port: Any = FakePort()
        protocol.makeConnection(port)
        return protocol, port

    def test_request(self) -> None:
        """A datagram with any bytes is a request, and its answer goes to its sender."""
        protocol, port = self.open(shout)
        protocol.datagramReceived(b"a\nb", FAR)
        protocol.datagramReceived(b"", FAR)
        self.assertEqual(port.sent, [(b"A\nB", FAR), (b"", FAR)])
        self.assertEqual(protocol.rules.answered, 2)

    def test_later(self) -> None:
        """An answer is sent when it is there."""
        protocol, port = self.open(self.later)
        protocol.datagramReceived(b"a", FAR)
        protocol.datagramReceived(b"b", NEAR)
        self.later.answer(b"b", b"a")
        self.assertEqual(port.sent, [(b"B", NEAR), (b"A", FAR)])

    def test_longer(self) -> None:
        """An answer longer than its question is sent on loopback alone, and counted otherwise."""
        protocol, port = self.open(lambda request: request + b"!")
        for address in (FAR, NEAR, ("2001:db8::1", 4242), ("::1", 4242), ("::ffff:127.0.0.1", 4242)):
            protocol.datagramReceived(b"a", address)
        self.assertEqual([address[0] for _, address in port.sent], ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
        self.assertEqual(protocol.rules.dropped.byReason, {"longer-answer": 2})

    def test_guards(self) -> None:
        """A datagram that the rules do not admit is no request."""
        protocol, _ = self.open(self.later)
        protocol.datagramReceived(b"a", ("192.0.2.1", 19))
        self.assertEqual((self.later.asked, protocol.rules.dropped.byReason), ([], {"server-port": 1}))

    def test_busy(self) -> None:
        """A port, and the service, have a bounded number of answers under way; more requests are counted."""
        protocol, _ = self.open(self.later)
        for n in range(MAX_DATAGRAMS + 1):
            protocol.datagramReceived(b"%d" % n, FAR)
        self.assertEqual(
            (len(self.later.asked), protocol.rules.dropped.byReason), (MAX_DATAGRAMS, {"busy": 1})
        )
        self.later.answer(b"0")
        protocol.datagramReceived(b"more", FAR)
        self.assertEqual(len(self.later.asked), MAX_DATAGRAMS + 1)
        narrow, _ = self.open(self.later, most=0)
        narrow.datagramReceived(b"a", FAR)
        self.assertEqual(narrow.rules.dropped.byReason, {"busy": 1})

    def test_failed(self) -> None:
        """A failure is not answered, and counted; a wrong request has the answer of its error."""
        protocol, port = self.open(shout)
        protocol.datagramReceived(b"fail\n", FAR)
        protocol.datagramReceived(b"wrong\n", FAR)
        self.assertEqual((port.sent, protocol.rules.dropped.byReason), ([(b"error\n", FAR)], {"failed": 1}))

    def test_late(self) -> None:
        """An answer that takes too long is not sent, and counted."""
        protocol, port = self.open(self.later)
        protocol.datagramReceived(b"a", FAR)
        self.clock.advance(30)
        self.assertEqual((port.sent, protocol.rules.dropped.byReason), ([], {"failed": 1}))

    def test_closed(self) -> None:
        """A port that closes cancels its answers under way."""
        protocol, port = self.open(self.later)
        protocol.datagramReceived(b"a", FAR)
        protocol.doStop()
        self.assertEqual((self.later.cancelled, port.sent), ([b"a"], []))
        self.assertEqual(protocol.rules.dropped.byReason, {})

    def test_goesOn(self) -> None:
        """An answer that comes after the close of its port is discarded."""
        rest: Deferred[bytes] = Deferred()

        async def stubborn(_: bytes) -> bytes:
            try:
                return await Deferred()
            except CancelledError:
                return await rest

        protocol, port = self.open(stubborn)
        protocol.datagramReceived(b"a", FAR)
        protocol.doStop()
        rest.callback(b"b")
        self.assertEqual((port.sent, protocol.rules.answered), ([], 0))
