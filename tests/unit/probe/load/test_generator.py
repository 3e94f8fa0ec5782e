"""The load generator, on simulated time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.load.dial import Dial
from echo_app.probe.load.loop import Loop
from echo_app.probe.net.errors import ErrorKind
from echo_app.probe.results.histogram import Histogram
from echo_app.probe.results.results import LoadSettings
from tests.support.simulated import FakeServer, SimulatedLoad, SimulatedLoop

# Seconds that a simulated server takes.
QUICK = 0.001


def quick(now: float) -> float:
    return now + QUICK


def stalling(begin: float, end: float) -> Callable[[float], float]:
    """Returns a server that answers at once, but in a stall at its end."""
    return lambda now: (end if begin <= now < end else now) + QUICK


def settings(**fields: object) -> LoadSettings:
    """Returns settings without a warm-up, unless told otherwise."""
    return LoadSettings(**{"sizes": ((64, 1.0),), "warmup": 0.0, **fields})  # type: ignore[arg-type]


def openLoop(rate: float, **fields: object) -> LoadSettings:
    """Returns settings of a uniform open loop."""
    return settings(**{"rate": rate, "arrivals": "uniform", "maxInflight": 10**6, **fields})


def loaded(server: FakeServer, settings: LoadSettings, **more: int) -> SimulatedLoad:
    """Runs a load until its end."""
    return SimulatedLoad(server, settings, **more).run()


class CountTests(SynchronousTestCase):
    """A load of so many messages."""

    def check(self, load: SimulatedLoad, count: int, ended: float, delta: float = 1e-6) -> None:
        self.assertEqual([load.total(name) for name in ("due", "sent", "answered")], [count] * 3)
        self.assertApproximates(load.seconds[-1]["ended"], ended, delta)
        self.assertFalse(any("ended" in each for each in load.seconds[:-1]))
        self.assertEqual((load.errors(), load.said[-1]), ({}, {"done": True}))

    def test_closedLoop(self) -> None:
        """All connections together send the count, and the end is that of the last answer."""
        for kind in ("tcp", "udp"):
            server = FakeServer(SimulatedLoop(), quick, kind=kind)
            load = loaded(server, settings(count=2500, connections=2, duration=600.0))
            self.check(load, 2500, 1250 * QUICK, 0.002)
            self.assertEqual(len(load.seconds), 2)

    def test_one(self) -> None:
        """One message has the time of its answer."""
        self.check(loaded(FakeServer(SimulatedLoop(), quick), settings(count=1, duration=600.0)), 1, QUICK)

    def test_warmup(self) -> None:
        """Messages of a warm-up do not count."""
        server = FakeServer(SimulatedLoop(), quick)
        load = loaded(server, settings(count=100, warmup=0.5, duration=600.0))
        self.assertEqual(load.total("answered"), 100)

    def test_openLoop(self) -> None:
        """As many messages are due as the count says, and the end is before the next one."""
        for arrivals in ("uniform", "poisson"):
            server = FakeServer(SimulatedLoop(), quick)
            fields = {"count": 1500, "connections": 4, "arrivals": arrivals, "duration": 600.0, "warmup": 2.0}
            self.check(loaded(server, openLoop(1000.0, **fields)), 1500, 1.5, 0.2)

    def test_failures(self) -> None:
        """A message without an answer is one of the count, and the run lasts until it is given up."""
        answers = itertools.count()
        for kind, error in (("tcp", "timed out"), ("udp", "lost")):
            server = FakeServer(
                SimulatedLoop(), lambda now: quick(now) if next(answers) % 5 else None, kind=kind
            )
            load = loaded(server, settings(count=1, duration=600.0, wait=3.0))
            self.assertEqual((load.total("due"), load.errors()), (1, {error: 1}))
            self.assertApproximates(load.seconds[-1]["ended"], 3.0, 0.2)
            next(answers), next(answers), next(answers), next(answers)

    def test_longestTime(self) -> None:
        """The duration ends a count that is not reached."""
        server = FakeServer(SimulatedLoop(), quick)
        load = loaded(server, settings(count=10**6, duration=2.0))
        self.assertApproximates(load.total("answered"), 2000, 2)
        self.assertEqual(load.seconds[-1]["ended"], 2.0)


class OpenLoopTests(SynchronousTestCase):
    def test_rate(self) -> None:
        """The load sends, and reports, the rate that was asked for."""
        for arrivals in ("uniform", "poisson"):
            server = FakeServer(SimulatedLoop(), quick)
            load = loaded(server, openLoop(500.0, connections=4, duration=20.0, arrivals=arrivals))
            self.assertEqual(len(load.seconds), 20)
            self.assertEqual([each["second"] for each in load.seconds], list(range(20)))
            self.assertEqual(load.total("due"), load.total("answered"))
            self.assertEqual(load.total("bytes"), 64 * load.total("due"))
            self.assertApproximates(load.total("due"), 10_000, 1 if arrivals == "uniform" else 300)
            self.assertEqual((load.errors(), load.said[-1]), ({}, {"done": True}))
            self.assertLess(load.histogram("lateness").most, 1e-6)

    def test_stall(self) -> None:
        """Messages that are due in a stall of the server wait, and their latency includes the wait."""
        server = FakeServer(SimulatedLoop(), stalling(1003.0, 1004.0))
        load = loaded(server, openLoop(1000.0, connections=10, duration=5.0))
        self.assertEqual(load.begin, 1001.0)
        exact = sorted(
            stalling(2.0, 3.0)(number / 1000) - number / 1000 for number in range(load.total("due"))
        )
        latency = load.histogram("latency")
        self.assertEqual(len(latency), 5000)
        for rank, seconds in latency.percentiles().items():
            self.assertApproximates(seconds, exact[math.ceil(len(exact) * rank / 100) - 1], 0.002, rank)
        self.assertApproximates(latency.percentile(90), 0.5, 0.005)
        self.assertApproximates(latency.percentile(99), 0.95, 0.005)

    def test_outage(self) -> None:
        """Answers are counted in the tenth of a second in which they came: an outage is a hole there."""
        server = FakeServer(SimulatedLoop(), stalling(1003.5, 1004.5))
        load = loaded(server, openLoop(1000.0, connections=10, duration=5.0))
        self.assertEqual([each["answered"] for each in load.seconds], [1000] * 5)
        came = [count for each in load.seconds for count in each["came"]]
        for count, expected in zip(came, [*[100] * 25, *[0] * 10, 1100, *[100] * 14], strict=True):
            self.assertApproximates(count, expected, 2)

    def test_room(self) -> None:
        """Beyond the messages under way, others stay due, and count from then; the probe is not late."""
        server = FakeServer(SimulatedLoop(), stalling(1003.0, 1004.0))
        load = loaded(server, openLoop(1000.0, connections=10, duration=5.0, maxInflight=2))
        self.assertEqual(load.total("answered"), 5000)
        self.assertApproximates(load.histogram("latency").percentile(90), 0.5, 0.1)
        lateness = load.histogram("lateness")
        self.assertEqual(len(lateness), 5000)
        self.assertLess(lateness.most, 1e-6)

    def test_held(self) -> None:
        """The waits for room are counted: of those due in the stall, and those due before all had room."""
        server = FakeServer(SimulatedLoop(), stalling(1003.0, 1004.0))
        load = loaded(server, openLoop(1000.0, connections=10, duration=5.0, maxInflight=2))
        held = load.histogram("held")
        self.assertApproximates(len(held), 1032, 10)
        self.assertApproximates(held.most, 0.98, 0.01)
        free = loaded(FakeServer(SimulatedLoop(), stalling(1003.0, 1004.0)), openLoop(1000.0, duration=5.0))
        self.assertEqual(len(free.histogram("held")), 0)

    def test_lostDatagrams(self) -> None:
        """A datagram that is taken for lost makes room early: the others' latency is the service's."""
        answers = itertools.count()
        server = FakeServer(
            SimulatedLoop(), lambda now: None if next(answers) % 10 == 9 else quick(now), kind="udp"
        )
        load = loaded(server, openLoop(1000.0, duration=20.0, maxInflight=100))
        self.assertEqual(load.errors(), {"lost": 2000})
        self.assertLess(load.histogram("latency").most, 0.01)
        self.assertEqual(len(load.histogram("held")), 0)

    def test_lateDatagram(self) -> None:
        """A datagram that was taken for lost, and comes within the time-out, is an answer."""
        server = FakeServer(SimulatedLoop(), stalling(1003.0, 1005.0), kind="udp")
        load = loaded(server, openLoop(1000.0, duration=5.0, maxInflight=500))
        self.assertEqual((load.total("answered"), load.errors()), (5000, {}))
        self.assertApproximates(load.histogram("latency").most, 2.0, 0.01)

    def test_probeIsLate(self) -> None:
        """A pause of the probe itself is its lateness, and in the latency."""
        server = FakeServer(loop := SimulatedLoop(), quick)
        load = SimulatedLoad(server, openLoop(100.0, duration=2.0))

        def pause(moment: float) -> None:
            loop.now += 0.5

        loop.at(1002.0, pause)
        load.run()
        for name in ("latency", "lateness"):
            self.assertApproximates(load.histogram(name).most, 0.5, 0.011, name)
        self.assertEqual(load.total("answered"), 200)
        # The messages that were due in the pause went out at once.
        self.assertApproximates(loop.opened[0].sends, 150, 2)

    def test_pause(self) -> None:
        """A pause of the probe that is longer than the time-out is not taken for a silent server."""
        server = FakeServer(loop := SimulatedLoop(), lambda now: now + 0.3)
        load = SimulatedLoad(server, openLoop(10.0, duration=5.0, wait=1.0))

        def pause(moment: float) -> None:
            loop.now += 2.0

        loop.at(1003.05, pause)
        load.run()
        self.assertEqual(load.errors(), {})
        self.assertEqual(load.total("answered"), 50)

    def test_bounded(self) -> None:
        """Nothing grows in half an hour at a server that answers nothing, and nothing is forgotten."""
        server = FakeServer(loop := SimulatedLoop(), lambda now: None)
        load = SimulatedLoad(server, openLoop(5.0, connections=2, duration=1800.0, maxInflight=3))
        sizes = []

        def look(moment: float) -> float:
            sizes.append((loop.size, len(loop.channels), len(load.generator.ledger.seconds)))
            return moment + 30

        loop.at(1100.0, look)
        load.run()
        early, late = sizes[: len(sizes) // 2], sizes[len(sizes) // 2 :]
        for before, after in zip(zip(*early, strict=True), zip(*late, strict=True), strict=True):
            self.assertLessEqual(max(after), max(before) + 1)
            self.assertLess(max(before), 15)
        self.assertEqual(load.total("due"), 5 * 1800)
        self.assertEqual(sum(load.errors().values()), 5 * 1800)

    def test_seed(self) -> None:
        """A seed repeats the schedule and the sizes; another one, or another worker, has others."""
        wanted = openLoop(
            100.0, duration=3.0, connections=2, arrivals="poisson", sizes=((64, 1.0), (1000, 2.0))
        )

        def seen(**more: int) -> list[tuple[int, int]]:
            load = loaded(FakeServer(SimulatedLoop(), quick), wanted, **more)
            return [(each["due"], each["bytes"]) for each in load.seconds]

        self.assertEqual(seen(seed=1), seen(seed=1))
        self.assertEqual(len({tuple(seen(seed=1)), tuple(seen(seed=2)), tuple(seen(seed=1, index=1))}), 3)

    def test_wait(self) -> None:
        """A message without an answer in time fails, its connection is made anew, and the load goes on."""
        server = FakeServer(SimulatedLoop(), lambda now: None if now < 1003 else quick(now))
        load = loaded(server, openLoop(10.0, duration=10.0, wait=1.0, maxInflight=5))
        errors = load.errors()
        self.assertEqual(sum(errors.values()) + load.total("answered"), 100)
        self.assertEqual(set(errors), {"timed out"})
        # Nothing that was due after the server came back is lost, but what the old connection had.
        self.assertEqual([each["answered"] for each in load.seconds[5:]], [10] * 5)

    def test_overload(self) -> None:
        """A message that is unsent after that time is given up, and its connection lives."""
        free = 0.0

        def slow(now: float) -> float:
            nonlocal free
            free = max(free, now) + 0.5
            return free

        server = FakeServer(loop := SimulatedLoop(), slow)
        load = loaded(server, openLoop(10.0, duration=20.0, wait=3.0, maxInflight=2))
        self.assertEqual(set(load.errors()), {"not sent in time"})
        self.assertEqual(load.errors()["not sent in time"] + load.total("answered"), 200)
        self.assertApproximates(load.total("answered"), 2 * (20 + 3 + 1), 4)
        self.assertApproximates(load.histogram("latency").most, 3 + 2 * 0.5, 0.1)
        self.assertEqual(len(loop.opened), 1)

    def test_refused(self) -> None:
        """While a server refuses, messages stay due; those that waited too long fail with that reason."""
        server = FakeServer(loop := SimulatedLoop(), quick)
        load = SimulatedLoad(server, openLoop(10.0, duration=10.0, wait=2.0))

        def down(moment: float) -> None:
            server.error = ErrorKind.REFUSED
            loop.opened[0].come(ConnectionResetError(104, ""), moment)

        def up(moment: float) -> None:
            server.error = None

        loop.at(1003.55, down)
        loop.at(1007.45, up)
        load.run()
        errors = load.errors()
        attempts = len(server.dials) - 2
        self.assertEqual(errors["reset"], 1)
        self.assertEqual(load.total("due"), 100)
        self.assertEqual(errors["refused"] - attempts, 100 - load.total("answered"))
        self.assertApproximates(100 - load.total("answered"), 20, 10)
        pauses = [after - before for before, after in zip(server.dials[1:], server.dials[2:], strict=False)]
        self.assertApproximates(pauses[0], 0.05, 1e-6)
        self.assertApproximates(max(pauses), 1.0, 1e-6)


class ClosedLoopTests(SynchronousTestCase):
    def test_asksAgain(self) -> None:
        """Each connection has one message under way, and asks when it is answered."""
        server = FakeServer(SimulatedLoop(), quick)
        load = loaded(server, settings(connections=3, duration=2.0))
        self.assertApproximates(load.total("answered"), 3 * 2 / QUICK, 6)
        self.assertApproximates(load.histogram("latency").percentile(50), QUICK, 1e-5)

    def test_inflight(self) -> None:
        """Or several of them."""
        server = FakeServer(SimulatedLoop(), lambda now: now + 0.1)
        load = loaded(server, settings(maxInflight=5, duration=2.0))
        self.assertApproximates(load.total("answered"), 100, 5)

    def test_stall(self) -> None:
        """A stall of the server is one long answer, which is what closed loops hide."""
        server = FakeServer(SimulatedLoop(), stalling(1003.0, 1004.0))
        load = loaded(server, settings(duration=5.0))
        self.assertApproximates(load.histogram("latency").percentile(99), QUICK, 1e-5)
        self.assertApproximates(load.histogram("latency").most, 1.0, 0.01)

    def test_probeIsLate(self) -> None:
        """A pause of the probe itself is its lateness, whether it waits for sockets or not."""

        class PausedLoop(SimulatedLoop):
            def _wait(self) -> list[tuple[int, int]]:
                events = super()._wait()
                if self.now > 1002.5 and not paused:
                    paused.append(self.now)
                    self.now += 0.5
                return events or self._events()

        def pause(moment: float) -> None:
            loop.now += 0.5

        for loop in (SimulatedLoop(), PausedLoop()):
            paused: list[float] = []
            load = SimulatedLoad(FakeServer(loop, lambda now: now + 0.01), settings(duration=3.0))
            if type(loop) is SimulatedLoop:
                loop.at(1002.5, pause)
            load.run()
            for name in ("latency", "lateness"):
                self.assertApproximates(load.histogram(name).most, 0.5, 0.05, (name, loop))

    def test_warmup(self) -> None:
        """Messages before the measured part count nowhere."""
        server = FakeServer(SimulatedLoop(), stalling(1001.0, 1002.0))
        load = loaded(server, settings(duration=1.0, warmup=2.0))
        self.assertLess(load.histogram("latency").most, 0.01)
        self.assertApproximates(load.total("answered"), 1 / QUICK, 2)

    def test_unserved(self) -> None:
        """A connection that is made again and again, and never gets an answer, is counted."""

        server = FakeServer(loop := SimulatedLoop(), quick)
        load = SimulatedLoad(server, settings(connections=5, duration=2.0, wait=0.5))

        def fill(moment: float) -> None:
            server.answering = lambda now: None
            for each in loop.opened[2:]:
                each.answering = lambda now: None

        loop.at(1000.5, fill)
        self.assertEqual(load.run().total("unserved"), 3)

    def test_carried(self) -> None:
        """A message of the warm-up that is not answered fails in the measured time, and is waited for."""
        for kind, error in (("tcp", "timed out"), ("udp", "lost")):
            server = FakeServer(SimulatedLoop(), lambda now: None, kind=kind)
            load = loaded(server, settings(duration=2.0, warmup=1.0, wait=5.0, connections=3))
            self.assertEqual((load.total("carried"), load.total("sent")), (3, 0))
            self.assertEqual(load.errors(), {error: 3})

    def test_neverBegun(self) -> None:
        """A connection that is away for all of the measured time has a message that was never sent."""
        server = FakeServer(loop := SimulatedLoop(), quick)
        load = SimulatedLoad(server, settings(duration=2.0, warmup=1.0, wait=5.0, connections=2))

        def lose(moment: float) -> None:
            server.takes = 1000.0
            loop.opened[1].come(ConnectionResetError(104, "reset"), moment)

        loop.at(1001.5, lose)
        load.run()
        self.assertEqual((load.total("answered"), load.errors()), (2000, {"reset": 1}))
        self.assertEqual(load.total("due"), 2001)

    def test_perConnection(self) -> None:
        """After some messages a connection is ended, and another one made, whose time is counted."""
        server = FakeServer(loop := SimulatedLoop(), quick, takes=0.01)
        load = loaded(server, settings(duration=2.0, perConnection=2))
        made = len(loop.opened)
        self.assertApproximates(made, 2 / (0.01 + 2 * QUICK), 3)
        self.assertApproximates(load.histogram("connects").percentile(50), 0.01, 1e-4)
        self.assertTrue(all(channel.isClosed for channel in loop.opened))
        self.assertEqual(load.errors(), {})

    def test_noEnd(self) -> None:
        """An end of the server's side that does not come is an error."""
        server = FakeServer(loop := SimulatedLoop(), quick)
        load = SimulatedLoad(server, settings(duration=5.0, perConnection=3, wait=1.0))
        load.generator.connect()
        loop.at(1001.5, lambda moment: setattr(loop.opened[-1], "halfClose", lambda: None))
        loop.run()
        self.assertEqual(load.errors(), {"no end": 1})

    def test_fullSocket(self) -> None:
        """Bytes that the kernel does not take are sent when it does."""
        server = FakeServer(loop := SimulatedLoop(), quick)
        load = SimulatedLoad(server, settings(duration=1.0, sizes=((100, 1.0),)))

        def fill(moment: float) -> float:
            loop.opened[0].room = 30
            return moment + 0.001

        loop.at(1000.5, fill)
        load.run()
        self.assertGreater(load.total("answered"), 100)
        self.assertEqual(load.errors(), {})


