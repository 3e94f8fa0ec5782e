"""First difference between sent and received bytes, and its kind; pure functions.

What is sent is random, so that sixteen bytes of it are found again in one place alone, and what came can be
put back where it belongs.
"""

from __future__ import annotations

from dataclasses import dataclass

# Bytes that are taken for a place of their own: of random ones, a megabyte repeats none by accident.
PLACE = 16

# At the end of what came there may be fewer; three still are one chance in sixteen at a megabyte.
_FEWEST = 4

# Bytes of what stands at the place that are kept, to be shown.
SHOWN = 40

# How far changed bytes are followed until they agree again.
_CHANGED = 1 << 12


_TEXTS = {
    "changed": "{size} flipped at offset {offset}",
    "lost": "{size} lost at offset {offset}",
    "duplicated": "{size} come twice, at offset {offset}",
    "moved": "{size} from offset {offset} come later",
    "inserted": "{size} at offset {offset} that were never sent",
    "foreign": "somebody else's bytes from offset {offset}",
}


@dataclass(frozen=True, slots=True)
class StreamDifference:
    """The first difference between the bytes sent and the bytes that came back.

    :param kind: ``changed``, ``lost``, ``duplicated``, ``moved``, ``inserted``, or ``foreign``: from there
        on nothing is what was sent.
    :param offset: of the first byte that differs.
    :param size: bytes that were changed, lost, duplicated, moved or inserted; 0 where that can't be said.
    :param found: what stands there, or its beginning.
    """

    kind: str
    offset: int
    size: int
    found: bytes

    def __str__(self) -> str:
        size = "1 byte" if self.size == 1 else f"{self.size} bytes"
        return _TEXTS[self.kind].format(size=size, offset=self.offset)


def firstDifference(sent: bytes, came: bytes) -> StreamDifference | None:
    """Finds the first difference between what was sent and what came; None if what came is a prefix.

    :param came: some bytes more than up to the difference, so that it can be told what follows.
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
    """Returns how many bytes at the beginning are the same."""
    low, high = 0, min(len(sent), len(came))
    while low < high:
        middle = (low + high + 1) // 2
        if sent[low:middle] == came[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _changed(sent: bytes, came: bytes, offset: int) -> StreamDifference | None:
    """Some bytes differ, and then everything is in its place again."""
    for end in range(offset + 1, min(offset + _CHANGED, len(came), len(sent)) + 1):
        rest = came[end : end + PLACE]
        if (len(rest) >= _FEWEST or len(came) == len(sent)) and sent.startswith(rest, end):
            return StreamDifference("changed", offset, end - offset, came[offset:end][:SHOWN])
    return None


def _lost(sent: bytes, came: bytes, offset: int) -> StreamDifference | None:
    """What came goes on with what was sent later; what is between comes later still, or never."""
    place = came[offset : offset + PLACE]
    later = sent.find(place, offset + 1) if len(place) >= _FEWEST else -1
    if later < 0:
        return None
    missing = sent[offset:later][:PLACE]
    isLater = len(missing) >= _FEWEST and came.find(missing, offset) >= 0
    return StreamDifference("moved" if isLater else "lost", offset, later - offset, place)


def _inserted(sent: bytes, came: bytes, offset: int) -> StreamDifference | None:
    """What was to come here comes later; what is between has been there before, or never was sent."""
    due = sent[offset : offset + PLACE]
    later = came.find(due, offset + 1) if len(due) >= _FEWEST else -1
    if not due:
        later = len(came)
    if later < 0:
        return None
    extra = came[offset:later]
    # Fewer bytes are found everywhere.
    before = 0 if len(extra) >= _FEWEST else max(0, offset - len(extra))
    isKnown = sent.find(extra, before, offset) >= 0
    return StreamDifference("duplicated" if isKnown else "inserted", offset, len(extra), extra[:SHOWN])
