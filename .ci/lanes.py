"""Runs the steps of ``.ci/run``: lanes side by side, each step for so long at the most.

A lane is steps one after the other. What a step prints comes as it comes, with its lane's name before each
line. The first step that fails, or takes too long, ends all the others, and the last line names it. However
this ends, nothing that was started is left.

Two processors bound what can be done: a whole suite has four minutes of processor time. So each kind of test
runs where it can find the most, and no more often:

- README's command runs everything that a newcomer runs: Python 3.11, from the checkout.
- newest, with the newest Python and the newest of all that is required, runs the units, what depends on
  Python, what README's command leaves to CI, and on the three other reactors what depends on the reactor.
- oldest runs what depends on Twisted, on the oldest one, against the wheel, and measures the coverage.
- sdist runs its units on the Python between.

Whatever judges milliseconds runs last, alone.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from subprocess import DEVNULL, PIPE, STDOUT, Popen
from threading import Thread, Timer

# One after the other: lanes side by side, of steps with their arguments, and the seconds of each at the most.
PHASES: list[dict[str, dict[str, int]]] = [
    {
        "programs": {"programs": 600},
        "make": {"build": 200, "environments": 300},
    },
    {
        "readme": {"readme": 1000, "packages": 300},
        "newest": {"newest": 1000, "reactor select": 500, "reactor poll": 500},
        "coverage": {"coverage": 1200, "static": 300},
        "others": {"sdist": 500, "oldest": 1000, "reactor asyncio": 500},
    },
    {"latency": {"latency": 300}},
]

RUN = Path(__file__).with_name("run")

# pytest's closing line, and trial's.
PASSED = re.compile(r"(\d+) passed|successes=(\d+)")
SKIPPED = re.compile(r"(\d+) skipped|skips=(\d+)")


class Work:
    """What has been done; each lane has a thread.

    :ivar outcomes: one of each lane that has ended, and of each time limit: what failed, or nothing.
    """

    def __init__(self) -> None:
        self.outcomes: SimpleQueue[str] = SimpleQueue()
        self.isEnded = False
        self.lines: list[str] = []
        self.passed = self.skipped = 0

    def run(self) -> str:
        """Runs all phases; returns what failed, or nothing."""
        for lanes in PHASES:
            for lane in lanes.items():
                Thread(target=self._lane, args=lane, daemon=True).start()
            for _ in lanes:
                if failure := self.outcomes.get():
                    return failure
        return ""

    def _lane(self, name: str, steps: dict[str, int]) -> None:
        failures = (self._step(name, step, limit) for step, limit in steps.items())
        self.outcomes.put(next(filter(None, failures), ""))

    def _step(self, lane: str, step: str, limit: int) -> str:
        """Runs a step; returns what failed, or nothing."""
        if self.isEnded:
            return "ended"
        began, passed, skipped = time.monotonic(), 0, 0
        self._say(lane, f"=== {step}")
        timer = Timer(limit, self.outcomes.put, [f"step {step!r} of lane {lane} took more than {limit} s"])
        timer.daemon = True
        timer.start()
        command = ["bash", str(RUN), *step.split()]
        # In a session of its own: a terminal's Ctrl-C is for this process, which ends the others.
        with Popen(command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, start_new_session=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                text = line.decode(errors="replace").rstrip()
                self._say(lane, text)
                if text.startswith("skipped: "):
                    self.lines.append(f"{lane:9} {step:16} {text}")
                passed, skipped = counted(PASSED, text, passed), counted(SKIPPED, text, skipped)
        timer.cancel()
        if process.returncode:
            return f"step {step!r} of lane {lane} ended with status {process.returncode}"
        seconds = time.monotonic() - began
        self._say(lane, f"=== {step}: {seconds:.0f} s")
        self.passed, self.skipped = self.passed + passed, self.skipped + skipped
        counts = f"{passed:5} passed {skipped:3} skipped" if passed else ""
        self.lines.append(f"{lane:9} {step:16} {seconds:4.0f} s {counts}".rstrip())
        return ""

    def _say(self, lane: str, line: str) -> None:
        if not self.isEnded:
            # In one piece: each lane has a thread.
            print(f"{lane}: {line}\n", end="", flush=True)


def counted(pattern: re.Pattern[str], line: str, before: int) -> int:
    """Returns a count, with what a closing line adds to it."""
    match = pattern.search(line)
    return before + int(match[1] or match[2]) if match else before


def endAll(mark: str) -> None:
    """Kills every process that a step has started, those in sessions of their own too.

    :param mark: what all of them have in their environment.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + 5
        while found := [
            pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if isMarked(pid, mark)
        ]:
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)


def isMarked(pid: int, mark: str) -> bool:
    """Tells whether a process, another one than this, has a mark in its environment."""
    with suppress(OSError):
        return pid != os.getpid() and mark.encode() in Path(f"/proc/{pid}/environ").read_bytes()
    return False


def main() -> int:
    """Runs everything; returns the exit status."""
    began, work, folder = time.monotonic(), Work(), tempfile.mkdtemp(prefix="echo-ci-")
    # An unprivileged user, which one test becomes, must find the environments.
    os.chmod(folder, 0o755)
    os.environ["ECHO_APP_CI_WORK"] = folder
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        failure = work.run()
    except KeyboardInterrupt:
        failure = "interrupted"
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        work.isEnded = True
        endAll(folder)
        shutil.rmtree(folder, ignore_errors=True)
    print(*work.lines, f"{time.monotonic() - began:.0f} s in all", sep="\n")
    print(
        f"FAILED: {failure}" if failure else f"total: {work.passed} passed, 0 failed, {work.skipped} skipped"
    )
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
