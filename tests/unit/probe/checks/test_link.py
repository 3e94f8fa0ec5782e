"""Links compare every byte that comes with what was sent, and record it."""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.evidence import CheckSettings, Evidence
from echo_app.probe.checks.link import Link
from echo_app.probe.net.errors import ErrorKind, Reason
from echo_app.probe.net.waits import pause
from tests.support import paths
from tests.support.paths import FIN, FakeSocket

RESET = Reason(ErrorKind.RESET)


class ScriptedStream:
    """A stream whose peer's doings are a test's.

    :ivar written: all that was written.
    :ivar coming: what is read next: bytes, or the peer's end. After it there is silence.
    """

    def __init__(self, clock: Clock) -> None:
        self.sock = FakeSocket()
        self.end: Reason | None = None
        self.isCut = False
        self.isHalfClosed = False
        self.written = b""
        self.coming: deque[bytes | Reason] = deque()
        self.left: list[str] = []
        self._clock = clock

    def write(self, data: bytes) -> None:
        self.written += data

    def halfClose(self, data: bytes = b"") -> None:
        self.write(data)
        self.isHalfClosed = True

    async def read(self, timeout: float, size: int = 1 << 16) -> bytes:
        if not self.coming:
            await pause(self._clock, timeout)
            return b""
        await pause(self._clock, 0.05)
        first = self.coming.popleft()
        if isinstance(first, Reason):
            self.end = first
            return b""
        if first[size:]:
            self.coming.appendleft(first[size:])
        return first[:size]

    async def receive(self, size: int, timeout: float) -> bytes:
        data = b""
        while len(data) < size and (more := await self.read(timeout, size - len(data))):
            data += more
        return data

    async def close(self) -> None:
        self.left.append("closed")

    async def abort(self) -> None:
        self.left.append("reset")


class LinkTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(100)
        self.evidence = Evidence(paths.TCP, CheckSettings(), b"ours")
        self.stream, self.link = self.connect()
        self.record = self.link.record

    def connect(self, evidence: Evidence | None = None) -> tuple[ScriptedStream, Link]:
        """Returns a stream and its link, in this examination or another one, which began at 90 s."""
        evidence = evidence or self.evidence
        stream: Any = ScriptedStream(self.clock)
        record = evidence.newRecord("identity", 10.0)
        record.connected = 0.001
        link = Link(
            self.clock,
            stream,
            record,
            examination=evidence.examination,
            random=Random(record.number),
            start=90.0,
        )
        return stream, link

    def run_(self, work: Any) -> Any:
        return paths.result(self.clock, work, 0.05)


class EchoTests(LinkTestCase):
    def test_whole(self) -> None:
        """Bytes that come back as sent, in whatever pieces, are counted and timed."""
        self.link.send(100)
        self.link.sendRaw(b"raw")
        written = self.stream.written
        self.stream.coming.extend([written[:1], written[1:50], written[50:]])
        self.assertTrue(self.run_(self.link.receiveRest()))
        record = self.record
        self.assertEqual((record.sent, record.came, self.link.outstanding), (103, 103, 0))
        self.assertAlmostEqual(record.firstAnswer or 0, 0.05)
        self.assertAlmostEqual(record.lastCame or 0, 10.15)
        self.assertEqual((record.difference, record.end, record.silence), (None, None, 0))

    def test_sizes(self) -> None:
        """No more is read than was asked for."""
        self.link.send(100)
        self.stream.coming.append(self.stream.written)
        self.assertTrue(self.run_(self.link.receive(40)))
        self.assertEqual((self.record.came, self.link.outstanding), (40, 60))

    def test_silence(self) -> None:
        """A silence is recorded while bytes are due, and forgotten when they come."""
        self.link.send(64)
        self.assertFalse(self.run_(self.link.receiveRest(3.0)))
        self.assertAlmostEqual(self.record.silence, 3.0)
        self.assertEqual((self.record.isShort, self.record.due), (True, self.stream.written))
        self.stream.coming.append(self.stream.written)
        self.assertTrue(self.run_(self.link.receiveRest()))
        self.assertEqual((self.record.silence, self.record.isShort, self.record.due), (0, False, b""))

    def test_nothingDue(self) -> None:
        """A silence in which nothing is due is none."""
        self.assertEqual(self.run_(self.link.read(3.0)), 0)
        self.assertEqual(self.record.silence, 0)

    def test_cut(self) -> None:
        """The peer's end is recorded with its moment; nothing is read after it."""
        self.link.send(64)
        self.stream.coming.extend([self.stream.written[:10], RESET])
        self.assertFalse(self.run_(self.link.receiveRest()))
        self.assertEqual((self.record.end, self.record.came), (RESET, 10))
        self.assertEqual(self.record.due, self.stream.written[10:])
        self.assertAlmostEqual(self.record.ended or 0, 10.1)
        self.assertTrue(self.record.isCut and self.record.isShort and self.link.isEnded)
        self.assertAlmostEqual(self.record.age or 0, 0.1)

    def test_pause(self) -> None:
        """The longest wait in the midst of a transfer is recorded with its offset."""
        self.link.send(64)
        self.stream.coming.append(self.stream.written[:10])
        self.run_(self.link.receive(10))
        waiting = self.link.receiveRest()
        self.stream.coming.append(self.stream.written[10:])
        self.run_(waiting)
        self.assertAlmostEqual(self.record.longestWait, 0.05)
        self.assertEqual(self.record.waitedAt, 10)

    def test_leaving(self) -> None:
        """A link that is left as a context manager is reset, and the moment is recorded once."""

        async def leave() -> None:
            async with self.link:
                pass
            self.clock.advance(5)
            await self.link.close()

        self.run_(leave())
        self.assertEqual(self.stream.left, ["reset", "closed"])
        self.assertEqual(self.record.closed, 10.0)


