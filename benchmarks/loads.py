"""Runs the load against a server, and looks at the server between the load's phases."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.rows import Row
from benchmarks.tools import HERE, Missing, buildC, requireHeader


class LoadError(Exception):
    """The load ended early; the text is its one line."""


@dataclass(frozen=True, slots=True)
class Load:
    """A program that loads a server, as ``load.c`` describes it.

    :param language: ``C`` or ``Python``.
    :param missing: why it does no TLS; empty where it does.
    """

    language: str
    command: tuple[str, ...]
    tlsCommand: tuple[str, ...] = ()
    missing: str = "it needs the load in C"

    def commandFor(self, row: Row) -> tuple[str, ...]:
        """Returns what to run for a row that it can load."""
        return self.tlsCommand if row.transport == "tls" else self.command


class Phase(NamedTuple):
    """How long to load, and how fast.

    :param warmup: seconds before anything counts.
    :param rate: messages a second, where the row has a fixed rate.
    """

    warmup: float
    seconds: float
    rate: int = 0


class Usage(NamedTuple):
    """What a process has used so far.

    :param cpu: nanoseconds of all its threads, user and system.
    :param memory: resident bytes.
    """

    cpu: int
    memory: int

    @classmethod
    def of(cls, pid: int) -> Usage:
        """Looks at a process of one's own user."""
        # What clock_getcpuclockid(3) returns: the scheduler's own count, which getrusage(2) rounds.
        cpu = time.clock_gettime_ns((~pid << 3) | 2)
        # The counters in status and statm lag behind, by up to some hundred KiB; these are exact.
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        found = re.search(r"^Rss:\s*(\d+) kB", rollup, re.MULTILINE)
        assert found is not None
        return cls(cpu, int(found.group(1)) * 1024)


class Outcome(NamedTuple):
    """What the load says of the measured phase, and what the server used in it.

    :param seconds: how long it took.
    :param median: of the round trips, in seconds; 0 where they were not timed.
    :param tail: their 99th percentile.
    """

    echoes: int
    seconds: float
    median: float
    tail: float
    cpu: int
    memory: int


def findLoad() -> tuple[Load, str]:
    """Returns the best load there is, and why it is not the compiled one; empty where it is."""
    try:
        return compiledLoad(), ""
    except Missing as error:
        return pythonLoad(), str(error)


def compiledLoad() -> Load:
    """Returns the load in C, which does TLS where OpenSSL's headers are.

    :raise Missing: when it can't be built.
    """
    source = HERE / "load.c"
    plain = buildC(source, HERE / "load_plain.h")
    options = ("-DTLS", "-lssl", "-lcrypto")
    try:
        requireHeader("openssl/ssl.h", "libssl-dev")
        tls = buildC(source, HERE / "load_tls.h", name="load_tls", options=options)
    except Missing as error:
        return Load("C", (str(plain.path),), missing=str(error))
    return Load("C", (str(plain.path),), (str(tls.path),), missing="")


def pythonLoad() -> Load:
    """Returns the load in Python."""
    return Load("Python", (sys.executable, str(HERE / "load.py")))


def runLoad(
    load: Load, row: Row, address: tuple[str, int], phase: Phase, usage: Callable[[], Usage]
) -> Outcome:
    """Loads a server at an address until the phase is over and every connection is checked and closed.

    :param usage: tells what the server has used; asked before and after the measured phase.
    :raise LoadError: when a byte is wrong, lost or too many, or the server is gone.
    """
    words = (row.mode, *address, row.size, row.connections, *phase)
    process = subprocess.Popen(
        [*load.commandFor(row), *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            _await(process, "ready")
            before = usage()
            _goOn(process)
            echoes, *times = _await(process, "done")
            after = usage()
            _goOn(process)
            _await(process, "checked")
        finally:
            process.kill()
    spent = (after.cpu - before.cpu, after.memory - before.memory)
    seconds, median, tail = map(float, times)
    return Outcome(int(echoes), seconds, median, tail, *spent)


def _await(process: subprocess.Popen[str], word: str) -> list[str]:
    """Returns what follows the word."""
    assert process.stdout is not None
    assert process.stderr is not None
    said = process.stdout.readline().split()
    if said[:1] != [word]:
        lines = process.stderr.read().strip().splitlines()
        raise LoadError(lines[-1] if lines else f"the load ended before it was {word}")
    return said[1:]


def _goOn(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
