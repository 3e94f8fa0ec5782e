"""Measures the faults of TCP relays of :mod:`tests.zoo.plantedthird` with a plain client."""

from __future__ import annotations

import time
from contextlib import ExitStack

from tests.zoo.client import Line, expect, pattern, some, whole
from tests.zoo.path import Place
from tests.zoo.plantedthirdrelays import BUSY, BYE

_LARGE = pattern(1 << 20)


def writtenAgain(place: Place) -> str:
    """Sends 1 MiB some times, and small messages."""
    more = []
    for _ in range(8):
        came, end = whole(place, _LARGE)
        expect(end == "fin" and came.endswith(_LARGE[-100:]), f"{len(came)} B, {end}")
        more.append(len(came) - len(_LARGE))
    with Line(place) as line:
        for _ in range(100):
            line.trip(4000)
    expect(min(more) >= 0 and sum(each > 0 for each in more) >= 6, f"{more}")
    return f"{min(more)} B to {max(more)} B more than 1,048,576 B; 4,000 B are exact, 100 times"


def crossed(place: Place) -> str:
    """Opens 16 connections at once, and 16 one after the other."""
    with ExitStack() as stack:
        lines = [stack.enter_context(Line(place)) for _ in range(16)]
        for number, line in enumerate(lines):
            line.send(pattern(500, number))
        came = [line.take(500, 1.0) for line in lines]
    sent = [pattern(500, number) for number in range(16)]
    expect(sorted(came) == sorted(sent), "other bytes")
    hits = [one != other for one, other in zip(came, sent, strict=True)]
    for _ in range(16):
        time.sleep(0.03)
        expect(whole(place, _LARGE) == (_LARGE, "fin"), "one alone is not exact")
    return f"{some(hits, 2)} in a burst have another one's answer, none of 16 alone"


def busy(place: Place) -> str:
    """Opens 27 connections, and closes them."""
    with ExitStack() as stack:
        lines = [stack.enter_context(Line(place)) for _ in range(24)]
        for line in lines:
            line.trip()
        for _ in range(3):
            other = stack.enter_context(Line(place))
            expect((other.take(), other.ended) == (BUSY, "fin"), other.ended)
        for line in lines:
            line.trip(100_000)
    time.sleep(0.2)
    expect(whole(place, _LARGE) == (_LARGE, "fin"), "not served afterwards")
    return "24 are served, 3 more get a line and the end"


def flapping(place: Place) -> str:
    """Keeps a connection, and opens one each 100 ms, for 18 s."""
    refused = []
    with Line(place) as kept:
        start = time.monotonic()
        while (now := time.monotonic() - start) < 18:
            kept.trip()
            with Line(place) as line:
                if line.ask(b"1", 1.0)[0] != b"1":
                    expect(line.ended == "reset", line.ended)
                    refused.append(now)
            time.sleep(0.1)
    expect(len(refused) > 20 and all(each % 8 > 5.9 for each in refused), f"{refused}")
    first = [each for each in refused if each < 9]
    return f"{len(refused)} reset, at {first[0]:.1f} s to {first[-1]:.1f} s, and again; the open one lives"


def lineBuffered(place: Place) -> str:
    """Times messages with and without a newline at the end."""
    lines: list[float] = []
    others: list[float] = []
    with Line(place) as line:
        for size in (16, 200, 1000, 9000):
            data = pattern(size).replace(b"\n", b"-")
            for times, message in ((lines, data + b"\n"), (others, data)):
                answer, seconds = line.ask(message)
                expect(answer == message, "not exact")
                times.append(seconds)
    expect(max(lines) < 0.1 and min(others) > 0.24 and max(others) < 0.35, f"{lines} {others}")
    expect(whole(place, _LARGE) == (_LARGE, "fin"), "1 MiB is not exact")
    return f"{max(lines) * 1e3:.1f} ms at most with a newline, {min(others) * 1e3:.0f} ms at least without"


def pauses(place: Place) -> str:
    """Times answers on two connections for 11 s."""
    late, count = [], 0
    with Line(place) as one, Line(place) as other:
        start = time.monotonic()
        while (now := time.monotonic() - start) < 11:
            if max(one.trip(), other.trip()) > 0.2:
                late.append(now)
            count += 1
            time.sleep(0.01)
    expect(3 <= len(late) <= 5, f"{late}")
    return f"late at {', '.join(f'{each:.1f}' for each in late)} s, of {count} trips"


def counted(place: Place) -> str:
    """Asks until the end, quickly and slowly; then sends 4 MiB."""
    for wait in (0.0, 0.05):
        with Line(place) as line:
            count = 0
            while not line.ended and count < 60:
                count += line.ask(b"%d" % (1000 + count))[1] >= 0 and not line.ended
                time.sleep(wait)
            expect(count == 40 and line.ended in ("fin", "reset"), f"{count}, {line.ended}")
    with Line(place) as line:
        for _ in range(39):
            line.trip()
        expect(not line.take(1, 1.0) and not line.ended, "ended early")
        line.trip()
        expect(not line.take(1, 1.0) and line.ended == "fin", line.ended)
    for _ in range(4):
        expect(whole(place, _LARGE) == (_LARGE, "fin"), "1 MiB is not exact")
    return "40 answers, and then a FIN, at any pace; 1 MiB is exact, 4 times"


def bye(place: Place) -> str:
    """Leaves a connection idle."""
    with Line(place) as line:
        line.trip()
        time.sleep(6.0)
        line.trip(50_000)
        start = time.monotonic()
        came = line.take(1000, 10.0)
        lasted = time.monotonic() - start
    expect(
        came == BYE and line.ended == "fin" and 6.5 < lasted < 8, f"{came!r}, {line.ended}, {lasted:.1f} s"
    )
    return f"{len(came)} B of text and the end after {lasted:.1f} s"


def someSilent(place: Place) -> str:
    """Sends 256 KiB on each of 20 connections."""
    hits = []
    for _ in range(20):
        came, end = whole(place, _LARGE[: 256 << 10], 0.7)
        expect(_LARGE.startswith(came) and (len(came), end) in ((200_000, ""), (256 << 10, "fin")), end)
        hits.append(not end)
    for _ in range(12):
        expect(whole(place, _LARGE[:190_000]) == (_LARGE[:190_000], "fin"), "190,000 B are not exact")
    return f"{some(hits, 3)} stop at 200,000 B, without an end"


def neverEnding(place: Place) -> str:
    """Sends some bytes and the end."""
    hits = []
    for _ in range(20):
        came, end = whole(place, _LARGE[:100_000], 0.7)
        expect(came == _LARGE[:100_000] and end in ("", "fin"), f"{len(came)} B, {end}")
        hits.append(not end)
    return f"{some(hits, 3)} have the whole answer and no end, the others the end"


def outputLimit(place: Place) -> str:
    """Reads at once, and 1.2 s late, much and little."""
    for _ in range(6):
        expect(whole(place, _LARGE) == (_LARGE, "fin"), "1 MiB at once is not exact")
    with Line(place) as line:
        line.send(_LARGE)
        time.sleep(1.2)
        late = line.take()
    expect(line.ended == "reset" and len(late) < 800_000, f"{len(late)} B, {line.ended}")
    with Line(place) as line:
        line.send(_LARGE[:200_000])
        time.sleep(1.2)
        expect(line.take(200_000) == _LARGE[:200_000], "200,000 B late are not exact")
    return f"1 MiB, read 1.2 s late: {len(late)} B and a reset; exact at once, and 200,000 B late"
