"""The ready file belongs to one living service."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from twisted.internet.error import CannotListenError
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from echo_app.service.readyfile import ReadyFile, removeStale
from echo_app.text import reasonOf
from tests.unit.service.test_echoservice import LOCALHOST

LISTENERS = [("tcp", LOCALHOST)]
LINES = "tcp 127.0.0.1:8080\n"


class ReadyFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.path = self.folder / "ready"

    def make(self) -> ReadyFile:
        """Returns a ready file that a service has claimed; it goes at the test's end."""
        file = ReadyFile(str(self.path))
        self.addCleanup(file.remove)
        file.claim()
        return file

    def refusal(self) -> str:
        """Returns the reason for which the file can't be claimed; nothing stays open, and nothing changes."""
        descriptors, files = set(os.listdir("/proc/self/fd")), os.listdir(self.folder)
        error = self.assertRaises(CannotListenError, ReadyFile(str(self.path)).claim)
        self.assertEqual(
            (set(os.listdir("/proc/self/fd")) - descriptors, os.listdir(self.folder)), (set(), files)
        )
        self.assertEqual(error.port, f"--ready-file {str(self.path)!r}")
        return reasonOf(error)

    def test_living(self) -> None:
        """A living service's file stays, and no other service can have it."""
        file = self.make()
        file.write(LISTENERS)
        self.assertEqual(self.refusal(), "It belongs to a running service")
        removeStale(str(self.path))
        self.assertEqual(self.path.read_text(), LINES)
        file.remove()
        self.make().write(LISTENERS)

    def test_together(self) -> None:
        """Of two services that start together, the second fails."""
        first, second = self.make(), self.make()
        first.write(LISTENERS)
        self.assertRaises(CannotListenError, second.write, LISTENERS)
        second.remove()
        self.assertEqual(os.listdir(self.folder), ["ready"])

    def test_stale(self) -> None:
        """A ready file without a lock, or an empty one, was left behind, and goes."""
        for content in ("tcp 127.0.0.1:1\n", "unix a b\ntls [::1]:2\n", ""):
            self.path.write_text(content)
            removeStale(str(self.path))
            self.assertEqual(os.listdir(self.folder), [])
        removeStale(str(self.path))

    def test_foreign(self) -> None:
        """A FIFO, a symbolic link, and a file that is no ready file, such as one of passwords, stay."""
        target = self.folder / "target"
        makes = (
            lambda: os.mkfifo(self.path),
            lambda: self.path.symlink_to(target),
            lambda: self.path.write_text("alice:secret\n"),
            lambda: self.path.write_bytes(b"\0"),
        )
        target.write_text("tcp 127.0.0.1:1\n")
        for make in makes:
            make()
            removeStale(str(self.path))
            self.assertRegex(self.refusal(), "^It is no ready file")
            self.path.unlink()

    def test_replaced(self) -> None:
        """A file that took the place of the service's own stays."""
        file = self.make()
        file.write(LISTENERS)
        self.path.unlink()
        self.path.write_text("another")
        file.remove()
        self.assertEqual(self.path.read_text(), "another")

    def test_notRemoved(self) -> None:
        """Where the file can't be removed, as after privileges were shed, it is emptied."""
        file = self.make()
        file.write(LISTENERS)

        def refuse(*_: object, dir_fd: int) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        self.patch(os, "unlink", refuse)
        with capturedLogs() as events:
            file.remove()
        self.assertEqual(self.path.read_text(), "")
        self.assertEqual([each["log_level"] for each in events], [LogLevel.warn])
        # Without the lock it is one that was left behind.
        with open(self.path) as found:
            fcntl.flock(found, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def test_unwritable(self) -> None:
        """Where no file can be written, the claim says so, and leaves nothing behind."""
        self.patch(os, "write", lambda *_: 5)
        self.assertEqual(self.refusal(), "No space left on device")
        self.path = self.folder / "none" / "ready"
        self.assertEqual(self.refusal(), "No such file or directory")

    def test_folder(self) -> None:
        """The path keeps its meaning when the process changes its folder."""
        here = os.getcwd()
        os.chdir(self.folder)
        try:
            file = ReadyFile("ready")
            file.claim()
        finally:
            os.chdir(here)
        file.write(LISTENERS)
        self.assertEqual(self.path.read_text(), LINES)
        file.remove()
        self.assertEqual(os.listdir(self.folder), [])
