"""Rule about streams that something takes for text: line ends, letters, bits, and escapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.labels import BLOCK
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.judge.byterules import byteRule, sendersIn, shareOf
from echo_app.probe.judge.finding import Confidence, Match, byCheck, numbers


def _withoutHighBit(data: bytes) -> bytes:
    return bytes(byte & 0x7F for byte in data)


# What text services do to bytes, by name.
_TRANSLATIONS: tuple[tuple[str, Callable[[bytes], bytes]], ...] = (
    ("CR LF for LF", lambda data: data.replace(b"\n", b"\r\n")),
    ("LF for CR LF", lambda data: data.replace(b"\r\n", b"\n")),
    ("LF for CR", lambda data: data.replace(b"\r", b"\n")),
    ("the highest bit cleared", _withoutHighBit),
    ("XON and XOFF removed", lambda data: data.translate(None, b"\x11\x13")),
    ("zero bytes removed", lambda data: data.translate(None, b"\0")),
    ("U+FFFD for what is no UTF-8", lambda data: data.decode("utf-8", "replace").encode()),
    ("UTF-8 for Latin-1", lambda data: data.decode("latin-1").encode()),
    ("capitals for small letters", bytes.upper),
    ("small letters for capitals", bytes.lower),
)

# Bytes that must agree with a translation: two bytes agree by chance once in 65,536 times.
_AGREEING = 2

# Connections on which the same value is doubled: two agree by chance once in 256 times.
_SAME_VALUE = 3


def _match(
    name: str, found: Sequence[ConnectionRecord], explained: Sequence[ConnectionRecord], evidence: Evidence
) -> Match:
    """Returns the match of a translation, which explains every connection that differs, and others."""
    return Match(
        f"{name}; {shareOf(found, evidence)}",
        Confidence.CERTAIN,
        [byCheck(found)],
        numbers(explained),
        len(found),
        sendersIn(evidence),
        manner=name,
    )


def _findTranslated(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds a translation that explains the differences of two connections, and of half of them."""
    differing = [each for each in rest if each.difference is not None]
    for name, translate in _TRANSLATIONS:
        found = [each for each in differing if _isTranslated(each, translate)]
        if len(found) >= max(2, len(differing) / 2):
            removed = [each for each in rest if _isRemoved(each, translate)]
            return _match(name, found, [*differing, *removed], evidence)
    return _findDoubled(evidence, differing)


def _doubledOf(record: ConnectionRecord) -> int | None:
    """Returns the value that comes twice, wherever it is due, as far as bytes were kept; None: there is none.

    The first of the two was in its place, so that the difference begins with the second one.
    """
    came, due = record.foreign[:BLOCK], record.due[: 2 * BLOCK]
    value = came[:1]
    doubled = value + due.replace(value, 2 * value)
    return value[0] if len(came) > _AGREEING and doubled.startswith(came) else None


def _findDoubled(evidence: Evidence, differing: Sequence[ConnectionRecord]) -> Match | None:
    """Finds one value that is doubled on most connections, as an escape is. Single bytes have any value."""
    values = Counter(value for each in differing if (value := _doubledOf(each)) is not None)
    ((value, count),) = values.most_common(1) or ((0, 0),)
    if count < max(_SAME_VALUE, len(differing) / 2):
        return None
    return _match(f"0x{value:02X} doubled", differing, differing, evidence)


def _isTranslated(record: ConnectionRecord, translate: Callable[[bytes], bytes]) -> bool:
    """Says whether the bytes that came are the translation of those that were due."""
    came, due = record.foreign[:BLOCK], translate(record.due[: 2 * BLOCK])
    # Nothing may have been due: the bytes that came are surplus then.
    return min(len(came), len(due)) >= _AGREEING and due.startswith(came[: len(due)])


def _isRemoved(record: ConnectionRecord, translate: Callable[[bytes], bytes]) -> bool:
    """Says whether all that a connection lacks is what a translation removes: its last bytes, then."""
    isKept = 0 < len(record.due) == record.sent - record.came
    return record.isShort and record.difference is None and isKept and not translate(record.due)


TRANSLATED = byteRule(
    "bytes-translated",
    "bytes are translated",
    "Something on the way takes the stream for text.",
    "The bytes that came are those that were due after one translation: of line ends, of the highest bit, of "
    "letters, of encodings, or of one value that is removed or doubled. An answer that lacks at its end what "
    "is removed is part of it.",
    "Other translations are found as bytes that are changed or inserted.",
    _findTranslated,
)
