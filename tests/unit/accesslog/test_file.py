from __future__ import annotations

import os
import select
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from echo_app.accesslog.file import CHUNK, DELAY, PENDING, AccessLog

LINE = b'{"number":1}\n'


class AccessLogTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.path = Path(self.mktemp())
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def open(self, path: str = "") -> AccessLog:
        accessLog = AccessLog(path or str(self.path), self.clock)
        accessLog.open()
        self.addCleanup(accessLog.close)
        return accessLog

    def wait(self) -> None:
        self.clock.advance(DELAY)

    def said(self) -> list[str]:
        """Returns what the last events were about: their format, up to the first comma or colon."""
        formats = [str(event["log_format"]) for event in self.events if "log_format" in event]
        self.events.clear()
        return [each.removeprefix("{name} ").split(":")[0].split("{")[0] for each in formats]


class FileTests(AccessLogTestCase):
    def test_appends(self) -> None:
        """Lines come behind those that are there, a moment after they were written."""
        self.path.write_bytes(b"old\n")
        accessLog = self.open()
        accessLog.write(LINE)
        self.assertEqual(self.path.read_bytes(), b"old\n")
        self.wait()
        self.assertEqual(self.path.read_bytes(), b"old\n" + LINE)

    def test_umask(self) -> None:
        """A new file's mode follows the umask."""
        self.addCleanup(os.umask, os.umask(0o027))
        self.open()
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o640)

    def test_wholeLines(self) -> None:
        """The file ends with a whole line at any moment."""
        accessLog = self.open()
        for _ in range(2 * CHUNK // len(LINE)):
            accessLog.write(LINE)
            self.assertFalse(self.path.read_bytes().replace(LINE, b""))
        self.assertTrue(self.path.read_bytes())

    def test_longLine(self) -> None:
        """A line may be longer than one write, which a pipe takes as a whole."""
        accessLog = self.open()
        written: list[int] = []
        write = os.write

        def counted(fd: int, data: bytes) -> int:
            written.append(len(data))
            return write(fd, data)

        self.patch(os, "write", counted)
        accessLog.write(b"x" * 3 * CHUNK + b"\n")
        accessLog.write(LINE)
        self.wait()
        self.assertEqual(self.path.read_bytes(), b"x" * 3 * CHUNK + b"\n" + LINE)
        self.assertLessEqual(max(written), CHUNK)

    def test_cannotOpen(self) -> None:
        """A path that cannot be opened is an error for the caller, and so is a FIFO without a reader."""
        os.mkfifo(self.path)
        for path, reason in (
            ("none/access.log", "No such file"),
            (str(self.path), "A FIFO without a reader"),
        ):
            error = self.assertRaises(CannotListenError, AccessLog(path, self.clock).open)
            self.assertEqual(error.port, f"--access-log {path!r}")
            self.assertIn(reason, str(error.socketError))

    def test_close(self) -> None:
        """A close writes what waits, leaves nothing in the reactor, and can be followed by an open."""
        accessLog = self.open()
        accessLog.write(LINE)
        accessLog.close()
        self.assertEqual(self.path.read_bytes(), LINE)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        accessLog.reopen()
        accessLog.open()
        accessLog.write(LINE)
        accessLog.close()
        self.assertEqual(self.path.read_bytes(), 2 * LINE)
        self.assertEqual(self.said(), [])

    def test_rotated(self) -> None:
        """After a reopen lines go to the new file; the lines before are in the old one."""
        accessLog = self.open()
        accessLog.write(LINE)
        moved = self.path.rename(f"{self.path}.1")
        accessLog.reopen()
        accessLog.write(b"new\n")
        self.wait()
        self.assertEqual((moved.read_bytes(), self.path.read_bytes()), (LINE, b"new\n"))
        self.assertEqual(self.said(), ["opened again"])

    def test_cannotReopen(self) -> None:
        """A file that can't be opened again stays."""
        accessLog = self.open()
        moved = self.path.rename("moved")
        self.path.mkdir()
        accessLog.reopen()
        accessLog.write(LINE)
        self.wait()
        self.assertEqual(moved.read_bytes(), LINE)
        self.assertEqual(self.said(), ["not opened again"])

    def test_standardOutput(self) -> None:
        """A dash is standard output, which stays open for everybody else."""
        reader = self.redirect()
        accessLog = self.open("-")
        accessLog.write(LINE)
        accessLog.close()
        os.write(1, b"still there")
        self.assertEqual(os.read(reader, 99), LINE + b"still there")

    def redirect(self) -> int:
        """Makes standard output a pipe; returns its other end."""
        reader, writer = os.pipe()
        kept = os.dup(1)
        os.dup2(writer, 1)
        os.close(writer)
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, kept)
        self.addCleanup(os.dup2, kept, 1)
        return reader


