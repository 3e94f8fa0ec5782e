"""The watch on files: when a change is one."""

from __future__ import annotations

import os
import select
import threading
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.filewatch import INTERVAL, Stamps, Watch, contentsOf


class ContentsTests(SynchronousTestCase):
    def test_file(self) -> None:
        """A file is read to its end; one that is missing is an error."""
        path = Path(self.mktemp())
        self.assertRaises(FileNotFoundError, contentsOf, str(path))
        for data in (b"", bytes(100_000)):
            path.write_bytes(data)
            self.assertEqual(contentsOf(str(path)), data)

    def test_fifo(self) -> None:
        """A FIFO is read to its end if it has a writer; otherwise it is an error, at once."""
        path = self.mktemp()
        os.mkfifo(path)
        with self.assertRaises(OSError) as raised:
            contentsOf(path)
        self.assertIn("A FIFO without a writer", str(raised.exception))
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        writer = threading.Thread(target=Path(path).write_bytes, args=(bytes(1_000_000),))
        writer.start()
        self.assertTrue(select.select([reader], [], [], 10)[0])
        self.assertEqual(len(contentsOf(path)), 1_000_000)
        writer.join()

    def test_substitution(self) -> None:
        """The pipe of a command is read to its end: one that is slow, and one that has ended."""
        for isEnded in (False, True):
            reader, writer = os.pipe()
            self.addCleanup(os.close, reader)

            def write(writer: int = writer) -> None:
                os.write(writer, b"alice:secret\n")
                os.close(writer)

            thread = threading.Timer(0, write)
            thread.start()
            if isEnded:
                thread.join()
            self.assertEqual(contentsOf(f"/dev/fd/{reader}"), b"alice:secret\n")
            thread.join()


class StampsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.file = self.folder / "file"
        self.file.write_text("one")
        self.stamps = Stamps([str(self.file)])

    def looks(self, count: int = 4) -> list[bool]:
        """Looks several times; returns what each look says."""
        return [self.stamps.haveChanged() for _ in range(count)]

    def test_unchanged(self) -> None:
        """Files that stay the same have not changed."""
        self.assertEqual(self.looks(), [False] * 4)

    def test_changed(self) -> None:
        """A change is reported once, by the second look that sees it."""
        self.file.write_text("another")
        self.assertEqual(self.looks(), [False, True, False, False])

    def test_incomplete(self) -> None:
        """A change that goes on is reported when it is complete."""
        for text in ("a", "ab", "abcd"):
            self.file.write_text(text)
            self.assertEqual(self.looks(1), [False])
        self.assertEqual(self.looks(2), [True, False])

    def test_links(self) -> None:
        """Swapped symbolic links are a change, as Kubernetes renews a secret: the file's own link stays."""
        for name in ("old", "new"):
            (self.folder / name).mkdir()
            (self.folder / name / "tls.crt").write_text(name)
        (self.folder / "..data").symlink_to("old")
        (self.folder / "tls.crt").symlink_to("..data/tls.crt")
        self.stamps = Stamps([str(self.folder / "tls.crt")])
        (self.folder / "..tmp").symlink_to("new")
        os.replace(self.folder / "..tmp", self.folder / "..data")
        self.assertEqual(self.looks(), [False, True, False, False])

    def test_missing(self) -> None:
        """A file that goes, or comes back, is a change; one that could never be seen is none."""
        self.file.unlink()
        self.assertEqual(self.looks(), [False, True, False, False])
        self.file.write_text("two")
        self.assertEqual(self.looks(), [False, True, False, False])
        self.file.unlink()
        self.stamps.begin()
        self.assertEqual(self.looks(), [False] * 4)

    def test_begin(self) -> None:
        """A change between the reading and the beginning is not lost."""
        self.file.write_text("another")
        self.stamps.begin()
        self.assertEqual(self.looks(2), [False, True])

    def test_watch(self) -> None:
        """The function of a watch calls another one, once after each change."""
        calls: list[None] = []
        look = self.stamps.watch(lambda: calls.append(None))
        for text in ("another", "a third"):
            self.file.write_text(text)
            for _ in range(4):
                look()
        self.assertEqual(len(calls), 2)

    def test_pipe(self) -> None:
        """Bytes in a pipe are no change: it has nothing to read again."""
        pipe = self.folder / "pipe"
        os.mkfifo(pipe)
        self.stamps = Stamps([str(pipe)])
        os.utime(pipe)
        self.assertEqual(self.looks(), [False] * 4)

    def test_note(self) -> None:
        """What is read again is no change any more."""
        self.file.write_text("another")
        self.stamps.note()
        self.assertEqual(self.looks(), [False] * 4)


class WatchTests(SynchronousTestCase):
    def test_calls(self) -> None:
        """Each function is called at each interval, whatever another one raises, until the stop."""
        clock = Clock()
        calls: list[None] = []
        watch = Watch(clock)
        watch.start([lambda: 1 // 0, lambda: calls.append(None)])
        self.assertEqual(calls, [])
        clock.pump([INTERVAL, INTERVAL])
        self.assertEqual(len(calls), 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        for _ in range(2):
            watch.stop()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_nothing(self) -> None:
        """Without functions there are no calls."""
        clock = Clock()
        Watch(clock).start([])
        self.assertEqual(clock.getDelayedCalls(), [])
