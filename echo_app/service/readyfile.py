"""Ready file, which lists the listeners and exists while the service listens.

It belongs to one living service, which holds a lock on it (flock(2)) until its end, also an end by SIGKILL.
A ready file without a lock was left behind, and the next start removes it. The start fails at any other file,
which stays: a wrong path may name a certificate. The folder stays open, so that the file's path keeps its
meaning in a daemon and after ``chroot``.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from echo_app.addresses import describe
from echo_app.text import escaped

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress

log = Logger()

# Bytes of the trial file: a page, the smallest that any file takes on a disk.
_TRIAL = b"\n" * 4096

# The first line of a ready file. A file that could not be removed is empty.
_FIRST_LINE = re.compile(rb"(tcp|tls|udp|unix) [^\n]+\n|\Z")


class ReadyFile:
    """The file with a line for each listener, such as ``tcp 127.0.0.1:8080``.

    :param path: the file's path.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._name = os.path.basename(path)
        self._folder = -1
        self._file = -1

    def claim(self) -> None:
        """Removes a file that was left behind, and tries out whether a file can be written.

        :raise CannotListenError: when it can't, or when the file is a living service's.
        """
        if self._folder >= 0:
            return
        try:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            self._folder = os.open(os.path.dirname(self._path) or ".", flags)
            _removeStale(self._name, self._folder)
            name, file = self._make(_TRIAL)
            os.close(file)
            os.unlink(name, dir_fd=self._folder)
        except OSError as error:
            self.remove()
            raise self._failure(error) from error

    def write(self, listeners: Sequence[tuple[str, IAddress]]) -> None:
        """Writes the file, once, atomically: a reader sees all lines or no file.

        A process that sees the file may send a signal, for which the handlers must be there. The folder may
        be one that only root can write to, so the caller still has its privileges.

        :param listeners: name and address of each listener.
        :raise CannotListenError: when the file can't be written, or is a living service's by now.
        """
        if self._file >= 0:
            return
        lines = "".join(f"{name} {describe(host)}\n" for name, host in listeners)
        try:
            name, file = self._make(os.fsencode(lines))
            try:
                _removeStale(self._name, self._folder)
                os.replace(name, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            except OSError:
                os.close(file)
                os.unlink(name, dir_fd=self._folder)
                raise
        except OSError as error:
            raise self._failure(error) from error
        self._file = file

    def remove(self) -> None:
        """Removes the file, if it is this service's. A failure is logged, so that a stop goes on."""
        if self._file >= 0:
            try:
                if self._isOwn():
                    os.unlink(self._name, dir_fd=self._folder)
            except OSError as error:
                # After privileges were shed the folder is closed to us, but not the open file.
                os.ftruncate(self._file, 0)
                log.warn(
                    "ready file {path} emptied, as it can't be removed: {reason}",
                    path=escaped(self._path),
                    reason=error.strerror,
                )
        for descriptor in (self._file, self._folder):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._folder = -1

    def _isOwn(self) -> bool:
        try:
            found = os.stat(self._name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(self._file))

    def _make(self, content: bytes) -> tuple[str, int]:
        """Makes a locked file in the folder; returns its name and its descriptor."""
        name = f".ready-{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.open(name, flags, 0o600, dir_fd=self._folder)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.write(file, content) < len(content):
                raise OSError(errno.ENOSPC, "No space left on device")
            os.fchmod(file, 0o644)
        except OSError:
            os.close(file)
            os.unlink(name, dir_fd=self._folder)
            raise
        return name, file

    def _failure(self, error: OSError) -> CannotListenError:
        # CannotListenError has the path, so the reason is without it.
        reason = OSError(error.errno, error.strerror)
        return CannotListenError(None, f"--ready-file {self._path!r}", reason)


def removeStale(path: str) -> None:
    """Removes a ready file that was left behind, if there is one and it can be removed."""
    with suppress(OSError):
        _removeStale(path)


def _removeStale(name: str, folder: int | None = None) -> None:
    """Removes a ready file that was left behind.

    :param folder: the descriptor of the folder that a relative name belongs to.
    :raise OSError: when it can't be removed, is no ready file, or has a living service's lock.
    """
    try:
        if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise _foreign()
        file = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return
    try:
        # A shared lock, so that others who look at the same time are no service.
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if not _FIRST_LINE.match(os.read(file, len(_TRIAL))):
            raise _foreign()
    except BlockingIOError:
        raise FileExistsError(errno.EEXIST, "It belongs to a running service") from None
    finally:
        os.close(file)
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def _foreign() -> OSError:
    return FileExistsError(errno.EEXIST, "It is no ready file: remove it, or name another file")
