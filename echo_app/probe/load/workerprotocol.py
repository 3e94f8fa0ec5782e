"""Protocol between a worker and its parent: lines of JSON and words.

Whoever starts one talks to it through its standard input and output:

- First it is told what to do, in a line ``{"target": TEXT, "tls": {...}, "settings": {...}, "seed": N,
  "index": I}``: the fields of :class:`~echo_app.targets.TLSOptions` and of
  :class:`~echo_app.probe.results.results.Settings`, of which connections and rate are this worker's share,
  and which of ``settings.processes`` workers it is. A seed repeats the schedule and the sizes.
- It makes all its connections, says ``{"ready": {"connects": TIMES, "errors": {KIND: N}}}``, and waits for
  the line ``start T``: the second of CLOCK_MONOTONIC at which the warm-up begins. TIMES are what
  :meth:`Histogram.encode <echo_app.probe.results.histogram.Histogram.encode>` returns. Where no connection
  can be made it says ``{"failed": REASON}`` instead, and ends.
- For each second of the measured part, numbered from 0 by when a message was due, it says ``{"second": K,
  "due": N, "sent": N, "answered": N, "bytes": N, "errors": {KIND: N}, "latency": TIMES, "lateness": TIMES,
  "connects": TIMES, "differences": [LINE]}``, in order, as soon as everything due in it is answered or given
  up. TIMES that counted nothing are left out. Errors of connections are in the second in which they happened.
- At last it says ``{"done": true}``, and ends with status 0.
- A line ``stop``, or the end of its input, ends the load early: nothing more is sent, what is under way may
  be answered for a second more, and what is not counts neither as an answer nor as an error. Then the
  seconds that are left are said, and that it is done. SIGINT, which a terminal sends to parent and worker
  alike, is the parent's business.

Standard error has what else there is to say.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import sys
from typing import Any

from echo_app.probe.load.dial import Address
from echo_app.probe.load.generator import Share
from echo_app.probe.load.loop import IN, Loop, wakeExactly
from echo_app.probe.net.errors import reasonOf
from echo_app.probe.results.results import Settings
from echo_app.targets import BadTarget, TLSOptions, parseTarget


def say(data: dict[str, Any]) -> None:
    """Says one thing, now."""
    print(json.dumps(data), flush=True)


class Orders:
    """What comes on standard input after the first line."""

    def __init__(self, share: Share) -> None:
        self._share = share
        self._rest = b""

    def ready(self, event: int) -> None:
        """Reads what is there, and does it."""
        data = os.read(0, 4096)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            word, _, moment = line.partition(b" ")
            if word == b"start":
                self._share.begin(float(moment))
        if not data or b"stop" in lines:
            self._share.loop.forget(0)
            self._share.stop()


def firstLine() -> bytes:
    """Returns the first line of standard input; nothing is read beyond it."""
    line = bytearray()
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return bytes(line)


def runWorker() -> None:
    """Does what standard input says, until it is done.

    :raise SystemExit: when its first line is none that is understood.
    """
    line = firstLine()
    if not line:
        # Whoever started it has thought better of it.
        return
    try:
        task = json.loads(line)
        tls = TLSOptions(**{**task["tls"], "protocols": tuple(task["tls"].get("protocols", ()))})
        target, settings = str(task["target"]), Settings.of(task["settings"])
        seed, index = int(task["seed"]), int(task["index"])
    except (KeyError, TypeError, ValueError) as error:
        raise SystemExit(f"a worker of echo-probe load is told something else first: {error!r}") from None
    try:
        address = addressOf(target, tls)
        if address is not None:
            work(address, settings, seed, index)
    except BrokenPipeError:
        # Nobody listens any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def addressOf(target: str, tls: TLSOptions) -> Address | None:
    """Returns where a target is; where it is nowhere says so, and returns None."""
    try:
        return Address(parseTarget(target, tls))
    except socket.gaierror as error:
        say({"failed": str(reasonOf(error))})
    except BadTarget as error:
        say({"failed": str(error)})
    except OSError as error:
        say({"failed": f"a file for TLS can't be used: {error.strerror or error}"})
    return None


def work(address: Address, settings: Settings, seed: int, index: int) -> None:
    """Does this worker's share."""
    wakeExactly()
    loop = Loop()
    share = Share(loop, address, settings, seed, index, say)
    loop.watch(0, IN, Orders(share).ready)
    # What is there now stays: no collection has to look at it again.
    gc.freeze()
    share.connect()
    loop.run()