class TroubleTests(AccessLogTestCase):
    def test_fullDisk(self) -> None:
        """A full disk stops the log, with one message; after a reopen it goes on, and tells its losses."""
        self.path.symlink_to("/dev/full")
        accessLog = self.open()
        for _ in range(3):
            accessLog.write(LINE)
            self.wait()
        self.assertEqual(self.said(), ["stopped"])
        self.path.unlink()
        accessLog.reopen()
        accessLog.write(LINE)
        self.wait()
        self.assertEqual(self.path.read_bytes(), 4 * LINE)
        self.assertEqual(self.said(), ["opened again"])

    def test_bounded(self) -> None:
        """The lines that wait for a full disk are bounded, and lines above the bound are counted."""
        self.path.symlink_to("/dev/full")
        accessLog = self.open()
        kept = PENDING // len(LINE)
        for _ in range(kept + 7):
            accessLog.write(LINE)
        self.assertEqual(self.said(), ["stopped"])
        self.path.unlink()
        accessLog.reopen()
        self.assertEqual(self.path.read_bytes(), kept * LINE)
        self.assertEqual(self.events[-1]["lost"], ", lines lost: 7")

    def test_silentReader(self) -> None:
        """A full FIFO keeps no connection waiting, and gets everything when it is read."""
        os.mkfifo(self.path)
        reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        accessLog = self.open()
        lines = 10_000
        for _ in range(lines):
            accessLog.write(LINE)
        self.wait()
        received = b""
        while len(received) < lines * len(LINE):
            received += os.read(reader, 1 << 16)
            self.wait()
        self.assertEqual(received, lines * LINE)
        self.assertEqual(self.said(), [])

    def test_silentStandardOutput(self) -> None:
        """A blocking pipe, which is not ours alone, keeps no connection waiting; its losses are logged."""
        reader = FileTests.redirect(self)  # type: ignore[arg-type]
        accessLog = self.open("-")
        for _ in range(2 * PENDING // len(LINE)):
            accessLog.write(LINE)
            self.clock.advance(DELAY / 1000)
        self.assertEqual(self.said(), ["is not read, and loses lines"])
        received = b""
        while select.select([reader], [], [], 0)[0]:
            received += os.read(reader, 1 << 16)
            self.wait()
        self.assertFalse(received.replace(LINE, b""))
        lost = 2 * PENDING // len(LINE) - len(received) // len(LINE)
        self.assertEqual(self.events[-1]["lost"], f", lines lost: {lost}")
        self.assertEqual(self.said(), ["goes on"])

    def test_closedPipe(self) -> None:
        """A reader that leaves stops the log."""
        os.mkfifo(self.path)
        reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        accessLog = self.open()
        os.close(reader)
        accessLog.write(LINE)
        self.wait()
        self.assertEqual(self.said(), ["stopped"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lostAtClose(self) -> None:
        """A close logs the number of lines that it could not write."""
        self.path.symlink_to("/dev/full")
        accessLog = self.open()
        accessLog.write(LINE)
        accessLog.close()
        self.assertEqual(self.said(), ["stopped", "closed"])


class TornLineTests(AccessLogTestCase):
    """A disk that is full in the midst of a line."""

    def test_sameFile(self) -> None:
        """When it is opened again, the line is completed."""
        accessLog = self.tear()
        accessLog.reopen()
        self.assertEqual(self.path.read_bytes(), 3 * LINE)

    def test_otherFile(self) -> None:
        """A new file does not begin with the rest of a line."""
        accessLog = self.tear()
        self.path.rename(f"{self.path}.1")
        accessLog.reopen()
        self.assertEqual(self.path.read_bytes(), LINE)
        self.assertEqual(self.events[-1]["lost"], ", lines lost: 1")

    def tear(self) -> AccessLog:
        """Returns a log that has stopped in the midst of the second of three lines."""
        full = OSError(28, "No space left on device")
        results: list[int | OSError] = [len(LINE) + 5, full]
        write = os.write

        def fill(fd: int, data: bytes) -> int:
            result = results.pop(0)
            if isinstance(result, OSError):
                raise result
            return write(fd, data[:result])

        accessLog = self.open()
        with self.patched(fill):
            for _ in range(3):
                accessLog.write(LINE)
            self.wait()
        self.assertEqual(self.path.read_bytes(), LINE + LINE[:5])
        self.assertEqual(self.said(), ["stopped"])
        return accessLog

    @contextmanager
    def patched(self, write: object) -> Iterator[None]:
        patch = self.patch(os, "write", write)
        try:
            yield
        finally:
            patch.restore()
