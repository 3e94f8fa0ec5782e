"""Effects of each fault on a stream, its probability, and the connections without it."""

from __future__ import annotations

from itertools import pairwise
from math import sqrt

from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.faults.fault import Fault
from echo_app.faults.faulty import Faulty
from echo_app.faults.layer import FaultLayer
from echo_app.faults.shaping import TICK, TURN
from echo_app.faults.spec import parseFault
from echo_app.stack.stack import Stack
from echo_app.stream.protocol import EchoFactory, EchoProtocol
from tests.support.fakes import Transport, numbered
from tests.support.faulty import FaultyConnection, gaps, sizes
from tests.support.properties import given, settings

# Specs whose combinations pass a kilobyte, in the end, in one direction.
PASSING = (
    "latency=30ms,jitter=20ms",
    "latency=5ms,after=100B,for=20ms,every=50ms",
    "bandwidth=20kB/s",
    "bandwidth=9kB/s,after=300B",
    "chop=1-7",
    "chop=3-40,gap=2ms,after=200B",
    "corrupt=0.05",
    "corrupt=1,after=500B",
    "stall,for=50ms,every=90ms",
    "slow-close=30ms",
)


class ChoiceTests(SynchronousTestCase):
    def build(self, *specs: str, number: int = 1, seed: int = 0) -> object:
        """Returns what is built for a connection."""
        faults = [parseFault(spec) for spec in specs]
        build = Faulty(lambda *_: EchoProtocol(), Clock(), lambda: faults, seed)
        return build(None, numbered(number))

    def test_plain(self) -> None:
        """A connection without faults has the plain protocol on the plain transport, with nothing between."""
        factory = Stack(EchoFactory(), layers=[lambda build: Faulty(build, Clock(), lambda: [], 0)])
        transport = Transport()
        transport.protocol = factory.buildProtocol(transport.getPeer())
        transport.protocol.makeConnection(transport)
        transport.protocol.dataReceived(b"first")
        protocol = transport.protocol
        self.assertIs(type(protocol), EchoProtocol)
        self.assertIs(protocol.transport, transport)
        self.assertIs(transport.producer, transport)

    def test_others(self) -> None:
        """Faults of datagrams and of listeners are none of a connection."""
        self.assertIs(type(self.build("loss=1", "refuse", "duplicate=1")), EchoProtocol)

    def test_inwardMessages(self) -> None:
        """A fault of messages from the peer is not a stream's, whose requests are no messages."""
        faults = [parseFault("loss=1,direction=in"), parseFault("latency=1s,each=2,direction=in")]
        build = Faulty(lambda *_: EchoProtocol(), Clock(), lambda: faults, 0, hasMessages=True)
        self.assertIsInstance(build(None, numbered(1)), EchoProtocol)

    def test_numbers(self) -> None:
        """The numbers of connections choose among them."""
        faulty = [
            n for n in range(1, 6) if isinstance(self.build("stall,connections=2-3", number=n), FaultLayer)
        ]
        self.assertEqual(faulty, [2, 3])
        self.assertIsInstance(self.build("stall,connections=2-", number=1000), FaultLayer)

    def test_probability(self) -> None:
        """As many connections as it says have the fault, and the same ones again with the same seed."""

        def chosen(seed: int) -> list[int]:
            specs = "stall,probability=20%"
            return [n for n in range(2000) if isinstance(self.build(specs, number=n, seed=seed), FaultLayer)]

        self.assertLess(abs(len(chosen(1)) - 400), 3 * sqrt(2000 * 0.2 * 0.8))
        self.assertEqual(chosen(1), chosen(1))
        self.assertNotEqual(chosen(1), chosen(2))

    def test_current(self) -> None:
        """A connection has the faults that there are when it is made."""
        faults: list[Fault] = []
        build = Faulty(lambda *_: EchoProtocol(), Clock(), lambda: faults, 0)
        first = build(None, numbered(1))
        faults.append(parseFault("stall"))
        self.assertIs(type(first), EchoProtocol)
        self.assertIsInstance(build(None, numbered(2)), FaultLayer)

    def test_since(self) -> None:
        """Numbers of connections, and their draws, count from the start of the faults."""

        def chosen(specs: str, since: int) -> list[int]:
            faults = [parseFault(specs)]
            build = Faulty(lambda *_: EchoProtocol(), Clock(), lambda: faults, 0, since=lambda: since)
            return [n for n in range(1, 101) if isinstance(build(None, numbered(since + n)), FaultLayer)]

        self.assertEqual(chosen("stall,connections=2-3", 7), [2, 3])
        self.assertEqual(chosen("stall,probability=20%", 7), chosen("stall,probability=20%", 0))


