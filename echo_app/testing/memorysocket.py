"""Sockets in memory: the two ends of a TCP connection.

An end has the methods of a socket that Twisted's transports and tests use. It never blocks, and the other end
sees each change at once. Sizes and order are exact.
"""

from __future__ import annotations

import errno
import os
import random
import socket
import struct
from typing import Any, TypeAlias

# Bytes that the kernel holds in each direction: as many as Twisted reads at once, and as its buffer holds
# before it pauses a producer.
CAPACITY = 64 * 1024

# The limit of one read: a number of bytes, a random number each time, or None for all that has arrived.
Segments: TypeAlias = "int | random.Random | None"

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


def checkedSegments(segments: Segments) -> Segments:
    """Returns the given limit.

    :raise ValueError: when it is neither a positive number, nor a ``random.Random``, nor None.
    """
    if segments is None or isinstance(segments, random.Random):
        return segments
    if type(segments) is not int or segments < 1:
        raise ValueError(f"segments {segments!r}: not a positive number, a random.Random, or None")
    return segments


def _error(number: int) -> OSError:
    """Returns the exception of a system call, such as a BrokenPipeError for EPIPE."""
    return OSError(number, os.strerror(number))


class MemorySocket:
    """One end of a TCP connection in memory, which never blocks. :func:`socketPair` makes two.

    :param capacity: bytes that the end holds for its reader.
    :param segments: the limit of one ``recv``.
    """

    # The other end.
    peer: MemorySocket

    def __init__(self, capacity: int, segments: Segments = None) -> None:
        if capacity < 1:
            raise ValueError(f"capacity {capacity} takes no byte")
        self._capacity = capacity
        self._segments = checkedSegments(segments)
        self._arrived = bytearray()
        # The peer's end of stream has arrived, after the data; our end of stream was sent; and so on.
        self._hasEnded = self._isShut = self._isReset = self._isClosed = False
        self._options: dict[tuple[int, int], Any] = {}

    @property
    def segments(self) -> Segments:
        """Returns the limit of one ``recv``; a test may set it."""
        return self._segments

    @segments.setter
    def segments(self, segments: Segments) -> None:
        self._segments = checkedSegments(segments)

    @property
    def isReadable(self) -> bool:
        """Returns whether ``recv`` would not block: data, the peer's end of stream, or a reset is there."""
        return bool(self._arrived) or self._hasEnded or self._isReset

    @property
    def isWritable(self) -> bool:
        """Returns whether ``send`` would not block: there is room, or an error to raise."""
        return self._isReset or self.peer._isClosed or len(self.peer._arrived) < self._capacity

    @property
    def isHungUp(self) -> bool:
        """Returns whether both sides have ended, or the connection was reset."""
        return self._isReset or (self._isShut and self._hasEnded)

    def send(self, data: bytes | memoryview) -> int:
        """Sends as many bytes as there is room for, and returns their number.

        :raise BlockingIOError: when there is no room.
        :raise BrokenPipeError: when this side was shut down, or the connection reset.
        """
        self._checkOpen()
        if self._isShut or self._isReset:
            raise _error(errno.EPIPE)
        if self.peer._isClosed:
            # The closed end answers with a reset (RFC 9293, 3.10.7.1).
            self._isReset = True
            return len(data)
        if data and not self.isWritable:
            raise _error(errno.EWOULDBLOCK)
        sent = data[: self._capacity - len(self.peer._arrived)]
        self.peer._arrived += sent
        return len(sent)

    def recv(self, size: int = CAPACITY) -> bytes:
        """Returns arrived data, up to `size` bytes; ``b""`` at the peer's end of stream.

        :raise BlockingIOError: when no data have arrived.
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
        """Ends this side's stream, unless only reading is shut down."""
        self._checkOpen()
        if how != socket.SHUT_RD:
            self._isShut = self.peer._hasEnded = True

    def close(self) -> None:
        """Closes this end: with an end of stream, or with a reset if data are unread."""
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
        """Closes this end with a reset, unless it is closed already."""
        if self._isClosed:
            return
        self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        self.close()

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        """Sets an option. Only the SO_LINGER that makes a close a reset has an effect."""
        self._checkOpen()
        self._options[level, option] = value

    def getsockopt(self, level: int, option: int) -> Any:
        """Returns an option's value; 0 if it was not set."""
        self._checkOpen()
        return self._options.get((level, option), 0)

    def setblocking(self, flag: bool) -> None:
        """Does nothing: this socket never blocks."""

    def fileno(self) -> int:
        """Returns -1: the socket has no descriptor."""
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
