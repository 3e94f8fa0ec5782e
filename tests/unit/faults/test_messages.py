"""Faults of the messages of a stream: which messages they choose, what they do, and the end of the stream."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from echo_app.connections.record import ConnectionRecord
from echo_app.faults.layer import FaultLayer
from echo_app.faults.messages import REORDER_WAIT
from echo_app.interfaces import IMessageTransport
from echo_app.responders.answering import AnsweringProtocol
from echo_app.responders.answers import Answers
from echo_app.responders.framing import lengthPrefixed
from tests.support.faulty import FaultyConnection
from tests.support.properties import given

NUMBERS = [b"%d\n" % number for number in range(1, 11)]

# Specs of faults of messages that depend on no time, to be combined.
TIMELESS = (
    "loss=20%",
    "loss=1,each=3",
    "duplicate=1,messages=2-4",
    "duplicate=30%",
    "reorder=1,each=2",
    "corrupt=1,share=20%",
    "corrupt=1%",
    "truncate=2B,share=10%",
    "close,messages=7",
    "reset,each=9",
    "half-close,messages=8-",
)


def joined(*numbers: int) -> bytes:
    """Returns these of the numbered messages, as on the wire."""
    return b"".join(b"%d\n" % number for number in numbers)


def ends(connection: FaultyConnection) -> list[str]:
    """Returns what ended below, in order."""
    return [each for each in connection.wire.done if each not in ("pause", "resume")]


@implementer(IPushProducer)
class Producer:
    """Notes whether it is paused."""

    isPaused = False

    def pauseProducing(self) -> None:
        self.isPaused = True

    def resumeProducing(self) -> None:
        self.isPaused = False

    def stopProducing(self) -> None:
        pass


class SlowClock(Clock):
    """A clock on which each look at the time takes a fifth of a millisecond: all work is slow."""

    def seconds(self) -> float:
        self.rightNow += 0.0002
        return super().seconds()


class ChoiceTests(SynchronousTestCase):
    def sent(self, *specs: str) -> bytes:
        """Returns what ten messages come to."""
        connection = FaultyConnection(*specs).send(*NUMBERS)
        connection.run(REORDER_WAIT)
        return connection.wire.written

    def test_each(self) -> None:
        """``each`` chooses the multiples of its number."""
        self.assertEqual(self.sent("loss=1,each=3"), joined(1, 2, 4, 5, 7, 8, 10))

    def test_messages(self) -> None:
        """``messages`` chooses by number: one, some, or all from one on."""
        self.assertEqual(self.sent("loss=1,messages=3"), joined(1, 2, 4, 5, 6, 7, 8, 9, 10))
        self.assertEqual(self.sent("loss=1,messages=3-5"), joined(1, 2, 6, 7, 8, 9, 10))
        self.assertEqual(self.sent("loss=1,messages=3-"), joined(1, 2))

    def test_together(self) -> None:
        """Several keys choose the messages that all of them choose."""
        self.assertEqual(self.sent("loss=1,each=2,messages=3-7"), joined(1, 2, 3, 5, 7, 8, 9, 10))

    def test_share(self) -> None:
        """``share`` chooses about as many messages as it says, and the same ones again with the same seed."""

        def lost(spec: str, seed: int) -> int:
            sent = FaultyConnection(spec, seed=seed).send(*[b"."] * 10_000).wire.written
            return 10_000 - len(sent)

        self.assertLess(abs(lost("loss=1,share=1%", 1) - 100), 3 * (10_000 * 0.01 * 0.99) ** 0.5)
        self.assertLess(abs(lost("loss=10%,share=10%", 1) - 100), 3 * (10_000 * 0.01 * 0.99) ** 0.5)
        self.assertEqual(self.sent("loss=1,share=0"), joined(*range(1, 11)))
        self.assertEqual(self.sent("loss=1,share=100%"), b"")
        self.assertEqual(self.sent("loss=1,share=50%"), self.sent("loss=1,share=50%"))
        self.assertNotEqual(lost("loss=1,share=1%", 1), lost("loss=1,share=1%", 2))

    def test_after(self) -> None:
        """``after``, ``for`` and ``every`` bound the time in which messages are chosen."""
        self.assertEqual(self.sent("loss=1,after=1s"), joined(*range(1, 11)))
        self.assertEqual(self.sent("loss=1,each=2,for=1s"), joined(1, 3, 5, 7, 9))
        self.assertEqual(self.sent("corrupt=1,messages=2-,after=6B")[:6], joined(1, 2, 3))

    def test_bytesAsBefore(self) -> None:
        """Without these keys a fault of bytes is none of messages, and no layer tells messages apart."""
        connection = FaultyConnection("latency=1s")
        self.assertIs(type(connection.below), FaultLayer)
        self.assertFalse(IMessageTransport.providedBy(connection.below))

    def test_whole(self) -> None:
        """The layer provides the interface of a transport that is told of messages."""
        verifyObject(IMessageTransport, FaultyConnection("loss=1%").below)


class EffectTests(SynchronousTestCase):
    def test_duplicate(self) -> None:
        """A message comes twice, at once."""
        self.assertEqual(FaultyConnection("duplicate=1,each=2").send(b"a", b"b").wire.written, b"abb")

    def test_reorder(self) -> None:
        """A message comes after the next one."""
        connection = FaultyConnection("reorder=1,messages=2").send(b"a", b"b", b"c", b"d")
        self.assertEqual(connection.wire.written, b"acbd")
        self.assertEqual(connection.clock.getDelayedCalls(), [])

    def test_reorderAlone(self) -> None:
        """Without a next one a message waits for half a second, and is held meanwhile."""
        connection = FaultyConnection("reorder=1").send(b"a")
        self.assertEqual((connection.wire.written, connection.below.held), (b"", 1))
        connection.run(REORDER_WAIT)
        self.assertEqual((connection.wire.pieces, connection.below.held), ([(REORDER_WAIT, b"a")], 0))

    def test_corrupt(self) -> None:
        """The chosen message alone is garbled, each byte with the probability, and its length stays."""
        connection = FaultyConnection("corrupt=1,messages=2").send(b"aaaa", b"bbbb", b"cccc")
        first, second, third = (connection.wire.written[at : at + 4] for at in (0, 4, 8))
        self.assertEqual((first, third), (b"aaaa", b"cccc"))
        self.assertNotIn(ord("b"), second)

    def test_corruptAtLeastOne(self) -> None:
        """A chosen message has a wrong byte, however small the probability for each byte is."""
        connection = FaultyConnection("corrupt=1e-9,each=2").send(*[bytes(9)] * 100)
        written = connection.wire.written
        wrong = [9 - written[at : at + 9].count(0) for at in range(0, 900, 9)]
        self.assertEqual(wrong, [0, 1] * 50)
        self.assertGreater(len({written[at : at + 9] for at in range(0, 900, 9)}), 40)
        self.assertEqual(FaultyConnection("corrupt=0,each=1").send(b"a", b"").wire.written, b"a")

    def test_truncate(self) -> None:
        """The chosen message is cut, and the stream goes on."""
        self.assertEqual(
            FaultyConnection("truncate=2B,each=2").send(b"aaaa", b"bbbb").wire.written, b"aaaabb"
        )

    def test_latency(self) -> None:
        """The chosen message is late, and those after it wait for it: a stream keeps its order."""
        connection = FaultyConnection("latency=50ms,each=2").send(b"a", b"b", b"c")
        connection.run(0.1)
        connection.send(b"d")
        connection.run(0.1)
        times = [(time, piece) for time, piece in connection.wire.pieces]
        self.assertEqual(times, [(0, b"a"), (0.05, b"bc"), (0.15, b"d")])

    def test_unsolicited(self) -> None:
        """A message comes again after the time, between two others, and not after the end."""
        connection = FaultyConnection("unsolicited=1s,messages=1").send(b"a", b"b")
        connection.run(1)
        connection.send(b"c")
        self.assertEqual(connection.wire.pieces, [(0, b"a"), (0, b"b"), (1, b"a"), (1, b"c")])
        connection = FaultyConnection("unsolicited=1s").send(b"a")
        connection.transport.loseConnection()
        connection.run(2)
        self.assertEqual((connection.wire.written, ends(connection)), (b"a", ["close"]))
        self.assertEqual(connection.clock.getDelayedCalls(), [])

    def test_order(self) -> None:
        """A lost message is not doubled; a cut one is corrupt only in what is left of it."""
        connection = FaultyConnection("duplicate=1", "truncate=1B", "loss=1,messages=1").send(b"ab", b"cd")
        self.assertEqual(connection.wire.written, b"cc")

    def test_othersPass(self) -> None:
        """Bytes that are no message keep their place, and no fault of messages touches them."""
        connection = FaultyConnection("loss=1,each=2").send(b"a")
        connection.transport.write(b"bytes")
        connection.send(b"b", b"c")
        self.assertEqual(connection.wire.written, b"abytesc")

    def test_noted(self) -> None:
        """The record counts the messages that a fault took effect on, and no others."""
        connection = FaultyConnection("loss=1,messages=1", "truncate=1B", "reorder=1,messages=3", "corrupt=0")
        record = ConnectionRecord(0, 0)
        connection.below._record = record
        connection.send(b"aa", b"b", b"cc", b"d")
        self.assertEqual(record.messageFaults, {"loss": 1, "truncate": 1, "reorder": 1})


class EndingTests(SynchronousTestCase):
    def test_close(self) -> None:
        """A close comes after the chosen message, to the byte; what follows does not pass."""
        connection = FaultyConnection("close,messages=2").send(*NUMBERS)
        self.assertEqual((connection.wire.written, ends(connection)), (joined(1, 2), ["end"]))

    def test_closeInTheMiddle(self) -> None:
        """With ``truncate``, the connection ends in the middle of a message."""
        connection = FaultyConnection("truncate=1B,messages=3", "close,messages=3").send(*NUMBERS)
        self.assertEqual((connection.wire.written, ends(connection)), (joined(1, 2) + b"3", ["end"]))

    def test_closeWithoutIt(self) -> None:
        """A close comes in place of a message that is lost."""
        connection = FaultyConnection("loss=1,messages=3", "close,messages=3").send(*NUMBERS)
        self.assertEqual((connection.wire.written, ends(connection)), (joined(1, 2), ["end"]))

    def test_late(self) -> None:
        """An ending waits for the message that it follows, and is not brought forward by other faults."""
        connection = FaultyConnection("latency=1s", "half-close,messages=2").send(*NUMBERS)
        self.assertEqual(ends(connection), [])
        connection.run(1)
        self.assertEqual((connection.wire.written, ends(connection)), (joined(1, 2), ["end"]))

    def test_behindOthers(self) -> None:
        """An ending by bytes at the same place, or before it, is as exact as alone."""
        connection = FaultyConnection("latency=1s", "close,messages=2", "half-close,after=4B").send(*NUMBERS)
        connection.run(1)
        self.assertEqual(connection.wire.written, joined(1, 2))
        connection = FaultyConnection("latency=1s", "close,messages=2", "reset,after=3B").send(*NUMBERS)
        connection.run(1)
        self.assertEqual((connection.wire.written, ends(connection)), (joined(1, 2)[:3], ["abort"]))

    def test_reset(self) -> None:
        """A reset comes after the chosen message: what follows does not pass."""
        connection = FaultyConnection("reset,each=2").send(*NUMBERS)
        connection.run(1)
        self.assertEqual((connection.wire.written, ends(connection)), (joined(1, 2), ["abort"]))

    def test_blackhole(self) -> None:
        """From the chosen message on nothing is answered, and nothing is heard."""
        connection = FaultyConnection("blackhole,messages=2").send(*NUMBERS).receive(b"more")
        self.assertEqual((connection.wire.written, ends(connection)), (joined(1, 2), []))
        self.assertEqual(connection.above.received, b"")

    def test_reordered(self) -> None:
        """A message that waits for the next one passes before the end that follows that one."""
        connection = FaultyConnection("reorder=1,messages=1", "close,messages=2").send(*NUMBERS)
        self.assertEqual(connection.wire.written, joined(2, 1))

    def test_end(self) -> None:
        """The end of the stream passes after a late message, and after one that waits for the next one."""
        connection = FaultyConnection("latency=1s,each=2", "reorder=1,messages=2").send(b"a", b"b")
        connection.transport.loseConnection()
        self.assertEqual((connection.wire.written, ends(connection)), (b"a", []))
        connection.run(1)
        self.assertEqual((connection.wire.pieces[-1], ends(connection)), ((1, b"b"), ["close"]))
        self.assertEqual(connection.clock.getDelayedCalls(), [])

    def test_lost(self) -> None:
        """No call outlives the connection."""
        connection = FaultyConnection("reorder=1,each=3", "unsolicited=1s", "latency=1s,each=2")
        connection.send(b"a", b"b", b"c").lose()
        self.assertEqual((connection.clock.getDelayedCalls(), connection.below.held), ([], 0))


class BoundTests(SynchronousTestCase):
    def test_backPressure(self) -> None:
        """Late messages pause their producer at the cap, and resume it when they have passed."""
        connection, producer = FaultyConnection("latency=1s,each=2", cap=1000), Producer()
        connection.transport.registerProducer(producer, True)
        connection.send(bytes(600), bytes(600))
        self.assertFalse(producer.isPaused)
        connection.send(bytes(600))
        self.assertTrue(producer.isPaused)
        connection.run(1)
        self.assertFalse(producer.isPaused)

    def test_copies(self) -> None:
        """Late copies take half of the cap at the most, and pause nothing."""
        connection, producer = FaultyConnection("unsolicited=1s", cap=100_000), Producer()
        connection.transport.registerProducer(producer, True)
        connection.send(*[bytes(1000)] * 100)
        self.assertLess(len(connection.clock.getDelayedCalls()), 50)
        self.assertFalse(producer.isPaused)
        connection.run(1)
        self.assertGreater(len(connection.wire.written), 100_000)
        self.assertLess(len(connection.wire.written), 150_000)
        connection.send(b"a")
        self.assertEqual(len(connection.clock.getDelayedCalls()), 1)

    def test_budget(self) -> None:
        """Work beyond the budget waits, keeps order and end, and pauses the producer at the cap."""
        connection, producer = FaultyConnection("loss=1,each=2", clock=SlowClock(), cap=20_000), Producer()
        connection.transport.registerProducer(producer, True)
        messages = [b"%03d" % number for number in range(1, 101)]
        connection.send(*messages)
        self.assertLess(len(connection.wire.written), 60)
        self.assertGreater(connection.below.held, 200)
        connection.send(*[bytes(1)] * 200)
        self.assertTrue(producer.isPaused)
        connection.transport.write(b"bytes")
        connection.transport.unregisterProducer()
        connection.transport.loseConnection()
        self.assertEqual(ends(connection), [])
        connection.run(10)
        self.assertEqual(connection.wire.written, b"".join(messages[::2]) + bytes(100) + b"bytes")
        self.assertEqual(ends(connection), ["close"])


class AnswerTests(SynchronousTestCase):
    def answered(self, data: bytes, cuts: list[int], *specs: str, seed: int = 0, **more: Any) -> Any:
        """Returns a connection to which a stream of requests has come, cut at these offsets."""
        answers = Answers(more.pop("responder", lambda request: request), Clock())
        connection: Any = FaultyConnection(*specs, protocol=AnsweringProtocol(answers), seed=seed, **more)
        connection.answers = answers
        places = [0, *sorted(cuts), len(data)]
        for start, end in pairwise(places):
            connection.receive(data[start:end])
        answers.clock.pump([0] * 200)  # type: ignore[attr-defined]
        return connection

    @given(
        st.lists(st.binary(max_size=9), max_size=60),
        st.lists(st.integers(0, 200), max_size=30),
        st.lists(st.sampled_from(TIMELESS), max_size=4, unique=True),
        st.integers(0, 99),
    )
    def test_cuts(self, lines: list[bytes], cuts: list[int], specs: list[str], seed: int) -> None:
        """The same seed gives the same answers, and the same end, however the requests arrive."""
        data = b"\n".join(line.replace(b"\n", b"") for line in lines) + b"\n"
        results = []
        for places in ([], [cut for cut in cuts if cut < len(data)], list(range(1, len(data)))):
            connection = self.answered(data, places, *specs, seed=seed)
            connection.run(2)
            results.append((connection.wire.written, ends(connection)))
        self.assertEqual(results[1:], results[:-1])

    def test_framed(self) -> None:
        """A message is the whole answer, with what the framing adds."""

        def same(request: bytes) -> bytes:
            return request

        same.framing = lengthPrefixed  # type: ignore[attr-defined]
        data = b"\0\0\0\1a\0\0\0\1b\0\0\0\1c"
        connection = self.answered(data, [], "loss=1,messages=2", responder=same)
        self.assertEqual(connection.wire.written, b"\0\0\0\1a\0\0\0\1c")

    def test_laterAnswers(self) -> None:
        """Answers that come later are numbered in their order."""
        waiting: list[Deferred[bytes]] = []

        def later(_request: bytes) -> Deferred[bytes]:
            waiting.append(Deferred())
            return waiting[-1]

        connection = self.answered(b"a\nb\nc\n", [], "loss=1,messages=2", responder=later)
        for number in (2, 0, 1):
            waiting[number].callback(b"%d" % number)
        self.assertEqual(connection.wire.written, b"02")

    def test_halfClose(self) -> None:
        """After the peer's end all answers come, in their fate, and then our end."""
        connection = self.answered(b"a\nb\nc", [], "reorder=1,messages=3", "loss=1,messages=1")
        connection.below.readConnectionLost()
        connection.run(1)
        self.assertEqual((connection.wire.written, ends(connection)[-1]), (b"b\nc", "close"))

    def test_halfCloseFault(self) -> None:
        """After a half-close by a fault requests are read, and the peer's end ends the connection."""
        for spec in ("half-close,messages=1", "half-close,after=2B"):
            connection = self.answered(b"a\nb\nc\n", [], spec)
            connection.receive(b"d\n" * 100)
            connection.answers.clock.pump([0] * 200)
            self.assertEqual((connection.wire.written, ends(connection)), (b"a\n", ["end"]))
            self.assertEqual([each for each in connection.wire.done if each != "end"][-1:], ["resume"])
            connection.below.readConnectionLost()
            self.assertEqual(ends(connection), ["end", "close"])

    def test_bounded(self) -> None:
        """Answers wait while the faults hold as much as they may, and all of them come in the end."""
        specs = "latency=1s,each=1", "duplicate=1,each=1"
        connection = self.answered((b"x" * 999 + b"\n") * 30 + b"last", [], *specs, cap=10_000)
        connection.below.readConnectionLost()
        self.assertLess(connection.below.held, 12_100)
        connection.run(10)
        self.assertEqual(connection.wire.written, (b"x" * 999 + b"\n") * 60 + b"lastlast")
        self.assertEqual(ends(connection), ["close"])

    def test_noFault(self) -> None:
        """Without such a fault answers are written as before: all that are ready, at once."""
        connection = self.answered(b"a\nb\nc\n", [])
        self.assertEqual(connection.wire.pieces, [(0, b"a\nb\nc\n")])


