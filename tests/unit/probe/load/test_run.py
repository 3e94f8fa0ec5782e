"""A run, as the parent of its workers sees it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.load.run import FAREWELL, GRACE, LEAD, Running, shares
from echo_app.probe.load.workers import LONGEST_LINE, LoadFailed, Worker, WorkerPool
from echo_app.probe.results.results import LoadSettings, Run
from echo_app.targets import ClientTLS, parseTarget


class FakeProcess:
    """A process, from its parent's side: what it is told, and what a test has it do."""

    def __init__(self, worker: Worker) -> None:
        self.pid = os.getpid()
        self.worker = worker
        self._isGone = False
        self.told: list[str] = []
        worker.transport = self
        worker.connectionMade()

    def writeToChild(self, descriptor: int, data: bytes) -> None:
        if self._isGone:
            raise KeyError(descriptor)
        self.told += data.decode().splitlines()

    def signalProcess(self, name: str) -> None:
        if self._isGone:
            raise ProcessExitedAlready
        self.end(signal=9)

    def say(self, **message: Any) -> None:
        self.print(json.dumps(message).encode() + b"\n")

    def print(self, data: bytes) -> None:
        self.worker.outReceived(data)

    def complain(self, data: bytes) -> None:
        self.worker.errReceived(data)

    def end(self, status: int = 0, signal: int | None = None) -> None:
        self._isGone = True
        isGood = not status and signal is None
        error = ProcessDone(0) if isGood else ProcessTerminated(None if signal else status, signal)
        self.worker.processEnded(Failure(error))

    @property
    def isGone(self) -> bool:
        return self._isGone


class FakeReactor(Clock):
    """Starts fake processes, as long as there are any."""

    def __init__(self, most: int = 10) -> None:
        super().__init__()
        self._most = most
        self.processes: list[FakeProcess] = []

    def spawnProcess(self, worker: Worker, program: str, arguments: Sequence[str], env: None) -> None:
        if len(self.processes) == self._most:
            raise OSError(11, "Resource temporarily unavailable")
        self.processes.append(FakeProcess(worker))


class RunningTestCase(SynchronousTestCase):
    settings = LoadSettings(connections=3, duration=2.0, warmup=1.0, wait=5.0, processes=2)

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.run_: Deferred[Run] = self.start()

    def start(self) -> Deferred[Run]:
        self.running = Running(self.reactor, parseTarget("a:1"), self.settings, self.reactor.seconds, ("w",))
        run = Deferred.fromCoroutine(self.running.measure(7))
        self.addCleanup(self.giveUp, run)
        return run

    def giveUp(self, run: Deferred[Run]) -> None:
        """Ends what a test leaves running, as Ctrl-C twice does."""
        run.addErrback(lambda failure: None)
        run.cancel()
        run.cancel()

    @property
    def processes(self) -> list[FakeProcess]:
        return self.reactor.processes

    def ready(self) -> None:
        """All workers are ready, and begin."""
        for process in self.processes:
            process.say(ready={"errors": {}})

    def second(self, process: FakeProcess, number: int) -> None:
        process.say(second=number, due=5, sent=5, answered=5, bytes=50)

    def reason(self) -> str:
        """Returns why the run failed; no process is left."""
        error = self.failureResultOf(self.run_, LoadFailed).value
        self.assertTrue(all(process.isGone for process in self.processes))
        return str(error)

    def pass_(self, seconds: float) -> None:
        """Lets time pass, in steps."""
        self.reactor.pump([seconds / 20] * 21)


