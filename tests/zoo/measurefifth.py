"""Measurements of the fifth set's faults of TCP connections, by a plain client."""

from __future__ import annotations

import statistics
import time

from tests.zoo.client import Line, expect, pattern, whole
from tests.zoo.path import Place


def maxSession(place: Place) -> str:
    """Measures how long a busy connection and an idle one live."""
    with Line(place) as busy, Line(place) as idle:
        start, trips = time.monotonic(), 0
        while time.monotonic() - start < 40:
            answer, _ = busy.ask(b"busy", 2)
            if answer != b"busy":
                break
            trips += 1
            time.sleep(0.25)
        lived = time.monotonic() - start
        idle.take(timeout=2)
        ended = time.monotonic() - start
    expect(29 < lived < 31.5 and busy.ended and 29 < ended < 31.5 and idle.ended, f"{lived:.1f} s")
    with Line(place) as line:
        line.trip()
    return (
        f"busy one ended ({busy.ended}) after {lived:.1f} s and {trips} trips, "
        f"idle one ({idle.ended}) at {ended:.1f} s"
    )


def deadBackend(place: Place) -> str:
    """Measures which of 15 connections echo."""
    told = ""
    for _ in range(15):
        with Line(place) as line:
            answer, _ = line.ask(pattern(100))
            expect(answer == pattern(100) or (not answer and line.ended), f"{len(answer)} B, {line.ended}")
            told += "+" if answer else "-"
    expect(told.count("-") == 5 and "--" not in told, told)
    return f"15 connections: {told}"


def halfClose(place: Place) -> str:
    """Measures the answers to streams that are ended, and to others."""
    short = [len(whole(place, pattern(200))[0]) for _ in range(10)]
    data = pattern(300_000)
    got, ended = whole(place, data)
    with Line(place) as line:
        seconds = line.trip(20_000)
    expect(not any(short) and len(got) < len(data), f"{short}, {len(got)} B")
    return (
        f"200 B and end: {short} B came back; of 300000 B {len(got)}, then {ended}; "
        f"20 kB without an end: all, in {seconds * 1000:.0f} ms"
    )


def throttle(place: Place) -> str:
    """Measures the rate of an exchange, and the round trip of a quiet connection."""
    with Line(place) as line:
        trip = line.trip()
    data = pattern(640_000)
    start = time.monotonic()
    got, ended = whole(place, data)
    seconds = time.monotonic() - start
    expect(got == data and ended == "fin" and 8 < seconds < 13, f"{len(got)} B in {seconds:.1f} s, {ended}")
    return f"640000 B in {seconds:.1f} s, exact; 64 B round trip {trip * 1000:.1f} ms"


def connLimit(place: Place) -> str:
    """Measures how many of 20 connections are served together, and whether others are later."""
    lines, served = [Line(place) for _ in range(20)], 0
    for line in lines:
        served += not line.ended and line.ask(b"x")[0] == b"x"
    ends = {line.ended for line in lines}
    for line in lines:
        line.sock.close()
    time.sleep(0.5)
    for _ in range(30):
        with Line(place) as line:
            line.trip()
        time.sleep(0.02)
    expect(served == 10 and ends == {"", "reset"}, f"{served} served, {ends}")
    return "of 20 together 10 are served, 10 reset; 30 one after the other are all served"


def proxyHeader(place: Place) -> str:
    """Measures what comes before the echo."""
    with Line(place) as line:
        before = line.take(200, 0.5)
        line.trip(5000)
        name = f"PROXY TCP4 127.0.0.1 127.0.0.1 {line.sock.getsockname()[1]} "
    expect(before.startswith(name.encode()) and before.endswith(b"\r\n"), repr(before))
    return f"unasked, before the echo: {before!r}"


def smallHeld(place: Place) -> str:
    """Measures the round trips of small and of large pieces."""
    with Line(place) as line:
        small = statistics.median(line.trip(64) for _ in range(15))
        middle = statistics.median(line.trip(1000) for _ in range(15))
        large = statistics.median(line.trip(14_600) for _ in range(15))
    expect(small > 0.18 and middle > 0.18 and large < 0.05, f"{small}, {middle}, {large}")
    data = pattern(2_000_000)
    start = time.monotonic()
    got, ended = whole(place, data)
    seconds = time.monotonic() - start
    expect(got == data and ended == "fin" and seconds < 2, f"{len(got)} B in {seconds:.1f} s")
    return (
        f"round trip: 64 B {small * 1000:.0f} ms, 1000 B {middle * 1000:.0f} ms, "
        f"14600 B {large * 1000:.1f} ms; 2 MB in {seconds:.2f} s"
    )


def httpFront(place: Place) -> str:
    """Measures the answers to binary data, and to a silent client."""
    with Line(place) as line:
        expect(not line.take(1, 1.0) and not line.ended, "an answer to silence")
    first = b""
    for size in (1, 100, 100_000):
        got, ended = whole(place, pattern(size))
        first = got.partition(b"\r\n")[0]
        expect(first == b"HTTP/1.1 400 Bad Request", f"{size} B: {first!r}, {ended}")
    return f"1, 100 and 100000 B are answered by {first!r}"


def xonXoff(place: Place) -> str:
    """Measures which values of bytes come back."""
    got, ended = whole(place, bytes(range(256)) * 4)
    gone = sorted(set(range(256)) - set(got))
    expect(gone == [0x11, 0x13] and len(got) == 4 * 254 and ended == "fin", f"{gone}, {len(got)} B, {ended}")
    text = b"a line of text\r\n" * 10_000
    expect(whole(place, text) == (text, "fin"), "text is damaged")
    return "of 256 values 0x11 and 0x13 never come back; 160 kB of text is exact"
