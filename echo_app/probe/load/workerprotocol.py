"""Protocol between a worker and its parent: lines of JSON and words.

The parent writes to the worker's standard input, and the worker to its standard output:

- The parent sends the task, a line ``{"target": TEXT, "tls": {...}, "settings": {...}, "seed": N,
  "index": I}``: the fields of :class:`~echo_app.targets.ClientTLS` and of
  :class:`~echo_app.probe.results.results.LoadSettings`, and the worker's index of ``settings.processes``.
  Connections, rate and count are this worker's share. An equal seed repeats the schedule and the sizes.
- The worker makes all its connections, says ``{"ready": {"connects": TIMES, "errors": {KIND: N}}}``, and
  waits for the line ``start T``. The warm-up begins at T, a second of CLOCK_MONOTONIC. TIMES are what
  :meth:`Histogram.encode <echo_app.probe.results.histogram.Histogram.encode>` returns. Where no connection
  can be made, the worker says ``{"failed": REASON}`` instead, and ends.
- The worker says a line for each second of the measured part: ``{"second": K, "due": N, "sent": N,
  "answered": N, "bytes": N, "carried": N, "outstanding": N, "unbegun": N, "unserved": N, "dropped": N,
  "came": [N], "errors": {KIND: N}, "latency": TIMES, "lateness": TIMES, "held": TIMES, "connects": TIMES,
  "differences": [LINE]}``. Seconds are numbered from 0, and a message belongs to the second in which it was
  due; ``came`` counts the answers that came in each tenth of the second. Lines come in order, each as soon
  as everything due in its second is answered or given up. TIMES that counted nothing are left out. Errors of
  connections are in the second in which they happened, and those of messages of the warm-up in the first.
  The last line has ``"addresses": {ADDRESS: N}``, the connections to each address, where the target's name
  has several, and with ``settings.count`` also ``"ended": SECONDS``, the length of the measured part.
- At last the worker says ``{"done": true}``, and ends with status 0.
- A line ``stop``, or the end of standard input, ends the load early. Nothing more is sent. Messages under
  way may be answered for a second more; the others count neither as answers nor as errors. Then the worker
  says the seconds that are left, and ``done``. It ignores SIGINT, which a terminal sends to parent and
  worker alike: the parent acts on it.

Complaints are on standard error.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import sys
from typing import Any

from echo_app.probe.load.dial import Address
from echo_app.probe.load.generator import LoadGenerator
from echo_app.probe.load.loop import IN, Loop, wakeExactly
from echo_app.probe.net.errors import reasonOf
from echo_app.probe.results.results import LoadSettings
from echo_app.targets import BadTarget, ClientTLS, parseTarget


def say(data: dict[str, Any]) -> None:
    """Writes a report, at once."""
    print(json.dumps(data), flush=True)


class CommandReader:
    """Reads the parent's commands from standard input, after the first line: ``start T`` and ``stop``."""

    def __init__(self, generator: LoadGenerator) -> None:
        self._generator = generator
        self._rest = b""

    def ready(self, event: int) -> None:
        """Reads the lines that are there, and carries them out."""
        data = os.read(0, 4096)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            word, _, moment = line.partition(b" ")
            if word == b"start":
                self._generator.begin(float(moment))
        if not data or b"stop" in lines:
            self._generator.loop.forget(0)
            self._generator.stop()


def firstLine() -> bytes:
    """Returns the first line of standard input; reads no byte beyond it."""
    line = bytearray()
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return bytes(line)


def runWorker() -> None:
    """Runs the task of the first line of standard input to its end.

    :raise SystemExit: when the first line is no task.
    """
    line = firstLine()
    if not line:
        # The parent has ended, or has no task any more.
        return
    try:
        task = json.loads(line)
        tls = ClientTLS(**{**task["tls"], "protocols": tuple(task["tls"].get("protocols", ()))})
        target, settings = str(task["target"]), LoadSettings.of(task["settings"])
        seed, index = int(task["seed"]), int(task["index"])
    except (KeyError, TypeError, ValueError) as error:
        raise SystemExit(f"a worker of echo-probe load is told something else first: {error!r}") from None
    try:
        address = addressOf(target, tls, settings, index)
        if address is not None:
            work(address, settings, seed, index)
    except BrokenPipeError:
        # The parent has ended. Python flushes standard output at its exit, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def addressOf(target: str, tls: ClientTLS, settings: LoadSettings, index: int) -> Address | None:
    """Returns the address of a target; None, after a report, where there is none."""
    try:
        return Address(parseTarget(target, tls), settings.address == "first", index, settings.proxy)
    except socket.gaierror as error:
        say({"failed": str(reasonOf(error))})
    except BadTarget as error:
        say({"failed": str(error)})
    except OSError as error:
        say({"failed": f"a file for TLS can't be used: {error.strerror or error}"})
    return None


def work(address: Address, settings: LoadSettings, seed: int, index: int) -> None:
    """Runs this worker's share of the load."""
    wakeExactly()
    loop = Loop()
    generator = LoadGenerator(loop, address, settings, seed, index, say)
    loop.watch(0, IN, CommandReader(generator).ready)
    # All objects so far stay: no garbage collection has to visit them again.
    gc.freeze()
    generator.connect()
    loop.run()
