"""Functions that ask the kernel for the state of processes and connections, and network namespaces."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import threading
import time
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.support import programs
from tests.support.service import PATIENCE, needs

# setns(2): the network namespace of the calling thread.
_CLONE_NEWNET = 0x40000000

# The least number of looks before a wait gives up.
FEWEST_LOOKS = 20


def processorSeconds(pid: int) -> float:
    """Returns the processor time that a process has used: utime and stime of proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def processorShare(pid: int, seconds: float) -> float:
    """Watches a process for some seconds; returns the share of one processor that it used."""
    before, start = processorSeconds(pid), time.monotonic()
    threading.Event().wait(seconds)
    return (processorSeconds(pid) - before) / (time.monotonic() - start)


def fairClock(pid: int) -> Callable[[], float]:
    """Returns a clock that stands still while this process, or another one, waits for a processor.

    A test must not fail because of other programs on the machine. On an idle machine this is a monotonic
    clock; on a busy one it may lose the time in which both processes wait. The second field of ``schedstat``
    has the nanoseconds in which a process could have run (Documentation/scheduler/sched-stats.rst of Linux).
    """

    def waited(who: object) -> int:
        return int(Path(f"/proc/{who}/schedstat").read_text().split()[1])

    return lambda: time.monotonic() - (waited("self") + waited(pid)) / 1e9


def isAtRest(*pids: int) -> bool:
    """Watches processes for a while; returns whether none of them ran, or waited for a processor.

    It looks in steps: a pause of the machine, in which no process runs, is one step.
    """
    before = [processorSeconds(pid) for pid in pids]
    for _ in range(8):
        threading.Event().wait(0.05)
        stats = [Path(f"/proc/{pid}/stat").read_text() for pid in pids]
        if any(stat.rpartition(")")[2].split()[0] == "R" for stat in stats):
            return False
        if [processorSeconds(pid) for pid in pids] != before:
            return False
    return True


def descriptors(pid: int) -> int:
    """Returns the number of a process's open descriptors."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def waitUntil(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Polls a condition; returns whether it came true within some seconds."""
    deadline = time.monotonic() + seconds
    looks = 0
    while not condition():
        # However long the machine has paused, the processes have had their turns.
        if time.monotonic() > deadline and looks >= FEWEST_LOOKS:
            return False
        threading.Event().wait(0.01)
        looks += 1
    return True


def waitForCut(sock: socket.socket, seconds: float = PATIENCE) -> int | None:
    """Waits, without reading, until a peer's connection is cut off; returns the error's number.

    :return: 0 is an end without an error; None is no end in `seconds`.
    """
    poll = select.poll()
    poll.register(sock, 0)
    if not poll.poll(seconds * 1000):
        return None
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


class Row(NamedTuple):
    """The service's side of one TCP connection over IPv4, as in /proc/net/tcp.

    :param state: of tcp_states.h; 1 is established.
    :param owed: bytes in the kernel's queue to the peer.
    :param unread: bytes in the kernel's queue from the peer.
    :param timer: 0 is none, 1 is a retransmission, 2 is keepalive, 4 is a window probe.
    """

    state: int
    owed: int
    unread: int
    timer: int


def serverSide(sock: socket.socket) -> Row | None:
    """Returns the kernel's state of the other end of a TCP connection on this machine; None if it is gone."""
    local, remote = sock.getpeername()[1], sock.getsockname()[1]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        ports = [int(fields[i].rpartition(":")[2], 16) for i in (1, 2)]
        if ports == [local, remote]:
            owed, unread = (int(each, 16) for each in fields[4].split(":"))
            return Row(int(fields[3], 16), owed, unread, int(fields[5].partition(":")[0], 16))
    return None


class Namespace:
    """A network namespace, with its loopback up, until :meth:`remove`.

    :raise unittest.SkipTest: when it can't be made, except in CI.
    """

    def __init__(self) -> None:
        needs("ip")
        self.name = f"echo-{os.getpid()}-{os.urandom(2).hex()}"
        made = programs.run("ip", "netns", "add", self.name, text=True)
        if made.returncode:
            reason = f"network namespaces: {made.stderr.strip()}"
            if os.environ.get("CI"):
                raise AssertionError(reason)
            raise unittest.SkipTest(reason)
        self.ip("link", "set", "lo", "up")

    def ip(self, *arguments: str) -> None:
        """Runs ip(8) in the namespace."""
        run("ip", "-n", self.name, *arguments)

    def command(self, *command: str) -> tuple[str, ...]:
        """Returns the command that runs another command in the namespace."""
        return ("ip", "netns", "exec", self.name, *command)

    def call(self, function: Callable[[], socket.socket]) -> socket.socket:
        """Calls a function on a thread in the namespace; its sockets stay in the namespace."""
        results: list[socket.socket] = []
        errors: list[BaseException] = []

        def enter() -> None:
            try:
                with open(f"/run/netns/{self.name}") as file:
                    libc = ctypes.CDLL(None, use_errno=True)
                    if libc.setns(file.fileno(), _CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                results.append(function())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def remove(self) -> None:
        """Removes the namespace's name; processes and sockets in it keep it alive."""
        programs.run("ip", "netns", "del", self.name)


def run(*command: str) -> None:
    """Runs a command.

    :raise AssertionError: when the command fails, with its output.
    """
    done = programs.run(*command, text=True)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stderr}")
