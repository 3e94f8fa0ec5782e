"""Worker processes of a load, as their parent sees them.

Each worker gets its task, connects, and reports ``ready``. At ``start T`` all workers begin at the same
moment T of CLOCK_MONOTONIC. Then each reports every second that was measured, and ``done``, and its process
ends. After ``stop``, or the end of its standard input, a worker reports the seconds so far and ends: none
outlives its parent. :mod:`echo_app.probe.load.workerprotocol` has the protocol.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from echo_app.probe.load.totals import Totals

WORKER = (sys.executable, "-m", "echo_app.probe.load.worker")

# Bytes of a worker's longest line: a second's histograms take some thousand, and its differences as many.
LONGEST_LINE = 1 << 22

# Bytes that are kept of a worker's standard error.
_COMPLAINT = 1 << 14


class LoadFailed(Exception):
    """A load has no result; the text is the reason, in one line."""


class Worker(ProcessProtocol):
    """One worker process.

    :param pool: gets its reports, and is told of its end.
    :param index: from 0.
    :param task: its first line.
    """

    transport: Any

    def __init__(self, pool: WorkerPool, index: int, task: Mapping[str, Any]) -> None:
        self._pool = pool
        self._index = index
        self._task = task
        self._line = b""
        self._complaint = b""
        self.isReady = self.isDone = self.isGone = False

    def connectionMade(self) -> None:
        """Sends the task."""
        self.tell(json.dumps(self._task))

    def tell(self, line: str) -> None:
        """Sends a line, unless the process has ended."""
        with suppress(KeyError):
            self.transport.writeToChild(0, f"{line}\n".encode())

    def kill(self) -> None:
        """Kills the process."""
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess("KILL")

    @property
    def spent(self) -> float:
        """The seconds in which the process ran or waited for a core; 0 where the kernel has no count."""
        try:
            ran, waited, *_ = Path(f"/proc/{self.transport.pid}/schedstat").read_text().split()
        except OSError:
            return 0.0
        return (int(ran) + int(waited)) / 1e9

    def outReceived(self, data: bytes) -> None:
        """Receives reports, line by line."""
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._lineReceived(line)
        if len(self._line) > LONGEST_LINE:
            self._pool.failed("a line without an end", self._index)

    def errReceived(self, data: bytes) -> None:
        """Keeps the end of standard error: the last line says most."""
        self._complaint = (self._complaint + data)[-_COMPLAINT:]

    def processEnded(self, reason: Failure) -> None:
        """Reports a failure, unless the worker was done and wrote nothing to standard error."""
        self.isGone = True
        complaint = self._complaint.decode(errors="replace").strip().splitlines()
        if complaint:
            self._pool.failed(complaint[-1][:200], self._index)
        elif not self.isDone or not reason.check(ProcessDone):
            self._pool.failed(_endOf(reason.value), self._index)
        self._pool.look()

    def _lineReceived(self, line: bytes) -> None:
        try:
            message = json.loads(line)
            kind = next(kind for kind in ("ready", "second", "done", "failed") if kind in message)
        except (ValueError, TypeError, StopIteration):
            self._pool.failed(f"it said {line[:80]!r}", self._index)
            return
        if kind == "failed":
            # The target is the cause, and the reason is the same for all workers.
            self._pool.failed(str(message["failed"]))
        elif kind == "done":
            self.isDone = True
        else:
            self._pool.heard(self._index, message)
            self.isReady = True
        self._pool.look()


def _endOf(error: Any) -> str:
    if isinstance(error, ProcessTerminated) and error.signal is not None:
        return f"killed by signal {error.signal}"
    return f"it ended with status {error.exitCode}"


class WorkerPool:
    """The worker processes of a run.

    :param reactor: an ``IReactorProcess``.
    :param totals: gets the reports. A report for which it raises an exception is a failure of the worker.
    :ivar gone: fires when all processes have ended.
    """

    def __init__(self, reactor: Any, totals: Totals) -> None:
        self._reactor = reactor
        self._totals = totals
        self._failure: LoadFailed | None = None
        self._condition: Callable[[Worker], bool] = lambda worker: True
        self._waiting: Deferred[None] | None = None
        self._count = 0
        self._workers: list[Worker] = []
        self.gone: Deferred[None] = Deferred()

    def spawn(self, tasks: Sequence[Mapping[str, Any]], command: Sequence[str] = WORKER) -> None:
        """Starts a worker for each task.

        :raise LoadFailed: when the system can't start a process.
        """
        self._count = len(tasks)
        for index, each in enumerate(tasks):
            worker = Worker(self, index, each)
            try:
                self._reactor.spawnProcess(worker, command[0], command, env=None)
            except OSError as error:
                raise LoadFailed(f"worker {index + 1} of {self._count}: {error.strerror}") from error
            self._workers.append(worker)

    def wait(self, condition: Callable[[Worker], bool]) -> Deferred[None]:
        """Returns a Deferred that fires when a condition holds for all workers. One wait at a time.

        It fails with :class:`LoadFailed` when a worker has failed; cancelling it only ends the wait.
        """
        self._condition, self._waiting = condition, Deferred()
        waiting = self._waiting
        self.look()
        return waiting

    def tell(self, line: str) -> None:
        """Sends a line to all workers."""
        for worker in self._workers:
            worker.tell(line)

    def spent(self) -> list[float]:
        """Returns the seconds in which each worker ran, or waited for a core."""
        return [worker.spent for worker in self._workers]

    def kill(self) -> Deferred[None]:
        """Kills all workers; returns :attr:`gone`."""
        for worker in self._workers:
            worker.kill()
        self.look()
        return self.gone

    def heard(self, index: int, message: Mapping[str, Any]) -> None:
        """Adds a worker's report to the totals."""
        try:
            if "ready" in message:
                self._totals.connected(message["ready"])
            else:
                self._totals.second(index, message)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            self.failed(f"a report that makes no sense: {error!r}", index)

    def failed(self, reason: str, index: int | None = None) -> None:
        """Notes a failure; only the first one counts, as others may follow from it.

        :param index: of the worker; None where the cause is the same for all workers.
        """
        who = "" if index is None else f"worker {index + 1} of {self._count}: "
        self._failure = self._failure or LoadFailed(who + reason)
        self.look()

    def look(self) -> None:
        """Fires the Deferreds whose conditions hold."""
        if self._waiting is not None and (self._failure or all(map(self._condition, self._workers))):
            waiting, self._waiting = self._waiting, None
            if self._failure:
                waiting.errback(self._failure)
            else:
                waiting.callback(None)
        if all(worker.isGone for worker in self._workers) and not self.gone.called:
            self.gone.callback(None)