class LatencyTests(SynchronousTestCase):
    def test_out(self) -> None:
        """An answer comes that much later, and so does the next one, however soon it follows."""
        connection = FaultyConnection("latency=50ms").write(b"a", 0.02)
        connection.transport.write(b"b")
        connection.run(0.1)
        self.assertEqual(connection.wire.pieces, [(0.05, b"a"), (0.07, b"b")])

    def test_in(self) -> None:
        """With ``direction=in`` only the peer's bytes are late, and the answer is not."""
        connection = FaultyConnection("latency=50ms,direction=in").receive(b"question")
        connection.transport.write(b"answer")
        connection.run(0.1)
        self.assertEqual(connection.above.pieces, [(0.05, b"question")])
        self.assertEqual(connection.wire.pieces, [(0, b"answer")])

    def test_sum(self) -> None:
        """Two of them add up."""
        connection = FaultyConnection("latency=50ms", "latency=20ms").write(b"a", 0.1)
        self.assertEqual(connection.wire.pieces, [(0.07, b"a")])

    def test_jitter(self) -> None:
        """Each answer is late by its own time within the range, evenly spread, and never overtaken."""
        connection = FaultyConnection("latency=50ms,jitter=20ms")
        sent = []
        for _ in range(200):
            sent.append(connection.clock.seconds())
            connection.transport.write(b"ping")
            connection.run(0.1)
        delays = [time - start for (time, _), start in zip(connection.wire.pieces, sent, strict=True)]
        self.assertTrue(all(0.03 - 1e-6 <= delay <= 0.07 + 0.001 for delay in delays))
        self.assertLess(abs(sum(delays) / 200 - 0.05), 3 * 0.02 / sqrt(3 * 200) + 0.001)
        self.assertGreater(max(delays) - min(delays), 0.03)

    def test_order(self) -> None:
        """Data that would be earlier by its jitter waits for the data before it."""
        connection = FaultyConnection("latency=50ms,jitter=50ms")
        data = [bytes([n]) for n in range(100)]
        for each in data:
            connection.transport.write(each)
        connection.run(0.2)
        self.assertEqual(connection.wire.written, b"".join(data))

    def test_end(self) -> None:
        """The end of a stream is as late as its bytes, be there none."""
        connection = FaultyConnection("latency=1s", "latency=2s,direction=in", protocol=EchoProtocol())
        connection.below.readConnectionLost()
        connection.run(2.9)
        self.assertEqual(connection.wire.done, [])
        connection.run(0.2)
        self.assertEqual(connection.wire.done, ["close"])

    def test_oneTimer(self) -> None:
        """However much is late, one timer waits."""
        connection = FaultyConnection("latency=1s")
        for _ in range(10):
            connection.transport.write(b"x")
            connection.clock.advance(0.01)
        self.assertEqual(len(connection.clock.getDelayedCalls()), 1)

    def test_times(self) -> None:
        """After some time, for some time, periodically: other bytes pass at once."""
        connection = FaultyConnection("latency=5ms,after=1s,for=20ms,every=100ms")
        for moment in (0.999, 1.001, 1.019, 1.021, 1.101, 1.121):
            connection.run(moment - connection.clock.seconds())
            connection.transport.write(b"x")
        times = [time for time, piece in connection.wire.pieces for _ in piece]
        self.assertEqual(times, [0.999, 1.006, 1.024, 1.024, 1.106, 1.121])

    def test_afterBytes(self) -> None:
        """Latency begins with a byte, exactly, with any reads."""
        connection = FaultyConnection("latency=50ms,after=3B").write(b"abcdef", 0.1)
        self.assertEqual(connection.wire.pieces, [(0, b"abc"), (0.05, b"def")])