class HalfCloseTests(LinkTestCase):
    def test_whole(self) -> None:
        """After our end, the echo and the peer's end are due."""
        self.link.halfClose(64)
        self.assertTrue(self.stream.isHalfClosed)
        self.stream.coming.extend([self.stream.written, FIN])
        self.assertTrue(self.run_(self.link.receiveEnd()))
        self.assertEqual((self.record.end, self.record.isCut), (FIN, False))

    def test_noEnd(self) -> None:
        """A missing end is a silence, although no byte is due."""
        self.link.halfClose(64)
        self.stream.coming.append(self.stream.written)
        self.assertFalse(self.run_(self.link.receiveEnd(3.0)))
        self.assertAlmostEqual(self.record.silence, 3.0)
        self.assertFalse(self.record.isShort)

    def test_short(self) -> None:
        """An end before the whole echo is not a good one, and a reset is a cut."""
        self.link.halfClose(64)
        self.stream.coming.extend([self.stream.written[:9], RESET])
        self.assertFalse(self.run_(self.link.receiveEnd()))
        self.assertTrue(self.record.isShort and self.record.isCut)


class DifferenceTests(LinkTestCase):
    def changed(self, change: Any, size: int = 4096, read: int = 0) -> None:
        """Sends so much, has it changed on the way, and reads; some of it, unchanged, before."""
        self.link.send(size)
        written = self.stream.written
        if read:
            self.stream.coming.append(written[:read])
            self.run_(self.link.receive(read))
        came = bytearray(written)
        change(came)
        self.stream.coming.append(bytes(came[read:]))
        self.run_(self.link.read(size=1 << 20))

    def check(self, kind: str, offset: int, size: int) -> None:
        """Checks the difference, and that all bytes before it count as come."""
        difference = self.record.difference
        assert difference is not None
        self.assertEqual((difference.kind, difference.offset, difference.size), (kind, offset, size))
        self.assertEqual(self.record.came, offset)
        self.assertTrue(self.link.isEnded)

    def test_changed(self) -> None:
        """A changed byte has its offset from the connection's begin, also behind bytes that were read."""

        def flip(data: bytearray) -> None:
            data[1005] ^= 1

        self.changed(flip, read=1000)
        self.check("changed", 1005, 1)

    def test_lost(self) -> None:
        """Bytes that are missing are lost, where others follow."""

        def drop(data: bytearray) -> None:
            del data[100:150]

        self.changed(drop)
        self.check("lost", 100, 50)

    def test_moved(self) -> None:
        """Bytes that come after later ones are moved."""

        def swap(data: bytearray) -> None:
            data[100:300] = data[200:300] + data[100:200]

        self.changed(swap)
        self.check("moved", 100, 100)

    def test_duplicated(self) -> None:
        """Bytes that come again are duplicated, also where their first copy was read long before."""

        def repeat(data: bytearray) -> None:
            data[3000:3000] = data[500:600]

        self.changed(repeat, read=2000)
        self.check("duplicated", 3000, 100)

    def test_duplicatedAtOnce(self) -> None:
        """A message that comes twice is known, although all that was sent had come back."""
        self.link.send(64)
        self.stream.coming.extend([self.stream.written, self.stream.written])
        self.assertTrue(self.run_(self.link.receiveRest()))
        self.assertEqual(self.run_(self.link.read(0.2)), 0)
        self.check("duplicated", 64, 64)

    def test_surplus(self) -> None:
        """Bytes after everything that was sent are inserted ones."""
        self.link.send(64)
        self.stream.coming.extend([self.stream.written, b"bye\r\n"])
        self.assertTrue(self.run_(self.link.receiveRest()))
        self.run_(self.link.read(0.2))
        self.check("inserted", 64, 5)
        self.assertEqual(self.record.foreign, b"bye\r\n")

    def test_greeting(self) -> None:
        """Bytes that come before anything was sent are inserted ones, too."""
        self.stream.coming.append(b"220 ready\r\n")
        self.assertEqual(self.run_(self.link.read()), 0)
        self.check("inserted", 0, 11)

    def test_end(self) -> None:
        """An end that follows a difference is recorded."""
        self.link.send(64)
        self.stream.coming.extend([b"?" * 200, FIN])
        self.assertFalse(self.run_(self.link.receiveRest()))
        self.check("foreign", 0, 0)
        self.assertEqual(self.record.end, FIN)

    def test_more(self) -> None:
        """Bytes that come soon after a difference decide its kind."""
        self.link.send(200)
        written = self.stream.written
        self.stream.coming.extend([written[:99] + b"\0", written[100:]])
        self.assertFalse(self.run_(self.link.receiveRest()))
        self.check("changed", 99, 1)
