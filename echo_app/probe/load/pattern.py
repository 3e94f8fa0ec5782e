"""Payload of a load: a fixed stream of bytes, from any offset.

Each connection sends the bytes from its own place on. The numbers of queued, sent and received bytes are
positions in its stream. So a byte that is lost, added, changed or repeated puts the rest out of step, and the
expected bytes take no memory.
"""

from __future__ import annotations

from random import Random

# The pattern repeats after a prime number of bytes, which no size of a message or a buffer divides.
PERIOD = 65521

# Bytes of one send() or recv(), at the most.
CHUNK = 1 << 16

# Enough for a chunk, and a TLS record that was incomplete before it, from any place on.
PATTERN = Random(862).randbytes(PERIOD) * 3
VIEW = memoryview(PATTERN)


def placeOf(number: int) -> int:
    """Returns the place at which a stream begins: 65,521 streams in a row have different ones."""
    return number * 7919 % PERIOD
