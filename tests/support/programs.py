"""Starts programs for a test. They end with the test, with the processes that they have forked.

A program's standard input is empty, unless the test gives it one. Otherwise a program that outlives its test
would hold the input of the process that runs the tests; trial's workers end with their input.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import unittest
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

# Seconds after which a program that should have ended is killed: the busiest machine needs less.
TIMEOUT = 60.0


def newFolder(case: SynchronousTestCase) -> Path:
    """Makes a folder for a test; returns its absolute path."""
    folder = Path(case.mktemp()).absolute()
    folder.mkdir()
    return folder


def start(case: unittest.TestCase, *command: str | Path, **more: Any) -> subprocess.Popen[Any]:
    """Starts a program, and kills it at the test's end if it still runs.

    :param more: arguments of :class:`subprocess.Popen`.
    """
    process = begin(*command, **more)
    case.addCleanup(end, process)
    return process


def run(
    *command: str | Path,
    input: bytes | str | None = None,
    timeout: float = TIMEOUT,
    check: bool = False,
    **more: Any,
) -> subprocess.CompletedProcess[Any]:
    """Runs a program to its end, as :func:`subprocess.run`, and captures its output.

    :param more: other arguments of :class:`subprocess.Popen`.
    :raise subprocess.TimeoutExpired: when the program was killed after `timeout` seconds.
    """
    if input is not None:
        more["stdin"] = subprocess.PIPE
    process = begin(*command, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more})
    try:
        stdout, stderr = process.communicate(input, timeout)
    finally:
        end(process)
    done = subprocess.CompletedProcess(command, process.returncode, stdout, stderr)
    if check:
        done.check_returncode()
    return done


def begin(*command: str | Path, **more: Any) -> subprocess.Popen[Any]:
    """Starts a program. The caller must call :func:`end`."""
    return subprocess.Popen(command, start_new_session=True, **{"stdin": subprocess.DEVNULL, **more})


def hasEnded(process: subprocess.Popen[Any], seconds: float = TIMEOUT) -> bool:
    """Returns whether a program ends within some seconds. Its process id stays reserved for :func:`end`."""
    descriptor = os.pidfd_open(process.pid)
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def end(process: subprocess.Popen[Any]) -> None:
    """Kills a program and its forks, unless its exit status was read."""
    # Until then no other process gets its id, which is also that of its group.
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()
