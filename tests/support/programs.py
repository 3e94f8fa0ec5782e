"""Starts programs for a test; they end with it, and so do the processes that they have forked.

A program has nothing on its standard input, unless the test gives it something: one that outlives a test
would hold the input of the process that runs the tests, and trial's workers end with theirs.
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

# Seconds after which a program is killed that should have ended: the busiest machine needs less.
TIMEOUT = 60.0


def start(case: unittest.TestCase, *command: str | Path, **more: Any) -> subprocess.Popen[Any]:
    """Starts a program, which is killed at the test's end if it still runs.

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
    """Runs a program to its end, as :func:`subprocess.run` does; what it prints is captured.

    :param more: other arguments of :class:`subprocess.Popen`.
    :raise subprocess.TimeoutExpired: when it was killed after `timeout` seconds.
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
    """Starts a program that :func:`end` is to be called with."""
    return subprocess.Popen(command, start_new_session=True, **{"stdin": subprocess.DEVNULL, **more})


def hasEnded(process: subprocess.Popen[Any], seconds: float = TIMEOUT) -> bool:
    """Waits some seconds for a program's end; its number stays its own, so that :func:`end` can use it."""
    descriptor = os.pidfd_open(process.pid)
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def end(process: subprocess.Popen[Any]) -> None:
    """Kills a program, and all that it has forked, unless its end has been waited for."""
    # Until then its number, which is its group's too, is given to no other process.
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()
