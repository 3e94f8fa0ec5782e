"""Measurements of bytes and of ends, with a plain client."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from tests.zoo.client import Line, expect, pattern, whole
from tests.zoo.identity import STALE, STALE_AT
from tests.zoo.path import Measure, Place

# Bytes of an exchange that reaches behind all edits.
SIZE = 100_000


def first(data: bytes, other: bytes) -> int:
    """Returns the offset of the first difference."""
    pairs = zip(data, other, strict=False)
    return next((offset for offset, (a, b) in enumerate(pairs) if a != b), min(len(data), len(other)))


def becomes(
    change: Callable[[bytes], bytes], wrong: Collection[int] = (0, 1), connections: int = 2
) -> Measure:
    """Returns the measurement of a change of bytes.

    :param change: returns the answer to some bytes.
    :param wrong: the numbers of the connections with the change.
    :param connections: the number of connections to try.
    """

    def measure(place: Place) -> str:
        data = pattern(SIZE)
        expect(change(data) != data, "the pattern does not show the change")
        for number in range(connections):
            answer, ended = whole(place, data)
            wanted = change(data) if number in wrong else data
            seen = (
                f"connection {number}: {len(answer)} B, first difference at {first(answer, wanted)}, {ended}"
            )
            expect(answer == wanted and ended == "fin", seen)
        return f"{len(wrong)} of {connections} changed, from offset {first(data, change(data))}"

    return measure


def exact(place: Place) -> str:
    """Measures that a path has no fault: bytes, ends, parallel connections, a late reader."""
    data = pattern(1 << 20)
    for _ in range(3):
        answer, ended = whole(place, data, 20.0)
        expect(answer == data and ended == "fin", f"{len(answer)} of {len(data)} B, {ended}")
    lines = [Line(place, 10.0) for _ in range(30)]
    try:
        for number, line in enumerate(lines):
            line.send(pattern(1000, number))
        for number, line in enumerate(lines):
            expect(line.take(1000, 10.0) == pattern(1000, number), f"connection {number} has other bytes")
        trips = sorted(lines[0].trip(64, 10.0) for _ in range(10))
        lines[0].send(data[:50_000])
        time.sleep(1)
        expect(lines[0].take(50_000, 10.0) == data[:50_000], "a late reader has other bytes")
    finally:
        for line in lines:
            line.sock.close()
    return f"exact; round trips {trips[0] * 1e3:.1f} to {trips[-1] * 1e3:.1f} ms"


def mixed(place: Place) -> str:
    """Measures that two connections have each other's answers."""
    one, other = pattern(1000, 1), pattern(1000, 2)
    with Line(place) as a, Line(place) as b:
        a.send(one)
        b.send(other)
        expect(a.take(1000) == other and b.take(1000) == one, "each has its own answer")
    with Line(place) as alone:
        alone.trip()
    return "two at once have each other's answer; one alone has its own"


def stale(place: Place) -> str:
    """Measures that bytes of an earlier connection are inserted."""
    earlier, data = pattern(SIZE, 1), pattern(SIZE, 2)
    expect(whole(place, earlier)[0] == earlier, "the first connection is wrong")
    answer, _ = whole(place, data)
    wanted = data[:STALE_AT] + earlier[:STALE] + data[STALE_AT:]
    expect(answer == wanted, f"first difference at {first(answer, wanted)}")
    return f"{STALE} B of an earlier connection at {STALE_AT}"


def cutAt(size: int, how: str) -> Measure:
    """Returns the measurement of an end behind a number of bytes."""

    def measure(place: Place) -> str:
        data = pattern(size + 300_000)
        with Line(place) as line:
            answer = b"".join(piece for _, piece in line.exchange(data))
        expect(answer == data[:size], f"{len(answer)} B came back")
        expect(line.ended == how, f"ended by {line.ended}")
        return f"{len(answer)} of {len(data)} B, then {line.ended}"

    return measure


def endLate(place: Place) -> str:
    """Measures that the end comes two seconds after the bytes."""
    with Line(place) as line:
        pieces = line.exchange(pattern(SIZE))
    expect(line.ended == "fin", f"ended by {line.ended!r}")
    late = pieces[-1][0] - pieces[-2][0]
    expect(1.9 < late < 2.9, f"the end came {late:.2f} s after the bytes")
    return f"the end came {late:.2f} s after the bytes"


def halfCloseCloses(place: Place) -> str:
    """Measures that an end from the client loses the answer."""
    data, answers = pattern(1 << 20), []
    for _ in range(5):
        with Line(place) as line:
            answers.append(len(b"".join(piece for _, piece in line.exchange(data))))
            expect(line.ended, "no end")
    expect(min(answers) < len(data), f"{answers} B came back")
    with Line(place) as line:
        line.trip(1 << 16)
    return f"{min(answers)} of {len(data)} B, then {line.ended or 'an end'}; whole without an end"


def halfCloseIgnored(place: Place) -> str:
    """Measures that no end comes back."""
    with Line(place) as line:
        data = pattern(1000)
        line.send(data)
        line.finish()
        expect(line.take(timeout=4.0) == data, "other bytes")
        expect(not line.ended, f"ended by {line.ended}")
    return "all bytes, and no end within 4 s"


def resetForFin(place: Place) -> str:
    """Measures that the end is a reset."""
    with Line(place) as line:
        line.trip()
        line.finish()
        expect(line.take() == b"" and line.ended == "reset", f"ended by {line.ended or 'nothing'}")
    return "all bytes, then a reset"


def destroyed(place: Place) -> str:
    """Measures that a reset at the end destroys bytes that a late reader has not read."""
    data = pattern(1 << 20)
    with Line(place, buffer=1 << 14) as line:
        line.send(data)
        line.finish()
        time.sleep(1.0)
        answer = line.take()
        expect(line.ended == "reset", f"ended by {line.ended or 'nothing'}")
    expect(len(answer) < len(data), "all bytes came")
    return f"a late reader has {len(answer)} of {len(data)} B, then a reset"


def unlimited(place: Place) -> str:
    """Measures that a path takes any number of bytes from a client that does not read."""
    sent, data = 0, pattern(1 << 20)
    with Line(place) as line:
        for _ in range(128):
            line.send(data)
            sent += len(data) * (not line.ended)
    expect(sent == 128 << 20, f"{sent >> 20} MiB")
    return f"{sent >> 20} MiB taken without a reader"