class SilenceTests(SynchronousTestCase):
    def test_blackhole(self) -> None:
        """A blackhole begins when nothing has moved for so long, in either direction."""
        connection = FaultyConnection("blackhole,after-idle=60s")
        for _ in range(3):
            connection.run(40)
            connection.receive(b"in")
            connection.run(40)
            connection.write(b"out", 0)
        connection.run(59.9)
        connection.receive(b"in")
        self.assertEqual((connection.wire.written, connection.above.received), (b"out" * 3, b"in" * 4))
        connection.run(60.1)
        connection.receive(b"lost").write(b"lost", 1)
        self.assertEqual((connection.wire.written, connection.above.received), (b"out" * 3, b"in" * 4))
        self.assertEqual((ends(connection), connection.clock.getDelayedCalls()), ([], []))

    def test_others(self) -> None:
        """A reset and a close begin then, too, at that moment."""
        for name, done in (("reset", "abort"), ("close", "end")):
            connection = FaultyConnection(f"{name},after-idle=60s")
            connection.run(30)
            connection.receive(b"in").write(b"out", 59.9)
            self.assertEqual(ends(connection), [])
            connection.run(0.1)
            self.assertEqual((connection.wire.written, ends(connection)), (b"out", [done]))

    def test_held(self) -> None:
        """Bytes that another fault holds have not moved: they count when they pass."""
        connection = FaultyConnection("latency=10s", "reset,after-idle=15s").write(b"late", 24.9)
        self.assertEqual((connection.wire.written, ends(connection)), (b"late", []))
        connection.run(0.1)
        self.assertEqual(ends(connection), ["abort"])

    def test_lost(self) -> None:
        """No call outlives the connection."""
        connection = FaultyConnection("reset,after-idle=60s")
        connection.lose()
        self.assertEqual(connection.clock.getDelayedCalls(), [])
