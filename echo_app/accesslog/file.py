"""The file of the access log, which takes whole lines and never blocks the service.

An :class:`AccessLog` has three states. Closed: each line is lost, and counted. Open: a line is in the file
within ``DELAY`` seconds. Stopped: an error (a full disk, a reader that left) ended the writing, until
``reopen()``. Lines that the file does not take yet wait in a buffer. Lines beyond its bound are lost, and
counted.

A pipe with a slow reader must not block the service. Other processes, and the service's own log, may share
the open pipe, so this module may not set it non-blocking. Therefore it polls the descriptor before each
write, and writes no more than a pipe takes as a whole (``PIPE_BUF``, pipe(7)).
"""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from echo_app.text import escaped

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

log = Logger()

# The path that means standard output, and the descriptor of standard output.
STANDARD_OUTPUT = "-"
_STDOUT = 1

# Seconds that a line may wait for further lines. A reader does not notice this delay, and in a storm of
# connections one system call writes six lines.
DELAY = 0.1

# Bytes of one write.
CHUNK = select.PIPE_BUF

# Bytes of lines that may wait for a reader or a disk: about two thousand entries.
PENDING = 1 << 20


class AccessLog:
    """Appends lines to a file.

    :param path: the file's path, or ``-`` for standard output.
    :param clock: schedules the writes.
    """

    def __init__(self, path: str, clock: IReactorTime) -> None:
        self._path = path
        self._clock = clock
        self._fd = -1
        self._pending = bytearray()
        # The buffer begins with the rest of a line whose beginning is in the file.
        self._isTorn = False
        self._isStopped = False
        self._lost = 0
        self._call: IDelayedCall | None = None

    def open(self) -> None:
        """Opens the file, and creates it if needed.

        :raise CannotListenError: when that fails; the error has the path as the user typed it.
        """
        if self._fd < 0:
            try:
                self._fd = self._opened()
            except OSError as error:
                # CannotListenError has the path, so the reason is without it.
                reason = OSError(error.errno, error.strerror)
                raise CannotListenError(None, f"--access-log {self._path!r}", reason) from error

    def write(self, line: bytes) -> None:
        """Appends a line, which ends in a newline. The file has it within ``DELAY`` seconds."""
        if self._fd < 0 or len(self._pending) + len(line) > PENDING:
            self._lose()
            return
        self._pending += line
        if self._call is None:
            self._call = self._clock.callLater(DELAY, self._flush)
        elif len(self._pending) - len(line) < CHUNK <= len(self._pending):
            self._write()

    def reopen(self) -> None:
        """Opens the path again, after a rotation or an error; when that fails, the old file stays open."""
        if self._fd < 0:
            return
        try:
            fd = self._opened(os.fstat(self._fd).st_mode)
        except OSError as error:
            log.error("{name} not opened again: {why}", name=self._name, why=error.strerror)
            return
        self._write()
        if self._isTorn and not os.path.samestat(os.fstat(self._fd), os.fstat(fd)):
            del self._pending[: self._pending.index(b"\n") + 1]
            self._isTorn = False
            self._lost += 1
        os.close(self._fd)
        self._fd = fd
        self._isStopped = False
        log.info("{name} opened again{lost}", name=self._name, lost=self._sayLost())
        self._write()

    def close(self) -> None:
        """Writes as many waiting lines as the file takes now, and closes the file."""
        self._write()
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._lost += self._pending.count(b"\n")
        self._pending.clear()
        self._isTorn = self._isStopped = False
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._lost:
            log.warn("{name} closed{lost}", name=self._name, lost=self._sayLost())

    @property
    def _name(self) -> str:
        return f"access log {escaped(self._path)}"

    def _opened(self, mode: int | None = None) -> int:
        """Returns a new descriptor. A FIFO without a reader is an error, because its open would block.

        :param mode: the permissions of a file that is created; None is what the umask allows. A daemon's
            umask is another one than that of the start.
        """
        if self._path == STANDARD_OUTPUT:
            if sys.__stdout__ is None:
                # The descriptor may be any other file's by now.
                raise OSError(errno.EBADF, "standard output is closed")
            return os.dup(_STDOUT)
        flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            with suppress(FileExistsError):
                fd = os.open(self._path, flags | os.O_CREAT | os.O_EXCL, 0o666)
                if mode is not None:
                    os.fchmod(fd, stat.S_IMODE(mode))
                return fd
            return os.open(self._path, flags | os.O_CREAT, 0o666)
        except OSError as error:
            if error.errno == errno.ENXIO:
                error.strerror = "A FIFO without a reader, or a socket"
            raise

    def _flush(self) -> None:
        self._call = None
        self._write()
        if self._pending and not self._isStopped:
            self._call = self._clock.callLater(DELAY, self._flush)
        elif self._lost and not self._isStopped:
            log.warn("{name} goes on{lost}", name=self._name, lost=self._sayLost())

    def _write(self) -> None:
        """Writes waiting lines until none is left, or the file takes no more."""
        poll = select.poll()
        if self._fd >= 0:
            poll.register(self._fd, select.POLLOUT)
        while self._pending and not self._isStopped and poll.poll(0):
            end = self._pending.rfind(b"\n", 0, CHUNK) + 1 or CHUNK
            try:
                written = os.write(self._fd, self._pending[:end])
            except BlockingIOError:
                return
            except OSError as error:
                self._stop(error)
                return
            self._isTorn = self._pending[written - 1] != ord("\n")
            del self._pending[:written]

    def _stop(self, error: OSError) -> None:
        self._isStopped = True
        log.error(
            "{name} stopped: {why}. The service goes on, and so does the log when it is opened again, "
            "by SIGHUP or reload()",
            name=self._name,
            why=error.strerror,
        )

    def _lose(self) -> None:
        self._lost += 1
        if self._lost == 1 and not self._isStopped and self._fd >= 0:
            log.warn("{name} is not read, and loses lines", name=self._name)

    def _sayLost(self) -> str:
        lost, self._lost = self._lost, 0
        return f", lines lost: {lost}" if lost else ""