class ReadyTests(SynchronousTestCase):
    def test_ready(self) -> None:
        """The load is ready when every connection is made."""
        server = FakeServer(SimulatedLoop(), quick, takes=0.5)
        load = loaded(server, openLoop(10.0, connections=250, duration=1.0))
        self.assertEqual(load.begin, 1002.5)
        self.assertEqual(load.said[0]["ready"]["errors"], {})

    def test_failed(self) -> None:
        """Without any connection there is no load."""
        server = FakeServer(SimulatedLoop(), quick)
        server.error = ErrorKind.REFUSED
        self.assertEqual(loaded(server, settings(connections=3)).said, [{"failed": "refused"}])

    def test_noAnswer(self) -> None:
        """An attempt that is not answered in time is over."""
        server = FakeServer(loop := SimulatedLoop(), quick, takes=1000.0)
        self.assertEqual(loaded(server, settings(wait=3.0)).said, [{"failed": "connect timed out"}])
        self.assertApproximates(loop.now, 1003.0, 0.1)

    def test_some(self) -> None:
        """With some connections, the load begins when all were tried; a second try counts as one."""

        class HalfServer(FakeServer):
            def dial(self, loop: Loop) -> Dial:
                self.error = ErrorKind.REFUSED if len(self.dials) % 2 else None
                return super().dial(loop)

        server = HalfServer(SimulatedLoop(), quick)
        load = loaded(server, openLoop(10.0, connections=250, duration=1.0))
        self.assertEqual(list(load.said[0]), ["ready"])
        ready = load.said[0]["ready"]
        self.assertGreaterEqual(ready["errors"]["refused"], 100)
        self.assertEqual(len(Histogram(ready["connects"])) + ready["errors"]["refused"], 250)

    def test_nextAddress(self) -> None:
        """If the first address of a name refuses every connection, the next one is tried."""

        class TwoServers(FakeServer):
            isLast = False

            def next(self) -> None:
                self.isLast, self.error = True, None

        server = TwoServers(SimulatedLoop(), quick)
        server.error = ErrorKind.REFUSED
        load = loaded(server, openLoop(10.0, connections=3, duration=1.0))
        self.assertEqual(load.said[0]["ready"]["errors"], {})
        self.assertEqual(load.total("answered"), 10)


