"""Every byte that comes back to a load is looked at, on simulated time."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.load.datagrams import HEADER, REMEMBERED
from echo_app.probe.load.pattern import PATTERN, PERIOD, placeOf
from echo_app.probe.results.results import DIFFERENCES, LoadSettings
from tests.support.simulated import Edit, FakeServer, SimulatedLoad, SimulatedLoop

SIZE = 100


class Edits:
    """What becomes of what a server sends back.

    :param edits: by the number of the piece, from 0, over all connections.
    """

    def __init__(self, edits: dict[int, Edit]) -> None:
        self._edits = edits
        self.count = 0

    def __call__(self, data: bytes) -> list[bytes]:
        edit = self._edits.get(self.count)
        self.count += 1
        return [data] if edit is None else edit(data)


def flipped(index: int) -> Edit:
    """One bit of a byte is wrong."""
    return lambda data: [data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]]


def loaded(edit: Edit, kind: str = "tcp", **fields: object) -> SimulatedLoad:
    """Runs a closed loop on one connection, 1,000 messages a second."""
    server = FakeServer(SimulatedLoop(), lambda now: now + 0.001, edit, kind)
    wanted = {"sizes": ((SIZE, 1.0),), "warmup": 0.0, "duration": 1.0, "wait": 0.5, **fields}
    return SimulatedLoad(server, LoadSettings(**wanted)).run()  # type: ignore[arg-type]


class PatternTests(SynchronousTestCase):
    def test_period(self) -> None:
        """The pattern has no shorter period, and none of a power of two."""
        half = PATTERN[:PERIOD]
        self.assertTrue(PATTERN.startswith(half, PERIOD))
        for shift in (1 << power for power in range(16)):
            self.assertFalse(PATTERN.startswith(half[:64], shift))

    def test_places(self) -> None:
        """Streams begin at different places."""
        self.assertEqual(len({placeOf(number) for number in range(PERIOD)}), PERIOD)


class StreamTests(SynchronousTestCase):
    def test_flipped(self) -> None:
        """One wrong byte of many is found, and located; its connection is made anew."""
        load = loaded(Edits({321: flipped(17)}))
        self.assertEqual(load.errors(), {"corrupt": 1})
        (line,) = [line for each in load.seconds for line in each["differences"]]
        place = placeOf(0) + 321 * SIZE + 17
        self.assertIn(f"message 321, byte 17: {PATTERN[place] ^ 1:#04x} came, {PATTERN[place]:#04x}", line)
        self.assertIn(f"byte {321 * SIZE + 17} of connection 0, from port 50000", line)
        self.assertGreater(load.total("answered"), 900)

    def test_pipelined(self) -> None:
        """A wrong byte is located among several messages, also in pieces; those before it are answered."""

        def halves(data: bytes) -> list[bytes]:
            (wrong,) = flipped(250)(data)
            return [wrong[:10], wrong[10:]]

        load = loaded(Edits({0: halves}), maxInflight=4, duration=0.01)
        (line,) = load.seconds[0]["differences"]
        self.assertIn("message 2, byte 50: ", line)
        self.assertEqual(load.errors(), {"corrupt": 2})
        self.assertEqual(load.total("answered") + 2, load.total("sent"))

    def test_shifted(self) -> None:
        """A byte that is lost, or comes twice, is a difference."""
        edits = {5: lambda data: [data[:50] + data[51:]], 30: lambda data: [data[:50] + data[49:]]}
        load = loaded(Edits(edits), duration=3.0)
        lines = [line for each in load.seconds for line in each["differences"]]
        # A lost byte is missed when the next message comes; in a closed loop that is never.
        self.assertEqual(load.errors(), {"corrupt": 2})
        self.assertIn("message 5, byte 50: ", lines[0])
        self.assertIn("byte 50: ", lines[1])

    def test_surplus(self) -> None:
        """Bytes too many are an error, also if they equal the next message; those before are answered."""
        for extra in (b"!", PATTERN[4 * SIZE : 4 * SIZE + 2]):
            load = loaded(Edits({3: lambda data, extra=extra: [data + extra]}))  # type: ignore[misc]
            self.assertEqual(load.errors(), {"surplus": 1})
            self.assertEqual(load.total("answered"), load.total("sent"))
            (line,) = [line for each in load.seconds for line in each["differences"]]
            self.assertIn("byte 400 of connection 0", line)

    def test_surplusAtTheEnd(self) -> None:
        """A byte too many is found after the last message, too."""
        server = FakeServer(loop := SimulatedLoop(), lambda now: now + 0.001)
        load = SimulatedLoad(server, LoadSettings(sizes=((SIZE, 1.0),), warmup=0.0, duration=1.0))

        def more(moment: float) -> None:
            channel = loop.opened[0]
            sent = channel.sends * SIZE
            channel.come(PATTERN[sent : sent + 1], moment)

        loop.at(1002.0015, more)
        load.run()
        self.assertEqual(load.errors(), {"surplus": 1})

    def test_ends(self) -> None:
        """An end, a reset and another error have their kinds, for all that is under way."""
        for what, kind in (
            (b"", "FIN"),
            (ConnectionResetError(104, ""), "reset"),
            (TimeoutError(110, ""), "timed out"),
            (OSError(113, ""), "unreachable"),
            (OSError(5, ""), "input/output error"),
        ):
            server = FakeServer(loop := SimulatedLoop(), lambda now: now + 0.1)
            wanted = LoadSettings(sizes=((SIZE, 1.0),), warmup=0.0, duration=3.0, maxInflight=3)
            load = SimulatedLoad(server, wanted)
            loop.at(1002.05, lambda moment, what=what: loop.opened[0].come(what, moment))  # type: ignore[misc]
            load.run()
            self.assertEqual(load.errors(), {kind: 3}, kind)
            self.assertApproximates(load.total("answered"), 3 * 30 - 3, 3)

    def test_firstOnes(self) -> None:
        """Of many differences the first ones are kept, and all are counted."""
        load = loaded(flipped(0), duration=30.0)
        lines = [line for each in load.seconds for line in each["differences"]]
        self.assertEqual(len(lines), DIFFERENCES)
        self.assertGreater(load.errors()["corrupt"], 2 * DIFFERENCES)


class DatagramTests(SynchronousTestCase):
    def loaded(self, edits: dict[int, Edit], **fields: object) -> SimulatedLoad:
        return loaded(Edits(edits), "udp", **fields)

    def test_good(self) -> None:
        """All that is answered is counted, with its time."""
        load = self.loaded({}, maxInflight=3)
        self.assertEqual(load.errors(), {})
        self.assertApproximates(load.total("answered"), 3000, 6)
        self.assertApproximates(load.histogram("latency").percentile(99), 0.001, 1e-5)

    def test_lost(self) -> None:
        """A datagram without an answer in time is lost; the load goes on from the same port before that."""
        load = self.loaded({4: lambda data: []})
        self.assertEqual(load.errors(), {"lost": 1})
        self.assertApproximates(load.total("answered"), 750, 60)
        self.assertEqual(len(load.loop.opened), 1)

    def test_open(self) -> None:
        """In an open loop a lost datagram holds up no other."""
        load = self.loaded({4: lambda data: []}, rate=100.0, arrivals="uniform", maxInflight=10)
        self.assertEqual((load.errors(), load.total("answered")), ({"lost": 1}, 99))

    def test_duplicate(self) -> None:
        """A duplicate is counted, and is an answer."""
        load = self.loaded({4: lambda data: [data, data]})
        self.assertEqual(load.errors(), {"duplicate": 1})
        self.assertApproximates(load.total("answered"), 1000, 3)

    def test_late(self) -> None:
        """An answer to one that was given up is no second one."""
        server = FakeServer(SimulatedLoop(), lambda now: now + (2.0 if now == 1001.0 else 0.001), kind="udp")
        wanted = LoadSettings(sizes=((SIZE, 1.0),), warmup=0.0, duration=5.0, wait=0.5)
        load = SimulatedLoad(server, wanted).run()
        self.assertEqual(load.errors(), {"lost": 1})

    def test_reordered(self) -> None:
        """Answers that overtake each other are answers."""
        takes = iter([0.3, 0.2, 0.1] * 1000)
        server = FakeServer(SimulatedLoop(), lambda now: now + next(takes), kind="udp")
        wanted = LoadSettings(sizes=((SIZE, 1.0),), warmup=0.0, duration=1.0, maxInflight=3)
        load = SimulatedLoad(server, wanted).run()
        self.assertEqual((load.errors(), load.total("answered")), ({}, load.total("due")))

    def test_corrupt(self) -> None:
        """A wrong byte is located; so is one that is cut off, or answers nothing."""
        load = self.loaded({4: flipped(HEADER + 3), 7: lambda data: [data[:-1]], 9: flipped(0)})
        lines = [line for each in load.seconds for line in each["differences"]]
        self.assertIn(f"message 4, byte {HEADER + 3}: ", lines[0])
        self.assertIn(f"message 7, {SIZE - 1} bytes came, {SIZE} were sent", lines[1])
        self.assertIn("answer no datagram", lines[2])
        self.assertEqual(load.errors(), {"corrupt": 3, "lost": 1})

    def test_remembered(self) -> None:
        """The memory of lost datagrams is bounded: a late answer to an older one is a duplicate."""
        server = FakeServer(SimulatedLoop(), lambda now: max(now + 0.001, 1009.0), kind="udp")
        wanted = LoadSettings(
            ((SIZE, 1.0),), rate=1000.0, arrivals="uniform", maxInflight=9999, warmup=0.0, wait=0.5
        )
        errors = SimulatedLoad(server, wanted).run().errors()
        self.assertApproximates(errors["lost"], 7500, 100)
        self.assertEqual(errors["duplicate"], errors["lost"] - REMEMBERED)

    def test_fullSocket(self) -> None:
        """Bytes that the kernel does not take are sent when it does."""
        server = FakeServer(loop := SimulatedLoop(), lambda now: now + 0.001, kind="udp")
        sizes = ((SIZE, 1.0),)
        wanted = LoadSettings(sizes, rate=100.0, arrivals="uniform", maxInflight=99, warmup=0.0)
        load = SimulatedLoad(server, wanted)
        loop.at(1003.0, lambda moment: setattr(loop.opened[0], "room", 0))
        loop.at(1003.5, lambda moment: setattr(loop.opened[0], "room", 1 << 30))
        load.run()
        self.assertEqual((load.errors(), load.total("answered")), ({}, 1000))
        self.assertApproximates(load.histogram("latency").most, 0.5, 0.01)
