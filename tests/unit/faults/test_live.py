"""Faults of an open connection that change: no byte is lost, doubled or overtaken."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.connections.record import ConnectionRecord
from echo_app.faults import layer
from echo_app.stream.protocol import EchoProtocol
from tests.support.ends import Producer
from tests.support.faulty import Above, FaultyConnection, sizes
from tests.support.properties import example, given, settings

# Specs that lose and change no byte.
HOLDING = (
    "latency=30ms,jitter=20ms",
    "latency=1min",
    "latency=5ms,after=100B,for=20ms,every=50ms",
    "latency=20ms,direction=in",
    "bandwidth=20kB/s",
    "bandwidth=9kB/s,after=300B",
    "chop=1-7",
    "chop=3-40,gap=2ms,after=20B,direction=in",
    "stall,for=50ms,every=90ms",
    "stall",
    "stall,after=50B,direction=out",
    "corrupt=0",
    "corrupt=0,direction=in",
    "slow-close=1s",
    "bandwidth=9kB/s,direction=in",
    "stall,for=20ms,every=50ms,direction=in",
    "chop=1-500,direction=in",
    "loss=0,each=3",
    "reorder=0,each=2",
    "latency=20ms,each=3",
)
SPECS = st.lists(st.sampled_from(HOLDING), max_size=4)

# What happens to a connection: bytes from the peer, time, other faults, a full transport below or not.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("receive"), st.integers(1, 40) | st.just(3000)),
        st.tuples(st.just("run"), st.sampled_from([0.001, 0.01, 0.05, 0.2])),
        st.tuples(st.just("change"), SPECS),
        st.tuples(st.just("pause"), st.none()),
        st.tuples(st.just("resume"), st.none()),
    ),
    max_size=30,
)


class Changing(EchoProtocol):
    """Echoes, and changes its own faults from within ``dataReceived``.

    :ivar changes: the faults to come, for each call.
    """

    def __init__(self) -> None:
        self.changes: list[list[str] | None] = []
        self.connection: Any = None

    def dataReceived(self, data: bytes) -> None:
        """Changes the faults between two halves of the echo."""
        self.transport.write(data[: len(data) // 2])
        specs = self.changes.pop(0) if self.changes else None
        if specs is not None:
            self.connection.change(*specs)
        self.transport.write(data[len(data) // 2 :])


class Messages(EchoProtocol):
    """Sends each piece of input as a message."""

    def dataReceived(self, data: bytes) -> None:
        """Sends a message."""
        transport: Any = self.transport
        transport.writeMessage(data)


class SlowClock(Clock):
    """A clock whose time goes on with each look at it, so that work uses up the budget of faults."""

    def seconds(self) -> float:
        """Returns the time, a little later each time."""
        self.rightNow += 2e-5
        return super().seconds()


class Play:
    """A connection to which steps happen; its transport reads only while it may, and at once.

    :ivar sent: the bytes that the peer has sent.
    """

    def __init__(self, connection: FaultyConnection) -> None:
        self.connection = connection
        self.sent = b""
        self._unread: list[bytes] = []
        self._isReading, self._isDelivering = True, False
        wire: Any = connection.wire
        wire.pauseProducing = lambda: self._read(False)
        wire.resumeProducing = lambda: self._read(True)

    def _read(self, isReading: bool) -> None:
        self._isReading = isReading
        if self._isDelivering:
            return
        self._isDelivering = True
        while self._isReading and self._unread:
            self.connection.layer.dataReceived(self._unread.pop(0))
        self._isDelivering = False

    def do(self, step: str, value: Any) -> None:
        """Lets a step happen."""
        wire, connection = self.connection.wire, self.connection
        if step == "receive":
            data = bytes((len(self.sent) + n) % 251 for n in range(value))
            self.sent += data
            self._unread.append(data)
            self._read(self._isReading)
        elif step == "run":
            connection.run(value)
        elif step == "change":
            connection.change(*value)
        elif step == "pause":
            wire.producer.pauseProducing()
        else:
            wire.producer.resumeProducing()


class PropertyTests(SynchronousTestCase):
    """Whatever the writes and the changes, the output is the input, whole, in order, and then its end."""

    def play(self, connection: FaultyConnection, steps: list[tuple[str, Any]], isEndedFirst: bool) -> None:
        """Lets all of this happen, and checks the output after a last change to no faults."""
        wire = connection.wire
        play = Play(connection)
        for each in steps:
            play.do(*each)
            self.assertTrue(play.sent.startswith(wire.written))
        isEndedFirst = isEndedFirst and not play._unread
        if isEndedFirst:
            connection.layer.readConnectionLost()
        if isinstance(connection.above, Changing):
            connection.above.changes.clear()
        connection.change()
        if wire.producer is not None:
            wire.producer.resumeProducing()
        connection.run(1)
        self.assertEqual(wire.written, play.sent)
        if not isEndedFirst:
            connection.layer.readConnectionLost()
            connection.run(1)
        self.assertEqual(wire.done.count("close"), 1)
        connection.lose()
        self.assertEqual(connection.clock.getDelayedCalls(), [])

    @settings(max_examples=200)
    @given(SPECS, STEPS, st.booleans(), st.booleans())
    def test_bytes(
        self, specs: list[str], steps: list[tuple[str, Any]], has: bool, isEndedFirst: bool
    ) -> None:
        """From without."""
        connection = FaultyConnection(
            *specs, protocol=EchoProtocol(), clock=SlowClock(), isLive=True, hasMessages=has
        )
        self.play(connection, steps, isEndedFirst)

    @settings(max_examples=200)
    @given(SPECS, STEPS, st.lists(st.none() | SPECS, max_size=30), st.booleans())
    def test_within(
        self,
        specs: list[str],
        steps: list[tuple[str, Any]],
        changes: list[list[str] | None],
        isEndedFirst: bool,
    ) -> None:
        """From within a call of the protocol, too."""
        protocol = Changing()
        protocol.connection = FaultyConnection(
            *specs, protocol=protocol, clock=SlowClock(), isLive=True, hasMessages=False
        )
        protocol.changes = changes
        self.play(protocol.connection, steps, isEndedFirst)

    @settings(max_examples=200)
    @given(SPECS, STEPS, st.booleans())
    @example(
        ["stall,for=50ms,every=90ms"],
        [
            ("receive", 3000),
            ("receive", 3000),
            ("change", ["chop=3-40,gap=2ms,after=20B,direction=in", "corrupt=0,direction=in"]),
        ],
        False,
    )
    def test_messages(self, specs: list[str], steps: list[tuple[str, Any]], isEndedFirst: bool) -> None:
        """With messages."""
        connection = FaultyConnection(*specs, protocol=Messages(), clock=SlowClock(), isLive=True)
        self.play(connection, steps, isEndedFirst)


class ChangeTests(SynchronousTestCase):
    def test_dormant(self) -> None:
        """A connection without faults that may have some is passed by."""
        connection = FaultyConnection(protocol=EchoProtocol(), isLive=True).receive(b"plain")
        self.assertEqual(connection.wire.written, b"plain")
        connection.change("latency=1s").receive(b"late").run(0.9)
        self.assertEqual(connection.wire.written, b"plain")
        connection.run(0.2)
        self.assertEqual(connection.wire.pieces, [(0, b"plain"), (1, b"late")])

    def test_rebinding(self) -> None:
        """A protocol that rebinds its ``dataReceived`` is called by the present one."""
        protocol = Changing()
        connection = FaultyConnection(protocol=protocol, isLive=True).receive(b"first")
        self.patch(protocol, "dataReceived", lambda data: protocol.transport.write(data.upper()))
        connection.receive(b"second")
        self.assertEqual(connection.wire.written, b"firstSECOND")

    def test_held(self) -> None:
        """Held bytes pass by the new faults, as if they came at the change; without any, at once."""
        connection = FaultyConnection("latency=1h").write(b"first", 10)
        connection.change("latency=1s").transport.write(b"second")
        connection.run(2)
        self.assertEqual(connection.wire.pieces, [(11, b"firstsecond")])
        connection.change("stall").write(b"third", 10)
        connection.change()
        self.assertEqual(connection.wire.pieces[-1], (22, b"third"))

    def test_heldInput(self) -> None:
        """So does held input, whose reading goes on."""
        connection = FaultyConnection("stall,direction=in", protocol=EchoProtocol()).receive(b"x")
        self.assertEqual(connection.wire.done, ["pause"])
        connection.change()
        self.assertEqual((connection.wire.written, connection.wire.done), (b"x", ["pause", "resume"]))

    def test_heldEnd(self) -> None:
        """A held end passes behind the held bytes, by the new faults."""
        connection = FaultyConnection("latency=1h", "slow-close=1h", protocol=EchoProtocol()).receive(b"x")
        connection.below.readConnectionLost()
        connection.change("corrupt=0", "slow-close=1s").run(0.5)
        self.assertEqual((connection.wire.written, "close" in connection.wire.done), (b"x", False))
        connection.run(1)
        self.assertEqual(connection.wire.done[-1], "close")

    def test_queuedEnd(self) -> None:
        """An end behind bytes that wait for a change of theirs passes behind them."""
        connection = FaultyConnection("corrupt=0", clock=SlowClock())
        connection.transport.write(bytes(100_000))
        connection.transport.loseConnection()
        self.assertLess(len(connection.wire.written), 100_000)
        connection.change().run(1)
        self.assertEqual((len(connection.wire.written), connection.wire.done[-1]), (100_000, "close"))

    def test_lateEnd(self) -> None:
        """The time of an end that waits alone begins again."""
        connection = FaultyConnection("slow-close=1h", protocol=EchoProtocol())
        connection.below.readConnectionLost()
        connection.run(10)
        connection.change("slow-close=1s").run(0.9)
        self.assertNotIn("close", connection.wire.done)
        connection.run(0.2)
        self.assertEqual(connection.wire.done[-1], "close")

    def test_nested(self) -> None:
        """Bytes that come within the protocol's call wait for its end, though nothing holds them."""
        protocol = Changing()
        connection = protocol.connection = FaultyConnection("latency=1s,direction=in", protocol=protocol)
        self.patch(protocol.connection, "change", lambda: nest())

        def nest() -> None:
            connection.layer.setFaults([])
            connection.receive(b"cd")

        protocol.changes = [[]]
        connection.receive(b"ab").run(2)
        self.assertEqual(connection.wire.written, b"abcd")

    def test_pausedInput(self) -> None:
        """A protocol that has paused its input gets none, also without a fault."""
        connection = FaultyConnection(isLive=True)
        connection.transport.pauseProducing()
        connection.receive(b"x")
        self.assertEqual(connection.above.received, b"")
        connection.transport.resumeProducing()
        connection.receive(b"y")
        self.assertEqual(connection.above.received, b"xy")

    def test_fromTheChange(self) -> None:
        """``after``, in bytes and in time, ``for`` and ``every`` count from the change."""
        connection = FaultyConnection("stall,direction=in", isLive=True).write(bytes(100), 10)
        connection.change("latency=1s,after=3B").write(b"abcdef", 5)
        self.assertEqual(connection.wire.pieces[1:], [(10, b"abc"), (11, b"def")])
        connection.change("stall,for=1s,every=3s", "reset,after=5s")
        for _ in range(4):
            connection.write(b"x", 1)
        self.assertEqual([time for time, _ in connection.wire.pieces[3:]], [16, 16, 17, 19])
        connection.run(0.9)
        self.assertNotIn("abort", connection.wire.done)
        connection.run(0.2)
        self.assertEqual(connection.wire.done[-1], "abort")

    def test_endings(self) -> None:
        """An ending counts bytes from the change, and one that has not begun is forgotten."""
        connection = FaultyConnection("close,after=10B", "reset,after=1s", "close,after-idle=1s")
        connection.transport.write(bytes(9))
        connection.change().write(bytes(9), 5)
        self.assertEqual(connection.wire.done, [])
        connection.change("close,after=10B").write(bytes(9), 1)
        self.assertEqual(connection.wire.done, [])
        connection.transport.write(b"xyz")
        self.assertEqual(len(connection.wire.written), 28)
        self.assertEqual(connection.wire.done[0], "end")
        connection.lose()
        self.assertEqual(connection.clock.getDelayedCalls(), [])

    def test_atOnce(self) -> None:
        """An ending without ``after`` begins at the change."""
        self.assertEqual(FaultyConnection(isLive=True).change("reset").wire.done, ["abort"])

    def test_idle(self) -> None:
        """Silence counts from the change."""
        connection = FaultyConnection(isLive=True)
        connection.run(10)
        connection.change("reset,after-idle=2s").run(1)
        connection.receive(b"x").run(1.9)
        self.assertEqual(connection.wire.done, [])
        connection.run(0.2)
        self.assertEqual(connection.wire.done, ["abort"])

    def test_stillEnded(self) -> None:
        """What an ending has ended stays ended."""
        connection = FaultyConnection("half-close", protocol=Above(Clock()))
        connection.change()
        connection.transport.write(b"x")
        self.assertEqual((connection.wire.written, connection.wire.done), (b"", ["end"]))

    def test_paused(self) -> None:
        """Bytes that come while the transport below is full wait for it, and so does a producer."""
        connection = FaultyConnection(isLive=True)
        producer = Producer()
        connection.transport.registerProducer(producer, True)
        connection.wire.producer.pauseProducing()
        connection.change("chop=2")
        connection.transport.write(b"abcd")
        self.assertEqual((connection.wire.pieces, producer.events), ([], ["pause"]))
        connection.wire.producer.resumeProducing()
        connection.run(1)
        self.assertEqual(sizes(connection.wire.pieces), [2, 2])
        self.assertEqual(producer.events, ["pause", "resume"])

    def test_noBurst(self) -> None:
        """A rate holds from the change on, also for what was held."""
        connection = FaultyConnection("stall,direction=out").write(bytes(100_000), 10)
        connection.change("bandwidth=100kB/s").run(0.5)
        self.assertLess(abs(len(connection.wire.written) - 50_000), 1001)

    def test_record(self) -> None:
        """The record has all faults that the connection had."""
        record = ConnectionRecord(0.0, 0.0)
        self.patch(layer, "recordOf", lambda _: record)
        connection = (
            FaultyConnection("latency=1s", "latency=1s", isLive=True).change().change("stall", "latency=1s")
        )
        self.assertEqual(record.faults, ["latency=1s", "latency=1s", "stall"])
        self.assertEqual(list(map(str, connection.layer.faults)), ["stall", "latency=1s"])