class StopTests(SynchronousTestCase):
    def test_stop(self) -> None:
        """After a stop, messages under way may be answered, and the seconds so far are reported."""
        server = FakeServer(loop := SimulatedLoop(), lambda now: now + 0.25)
        load = SimulatedLoad(server, openLoop(100.0, duration=100.0))
        loop.at(1003.5, lambda moment: load.generator.stop())
        load.run()
        self.assertEqual([each["answered"] for each in load.seconds], [100, 100, 50])
        self.assertEqual(load.said[-1], {"done": True})
        self.assertLess(loop.now, 1005)

    def test_unanswered(self) -> None:
        """A message without an answer at the end is neither an answer nor an error."""
        server = FakeServer(loop := SimulatedLoop(), lambda now: None if now > 1002 else quick(now))
        load = SimulatedLoad(server, openLoop(100.0, duration=100.0))
        loop.at(1003.5, lambda moment: load.generator.stop())
        load.run()
        self.assertEqual((load.total("answered"), load.errors()), (101, {}))
        self.assertEqual((load.total("outstanding"), load.total("due")), (149, 250))
        self.assertEqual(load.said[-1], {"done": True})
        self.assertLess(loop.now, 1005)

    def test_unbegun(self) -> None:
        """So is one that was due and not sent: both are counted."""
        server = FakeServer(loop := SimulatedLoop(), lambda now: None if now > 1002 else quick(now))
        load = SimulatedLoad(server, openLoop(100.0, duration=100.0, maxInflight=10))
        loop.at(1003.5, lambda moment: load.generator.stop())
        load.run()
        counts = [load.total(name) for name in ("due", "answered", "outstanding", "unbegun")]
        self.assertEqual(counts, [250, 101, 10, 139])

    def test_early(self) -> None:
        """Before the measured part there is nothing to say."""
        for moment in (1000.1, 1000.9, 1001.5):
            server = FakeServer(loop := SimulatedLoop(), quick, takes=0.5)
            load = SimulatedLoad(server, settings(warmup=3.0))
            loop.at(moment, lambda moment, load=load: load.generator.stop())  # type: ignore[misc]
            load.run()
            self.assertEqual((load.seconds, load.said[-1]), ([], {"done": True}))
