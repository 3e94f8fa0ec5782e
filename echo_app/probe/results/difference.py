"""First difference between sent and received bytes, and its kind; pure functions.

The bytes that are sent are random: sixteen of them occur in one place alone. So bytes that came can be
matched with the place at which they were sent.
"""

from __future__ import annotations

from dataclasses import dataclass

# Bytes that identify a place: random bytes of that number do not repeat by chance within a megabyte.
PLACE = 16

# The fewest bytes that identify a place, at the end of the received bytes. Three occur by chance in one
# megabyte of sixteen.
_FEWEST = 4

# Bytes at the difference that are kept, to be shown.
SHOWN = 40

# Bytes within which changed bytes must agree again.
_CHANGED = 1 << 12


_TEXTS = {
    "changed": "{size} flipped at offset {offset}",
    "lost": "{size} lost at offset {offset}",
    "duplicated": "{size} come twice, at offset {offset}",
    "moved": "{size} from offset {offset} come later",
    "inserted": "{size} at offset {offset} that were never sent",
    "foreign": "foreign bytes from offset {offset}",
}


@dataclass(frozen=True, slots=True)
class StreamDifference:
    """The first difference between the bytes sent and the bytes that came back.

    :param kind: ``changed``, ``lost``, ``duplicated``, ``moved``, ``inserted``, or ``foreign``: no
        byte from there on was sent.
    :param offset: of the first byte that differs.
    :param size: bytes that were changed, lost, duplicated, moved or inserted; 0 where that is unknown.
    :param found: the bytes at the difference, or the first of them.
    """

    kind: str
    offset: int
    size: int
    found: bytes

    def __str__(self) -> str:
        size = "1 byte" if self.size == 1 else f"{self.size} bytes"
        return _TEXTS[self.kind].format(size=size, offset=self.offset)


def firstDifference(sent: bytes, came: bytes) -> StreamDifference | None:
    """Finds the first difference between sent and received bytes; None where those received are a prefix.

    :param came: received bytes, some of them after the difference: its kind depends on them.
    """
    if sent.startswith(came):
        return None
    offset = agreeing(sent, came)
    for judge in (_lost, _changed, _inserted):
        found = judge(sent, came, offset)
        if found is not None:
            return found
    return StreamDifference("foreign", offset, 0, came[offset : offset + SHOWN])


def agreeing(sent: bytes, came: bytes) -> int:
    """Returns the number of equal bytes at the beginning."""
    low, high = 0, min(len(sent), len(came))
    while low < high:
        middle = (low + high + 1) // 2
        if sent[low:middle] == came[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _changed(sent: bytes, came: bytes, offset: int) -> StreamDifference | None:
    """Recognizes changed bytes: after them, every byte is in its place again."""
    for end in range(offset + 1, min(offset + _CHANGED, len(came), len(sent)) + 1):
        rest = came[end : end + PLACE]
        if (len(rest) >= _FEWEST or len(came) == len(sent)) and sent.startswith(rest, end):
            return StreamDifference("changed", offset, end - offset, came[offset:end][:SHOWN])
    return None


def _lost(sent: bytes, came: bytes, offset: int) -> StreamDifference | None:
    """Recognizes lost or moved bytes: the received bytes go on with bytes that were sent later."""
    place = came[offset : offset + PLACE]
    later = sent.find(place, offset + 1) if len(place) >= _FEWEST else -1
    if later < 0:
        return None
    missing = sent[offset:later][:PLACE]
    isLater = len(missing) >= _FEWEST and came.find(missing, offset) >= 0
    return StreamDifference("moved" if isLater else "lost", offset, later - offset, place)


def _inserted(sent: bytes, came: bytes, offset: int) -> StreamDifference | None:
    """Recognizes inserted or duplicated bytes: the bytes that were due come later."""
    due = sent[offset : offset + PLACE]
    later = came.find(due, offset + 1) if len(due) >= _FEWEST else -1
    if later < 0 and due and sent.endswith(came[offset:]):
        # What comes twice reaches to the end of what was sent, and less than a place was due behind it.
        later = len(came) - len(due)
    if not due:
        later = len(came)
    if later < 0:
        return None
    extra = came[offset:later]
    # So few bytes occur in many places.
    before = 0 if len(extra) >= _FEWEST else max(0, offset - len(extra))
    isKnown = sent.find(extra, before, offset) >= 0
    return StreamDifference("duplicated" if isKnown else "inserted", offset, len(extra), extra[:SHOWN])
