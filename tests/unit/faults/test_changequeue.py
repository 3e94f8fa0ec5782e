"""Expensive changes of many bytes leave the others their turn, and keep the order of bytes and ends."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.faults.budget import SLICE
from echo_app.faults.changequeue import MAX_INTAKE
from echo_app.faults.draws import Corruption
from tests.support.ends import Producer
from tests.support.faulty import FaultyConnection

# Seconds that the change of a byte takes.
COST = 2e-6

DATA = bytes(range(256)) * 256


class ChangeQueueTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

        def change(corruption: Corruption, data: bytes, offset: int, isOn: Callable[[int], bool]) -> bytes:
            self.clock.rightNow += len(data) * COST
            return bytes(255 - each for each in data)

        self.patch(Corruption, "apply", change)

    def connect(self, *specs: str) -> FaultyConnection:
        return FaultyConnection(*specs, clock=self.clock)

    def test_output(self) -> None:
        """What a protocol writes at once is changed in turns, all of it and in its order, before its end."""
        for specs in (("corrupt=0.9",), ("corrupt=0.9", "loss=0,each=1")):
            connection = self.connect(*specs)
            began = self.clock.seconds()
            connection.transport.write(DATA)
            connection.transport.loseWriteConnection()
            connection.transport.write(DATA)
            self.assertLess(self.clock.seconds() - began, SLICE)
            self.assertNotIn("end", connection.wire.done)
            turns = 0
            while self.clock.getDelayedCalls():
                before = self.clock.seconds()
                self.clock.advance(SLICE)
                self.assertLessEqual(self.clock.seconds() - before, 3 * SLICE)
                turns += 1
            self.assertGreater(turns, len(DATA) * COST / (2 * SLICE))
            self.assertTrue(connection.wire.written == bytes(255 - each for each in DATA))
            self.assertEqual(connection.wire.done, ["end"])

    def test_message(self) -> None:
        """A fault that begins after a message begins after all of its bytes."""
        connection = self.connect("corrupt=0.9", "close,messages=1")
        connection.send(DATA, b"more")
        self.assertNotIn("end", connection.wire.done)
        connection.run(1)
        self.assertEqual(len(connection.wire.written), len(DATA))
        self.assertIn("end", connection.wire.done)

    def test_producer(self) -> None:
        """A producer is paused while its bytes wait for their turn."""
        connection = self.connect("corrupt=0.9")
        producer = Producer(lambda: None)
        connection.transport.registerProducer(producer, True)
        connection.transport.write(bytes(MAX_INTAKE))
        self.assertEqual(producer.events, [])
        connection.transport.write(DATA)
        self.assertEqual(producer.events, ["pause"])
        connection.run(1)
        self.assertEqual(producer.events, ["pause", "resume"])

    def test_discarded(self) -> None:
        """A fault that cuts the output drops the bytes that wait; one in the other direction does not."""
        for spec, count in (("close,after=10ms", None), ("close,direction=in,after=10ms", len(DATA))):
            connection = self.connect("corrupt=0.9", spec)
            connection.transport.write(DATA)
            connection.run(1)
            written = len(connection.wire.written)
            self.assertTrue(0 < written < len(DATA) if count is None else written == count, (spec, written))
            connection.lose()
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lost(self) -> None:
        """Nothing of a lost connection goes on."""
        connection = self.connect("corrupt=0.9", "corrupt=0.9,direction=in")
        connection.transport.write(DATA)
        connection.below.dataReceived(DATA)
        self.assertEqual(connection.wire.done, ["pause"])
        connection.lose()
        connection.run(1)
        self.assertEqual(connection.above.told, ["lost"])
        self.assertEqual((connection.below.held, self.clock.getDelayedCalls()), (0, []))
