"""TCP connection in memory: the two kernels' ends of it.

An end has a socket's methods, as far as Twisted's transports use them, and a test that holds one: it
never blocks, and what happens at one end is seen at the other at once. Sizes and order are exact.
"""

from __future__ import annotations

import errno
import os
import random
import socket
import struct
from typing import Any, TypeAlias

# Bytes that the kernel holds in each direction: as many as Twisted reads at once, and holds itself
# before it pauses a producer.
CAPACITY = 64 * 1024

# How much of what has arrived is read at once: all of it, at most so many bytes, or a random number of them.
Segments: TypeAlias = "int | random.Random | None"

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


def checkedSegments(segments: Segments) -> Segments:
    """Returns what it is given.

    :raise ValueError: when it is neither a positive number, nor a ``random.Random``, nor None.
    """
    if segments is None or isinstance(segments, random.Random):
        return segments
    if type(segments) is not int or segments < 1:
        raise ValueError(f"segments {segments!r}: not a positive number, a random.Random, or None")
    return segments


def _error(number: int) -> OSError:
    """Returns what a system call raises, such as a BrokenPipeError for EPIPE."""
    return OSError(number, os.strerror(number))


class MemorySocket:
    """One end of a TCP connection, as its kernel has it; it never blocks. :func:`socketPair` makes two.

    :param capacity: bytes that it holds for its reader.
    :param segments: how much of what has arrived one ``recv`` returns at the most.
    """

    # The other end.
    peer: MemorySocket

    def __init__(self, capacity: int, segments: Segments = None) -> None:
        if capacity < 1:
            raise ValueError(f"capacity {capacity} takes no byte")
        self._capacity = capacity
        self._segments = checkedSegments(segments)
        self._arrived = bytearray()
        # The peer's end of stream stands behind what has arrived; our own was sent; and so on.
        self._hasEnded = self._isShut = self._isReset = self._isClosed = False
        self._options: dict[tuple[int, int], Any] = {}

    @property
    def segments(self) -> Segments:
        """What one ``recv`` returns at the most; it may be set."""
        return self._segments

    @segments.setter
    def segments(self, segments: Segments) -> None:
        self._segments = checkedSegments(segments)

    @property
    def isReadable(self) -> bool:
        """Whether ``recv`` does something: data, the peer's end of stream, or a reset."""
        return bool(self._arrived) or self._hasEnded or self._isReset

    @property
    def isWritable(self) -> bool:
        """Whether ``send`` does something: there is room, or it raises."""
        return self._isReset or self.peer._isClosed or len(self.peer._arrived) < self._capacity

    @property
    def isHungUp(self) -> bool:
        """Whether nothing goes to and fro any more: both sides have ended, or the connection was reset."""
        return self._isReset or (self._isShut and self._hasEnded)

    def send(self, data: bytes | memoryview) -> int:
        """Sends what there is room for; returns how many bytes that is.

        :raise BlockingIOError: when there is room for nothing.
        :raise BrokenPipeError: when this side was shut down, or the connection reset.
        """
        self._checkOpen()
        if self._isShut or self._isReset:
            raise _error(errno.EPIPE)
        if self.peer._isClosed:
            # It is answered with a reset (RFC 9293, 3.10.7.1).
            self._isReset = True
            return len(data)
        if data and not self.isWritable:
            raise _error(errno.EWOULDBLOCK)
        sent = data[: self._capacity - len(self.peer._arrived)]
        self.peer._arrived += sent
        return len(sent)

    def recv(self, size: int = CAPACITY) -> bytes:
        """Returns what has arrived, up to `size` bytes; ``b""`` at the peer's end of stream.

        :raise BlockingIOError: when nothing has arrived.
        :raise ConnectionResetError: when the connection was reset.
        """
        self._checkOpen()
        if self._arrived:
            size = min(size, self._segment())
            data = bytes(self._arrived[:size])
            del self._arrived[:size]
            return data
        if self._hasEnded:
            return b""
        raise _error(errno.ECONNRESET if self._isReset else errno.EWOULDBLOCK)

    def shutdown(self, how: int = socket.SHUT_WR) -> None:
        """Ends what this side sends, unless only reading is shut down."""
        self._checkOpen()
        if how != socket.SHUT_RD:
            self._isShut = self.peer._hasEnded = True

    def close(self) -> None:
        """Closes this end: with an end of stream, and with a reset if something is left unread."""
        if self._isClosed:
            return
        isReset = self._options.get((socket.SOL_SOCKET, socket.SO_LINGER)) == _RESET_AT_CLOSE
        if self._arrived or isReset:
            self.peer._isReset = True
        else:
            self.peer._hasEnded = True
        self._isClosed = True
        self._arrived.clear()

    def reset(self) -> None:
        """Closes this end with a reset; nothing happens when it is closed already."""
        if self._isClosed:
            return
        self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        self.close()

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        """Remembers an option; only what makes a close a reset has an effect."""
        self._checkOpen()
        self._options[level, option] = value

    def getsockopt(self, level: int, option: int) -> Any:
        """Returns the option's value, 0 where none was set."""
        self._checkOpen()
        return self._options.get((level, option), 0)

    def setblocking(self, flag: bool) -> None:
        """Is what Twisted asks of a socket first; it never blocks anyway."""

    def fileno(self) -> int:
        """Returns -1: there is no descriptor."""
        return -1

    def _checkOpen(self) -> None:
        if self._isClosed:
            raise _error(errno.EBADF)

    def _segment(self) -> int:
        waiting = len(self._arrived)
        if isinstance(self._segments, random.Random):
            return self._segments.randint(1, waiting)
        return self._segments or waiting


def socketPair(capacity: int = CAPACITY, segments: Segments = None) -> tuple[MemorySocket, MemorySocket]:
    """Returns the two ends of a connection."""
    one, other = MemorySocket(capacity, segments), MemorySocket(capacity, segments)
    one.peer, other.peer = other, one
    return one, other