class DrawTests(SynchronousTestCase):
    """What is drawn depends on the offset of the change in the stream, and on the seed."""

    SPECS = ("corrupt=0.1", "chop=1-30", "latency=20ms,jitter=20ms")

    def passed(self, before: int, seed: int = 1, specs: tuple[str, ...] = SPECS) -> list[tuple[float, bytes]]:
        """Returns what leaves after a change behind so many bytes."""
        connection = FaultyConnection(isLive=True, seed=seed).write(bytes(before), 10)
        connection.wire.pieces.clear()
        connection.change(*specs)
        for _ in range(9):
            connection.write(bytes(100), 0.1)
        return connection.wire.pieces

    def test_again(self) -> None:
        """The same bytes have the same faults again, with the same seed alone, and after as many bytes."""
        self.assertEqual(self.passed(1000), self.passed(1000))
        self.assertEqual(len(b"".join(piece for _, piece in self.passed(1000))), 900)
        self.assertNotEqual(self.passed(1000), self.passed(1000, seed=2))
        self.assertNotEqual(self.passed(1000), self.passed(1001))

    def test_offsets(self) -> None:
        """A number that is drawn for a byte is the one of its offset, whenever the fault began."""
        spec = "latency=20ms,jitter=20ms"
        whole = FaultyConnection(spec, seed=1)
        for size in (1000, 7, 7):
            whole.wire.pieces.clear()
            began = whole.clock.seconds()
            whole.write(bytes(size), 0.5)
        changed = FaultyConnection(isLive=True, seed=1).write(bytes(1007), 1)
        changed.wire.pieces.clear()
        changed.change(spec).write(bytes(7), 0.5)
        self.assertEqual(changed.wire.pieces[0][0] - 1, whole.wire.pieces[0][0] - began)

    def test_input(self) -> None:
        """Input has offsets of its own."""

        def passed(before: int, protocol: EchoProtocol) -> bytes:
            connection = FaultyConnection(isLive=True, protocol=protocol).receive(bytes(before))
            connection.change("corrupt=0.5,direction=in").receive(bytes(100))
            return connection.wire.written[before:]

        # The layer counts the input of a plain echo in another way than that of a subclass.
        expected = {before: passed(before, EchoProtocol()) for before in (0, 10, 11)}
        self.assertEqual(len(set(expected.values())), 3)
        for before, data in expected.items():
            self.assertEqual(passed(before, Changing()), data)


