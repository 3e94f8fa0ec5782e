"""The table of paths over TCP that change bytes or ends."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.crooked import Edit, dropped, duplicated, flipped, swapped
from tests.zoo import measurebytes as m
from tests.zoo.identity import Cut, Edited, Ending, Mixed, Stale, Translated, crlf, sevenBits
from tests.zoo.life import Greedy
from tests.zoo.path import Path
from tests.zoo.services import relayed

tcp = "tcp"


def edited(name: str, planted: str, cause: str, edit: Edit) -> Path:
    """Returns a path with an edit in each answer."""
    return Path(name, tcp, planted, cause, relayed(Edited, edit=edit), m.becomes(edit.apply))


def translated(name: str, planted: str, cause: str, translate: Callable[[bytes], bytes]) -> Path:
    """Returns a path that translates each piece of an answer."""
    return Path(name, tcp, planted, cause, relayed(Translated, translate=translate), m.becomes(translate))


BYTES = [
    edited(
        "byte-flipped", "one bit flipped at offset 20000 of each answer", "bytes-changed", flipped(20_000)
    ),
    Path(
        "byte-flipped-third",
        tcp,
        "one bit flipped at offset 100, on one connection of three",
        "bytes-changed",
        relayed(Edited, edit=flipped(100), each=3),
        m.becomes(flipped(100).apply, (2, 5), 6),
    ),
    Path(
        "byte-flipped-rare",
        tcp,
        "one bit flipped at offset 40, on one connection of 30",
        "bytes-changed",
        relayed(Edited, edit=flipped(40), each=30),
        m.becomes(flipped(40).apply, (29,), 31),
    ),
    edited("bytes-lost", "10 bytes lost at offset 30000 of each answer", "bytes-lost", dropped(30_000, 10)),
    edited(
        "bytes-doubled",
        "100 bytes sent twice at offset 30000",
        "bytes-duplicated",
        duplicated(30_000, 100),
    ),
    edited(
        "bytes-swapped",
        "100 bytes at offset 30000 change places with the next 100",
        "bytes-moved",
        swapped(30_000, 100),
    ),
    translated("newlines", "each LF becomes CR LF", "bytes-translated", crlf),
    translated("seven-bits", "the highest bit of each byte is cleared", "bytes-translated", sevenBits),
    translated("capitals", "small ASCII letters become capitals", "bytes-translated", bytes.upper),
    Path(
        "answers-swapped",
        tcp,
        "two connections open together have each other's answers",
        "connections-mixed",
        relayed(Mixed),
        m.mixed,
    ),
    Path(
        "foreign-data",
        tcp,
        "100 bytes of an earlier connection inserted at offset 20000",
        "connections-mixed",
        relayed(Stale),
        m.stale,
    ),
    Path(
        "truncated-64k",
        tcp,
        "an answer ends after 64 KiB, and the rest is lost",
        "byte-limit",
        relayed(Cut, size=1 << 16, ending="end"),
        m.cutAt(1 << 16, "fin"),
    ),
    Path(
        "end-late",
        tcp,
        "the end of the answer comes 2 s late",
        "end-late",
        relayed(Ending, late=2.0),
        m.endLate,
    ),
    Path(
        "half-close-closes",
        tcp,
        "the client's end closes the connection at once",
        "half-close-broken",
        relayed(Ending, closes=True),
        m.halfCloseCloses,
    ),
    Path(
        "half-close-ignored",
        tcp,
        "the client's end is not passed on",
        "half-close-broken",
        relayed(Ending, ignores=True),
        m.halfCloseIgnored,
    ),
    Path(
        "reset-for-fin",
        tcp,
        "the service's end becomes a reset",
        "half-close-broken",
        relayed(Ending, resets=True),
        m.resetForFin,
    ),
    Path(
        "reset-after-fin",
        tcp,
        "a reset follows the end, and destroys what was not read",
        "half-close-broken",
        relayed(Ending, destroys=True),
        m.destroyed,
    ),
    Path(
        "no-back-pressure",
        tcp,
        "the relay takes any number of bytes and keeps them",
        "no-push-back",
        relayed(Greedy),
        m.unlimited,
    ),
]