class BandwidthTests(SynchronousTestCase):
    def test_rate(self) -> None:
        """Bytes pass at the rate, in pieces of a tick, and never ahead of it."""
        connection = FaultyConnection("bandwidth=100kB/s").write(bytes(200_000), 2.01)
        passed = 0
        for time, piece in connection.wire.pieces:
            passed += len(piece)
            self.assertLessEqual(passed, 100_000 * time + 1)
        self.assertEqual(passed, 200_000)
        self.assertEqual(set(sizes(connection.wire.pieces)), {round(100_000 * TICK)})

    def test_late(self) -> None:
        """A timer that comes late makes a transfer no slower in the end."""
        connection = FaultyConnection("bandwidth=100kB/s")
        connection.transport.write(bytes(100_000))
        connection.run(1, late=0.25)
        self.assertEqual(len(connection.wire.written), 100_000)

    def test_lateAmongOthers(self) -> None:
        """Nor does it when more comes meanwhile."""
        connection = FaultyConnection("bandwidth=100kB/s")
        for _ in range(10):
            connection.transport.write(bytes(20_000))
            connection.run(0.1, late=0.1)
        connection.transport.write(bytes(1))
        self.assertGreaterEqual(len(connection.wire.written), 98_000)

    def test_idle(self) -> None:
        """Bandwidth that was not used while there was nothing to send is lost: no burst follows."""
        connection = FaultyConnection("bandwidth=100kB/s").write(bytes(1000), 5)
        connection.wire.pieces.clear()
        connection.transport.write(bytes(10_000))
        connection.run(0.05)
        self.assertEqual(len(connection.wire.written), 5000)

    def test_paused(self) -> None:
        """Nor is there one after the transport below was full."""
        connection = FaultyConnection("bandwidth=100kB/s")
        connection.transport.write(bytes(100_000))
        connection.wire.producer.pauseProducing()
        connection.run(5)
        self.assertEqual(connection.wire.pieces, [])
        connection.wire.producer.resumeProducing()
        connection.run(0.05)
        self.assertEqual(len(connection.wire.written), 5000)

    def test_stalled(self) -> None:
        """Nor after a stall."""
        connection = FaultyConnection("bandwidth=100kB/s,direction=out", "stall,for=5s").write(
            bytes(100_000), 5.051
        )
        self.assertEqual(len(connection.wire.written), 5000)

    def test_slow(self) -> None:
        """Under a byte a tick they pass one by one."""
        connection = FaultyConnection("bandwidth=2B/s").write(b"abc", 2)
        self.assertEqual(connection.wire.pieces, [(0.5, b"a"), (1.0, b"b"), (1.5, b"c")])

    def test_both(self) -> None:
        """Without a direction it is the rate of either one."""
        connection = FaultyConnection("bandwidth=100kB/s", protocol=EchoProtocol()).receive(bytes(100_000))
        connection.run(1.1)
        self.assertEqual(len(connection.wire.written), 100_000)
        self.assertGreaterEqual(connection.wire.pieces[-1][0], 1.0)


class ChopTests(SynchronousTestCase):
    def test_sizes(self) -> None:
        """Written data has these sizes and these gaps, and leaves at once as a segment."""
        connection = FaultyConnection("chop=2-5,gap=5ms").write(bytes(300), 1)
        found = sizes(connection.wire.pieces)
        self.assertEqual(sum(found), 300)
        self.assertEqual(set(found[:-1]), {2, 3, 4, 5})
        self.assertEqual(set(gaps(connection.wire.pieces)), {0.005})
        self.assertIn("no delay", connection.wire.done)

    def test_withoutGap(self) -> None:
        """Without a gap, too, no two pieces are written in one turn of the reactor."""
        connection = FaultyConnection("chop=1")
        connection.transport.write(b"abc")
        self.assertEqual(connection.wire.written, b"a")
        connection.transport.write(b"d")
        self.assertEqual(connection.wire.written, b"a")
        connection.run(4 * TURN)
        self.assertEqual(sizes(connection.wire.pieces), [1, 1, 1, 1])

    def test_littleByLittle(self) -> None:
        """Present data does not wait for a whole piece; a piece never reaches over a cut."""
        connection = FaultyConnection("chop=10")
        for _ in range(6):
            connection.transport.write(b"abcd")
            connection.run(0.01)
        self.assertEqual(sizes(connection.wire.pieces), [4, 4, 2, 2, 4, 4, 4])

    def test_bandwidth(self) -> None:
        """A piece passes when its last byte has come through a line of that rate."""
        connection = FaultyConnection("chop=100", "bandwidth=1kB/s,direction=out").write(bytes(300), 0.4)
        self.assertEqual(connection.wire.pieces, [(0.1, bytes(100)), (0.2, bytes(100)), (0.3, bytes(100))])


