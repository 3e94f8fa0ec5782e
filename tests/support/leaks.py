"""Finds processes, threads, sockets and files that the tests of one process leave behind."""

from __future__ import annotations

import gc
import os
import re
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path

from twisted.logger import globalLogBeginner

# The variable in the environment of all processes of a run, which also marks orphans.
VARIABLE = "ECHO_APP_TEST_RUN"

# Seconds that a killed process, or a thread whose peer has closed, may take to end.
ENDING = 10.0

# The process that forks warm processes ends with this one.
_FORKING = "support/warm.py"

# The reactor's thread pool, which only the reactor's end would join.
_POOL = "PoolThread-twisted."


class Leaks:
    """The state before the tests of this process, to compare with the state after them.

    :param mark: names the run, and this process of it; the name of a run alone stands for all its processes.
    :ivar folder: the folder for temporary files, from :meth:`ownFolder` on.
    """

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.folder: Path | None = None
        self._threads = set(threading.enumerate())
        self._sockets = _sockets()
        os.environ[VARIABLE] = mark
        # Until logging begins, Twisted keeps the last events, and all objects in the frames of their
        # failures.
        globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)

    def ownFolder(self) -> None:
        """Makes an own folder for temporary files, writable for every user as the usual one."""
        self.folder = Path(tempfile.mkdtemp(prefix="e-"))
        self.folder.chmod(0o1777)
        os.environ["TMPDIR"] = tempfile.tempdir = str(self.folder)

    def left(self) -> list[str]:
        """Returns the names of leaks, after a time in which they may end."""
        gc.collect()
        deadline = time.monotonic() + ENDING
        while (left := self._look()) and time.monotonic() < deadline:
            threading.Event().wait(0.05)
        return left

    def remove(self) -> None:
        """Kills the processes that are left, and removes the folder."""
        for pid in self._processes():
            os.kill(pid, signal.SIGKILL)
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _look(self) -> list[str]:
        processes = [f"process {pid}: {command}" for pid, command in self._processes().items()]
        new = [each for each in threading.enumerate() if each not in self._threads]
        threads = [f"thread: {each.name}" for each in new if not each.name.startswith(_POOL)]
        sockets = [f"socket: {name}" for inode, name in _sockets().items() if inode not in self._sockets]
        files = [] if self.folder is None else sorted(self.folder.rglob("*"))
        return processes + threads + sockets + [f"file: {path}" for path in files]

    def _processes(self) -> dict[int, str]:
        """Returns the processes of this run, but this one, with their command lines."""
        ours = re.compile(rb"(?:^|\0)" + f"{VARIABLE}={self.mark}".encode() + rb"(?:\.|\0)")
        found = {}
        for entry in os.listdir("/proc"):
            if not entry.isdecimal() or int(entry) == os.getpid():
                continue
            try:
                isOurs = ours.search(Path(f"/proc/{entry}/environ").read_bytes())
                command = Path(f"/proc/{entry}/cmdline").read_text().replace("\0", " ").strip()
                parent = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if isOurs and not (parent == os.getpid() and _FORKING in command):
                found[int(entry)] = command
        return found


def _sockets() -> dict[str, str]:
    """Returns this process's sockets, by inode: those of TCP and UDP, and those of UNIX that have a path."""
    mine = set()
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            link = os.readlink(f"/proc/self/fd/{descriptor}")
        except FileNotFoundError:
            continue
        mine.add(link.removeprefix("socket:[").removesuffix("]"))
    found = {}
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in mine:
                found[fields[9]] = f"{table} port {int(fields[1].rpartition(':')[2], 16)}"
    for line in Path("/proc/self/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[6] in mine:
            found[fields[6]] = f"unix {fields[7]}"
    return found
