"""Labels: payload in which every 32 bytes name their examination, their connection and their offset.

So bytes that come back on another connection are attributed to the connection that sent them. The random
bytes mask the label, so that all bytes look random, and a part of a block occurs in one place alone. A
block::

    (magic (2) | CRC (2) | examination (4) | connection (4) | index of the block (4)) XOR mask (16) | mask (16)

The CRC is that of the three fields after it: a label in which a few bytes were changed is no label of another
connection.
"""

from __future__ import annotations

import struct
from binascii import crc_hqx
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

# Bytes of a block, and of the label in it.
BLOCK, LABEL = 32, 16

# Marks the labels of all examinations, of other processes too.
_MAGIC = b"ec"

# Bytes of the magic and the CRC, which precede the fields that the CRC protects.
_HEAD = 4

_FIELDS = struct.Struct(">2sH4sII")
_INDEX = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Label:
    """The origin of a block.

    :param examination: four random bytes.
    :param connection: the connection's number in that examination.
    :param offset: of the block, in the labelled bytes of the connection.
    """

    examination: bytes
    connection: int
    offset: int


class LabelledBytes:
    """The labelled bytes of one connection, of any length.

    :param examination: four random bytes.
    :param random: the source of the random bytes.
    """

    def __init__(self, examination: bytes, connection: int, random: Random) -> None:
        self._owner = examination + struct.pack(">I", connection)
        self._crc = crc_hqx(self._owner, 0)
        self._random = random
        self._next = 0
        self._rest = b""

    def take(self, size: int) -> bytes:
        """Returns the next bytes."""
        self.prepare(size)
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def prepare(self, size: int) -> None:
        """Makes the next bytes ahead."""
        missing = size - len(self._rest)
        if missing > 0:
            self._rest += self._blocks(-(-missing // BLOCK))

    def _blocks(self, count: int) -> bytes:
        """Makes blocks, each column of them by one assignment: 25 ms a MiB."""
        first, self._next = self._next, self._next + count
        labels = bytearray(LABEL * count)
        for column, value in enumerate(_MAGIC):
            labels[column::LABEL] = bytes([value]) * count
        for column, value in enumerate(self._owner, _HEAD):
            labels[column::LABEL] = bytes([value]) * count
        numbers = [_INDEX.pack(each) for each in range(first, first + count)]
        crcs = [crc_hqx(each, self._crc) for each in numbers]
        labels[2::LABEL] = bytes(each >> 8 for each in crcs)
        labels[3::LABEL] = bytes(each & 255 for each in crcs)
        indexes = b"".join(numbers)
        for column in range(_INDEX.size):
            labels[column + LABEL - _INDEX.size :: LABEL] = indexes[column :: _INDEX.size]
        mask = self._random.randbytes(LABEL * count)
        masked = (int.from_bytes(labels) ^ int.from_bytes(mask)).to_bytes(LABEL * count)
        blocks = bytearray(BLOCK * count)
        for column in range(LABEL):
            blocks[column::BLOCK] = masked[column::LABEL]
            blocks[LABEL + column :: BLOCK] = mask[column::LABEL]
        return bytes(blocks)


def labelsIn(data: bytes) -> Iterator[Label]:
    """Finds the whole blocks in some bytes, at any place; yields their labels in order."""
    position = 0
    while position + BLOCK <= len(data):
        label = _labelAt(data, position)
        if label is not None:
            yield label
        position += 1 if label is None else BLOCK


def _labelAt(data: bytes, position: int) -> Label | None:
    # The magic alone first: this is done for every byte.
    middle = position + LABEL
    if data[position] ^ data[middle] != _MAGIC[0] or data[position + 1] ^ data[middle + 1] != _MAGIC[1]:
        return None
    masked, mask = data[position:middle], data[middle : position + BLOCK]
    plain = (int.from_bytes(masked) ^ int.from_bytes(mask)).to_bytes(LABEL)
    _, crc, examination, connection, index = _FIELDS.unpack(plain)
    if crc != crc_hqx(plain[_HEAD:], 0):
        return None
    return Label(examination, connection, index * BLOCK)
