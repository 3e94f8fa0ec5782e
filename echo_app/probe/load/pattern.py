"""Payload of a load: a fixed stream of bytes, from any offset.

Each connection sends the bytes from a place of its own on. What is queued, sent and received are positions
in its stream, so that a byte that is lost, added, changed or repeated puts the rest out of step, and what is
expected costs no memory.
"""

from __future__ import annotations

from random import Random

# The pattern repeats after a prime number of bytes, which no size of a message or a buffer divides.
PERIOD = 65521

# Bytes that are sent or received at once, at the most.
CHUNK = 1 << 16

# Enough for a chunk, and a TLS record that was incomplete before it, from any place on.
PATTERN = Random(862).randbytes(PERIOD) * 3
VIEW = memoryview(PATTERN)


def placeOf(number: int) -> int:
    """Returns where a stream begins: of 65,521 in a row, each at another place."""
    return number * 7919 % PERIOD
