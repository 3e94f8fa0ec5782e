from __future__ import annotations

from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.connections.connection import Connection
from echo_app.connections.limits import Limits
from echo_app.connections.registry import ConnectionRegistry
from echo_app.faults.fault import Fault
from echo_app.faults.preamble import MAX_LINE, PreambleGate
from echo_app.faults.spec import parseFault
from echo_app.interfaces import Build
from echo_app.stack.stack import Stack
from echo_app.stream.protocol import EchoProtocol
from echo_app.transport.layer import protocolOf
from tests.support.fakes import opened
from tests.support.properties import given

STALL = parseFault("stall,for=1s")


class PreambleGateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.start()

    def start(self) -> None:
        """Opens a connection to a gate."""
        self.clock = Clock()
        self.counts = ConnectionRegistry(Limits(), self.clock.seconds)
        self.chosen: list[tuple[Fault, ...] | None] = []
        self.echo: type[Protocol] = EchoProtocol
        stack = Stack(Factory.forProtocol(lambda: self.echo()), self.counts, layers=[self.layer])
        self.transport = opened(stack)
        self.gate = protocolOf(self.transport)

    def layer(self, build: Build) -> Build:
        """Puts the gate below the layers that `build` makes, and notes the chosen faults."""

        def choose(faults: tuple[Fault, ...] | None) -> Build:
            def chosen(address: IAddress | None, connection: Connection) -> IProtocol | None:
                self.chosen.append(faults)
                return build(address, connection)

            return chosen

        return lambda _address, connection: PreambleGate(choose, connection, self.clock)

    def receive(self, *pieces: bytes) -> bytes:
        """Delivers the peer's data; returns the echo."""
        for piece in pieces:
            self.transport.protocol.dataReceived(piece)
        value: bytes = self.transport.value()
        return value

    def refused(self) -> str:
        """Returns the line that the peer was dismissed with, once only."""
        self.assertEqual(self.chosen, [])
        self.assertEqual(self.counts.refused.byReason, {"bad-preamble": 1})
        line: str = self.transport.value().decode()
        self.assertRegex(line, r"\A!fault error: .+\n\Z")
        self.assertTrue(line[:-1].isprintable())
        self.transport.protocol.readConnectionLost()
        self.assertTrue(self.transport.disconnecting)
        self.transport.end(ConnectionError())
        self.assertEqual((self.counts.open, self.clock.getDelayedCalls()), ({}, []))
        return line

    def test_chosen(self) -> None:
        """The line's faults are the connection's, and the echo begins after it."""
        self.assertEqual(self.receive(b"!fault stall,for=1s  close\r\nhello"), b"hello")
        self.assertEqual(self.chosen, [(STALL, parseFault("close"))])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_none(self) -> None:
        """A line without specs chooses to have none."""
        for line in (b"!fault\n", b"!fault\r\n", b"!fault \n"):
            self.start()
            self.assertEqual(self.receive(line, b"hello"), b"hello")
            self.assertEqual(self.chosen, [()])

    def test_bytewise(self) -> None:
        """The line may come in any pieces."""
        line = b"!fault stall,for=1s\nhello"
        self.assertEqual(self.receive(*(line[i : i + 1] for i in range(len(line)))), b"hello")
        self.assertEqual(self.chosen, [(STALL,)])

    def test_noPreamble(self) -> None:
        """At the first byte that no preamble has there everything is handed over, and nothing is chosen."""
        for data in (
            b"hello",
            b"!",
            b"!fault",
            b"!fault\r",
            b"!faulty\n",
            b" !fault stall\n",
            b"\n",
            b"!Fault x\n",
        ):
            self.start()
            self.assertEqual(self.receive(data, b"|"), data + b"|")
            self.assertEqual(self.chosen, [None])
            self.assertEqual(self.counts.accepted, 1)

    @given(st.lists(st.binary(max_size=3) | st.sampled_from([b"!", b"!fau", b"lt", b"\r"])))
    def test_identity(self, pieces: list[bytes]) -> None:
        """Any stream without a preamble comes back whole, in any pieces."""
        data = b"".join(pieces)
        self.start()
        self.receive(*filter(None, pieces))
        if not data.startswith((b"!fault ", b"!fault\n", b"!fault\r\n")):
            self.transport.protocol.readConnectionLost()
            self.assertEqual(self.transport.value(), data)
            self.assertTrue(self.transport.disconnecting)

    def test_ambiguous(self) -> None:
        """A beginning that never goes on is data after the time is over."""
        self.assertEqual(self.receive(b"!fau"), b"")
        self.assertEqual(self.gate.pending, 1)
        self.clock.advance(3)
        self.assertEqual(self.receive(b"lt stall\n"), b"!fault stall\n")
        self.assertEqual((self.chosen, self.counts.timedOut.byReason), ([None], {}))

    def test_ambiguousEnd(self) -> None:
        """A beginning at the end of the stream is data, and the end is one."""
        self.receive(b"!fault")
        self.transport.protocol.readConnectionLost()
        self.assertEqual(self.transport.value(), b"!fault")
        self.assertTrue(self.transport.disconnecting)

    def test_ambiguousEndOfOther(self) -> None:
        """A protocol that knows no half-close has its connection closed at the end of the stream."""
        self.echo = Protocol
        self.receive(b"!f")
        self.transport.protocol.readConnectionLost()
        self.assertTrue(self.transport.disconnecting)

    def test_silence(self) -> None:
        """A silent peer is waited for, and closed at its end."""
        self.clock.advance(1000)
        self.assertEqual(self.gate.pending, 0)
        self.gate.readConnectionLost()
        self.assertTrue(self.transport.disconnecting)

    def test_wrong(self) -> None:
        """A wrong spec is one line to the peer, which says which one and where."""
        for specs, said in (
            (b"stall latncy=5ms", "spec 2: at 1, 'latncy' is no fault"),
            (b"latency=5\x1b[2J", "spec 1: at 9, '5\\x1b[2J' is not a time"),
            (b"latency=\xff", "spec 1: at 9, '\\\\xff' is not a time"),
            (b"stall\tclose", "spec 1: at 1, 'stall\\tclose' is no fault"),
            (b"loss=1%", "spec 1: loss needs messages: --responder with a framing"),
            (b"loss=1%,direction=in", "spec 1: loss with direction=in needs datagrams that go on"),
            (b"corrupt=1,share=1%", "spec 1: share needs messages: --responder with a framing"),
            (b"connect=2s", "spec 1: connect needs an upstream: --forward"),
            (b"reset,after-idle=9ms", "spec 1: 'after-idle' of less than 10 ms costs too much"),
            (b"refuse", "spec 1: 'refuse' is no fault of a connection"),
            (b"close stall,connections=1", "spec 2: 'connections' is not for a connection"),
            (b"stall " * 9, "9 faults, where 8 is the most"),
            (
                b"corrupt=1 stall corrupt=1 corrupt=1%",
                "spec 4: more than 2 faults that change bytes cost too much",
            ),
            (b"stall,for=1ms,every=9ms", "spec 1: 'every' of less than 10 ms costs too much"),
        ):
            self.start()
            self.receive(b"!fault " + specs + b"\n")
            self.assertIn(said, self.refused())

    def test_long(self) -> None:
        """A line that does not end within its bound is wrong, however it comes."""
        line = b"!fault ".ljust(MAX_LINE - 1, b"x")
        for pieces in ([line, b"x"], [line + b"xx\n"], [line + bytes(1 << 16)]):
            self.start()
            self.receive(*pieces)
            self.assertIn("1024", self.refused())

    def test_slow(self) -> None:
        """A line that does not end in time is wrong, and so is one that the stream ends in."""
        self.receive(b"!fault stall")
        self.clock.advance(2.9)
        self.receive(b",")
        self.clock.advance(0.1)
        self.assertIn("within 3 s", self.refused())
        self.start()
        self.receive(b"!fault stall")
        self.gate.readConnectionLost()
        self.assertIn("no end of line", self.refused())

    def test_dismissed(self) -> None:
        """A peer that goes on sending after an error is not heard, and cut off after a second."""
        self.receive(b"!fault x\n")
        line = self.transport.value()
        self.assertEqual(self.receive(b"!fault stall\n"), line)
        self.assertFalse(self.transport.disconnecting)
        self.clock.advance(1)
        self.assertTrue(self.transport.disconnecting)
        self.transport.end(ConnectionDone())
        self.assertEqual((self.counts.open, self.counts.timedOut.byReason), ({}, {}))
