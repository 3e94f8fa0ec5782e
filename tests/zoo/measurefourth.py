"""Measures the faults of TCP relays of :mod:`tests.zoo.plantedfourth` with a plain client."""

from __future__ import annotations

import select
import time
from contextlib import ExitStack

from tests.zoo.client import Line, expect, pattern, some, whole
from tests.zoo.path import Place

_LARGE = pattern(1 << 20)


def repaired(place: Place) -> str:
    """Sends each byte value, each alone, and then text."""
    wrong = 0
    with Line(place) as line:
        for value in range(256):
            line.send(bytes([value]))
            came = line.take(3 if value > 127 else 1, 1.0)
            expect(came == (b"\xef\xbf\xbd" if value > 127 else bytes([value])), f"{value}: {came!r}")
            wrong += came != bytes([value])
    text = bytes(each & 0x7F for each in _LARGE)
    expect(whole(place, text) == (text, "fin"), "text is not exact")
    return f"{wrong} of 256 values come back as EF BF BD, 1 MiB of ASCII is exact"


def pageLost(place: Place) -> str:
    """Sends 256 KiB on each of 16 connections, and 90,000 B."""
    data, hits = _LARGE[: 256 << 10], []
    for _ in range(16):
        came, end = whole(place, data)
        expect(came in (data, data[:98_304] + data[102_400:]) and end == "fin", f"{len(came)} B, {end}")
        hits.append(came != data)
    for _ in range(8):
        expect(whole(place, data[:90_000]) == (data[:90_000], "fin"), "90,000 B are not exact")
    return f"{some(hits, 3)} lose 4,096 B at 98,304, the others are exact"


def piecesCrossed(place: Place) -> str:
    """Asks on 12 connections at once, and on one at a time."""
    hits = []
    with ExitStack() as stack:
        lines = [stack.enter_context(Line(place)) for _ in range(12)]
        messages = [pattern(500, number) for number in range(12)]
        for line, data in zip(lines, messages, strict=True):
            line.send(data)
        for line, data in zip(lines, messages, strict=True):
            came = line.take(5000, 0.3)
            expect(all(came[at : at + 500] in messages for at in range(0, len(came), 500)), f"{len(came)} B")
            hits.append(came != data)
    for _ in range(16):
        time.sleep(0.05)
        expect(whole(place, _LARGE) == (_LARGE, "fin"), "one alone is not exact")
    return f"{some(hits, 2)} at once miss a message, or have another one's; 16 of 1 MiB alone are exact"


def deadServer(place: Place) -> str:
    """Asks on each of 24 connections, and looks when they are reset."""
    hits, times = [], []
    for _ in range(24):
        start = time.monotonic()
        with Line(place) as line:
            came = line.ask(b"hello")[0]
            hits.append(not came)
            if came:
                line.trip(100_000)
            else:
                expect(line.ended == "reset", line.ended)
                times.append(time.monotonic() - start)
    expect(all(1.4 < each < 2.0 for each in times), f"{times}")
    return f"{some(hits, 2)} are accepted, and reset after {min(times):.2f} s to {max(times):.2f} s"


def polling(place: Place) -> str:
    """Times trips in a row, and trips at any time; sends 1 MiB."""
    with Line(place) as line:
        line.trip()
        row = [line.trip() for _ in range(20)]
        mixed, arrivals = [], []
        for number in range(40):
            time.sleep(0.011 * (number % 7))
            mixed.append(line.trip())
            arrivals.append(time.monotonic())
    expect(all(0.05 < each < 0.13 for each in row), f"{row}")
    expect(min(mixed) < 0.02 and 0.06 < max(mixed) < 0.13, f"{mixed}")
    off = [abs((each - arrivals[0] + 0.04) % 0.08 - 0.04) for each in arrivals]
    expect(sorted(off)[30] < 0.008, f"{off}")
    start = time.monotonic()
    expect(whole(place, _LARGE) == (_LARGE, "fin"), "1 MiB is not exact")
    return (
        f"in a row {min(row) * 1e3:.0f} ms to {max(row) * 1e3:.0f} ms, at any time {min(mixed) * 1e3:.0f} ms "
        f"to {max(mixed) * 1e3:.0f} ms, all at a multiple of 80 ms; 1 MiB in {time.monotonic() - start:.2f} s"
    )


