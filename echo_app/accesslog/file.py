"""The file that an access log goes to: whole lines, and no trouble of its own for the service.

The states of an :class:`AccessLog`: closed; open, when a line is in the file a moment after it was written;
stopped, from an error on (a full disk, a reader that left), until ``reopen()``. What can't be written yet
waits, up to a bound; beyond it lines are lost, and counted.

A pipe whose reader is slow must not keep the service waiting, and its other end may be shared with other
processes, the service's own log among them, so that it is not for us to make it non-blocking. Therefore the
kernel is asked first, and what is written then is no longer than what a pipe takes as a whole (pipe(7)).
"""

from __future__ import annotations

import errno
import os
import select
from typing import TYPE_CHECKING

from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from echo_app.text import escaped

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

log = Logger()

# The name of standard output, and its descriptor.
STANDARD_OUTPUT = "-"
_STDOUT = 1

# Seconds that a line may wait for others: a reader does not feel them, and a storm of connections costs a
# system call for six of them.
DELAY = 0.1

# Bytes of one write.
CHUNK = select.PIPE_BUF

# Bytes that may wait for a reader or a disk: some two thousand connections.
PENDING = 1 << 20


class AccessLog:
    """Appends lines to a file.

    :param path: the file's path, or ``-`` for standard output.
    :param clock: what time is.
    """

    def __init__(self, path: str, clock: IReactorTime) -> None:
        self._path = path
        self._clock = clock
        self._fd = -1
        self._pending = bytearray()
        # What waits begins with the rest of a line.
        self._isTorn = False
        self._isStopped = False
        self._lost = 0
        self._call: IDelayedCall | None = None

    def open(self) -> None:
        """Opens the file, and makes it if it is not there.

        :raise CannotListenError: when it can't be; it is named as the user typed it.
        """
        if self._fd < 0:
            try:
                self._fd = self._opened()
            except OSError as error:
                # The file's name is said once.
                reason = OSError(error.errno, error.strerror)
                raise CannotListenError(None, f"--access-log {self._path!r}", reason) from error

    def write(self, line: bytes) -> None:
        """Appends a line, which ends in a newline; it is in the file a moment later."""
        if self._fd < 0 or len(self._pending) + len(line) > PENDING:
            self._lose()
            return
        self._pending += line
        if self._call is None:
            self._call = self._clock.callLater(DELAY, self._flush)
        elif len(self._pending) - len(line) < CHUNK <= len(self._pending):
            self._write()

    def reopen(self) -> None:
        """Opens the file again, which may have been moved or mended; if it can't, the old one stays."""
        if self._fd < 0:
            return
        try:
            fd = self._opened()
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
        """Writes what waits, as far as that goes now, and closes the file."""
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

    def _opened(self) -> int:
        """Returns a descriptor of our own; a FIFO without a reader is an error, instead of a long wait."""
        if self._path == STANDARD_OUTPUT:
            return os.dup(_STDOUT)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            return os.open(self._path, flags, 0o666)
        except OSError as error:
            if error.errno == errno.ENXIO:
                error.strerror = "A FIFO that nobody reads, or a socket"
            raise

    def _flush(self) -> None:
        self._call = None
        self._write()
        if self._pending and not self._isStopped:
            self._call = self._clock.callLater(DELAY, self._flush)
        elif self._lost and not self._isStopped:
            log.warn("{name} goes on{lost}", name=self._name, lost=self._sayLost())

    def _write(self) -> None:
        """Writes what waits, until nothing does, or the file takes no more."""
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