class TasksTests(RunningTestCase):
    def test_shares(self) -> None:
        """The workers share the connections evenly, and the rate in proportion to their connections."""
        parts = shares(LoadSettings(connections=10, rate=100.0, processes=4))
        self.assertEqual([each.connections for each in parts], [3, 3, 2, 2])
        self.assertEqual([each.rate for each in parts], [30.0, 30.0, 20.0, 20.0])
        self.assertEqual({each.rate for each in shares(self.settings)}, {None})

    def test_rampShares(self) -> None:
        """Both rates of a ramp are shared."""
        parts = shares(LoadSettings(connections=3, rate=30.0, rampTo=90.0, processes=2))
        self.assertEqual([(each.rate, each.rampTo) for each in parts], [(20.0, 60.0), (10.0, 30.0)])

    def test_countShares(self) -> None:
        """The parts of a count are whole, and together are the count."""
        parts = shares(LoadSettings(connections=10, processes=4, count=11))
        self.assertEqual([each.count for each in parts], [3, 3, 2, 3])
        self.assertEqual({each.count for each in shares(self.settings)}, {None})

    def test_tasks(self) -> None:
        """Each worker gets its target, its share and its index in a line."""
        for index, process in enumerate(self.processes):
            (line,) = process.told
            task = json.loads(line)
            self.assertEqual((task["target"], task["seed"], task["index"]), ("a:1", 7, index))
            self.assertEqual(ClientTLS(**{**task["tls"], "protocols": ()}), ClientTLS())
            self.assertEqual(LoadSettings.of(task["settings"]).connections, 2 - index)

    def test_start(self) -> None:
        """When all are ready, all begin at the same moment, a little later."""
        first, second = self.processes
        first.say(ready={"errors": {}})
        self.assertIsNone(self.running.elapsed)
        second.say(ready={"errors": {"refused": 1}})
        moment = self.reactor.seconds() + LEAD
        self.assertEqual([process.told[1:] for process in self.processes], [[f"start {moment!r}"]] * 2)
        self.assertEqual(self.running.elapsed, -LEAD - 1.0)
        self.assertEqual(self.running.totals.run.errors, {"refused": 1})


class EndTests(RunningTestCase):
    def test_done(self) -> None:
        """When all are done and gone, it is their sum."""
        self.ready()
        for process in self.processes:
            for number in range(2):
                self.second(process, number)
            process.say(done=True)
            self.assertNoResult(self.run_)
            process.end()
        run = self.successResultOf(self.run_)
        self.assertEqual((run.target, run.answered, run.seconds, run.isInterrupted), ("a:1", 20, 2.0, False))

    def test_pieces(self) -> None:
        """A line may come in pieces, and two together."""
        for piece in (
            b'{"ready"',
            b': {}}\n{"second": 0, "answered": 1}\n{"sec',
            b'ond": 1, "answered": 2}\n',
        ):
            self.processes[0].print(piece)
        self.assertEqual(self.running.totals.run.answered, 3)

    def test_refused(self) -> None:
        """A worker that can't connect says why, and the others are ended."""
        self.processes[0].say(failed="refused")
        self.assertEqual(self.reason(), "refused")

    def test_died(self) -> None:
        """A worker that ends before it is done is an error, with its status or signal."""
        self.ready()
        self.second(self.processes[0], 0)
        self.processes[1].end(signal=9)
        self.assertEqual(self.reason(), "worker 2 of 2: killed by signal 9")

    def test_status(self) -> None:
        """A worker that ends with an error status is an error, done or not."""
        for process in self.processes:
            process.say(ready={})
            process.say(done=True)
        self.processes[0].end(status=3)
        self.assertEqual(self.reason(), "worker 1 of 2: it ended with status 3")

    def test_notDone(self) -> None:
        """A worker that ends well, but was not done, is an error."""
        self.processes[0].end()
        self.assertEqual(self.reason(), "worker 1 of 2: it ended with status 0")

    def test_complains(self) -> None:
        """The last line of a worker's standard error is the reason."""
        self.processes[1].complain(b"Traceback\n")
        self.processes[1].complain(b"x" * 100_000 + b"\nValueError: what\n")
        self.processes[1].end(status=1)
        self.assertEqual(self.reason(), "worker 2 of 2: ValueError: what")

    def test_nonsense(self) -> None:
        """A worker that writes anything else is an error at once."""
        for line in (b"hello\n", b"[]\n", b"7\n", b"{}\n", b"\xff\n", b'{"second": 5}\n', b'{"ready": 1}\n'):
            self.reactor.processes.clear()
            self.run_ = self.start()
            self.processes[0].print(line)
            self.assertTrue(self.reason().startswith("worker 1 of 2: "), line)

    def test_endless(self) -> None:
        """A line is not kept for ever."""
        self.processes[0].print(b"x" * (LONGEST_LINE + 1))
        self.assertEqual(self.reason(), "worker 1 of 2: a line without an end")

    def test_neverReady(self) -> None:
        """A worker that is never ready is given up."""
        self.processes[0].say(ready={})
        self.pass_(GRACE + 5.0 + 1.0)
        self.assertRegex(self.reason(), r"^a worker did not answer within \d+ s$")

    def test_neverDone(self) -> None:
        """A worker that is never done is an error."""
        self.ready()
        self.pass_(GRACE + 2 * 5.0 + 3.0 + 1.0)
        self.reason()

    def test_noProcess(self) -> None:
        """If the system has no process for a worker, the others are ended."""
        self.reactor = FakeReactor(1)
        self.run_ = self.start()
        self.assertEqual(self.reason(), "worker 2 of 2: Resource temporarily unavailable")


