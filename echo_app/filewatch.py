"""Files of a service: reads them, and notices that they have changed, so that they can be read again.

A renewal of certificates writes two or three files one after the other, and may write each in pieces. So a
change counts when the files have stayed the same between two looks. The watch follows symbolic links, which
Kubernetes swaps to renew a mounted secret.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

log = Logger()

# Seconds between two looks: a renewal is done in less, and its certificate is in use after ten.
INTERVAL = 5.0

# Device, inode, size and time of modification of a file; None where it can't be seen, and for a pipe, which
# has nothing to read again.
_Stamp = tuple[int, int, int, int] | None


def contentsOf(path: str) -> bytes:
    """Reads a file to its end. A pipe, such as one of the shell's ``<(command)``, is waited for.

    :raise OSError: when it can't be read, or is a FIFO without a writer, whose open would block.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        descriptor, begun = file.fileno(), b""
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            # Without data, the kernel tells a pipe with a writer from one without (pipe(7)).
            with suppress(BlockingIOError):
                begun = os.read(descriptor, 4096)
                if not begun:
                    raise OSError(errno.ENXIO, "A FIFO without a writer, or an empty pipe")
        os.set_blocking(descriptor, True)
        return begun + file.read()


class Stamps:
    """Notices whether files have changed since they were read.

    :param paths: the files.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = tuple(paths)
        self.note()

    def note(self) -> None:
        """Notes the files as they are now, before they are read."""
        self._read = self._last = self._now()

    def begin(self) -> None:
        """Notes files that can't be seen any more, such as after a chroot, as they are now."""
        if None in self._now():
            self.note()

    def watch(self, reload: Callable[[], object]) -> Callable[[], None]:
        """Returns a function to call every few seconds, which calls `reload` once after each change."""
        self.begin()

        def look() -> None:
            if self.haveChanged():
                reload()

        return look

    def haveChanged(self) -> bool:
        """Returns whether there is a change that is complete; each change is reported once."""
        now = self._now()
        isComplete, self._last = now == self._last, now
        if now == self._read or not isComplete:
            return False
        self._read = now
        return True

    def _now(self) -> list[_Stamp]:
        return [_stampOf(path) for path in self._paths]


class Watch:
    """Calls functions every few seconds while a service runs.

    :param clock: makes the calls.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._looks: Sequence[Callable[[], object]] = ()
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    def start(self, looks: Sequence[Callable[[], object]]) -> None:
        """Begins to call the functions. An error in one is logged, and stops no other one."""
        self._looks = looks
        if looks and not self._loop.running:
            self._loop.start(INTERVAL, now=False)

    def stop(self) -> None:
        """Stops calling."""
        if self._loop.running:
            self._loop.stop()

    def _look(self) -> None:
        for look in self._looks:
            try:
                look()
            except Exception:
                log.failure("a look at the files failed")


def _stampOf(path: str) -> _Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