class CorruptTests(SynchronousTestCase):
    def test_rate(self) -> None:
        """A share of the bytes is changed, within three standard deviations, and none is missing."""
        connection = FaultyConnection("corrupt=1e-3", protocol=EchoProtocol())
        for _ in range(16):
            connection.below.dataReceived(bytes(1 << 16))
        wrong = (1 << 20) - connection.wire.written.count(0)
        self.assertEqual(len(connection.wire.written), 1 << 20)
        self.assertLess(abs(wrong - 1048.6), 3 * sqrt(1048.6))

    def test_twice(self) -> None:
        """The same fault twice changes twice as many bytes, and not none."""
        once = FaultyConnection("corrupt=1")
        twice = FaultyConnection("corrupt=1", "corrupt=1")
        for connection in (once, twice):
            connection.transport.write(bytes(1000))
        self.assertEqual(once.wire.written.count(0), 0)
        self.assertLess(twice.wire.written.count(0), 20)
        self.assertNotEqual(once.wire.written, twice.wire.written)

    def test_after(self) -> None:
        """Corruption begins with a byte."""
        connection = FaultyConnection("corrupt=1,after=3B")
        connection.transport.write(bytes(2))
        connection.transport.write(bytes(4))
        self.assertEqual(connection.wire.written[:3], bytes(3))
        self.assertEqual(connection.wire.written[3:].count(0), 0)

    def test_timeFromAByte(self) -> None:
        """The time of a corruption counts from its first byte, and not from the first changed one."""
        for seed in range(10):
            connection = FaultyConnection("corrupt=30%,after=3B,for=1s", seed=seed)
            connection.transport.write(bytes(4))
            connection.clock.advance(1.5)
            connection.transport.write(bytes(100))
            self.assertEqual(connection.wire.written[4:], bytes(100))

    def test_neighbours(self) -> None:
        """Each connection, and each direction, has its own wrong bytes."""
        first, second = FaultyConnection("corrupt=0.5"), FaultyConnection("corrupt=0.5", number=2)
        for connection in (first, second):
            connection.transport.write(bytes(100))
        self.assertNotEqual(first.wire.written, second.wire.written)
        third = FaultyConnection("corrupt=0.5,direction=in")
        third.below.dataReceived(bytes(100))
        self.assertNotEqual(third.above.received, first.wire.written)


class StallTests(SynchronousTestCase):
    def test_period(self) -> None:
        """A periodic stall is the first second of every five, from the connection's beginning on."""
        connection = FaultyConnection("stall,for=1s,every=5s", protocol=EchoProtocol())
        for _ in range(10):
            connection.below.dataReceived(b"x")
            connection.run(1)
        times = [time for time, piece in connection.wire.pieces for _ in piece]
        self.assertEqual(times, [1.0, 1.0, 2.0, 3.0, 4.0, 6.0, 6.0, 7.0, 8.0, 9.0])

    def test_reading(self) -> None:
        """A stall stops reading, too, so that the peer's sending stops at the kernel's buffers."""
        connection = FaultyConnection("stall,for=1s", protocol=EchoProtocol()).receive(b"x")
        self.assertEqual(connection.wire.done, ["pause"])
        connection.clock.advance(1)
        self.assertEqual(connection.wire.done, ["pause", "resume"])
        self.assertEqual(connection.wire.written, b"x")

    def test_out(self) -> None:
        """With a direction it stops answering, and reads on."""
        connection = FaultyConnection("stall,direction=out", protocol=EchoProtocol()).receive(b"x")
        connection.clock.advance(1000)
        self.assertEqual(connection.wire.pieces, [])
        self.assertEqual(connection.wire.done, [])
        self.assertEqual(connection.below.held, 1)

    def test_afterBytes(self) -> None:
        """A stall begins between two bytes, and its time with the first one that it holds."""
        connection = FaultyConnection("stall,after=3B,for=1s")
        connection.transport.write(b"abc")
        connection.clock.advance(5)
        connection.transport.write(b"def")
        connection.run(2)
        connection.transport.write(b"ghi")
        self.assertEqual(connection.wire.pieces, [(0, b"abc"), (6, b"def"), (7, b"ghi")])


