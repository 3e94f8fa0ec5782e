"""Measurements of lives, admission and answers, with a plain client."""

from __future__ import annotations

import time
from contextlib import ExitStack

from tests.zoo.client import Line, expect, pattern
from tests.zoo.path import Measure, Place


def lifetime(age: float) -> Measure:
    """Returns the measurement of the age at which a connection in use ends."""

    def measure(place: Place) -> str:
        start = time.monotonic()
        with Line(place) as line:
            while not line.ended and time.monotonic() < start + age + 5:
                line.ask(b"x" * 64)
                time.sleep(0.1)
        lasted = time.monotonic() - start
        expect(line.ended and age - 0.5 < lasted < age + 1.5, f"{line.ended or 'no end'} at {lasted:.1f} s")
        return f"{line.ended} at {lasted:.2f} s, in use"

    return measure


def idle(after: float, how: str) -> Measure:
    """Returns the measurement of the idle time that ends a connection."""

    def measure(place: Place) -> str:
        with Line(place) as line:
            line.trip()
            time.sleep(after - 1)
            line.trip()
            if how == "silent":
                time.sleep(after + 1)
                expect(not line.take(timeout=0.1) and not line.ended, "not silent")
                expect(line.ask(b"late")[0] == b"" and not line.ended, f"{line.ended or 'an answer'}")
                return f"in use after {after - 1:.0f} s, dead after {after + 1:.0f} s, without a sign"
            start = time.monotonic()
            line.take(timeout=after + 3)
            lasted = time.monotonic() - start
        expect(line.ended == how and abs(lasted - after) < 1, f"{line.ended} after {lasted:.1f} s")
        return f"{line.ended} after {lasted:.2f} s without a byte"

    return measure


def forgotten(after: float, how: str) -> Measure:
    """Returns the measurement of a flow that is forgotten after an idle time, which shows at the next byte.

    :param how: ``silent`` or ``reset``.
    """

    def measure(place: Place) -> str:
        with Line(place) as line:
            line.trip()
            time.sleep(after - 1)
            line.trip()
            time.sleep(after + 1)
            answer, _ = line.ask(b"late")
        expect(not answer and line.ended == ("" if how == "silent" else how), f"{line.ended or answer!r}")
        return f"in use after {after - 1:.0f} s; after {after + 1:.0f} s {line.ended or 'silence'}"

    return measure


def kept(after: float) -> Measure:
    """Returns the measurement of a connection that outlives an idle time."""

    def measure(place: Place) -> str:
        with Line(place) as line:
            line.trip()
            time.sleep(after)
            seconds = line.trip()
        return f"alive after {after:.0f} s without a byte, {seconds * 1e3:.1f} ms"

    return measure


def unread(after: float) -> Measure:
    """Returns the measurement of the reset of a client that does not read."""

    def measure(place: Place) -> str:
        start = time.monotonic()
        with Line(place) as line:
            line.sock.settimeout(after + 5)
            try:
                while True:
                    line.sock.sendall(b"x" * (1 << 16))
            except ConnectionError:
                pass
            lasted = time.monotonic() - start
        expect(after - 0.5 < lasted < after + 4, f"reset after {lasted:.1f} s")
        with Line(place) as line:
            line.trip()
            time.sleep(after + 1)
            line.trip()
        return f"reset {lasted:.1f} s after the first byte, none of them read; idle ones stay"

    return measure


def restart(moment: float) -> Measure:
    """Returns the measurement of the moment at which all connections end."""

    def measure(place: Place) -> str:
        with Line(place) as one:
            start = time.monotonic()
            one.trip()
            time.sleep(moment / 2)
            with Line(place) as other:
                other.trip()
                one.take(timeout=moment)
                first = time.monotonic() - start
                other.take(timeout=1)
                second = time.monotonic() - start
        expect(one.ended and other.ended, "no end")
        expect(abs(first - moment) < 1 and second - first < 0.5, f"{first:.1f} s, {second:.1f} s")
        return f"both end at {first:.2f} s, by {one.ended}"

    return measure


def capped(cap: int, how: str) -> Measure:
    """Returns the measurement of the number of connections that are served together."""

    def measure(place: Place) -> str:
        with ExitStack() as stack:
            lines = [stack.enter_context(Line(place)) for _ in range(cap + 5)]
            answered = [line.ask(b"hello", 1.0)[0] == b"hello" for line in lines]
            ends = {line.ended for line, isAnswered in zip(lines, answered, strict=True) if not isAnswered}
        expect(answered == [True] * cap + [False] * 5, f"{sum(answered)} of {len(answered)} answered")
        expect(ends == {"" if how == "silent" else how}, f"the others: {ends}")
        time.sleep(0.5)
        with Line(place) as line:
            line.trip()
        return f"{cap} of {cap + 5} together are served, the others: {how}"

    return measure


def acceptRate(rate: int) -> Measure:
    """Returns the measurement of the number of connections that are served in a second."""

    def measure(place: Place) -> str:
        counts = []
        for _ in range(2):
            served, start = 0, time.monotonic()
            for _ in range(3 * rate):
                with Line(place) as line:
                    served += line.ask(b"hello", 1.0)[0] == b"hello"
            counts.append((served, time.monotonic() - start))
            time.sleep(1.2)
        for served, seconds in counts:
            expect(rate <= served <= rate * (1 + int(seconds)) < 3 * rate, f"{served} in {seconds:.2f} s")
        return f"{counts[0][0]} of {3 * rate} in {counts[0][1]:.2f} s are served"

    return measure


def firstRefused(count: int) -> Measure:
    """Returns the measurement of the number of first connections that are reset."""

    def measure(place: Place) -> str:
        served = []
        for _ in range(count + 5):
            with Line(place) as line:
                served.append(line.ask(b"hello")[0] == b"hello")
        expect(served == [False] * count + [True] * 5, f"{served}")
        return f"the first {count} are reset, the next 5 served"

    return measure


def answers(start: bytes, ends: str = "") -> Measure:
    """Returns the measurement of an answer that is no echo.

    :param start: the first bytes of the answer.
    :param ends: the end behind it.
    """

    def measure(place: Place) -> str:
        with Line(place) as line:
            line.send(b"hello, " + pattern(100) + b"\r\n\r\n")
            answer = line.take(len(start) or 1, 2.0)
            if ends:
                line.take()
        expect(answer == start and line.ended == ends, f"{answer[:30]!r}, then {line.ended or 'silence'}")
        return f"{answer[:20]!r}, then {line.ended or 'silence'}" if answer else "silence"

    return measure


def talks(place: Place) -> str:
    """Measures a service that sends without being asked."""
    with Line(place) as line:
        said = line.take(5000, 2.0)
    expect(len(said) == 5000, f"{len(said)} B")
    return f"{said[:12]!r}... without a question"


def closesAtFirst(place: Place) -> str:
    """Measures a service that resets or closes a connection at its first bytes."""
    with Line(place) as line:
        answer, _ = line.ask(pattern(1000))
    expect(line.ended and answer != pattern(1000), f"{answer[:20]!r}, then {line.ended or 'silence'}")
    return f"{answer[:8]!r}, then {line.ended}"


def isRefused(place: Place) -> str:
    """Measures that no connection is made."""
    try:
        Line(place).sock.close()
    except ConnectionRefusedError:
        return "refused"
    expect(False, "a connection")
    return ""
