"""Measurements of times, with a plain client."""

from __future__ import annotations

import time
from collections.abc import Collection
from itertools import pairwise
from statistics import median

from tests.zoo.client import Line, expect, pattern
from tests.zoo.path import Measure, Place

# Seconds of most round trips without a fault, also on a busy machine.
QUICK = 0.1


def ms(times: Collection[float]) -> str:
    """Returns the range of some seconds, in milliseconds."""
    return f"{min(times) * 1e3:.1f} to {max(times) * 1e3:.1f} ms"


def nagle(place: Place) -> str:
    """Measures round trips that wait for an acknowledgement of 40 ms."""
    with Line(place) as line:
        times = [line.trip(200) for _ in range(60)]
    late = [each for each in times if 0.035 < each < 0.2]
    expect(len(late) >= 20, f"{len(late)} of {len(times)} waited, {ms(times)}")
    return f"{len(late)} of {len(times)} waited for {ms(late)}"


def flushed(place: Place) -> str:
    """Measures that small answers wait for a timer, and those of 4 KiB do not."""
    with Line(place) as line:
        small = [line.trip(100) for _ in range(5)]
        large = [line.trip(4096) for _ in range(5)]
    expect(min(small) > 0.19 and median(large) < QUICK, f"100 B {ms(small)}, 4 KiB {ms(large)}")
    return f"100 B in {ms(small)}, 4 KiB in {ms(large)}"


def firstSlow(wait: float) -> Measure:
    """Returns the measurement of a connection's slow first answer."""

    def measure(place: Place) -> str:
        first, later = [], []
        for _ in range(3):
            with Line(place) as line:
                first.append(line.trip())
                later += [line.trip() for _ in range(3)]
        expect(min(first) >= wait and median(later) < QUICK, f"first {ms(first)}, later {ms(later)}")
        return f"first {ms(first)}, later {ms(later)}"

    return measure


def asleep(place: Place) -> str:
    """Measures that the first connection after three idle seconds is slow."""
    times = []
    for pause in (0.0, 0.0, 0.0, 3.2, 0.0):
        time.sleep(pause)
        with Line(place) as line:
            times.append(line.trip())
    isSlow = [each >= 0.9 for each in times]
    expect(isSlow == [True, False, False, True, False], f"{[round(each, 2) for each in times]}")
    return f"after a pause {times[3]:.2f} s, else {min(times) * 1e3:.1f} ms"


def slowEach(each: int, wait: float) -> Measure:
    """Returns the measurement of one slow connection of some."""

    def measure(place: Place) -> str:
        times = []
        for _ in range(2 * each):
            with Line(place) as line:
                times.append(min(line.trip() for _ in range(3)))
        slow = [number for number, value in enumerate(times) if value >= wait]
        expect(slow == [each - 1, 2 * each - 1], f"{[round(value, 3) for value in times]}")
        return f"connections {slow} of {2 * each} take {wait * 1e3:.0f} ms"

    return measure


def slowerThanKernel(place: Place) -> str:
    """Measures that the service is slower than the connect."""
    with Line(place) as line:
        times = [line.trip() for _ in range(5)]
    expect(line.connectTime < 0.025 and min(times) >= 0.03, f"connect {line.connectTime}, {times}")
    return f"connect {line.connectTime * 1e3:.1f} ms, round trips {ms(times)}"


def steady(low: float, high: float) -> Measure:
    """Returns the measurement of the median round trip, in seconds."""

    def measure(place: Place) -> str:
        with Line(place) as line:
            times = sorted(line.trip() for _ in range(11))
        # A busy machine adds to some.
        expect(low <= times[0] and times[3] <= high, ms(times))
        return f"round trips {ms(times)}"

    return measure


def jitter(place: Place) -> str:
    """Measures that round trips take from 0 to 60 ms."""
    with Line(place) as line:
        times = sorted(line.trip() for _ in range(60))
    expect(times[54] - times[6] > 0.03, ms(times))
    return f"round trips {ms(times)}"


def stalls(place: Place) -> str:
    """Measures two stalls of two seconds, 20 s apart."""
    start, late = time.monotonic(), []
    with Line(place) as line:
        while time.monotonic() < start + 31:
            sent = time.monotonic() - start
            if (took := line.trip()) > 1.0:
                late.append((sent, took))
            time.sleep(0.05)
    expect(len(late) == 2, f"{late}")
    apart = late[1][0] - late[0][0]
    expect(19 < apart < 21 and all(1.7 < took < 2.6 for _, took in late), f"{late}")
    return f"round trips of {ms([took for _, took in late])}, {apart:.1f} s apart"


def paused(after: int, lasts: float) -> Measure:
    """Returns the measurement of a pause in a transfer."""

    def measure(place: Place) -> str:
        data = pattern(2 * after)
        with Line(place) as line:
            pieces = line.exchange(data, lasts + 3)
        expect(b"".join(piece for _, piece in pieces) == data, "other bytes")
        gaps = [later[0] - earlier[0] for earlier, later in pairwise(pieces)]
        longest = gaps.index(max(gaps))
        before = sum(len(piece) for _, piece in pieces[: longest + 1])
        expect(max(gaps) > 0.9 * lasts and abs(before - after) <= 1 << 16, f"{max(gaps):.1f} s at {before}")
        return f"a pause of {max(gaps):.2f} s after {before} B"

    return measure


def limited(rate: float, isUp: bool, size: int = 600_000) -> Measure:
    """Returns the measurement of a rate in bytes a second, and of the direction that it limits."""

    def measure(place: Place) -> str:
        data = pattern(size)
        with Line(place, buffer=1 << 14) as line:
            pieces = line.exchange(data)
        expect(b"".join(piece for _, piece in pieces) == data, "other bytes")
        seen = size / pieces[-1][0]
        expect(0.6 * rate < seen < 1.3 * rate, f"{seen:.0f} B/s")
        isSlowly = line.sentAfter > 0.5 * size / rate
        expect(isSlowly == isUp, f"all sent after {line.sentAfter:.2f} s")
        return f"{seen:.0f} B/s; all sent after {line.sentAfter:.2f} of {pieces[-1][0]:.2f} s"

    return measure


def policed(burst: int, rate: float) -> Measure:
    """Returns the measurement of a burst that is quick, and of the rate behind it."""

    def measure(place: Place) -> str:
        data = pattern(burst + int(3 * rate))
        with Line(place) as line:
            pieces, total, burstTime = line.exchange(data), 0, 0.0
        for when, piece in pieces:
            total += len(piece)
            if total <= burst * 0.9:
                burstTime = when
        expect(total == len(data), f"{total} B came")
        rest = pieces[-1][0] - burstTime
        expect(burstTime < 1.0 and 2.0 < rest < 5.0, f"burst in {burstTime:.2f} s, rest in {rest:.2f} s")
        return f"{burst >> 10} KiB in {burstTime:.2f} s, then {3 * rate / 1024:.0f} KiB in {rest:.2f} s"

    return measure
