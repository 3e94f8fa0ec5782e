"""Pacing: reads of a connection whose bytes are expensive become small, so that none takes long.

A read of 128 KiB takes 0.1 s where it has thousands of TLS records,
and all other connections wait for it. So the layer that does the work measures it, and sizes the next read.
"""

from __future__ import annotations

from typing import Any

# Seconds that a read may take, and after which the next one is made smaller; then it takes about the first.
GOAL, SLOW = 0.001, 0.002

# Bytes of the smallest read: 89 TLS records of one byte, which take two milliseconds.
SMALLEST = 2048


def pace(transport: Any, size: int, seconds: float) -> bool:
    """Sizes the next read of a connection.

    :param transport: the transport at the bottom; one of Twisted's own reads ``bufferSize`` bytes.
    :param size: bytes of the last read.
    :param seconds: the time that they took.
    :return: whether the next read is smaller than usual.
    """
    name = "readSize" if hasattr(transport, "readSize") else "bufferSize"
    if seconds > SLOW and size > SMALLEST:
        setattr(transport, name, max(SMALLEST, int(size * GOAL / seconds)))
    elif seconds < GOAL and name in vars(transport):
        larger = 2 * getattr(transport, name)
        if larger < getattr(type(transport), name):
            setattr(transport, name, larger)
        else:
            delattr(transport, name)
    return name in vars(transport)