class MessageTests(SynchronousTestCase):
    def connection(self, *specs: str) -> FaultyConnection:
        return FaultyConnection(*specs, isLive=True)

    def test_numbers(self) -> None:
        """The numbers of messages that a fault chooses count from the change."""
        connection = self.connection().send(b"a", b"b", b"c").change("loss=1,messages=2", "loss=1,each=3")
        connection.send(b"d", b"e", b"f", b"g")
        self.assertEqual(connection.wire.written, b"abcdg")

    def test_held(self) -> None:
        """Late messages come at once, when there are no faults any more, and in order."""
        connection = self.connection("latency=1h,each=2", "reorder=1,each=3").send(b"a", b"b", b"c")
        self.assertEqual(connection.wire.written, b"a")
        connection.change().send(b"d")
        self.assertEqual(connection.wire.written, b"abcd")
        connection.run(10)
        self.assertEqual(connection.wire.written, b"abcd")

    def test_copies(self) -> None:
        """Late copies of a fault that there is no more do not come, nor does its ending."""
        connection = self.connection("unsolicited=1s", "latency=1s", "close,messages=1").send(b"a")
        connection.change().run(5)
        self.assertEqual((connection.wire.written, connection.wire.done), (b"a", []))

    def test_draws(self) -> None:
        """The same messages are lost again."""

        def passed(seed: int) -> bytes:
            connection = FaultyConnection(isLive=True, seed=seed).send(b"a", b"b").change("loss=0.5")
            return connection.send(*(bytes([n]) for n in range(50))).wire.written

        self.assertEqual(passed(1), passed(1))
        self.assertNotEqual(passed(1), passed(2))
