"""Worker processes of a load, as their parent sees them.

What a worker is told and tells is a line of JSON each. It gets its task, connects, and says that it is
``ready``; at ``start T`` all of them begin at the same moment, T seconds of the monotonic clock. Then comes a
line for each second that was measured, ``done``, and the end of the process. ``stop``, and the end of its
standard input, have it report what there is: so no worker outlives its parent.
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

# Bytes that are kept of what a worker has to complain about.
_COMPLAINT = 1 << 14


class LoadFailed(Exception):
    """There is no result; the text says why, in one line."""


class Worker(ProcessProtocol):
    """One of them.

    :param pool: is told what it says, and of its end.
    :param index: from 0.
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
        """Gives it its task."""
        self.tell(json.dumps(self._task))

    def tell(self, line: str) -> None:
        """Tells it something; who has ended does not hear it."""
        with suppress(KeyError):
            self.transport.writeToChild(0, f"{line}\n".encode())

    def kill(self) -> None:
        """Ends it, now."""
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess("KILL")

    @property
    def spent(self) -> float:
        """The seconds in which it ran, or waited for a core to run on; 0 where the kernel does not say."""
        try:
            ran, waited, *_ = Path(f"/proc/{self.transport.pid}/schedstat").read_text().split()
        except OSError:
            return 0.0
        return (int(ran) + int(waited)) / 1e9

    def outReceived(self, data: bytes) -> None:
        """Takes what it says, line by line."""
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._lineReceived(line)
        if len(self._line) > LONGEST_LINE:
            self._pool.failed("a line without an end", self._index)

    def errReceived(self, data: bytes) -> None:
        """Keeps what it complains about: the end of it says most."""
        self._complaint = (self._complaint + data)[-_COMPLAINT:]

    def processEnded(self, reason: Failure) -> None:
        """It did well only when it was done, and had nothing to complain about."""
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
            # It is the target's doing, and the same for all of them.
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
    """All workers of a run.

    :param reactor: an ``IReactorProcess``.
    :param totals: is told what they measured. What it raises is the worker's fault.
    :ivar gone: fires when there is no process any more.
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

        :raise LoadFailed: when the system has no process for it.
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
        """Returns a Deferred that fires when this is so of all workers. One wait at a time.

        It fails with :class:`LoadFailed` when a worker did not do well; cancelling it changes nothing else.
        """
        self._condition, self._waiting = condition, Deferred()
        waiting = self._waiting
        self.look()
        return waiting

    def tell(self, line: str) -> None:
        """Tells all of them the same."""
        for worker in self._workers:
            worker.tell(line)

    def spent(self) -> list[float]:
        """Returns the seconds in which each of them ran, or waited for a core to run on."""
        return [worker.spent for worker in self._workers]

    def kill(self) -> Deferred[None]:
        """Ends all of them, now; returns :attr:`gone`."""
        for worker in self._workers:
            worker.kill()
        self.look()
        return self.gone

    def heard(self, index: int, message: Mapping[str, Any]) -> None:
        """One of them says what it measured."""
        try:
            if "ready" in message:
                self._totals.connected(message["ready"])
            else:
                self._totals.second(index, message)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            self.failed(f"a report that makes no sense: {error!r}", index)

    def failed(self, reason: str, index: int | None = None) -> None:
        """One of them failed. What follows from that does not matter.

        :param index: None where it is no fault of this one.
        """
        who = "" if index is None else f"worker {index + 1} of {self._count}: "
        self._failure = self._failure or LoadFailed(who + reason)
        self.look()

    def look(self) -> None:
        """Looks whether what is waited for is so."""
        if self._waiting is not None and (self._failure or all(map(self._condition, self._workers))):
            waiting, self._waiting = self._waiting, None
            if self._failure:
                waiting.errback(self._failure)
            else:
                waiting.callback(None)
        if all(worker.isGone for worker in self._workers) and not self.gone.called:
            self.gone.callback(None)
