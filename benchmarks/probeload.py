"""Load in Python, that of ``echo-probe``, for machines without a compiler.

It checks as much as ``load.c``, and is slower than many servers. A server that waits for the load sleeps and
wakes for each message, which costs more than a message to a server that is never idle. So this load has no
fixed rate: it can't saturate the reference.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import ceil
from typing import Any

from benchmarks.loads import Load, LoadError, Outcome, Phase, Usage
from benchmarks.rows import Row
from echo_app.probe.load.run import tasks
from echo_app.probe.load.workers import WORKER
from echo_app.probe.results.results import LoadSettings
from echo_app.targets import ClientTLS, Target, parseTarget

# Seconds after which an answer is lost, as in load.c.
ANSWER_TIMEOUT = 5.0

# The most seconds that idle connections stay; the load ends them earlier.
LONG = 3600.0


class Worker:
    """A worker process of a load, with the protocol of :mod:`echo_app.probe.load.workerprotocol`.

    All methods raise :exc:`LoadError` when a byte is wrong, lost or surplus, or the server is gone.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def begin(self) -> float:
        """Begins when all connections are made; returns that time, in seconds of the monotonic clock."""
        self._hear()
        start = time.monotonic()
        self.tell(f"start {start!r}")
        return start

    def second(self) -> int:
        """Returns the number of answered messages of the next second."""
        return int(self._hear()["answered"])

    def end(self) -> None:
        """Waits until every connection is checked and closed."""
        while "done" not in self._hear():
            pass

    def tell(self, line: str) -> None:
        """Sends the worker a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        line = self._process.stdout.readline()
        if not line:
            complaint = self._process.stderr.read().strip().splitlines()
            raise LoadError(complaint[-1] if complaint else "the load ended early")
        said: dict[str, Any] = json.loads(line)
        said = said.get("ready", said)
        if "failed" in said:
            raise LoadError(f"no connection: {said['failed']}")
        if said.get("differences"):
            raise LoadError(said["differences"][0])
        if said.get("errors"):
            raise LoadError(", ".join(f"{kind}: {count}" for kind, count in said["errors"].items()))
        return said


@contextmanager
def _working(target: Target, settings: LoadSettings) -> Iterator[Worker]:
    """Starts a worker with its task, and ends it after the block."""
    process = subprocess.Popen(
        WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    worker = Worker(process)
    try:
        (task,) = tasks(target, settings, seed=1)
        worker.tell(json.dumps(task))
        yield worker
    finally:
        process.kill()
        process.communicate()


class ProbeLoad(Load):
    """The load of ``echo-probe load``."""

    language = "Python"
    missing = ""

    def run(self, row: Row, address: tuple[str, int], phase: Phase, usage: Callable[[], Usage]) -> Outcome:
        """Loads a server with a row."""
        host, port = address
        target = parseTarget(f"{row.listener}://{host}:{port}", ClientTLS(isInsecure=True))
        settings = LoadSettings(
            sizes=((row.size, 1.0),),
            connections=row.connections,
            perConnection=1 if row.mode == "accept" else None,
            warmup=0.0,
            wait=ANSWER_TIMEOUT,
        )
        return _idle(target, settings, usage) if row.mode == "idle" else _busy(target, settings, phase, usage)


def _busy(target: Target, settings: LoadSettings, phase: Phase, usage: Callable[[], Usage]) -> Outcome:
    """Sends message after message on all connections."""
    # The worker's own warm-up would hide errors, so the warm-up here is some of the seconds that it counts.
    warmup = ceil(phase.warmup)
    duration = warmup + phase.seconds
    with _working(target, replace(settings, duration=duration)) as worker:
        start = worker.begin()
        _sleepUntil(start + warmup)
        before = usage()
        answered = [worker.second() for _ in range(ceil(duration) - 1)]
        _sleepUntil(start + duration)
        after = usage()
        answered.append(worker.second())
        worker.end()
    echoes = sum(answered[warmup:])
    if not echoes:
        raise LoadError(f"nothing was answered in {phase.seconds:g} s")
    return Outcome.between(before, after, echoes, phase.seconds)


def _idle(target: Target, settings: LoadSettings, usage: Callable[[], Usage]) -> Outcome:
    """Opens connections, and measures the server's memory when each has had an echo.

    One connection, and then a tenth of them, come first, so that memory which the server allocates once is
    not counted. The one is alone: CPython's objects of a class share a table of their attributes' names,
    which the first object makes. If all connections are made before the first echo, each has a table of its
    own. Textbook Twisted took 1,945 bytes that way, and 1,087 this way, 1,085 with the load in C.
    """
    count, first = settings.connections, settings.connections // 10
    with _kept(target, settings, 1), _kept(target, settings, first - 1):
        before = usage()
        with _kept(target, settings, count - first) as echoes:
            after = usage()
    return Outcome.between(before, after, echoes, 1.0)


@contextmanager
def _kept(target: Target, settings: LoadSettings, count: int) -> Iterator[int]:
    """Keeps connections in the block, each with an echo a second; yields the number of the first echoes."""
    kept = replace(settings, connections=count, rate=count, arrivals="uniform", duration=LONG)
    with _working(target, kept) as worker:
        worker.begin()
        yield worker.second()
        worker.tell("stop")
        worker.end()


def _sleepUntil(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))