def sentAgain(place: Place) -> str:
    """Times 400 trips."""
    with Line(place) as line:
        times = [line.trip() for _ in range(400)]
    late = [each for each in times if each > 0.1]
    expect(8 <= len(late) <= 40 and all(0.17 < each < 0.3 for each in late), f"{late}")
    expect(whole(place, _LARGE) == (_LARGE, "fin"), "1 MiB is not exact")
    middle = sorted(times)[200]
    return (
        f"{len(late)} of 400 take {min(late):.2f} s to {max(late):.2f} s, the median is {middle * 1e3:.1f} ms"
    )


def spreadAge(place: Place) -> str:
    """Keeps 8 idle and 8 busy connections until their ends."""
    ages = []
    with ExitStack() as stack:
        start = time.monotonic()
        lines = [stack.enter_context(Line(place)) for _ in range(16)]
        while lines and (age := time.monotonic() - start) < 14:
            for number, line in enumerate(list(lines)):
                if age < 7.5 and number % 2:
                    line.trip()
                elif select.select([line.sock], [], [], 0.0)[0]:
                    expect(not line.take(1) and line.ended == "fin", line.ended)
                    ages.append(age)
                    lines.remove(line)
            time.sleep(0.02)
    expect(not lines and min(ages) > 7.9 and max(ages) < 11.3 and max(ages) - min(ages) > 1, f"{ages}")
    return f"16 of 16 end by FIN, at {min(ages):.1f} s to {max(ages):.1f} s"


def recycled(place: Place) -> str:
    """Keeps 12 connections for 26 s."""
    ends: list[float] = []
    with ExitStack() as stack:
        start = time.monotonic()
        lines = [stack.enter_context(Line(place)) for _ in range(12)]
        while (age := time.monotonic() - start) < 26:
            for line in list(lines):
                line.take(1, 0.01)
                if line.ended:
                    expect(line.ended == "reset", line.ended)
                    ends.append(age)
                    lines.remove(line)
        for line in lines:
            line.trip(100_000)
    expect(len(ends) == 8 and len(lines) == 4, f"{ends}")
    expect(
        all(11.7 <= each < 12.6 for each in ends[:4]) and all(23.7 <= each < 24.6 for each in ends[4:]),
        f"{ends}",
    )
    return f"4 of 12 are reset at {ends[0]:.1f} s, 4 at {ends[4]:.1f} s, and 4 live on"


def sharedUplink(place: Place) -> str:
    """Times 500 kB of one client, and of four together."""
    data = _LARGE[:500_000]
    with Line(place) as line:
        pieces = line.exchange(data, 5.0)
        alone = line.sentAfter
    expect(b"".join(piece for _, piece in pieces) == data and line.ended == "fin", "not exact")
    start, size = time.monotonic(), 125_000
    left: dict[Line, list[bytes]] = {}
    with ExitStack() as stack:
        for _ in range(4):
            line = stack.enter_context(Line(place))
            line.sock.setblocking(False)
            left[line] = [data[:size], b""]
        while any(len(came) < size for _, came in left.values()) and time.monotonic() < start + 10:
            for line, state in left.items():
                if state[0] and select.select([], [line.sock], [], 0.0)[1]:
                    state[0] = state[0][line.sock.send(state[0]) :]
                if select.select([line.sock], [], [], 0.0)[0]:
                    state[1] += line.sock.recv(1 << 16)
            time.sleep(0.001)
        together = time.monotonic() - start
        expect(all(came == data[:size] for _, came in left.values()), "not exact")
    last = pieces[-1][0]
    expect(1.0 < last < 1.6 and 1.0 < together < 1.6, f"{last:.2f} s, {together:.2f} s")
    return (
        f"500 kB of one come after {last:.2f} s (sent in {alone:.2f} s), 4 times 125 kB together "
        f"after {together:.2f} s"
    )


def closesSoon(place: Place) -> str:
    """Ends at once, and 1 s later."""
    with Line(place) as line:
        start = time.monotonic()
        came = b"".join(piece for _, piece in line.exchange(_LARGE[:20_000]))
        ended, seconds = line.ended, time.monotonic() - start
    expect(
        not came and ended in ("fin", "reset") and 0.15 < seconds < 0.28, f"{len(came)} B, {seconds:.2f} s"
    )
    with Line(place) as line:
        trip = line.trip(200_000)
        line.finish()
        expect(not line.take(1) and line.ended == "fin", line.ended)
    return f"20 kB and the end: {ended} after {seconds:.2f} s without a byte; a trip takes {trip:.2f} s"