class BusyTests(RunningTestCase):
    def test_busy(self) -> None:
        """The load of the busiest worker is measured from the beginning of the measured part to its end."""
        spent = iter(([5.0, 1.0], [5.5, 2.5]))
        self.patch(WorkerPool, "spent", lambda pool: next(spent))
        self.ready()
        self.pass_(LEAD + 1.0 + 2.0 + 1.0)
        self.assertApproximates(self.running.totals.run.busy, 0.75, 0.1)

    def test_interrupted(self) -> None:
        """Or up to when it was interrupted."""
        spent = iter(([5.0, 1.0], [5.5, 1.5]))
        self.patch(WorkerPool, "spent", lambda pool: next(spent))
        self.ready()
        self.pass_(LEAD + 1.0 + 1.0)
        self.run_.cancel()
        self.assertApproximates(self.running.totals.run.busy, 0.5, 0.1)

    def test_interruptedAtOnce(self) -> None:
        """Without time for a measurement the load of workers is not known."""
        self.ready()
        self.running.clock = lambda: self.reactor.seconds() + 2.0
        self.run_.cancel()
        for process in self.processes:
            process.say(done=True)
        self.assertEqual(self.successResultOf(self.run_).busy, 0.0)

    def test_kernel(self) -> None:
        """The kernel knows how long a process ran; of a process that is gone, it does not."""
        worker = self.processes[0].worker
        before = worker.spent
        self.assertTrue(any(worker.spent > before for _ in range(1_000_000)))
        self.processes[0].pid = 1 << 30
        self.assertEqual(worker.spent, 0.0)


class InterruptTests(RunningTestCase):
    def test_interrupted(self) -> None:
        """Ctrl-C stops all workers, and their last reports count."""
        self.ready()
        self.pass_(LEAD + 1.0 + 1.5)
        self.second(self.processes[0], 0)
        self.run_.cancel()
        for process in self.processes:
            self.assertEqual(process.told[2:], ["stop"])
        self.second(self.processes[0], 1)
        for process in self.processes:
            self.assertNoResult(self.run_)
            process.say(done=True)
        run = self.successResultOf(self.run_)
        self.assertEqual((run.answered, run.isInterrupted), (10, True))
        self.assertApproximates(run.seconds, 1.5, 0.2)
        self.assertTrue(all(process.isGone for process in self.processes))

    def test_oneIsGone(self) -> None:
        """A worker that is done is not told of Ctrl-C, and the other one is waited for."""
        self.ready()
        self.pass_(LEAD + 1.0 + 1.5)
        first, second = self.processes
        first.say(done=True)
        first.end()
        self.run_.cancel()
        self.assertNoResult(self.run_)
        second.say(done=True)
        self.assertTrue(self.successResultOf(self.run_).isInterrupted)

    def test_nothingMeasured(self) -> None:
        """Before the measured part there is nothing to say; no process is left."""
        for moment in ("spawned", "connected"):
            self.reactor.processes.clear()
            self.run_ = self.start()
            if moment == "connected":
                self.ready()
            self.run_.cancel()
            self.failureResultOf(self.run_, CancelledError)
            self.assertTrue(all(process.isGone for process in self.processes))

    def test_twice(self) -> None:
        """A second Ctrl-C ends it at once."""
        self.ready()
        self.pass_(LEAD + 1.0 + 1.5)
        self.run_.cancel()
        self.run_.cancel()
        self.failureResultOf(self.run_, CancelledError)
        self.assertTrue(all(process.isGone for process in self.processes))

    def test_deaf(self) -> None:
        """A worker that does not stop, or dies of the same signal, is not waited for long."""
        self.ready()
        self.pass_(LEAD + 1.0 + 1.5)
        self.second(self.processes[1], 0)
        self.run_.cancel()
        self.pass_(FAREWELL + 1.0)
        self.assertEqual(self.successResultOf(self.run_).answered, 5)
