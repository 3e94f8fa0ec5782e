"""Link: a connection of an examination, which records what happens on it.

A check sends labelled bytes and reads; the link compares every byte that comes back with what was sent, and
writes it all into a :class:`~echo_app.probe.checks.record.ConnectionRecord`. So nothing that was seen is lost
when a check is ended by its time limit.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from echo_app.probe.checks.labels import LabelledBytes
from echo_app.probe.checks.record import ENDED_STATES, ConnectionRecord, sampleOf
from echo_app.probe.net.stream import SILENCE, Stream
from echo_app.probe.net.wire import CHUNK
from echo_app.probe.results.difference import firstDifference

# Seconds, and bytes, in which more is read after a difference: its kind depends on what follows it.
_AFTER, _MORE = 0.2, 2 * CHUNK

# Bytes of the largest message that counts as one: a segment of Ethernet with time stamps. What is longer may
# reach the service as several.
_MESSAGE = 1448

# Bytes around a difference in which the bytes that belong there are searched.
_AROUND = 1 << 20

# Bytes from a difference on that are kept, to find out whose they are.
_KEPT = 1 << 16


class Link:
    """A connection of an examination. Leaving it as a context manager resets it.

    :param stream: the connection.
    :param record: of the connection; it is written to.
    :param examination: four random bytes, which the labels contain.
    :param start: the examination's begin, in seconds of the clock.
    """

    def __init__(
        self,
        clock: Any,
        stream: Stream,
        record: ConnectionRecord,
        *,
        examination: bytes,
        random: Random,
        start: float,
    ) -> None:
        self.stream = stream
        self.record = record
        self._clock = clock
        self._start = start
        self._labelled = LabelledBytes(examination, record.number, random)
        # The bytes that were sent and have not come back, and the last ones that have.
        self._due = bytearray()
        self._past = bytearray()
        self._wroteAt: float | None = None
        # Bytes that were sent since nothing was due.
        self._message = 0
        record.made = sampleOf(stream.sock)

    async def __aenter__(self) -> Link:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.abort()

    @property
    def isEnded(self) -> bool:
        """Whether the peer has ended the stream, or sent a wrong byte: there is nothing more to read."""
        return self.record.end is not None or self.record.difference is not None

    @property
    def hasEnded(self) -> bool:
        """Whether the kernel knows that the peer has ended or reset a TCP connection, read or not."""
        if self.stream.isCut:
            return True
        sample = sampleOf(self.stream.sock)
        return sample is not None and sample.state in ENDED_STATES

    def noteEnd(self) -> None:
        """Records the moment of an end that the kernel knows, before it is read."""
        if self.hasEnded:
            self.record.ended = self._now()

    @property
    def outstanding(self) -> int:
        """Bytes that were sent and have not come back."""
        return self.record.sent - self.record.came

    def prepare(self, size: int) -> None:
        """Makes so many labelled bytes ahead, so that sending them takes no time to make them."""
        self._labelled.prepare(size)

    def send(self, size: int) -> None:
        """Sends so many labelled bytes."""
        self.sendRaw(self._labelled.take(size))

    def sendRaw(self, data: bytes) -> None:
        """Sends some bytes that carry no label."""
        self._sending(data)
        self.stream.write(data)

    def halfClose(self, size: int = 0) -> None:
        """Sends so many labelled bytes and the end of our side, in one segment if it fits."""
        data = self._labelled.take(size)
        self._sending(data)
        self.record.isHalfClosed = True
        self.stream.halfClose(data)

    async def read(self, timeout: float = SILENCE, size: int = CHUNK) -> int:
        """Reads, compares and records some bytes; returns how many were as sent.

        0 after the peer's end, after a difference, and after `timeout` seconds without a byte.
        """
        if self.isEnded:
            return 0
        began = self._now()
        data = await self.stream.read(timeout, size)
        record = self.record
        if data:
            waited = self._now() - began
            if record.came and waited > record.longestWait:
                record.longestWait, record.waitedAt, record.waitedSince = waited, record.came, began
            return await self._compare(data)
        if not self._isEndRead() and (self.outstanding or record.isHalfClosed):
            # Not the time that has passed: a busy machine is late.
            record.silence = timeout
            record.silent = sampleOf(self.stream.sock)
            record.due = bytes(self._due[:_KEPT])
        return 0

    async def receive(self, size: int, timeout: float = SILENCE) -> bool:
        """Reads so many bytes; returns whether they came, and were as sent.

        :param timeout: seconds without a byte after which no more is expected.
        """
        while size > 0:
            count = await self.read(timeout, min(CHUNK, size))
            if not count:
                return False
            size -= count
        return True

    async def receiveRest(self, timeout: float = SILENCE) -> bool:
        """Reads until everything that was sent has come back; returns whether it did."""
        return await self.receive(self.outstanding, timeout)

    async def receiveEnd(self, timeout: float = SILENCE) -> bool:
        """Reads to the end of the stream; returns whether it came, with everything that was sent before."""
        while await self.read(timeout):
            pass
        return self.record.end is not None and not self.outstanding and not self.record.difference

    async def drain(self, timeout: float = SILENCE) -> bool:
        """Waits until the kernel has taken everything; returns False if it takes no more, or is cut.

        :param timeout: seconds in which the kernel takes no byte.
        """
        return await self.stream.drain(timeout)

    async def close(self) -> None:
        """Closes in both directions, over TLS after ``close_notify``."""
        self._leave()
        await self.stream.close()

    async def abort(self) -> None:
        """Resets."""
        self._leave()
        await self.stream.abort()

    async def _compare(self, data: bytes) -> int:
        if self._due.startswith(data):
            self._came(len(data))
            return len(data)
        data += await self.stream.receive(_MORE, _AFTER)
        past = bytes(self._past)
        found = firstDifference(past + self._due[: _AROUND + len(data)], past + data)
        assert found is not None
        count = found.offset - len(past)
        self._came(count)
        self.record.difference = replace(found, offset=self.record.came)
        self.record.foreign, self.record.due = data[count:][:_KEPT], bytes(self._due[:_KEPT])
        self._isEndRead()
        return 0

    def _isEndRead(self) -> bool:
        """Records the peer's end, if it has been read; returns whether it has."""
        record = self.record
        if self.stream.end is not None and record.end is None:
            record.end, record.ended = self.stream.end, record.ended or self._now()
            if record.difference is None:
                record.due = bytes(self._due[:_KEPT])
        return record.end is not None

    def _sending(self, data: bytes) -> None:
        if data:
            self._message = self._message * (self.outstanding > 0) + len(data)
            self._due += data
            self.record.sent += len(data)
            if self._wroteAt is None:
                self._wroteAt = self._now()

    def _came(self, count: int) -> None:
        self._past += self._due[:count]
        del self._due[:count], self._past[:-_AROUND]
        record = self.record
        record.came += count
        record.answered += count > 0 and not self.outstanding and self._message <= _MESSAGE
        record.lastCame = self._now()
        record.silence, record.due = 0, b""
        if record.firstAnswer is None and self._wroteAt is not None:
            record.firstAnswer = self._now() - self._wroteAt

    def _leave(self) -> None:
        if self.record.closed is None:
            self.record.closed = self._now()
            self.record.last = sampleOf(self.stream.sock)

    def _now(self) -> float:
        return float(self._clock.seconds()) - self._start