class SlowCloseTests(SynchronousTestCase):
    def ended(self, *specs: str, data: bytes = b"last", before: float = 0) -> list[tuple[float, str]]:
        """Returns when the bytes and the end of a connection pass that ends by itself."""
        connection = FaultyConnection(*specs, protocol=EchoProtocol())
        ends: list[float] = []
        self.patch(connection.wire, "loseConnection", lambda: ends.append(connection.clock.seconds()))
        connection.receive(data)
        connection.run(before)
        connection.below.readConnectionLost()
        connection.run(100)
        passed = [(time, piece.decode()) for time, piece in connection.wire.pieces]
        return [*passed, *((round(time, 6), "end") for time in ends)]

    def test_out(self) -> None:
        """Our end comes that much later, and the bytes before it are not late."""
        self.assertEqual(self.ended("slow-close=2s"), [(0, "last"), (2, "end")])
        self.assertEqual(self.ended("slow-close=2s", data=b""), [(2, "end")])

    def test_in(self) -> None:
        """With ``direction=in`` the peer's end is late, and the protocol can answer until then."""
        connection = FaultyConnection("slow-close=2s,direction=in").receive(b"question")
        connection.below.readConnectionLost()
        connection.run(1.99)
        self.assertEqual((connection.above.pieces, connection.above.told), ([(0, b"question")], []))
        connection.transport.write(b"answer")
        self.assertEqual(connection.wire.written, b"answer")
        connection.run(0.02)
        self.assertEqual(connection.above.told, ["end of input"])

    def test_behind(self) -> None:
        """Its time begins when the end would have passed: behind late and slow bytes, and stalls."""
        self.assertEqual(self.ended("slow-close=2s", "latency=1s"), [(1, "last"), (3, "end")])
        self.assertEqual(self.ended("slow-close=2s", "stall,for=1s"), [(1, "last"), (3, "end")])
        slow = self.ended("slow-close=2s", "bandwidth=4B/s,direction=out")
        self.assertEqual((slow[-2], slow[-1]), ((1, "t"), (3, "end")))

    def test_sum(self) -> None:
        """Two of them add up."""
        self.assertEqual(self.ended("slow-close=2s", "slow-close=1s")[-1], (3, "end"))

    def test_afterBytes(self) -> None:
        """The end of a stream that is shorter is not late."""
        self.assertEqual(self.ended("slow-close=2s,after=3B", data=b"ab")[-1], (0, "end"))
        self.assertEqual(self.ended("slow-close=2s,after=3B", data=b"abc")[-1], (2, "end"))

    def test_timeFromAByte(self) -> None:
        """Its time counts from a byte, if ``after`` says so: a later end is not late."""
        spec = "slow-close=2s,after=3B,for=1s"
        self.assertEqual(self.ended(spec, data=b"abcd", before=0.5)[-1], (2.5, "end"))
        self.assertEqual(self.ended(spec, data=b"abcd", before=1.5)[-1], (1.5, "end"))

    def test_abort(self) -> None:
        """An end that waits does not outlive the connection."""
        connection = FaultyConnection("slow-close=2s")
        connection.transport.loseConnection()
        connection.lose()
        self.assertEqual(connection.clock.getDelayedCalls(), [])


class SameAgainTests(SynchronousTestCase):
    def passed(self, specs: list[str], pieces: list[bytes]) -> bytes:
        """Returns what leaves when this is written at once, in these pieces."""
        connection = FaultyConnection(*specs, seed=5)
        for piece in pieces:
            connection.transport.write(piece)
        connection.run(1.5)
        connection.lose()
        self.assertEqual(connection.clock.getDelayedCalls(), [])
        return connection.wire.written

    @settings(max_examples=50)
    @given(
        st.lists(st.sampled_from(PASSING), min_size=1, max_size=4),
        st.binary(min_size=1000, max_size=1000),
        st.sets(st.integers(1, 999)),
    )
    def test_anyReads(self, specs: list[str], data: bytes, cuts: set[int]) -> None:
        """The output has equal bytes, in number and in order, for any reads and any faults."""
        edges = [0, *sorted(cuts), 1000]
        pieces = [data[a:b] for a, b in pairwise(edges)]
        once, again = (self.passed(specs, each) for each in ([data], pieces))
        self.assertEqual(once, again)

    @given(st.sets(st.integers(1, 999)))
    def test_cuts(self, cuts: set[int]) -> None:
        """The cuts of ``chop`` do not depend on reads either."""
        edges = [0, *sorted(cuts), 1000]
        whole, pieces = FaultyConnection("chop=1-70"), FaultyConnection("chop=1-70")
        whole.transport.write(bytes(1000))
        for a, b in pairwise(edges):
            pieces.transport.write(bytes(b - a))
        for connection in (whole, pieces):
            connection.run(0.2)
        first = sizes(whole.wire.pieces)
        self.assertEqual(sum(first), 1000)
        # The bytes so far may be less than a piece.
        self.assertTrue(set(_offsets(first)) <= set(_offsets(sizes(pieces.wire.pieces))))

    def test_times(self) -> None:
        """The same writes at the same times leave at the same times, with the same seed alone."""

        def run(seed: int) -> list[tuple[float, bytes]]:
            connection = FaultyConnection(
                "latency=20ms,jitter=20ms", "chop=1-9,gap=1ms", "corrupt=0.1", seed=seed
            )
            for _ in range(20):
                connection.transport.write(bytes(20))
                connection.run(0.05)
            connection.run(1)
            return connection.wire.pieces

        self.assertEqual(run(1), run(1))
        self.assertNotEqual(run(1), run(2))


def _offsets(pieces: list[int]) -> list[int]:
    return [sum(pieces[:n]) for n in range(len(pieces))]
