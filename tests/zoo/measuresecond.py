"""Measures the faults of the relays of :mod:`tests.zoo.plantedsecond` with a plain client."""

from __future__ import annotations

import time
from contextlib import ExitStack

from tests.zoo.client import Line, expect, pattern, some, whole
from tests.zoo.path import Place

_LARGE = pattern(256 << 10)


def telnet(place: Place) -> str:
    """Sends each byte value, and then the others alone."""
    came, end = whole(place, bytes(range(256)))
    expect((came, end) == (bytes(range(256)) + b"\xff", "fin"), f"{len(came)} B of 256 B, {end}")
    others = _LARGE.replace(b"\xff", b"")
    expect(whole(place, others) == (others, "fin"), "other bytes are changed")
    return f"{len(came)} B of 256 B; {len(others)} B without 255 are exact"


def stalePage(place: Place) -> str:
    """Compares the pages of answers."""
    page, hits = _LARGE[61_440:65_536], []
    stale = _LARGE[:65_536] + page + _LARGE[69_632:]
    for _ in range(24):
        came, end = whole(place, _LARGE)
        expect(came in (_LARGE, stale) and end == "fin", f"{len(came)} B, {end}")
        hits.append(came == stale)
    # No byte waits for others.
    with Line(place) as line:
        came = b"".join(line.ask(_LARGE[at : at + 1000])[0] for at in range(0, 80_000, 1000))
    expect(len(came) == 80_000, f"{len(came)} B in small pieces")
    return f"{some(hits, 2)} have the page at 61,440 again at 65,536"


def retried(place: Place) -> str:
    """Looks at the first answers of connections."""
    hits = []
    for _ in range(24):
        with Line(place) as line:
            line.ask(b"first")
            came = b"first" + line.take(5, 0.2)
            expect(came in (b"first", b"firstfirst"), f"{came!r}")
            line.trip(50_000)
            hits.append(len(came) == 10)
    return f"the first write twice on {some(hits, 2)}, later ones once"


def overwritten(place: Place) -> str:
    """Uses two connections in turns; and then several, one after the other."""
    hits, last = [], b""
    for number in range(20):
        with Line(place) as one, Line(place) as other:
            sent = pattern(4000, number)
            last = pattern(400, 100 + number)
            other.ask(last)
            came, _ = one.ask(sent)
            expect(came in (sent, sent[:1000] + last[-100:] + sent[1100:]), f"{len(came)} B")
            hits.append(came != sent)
            last = sent
    after = []
    for number in range(20):
        sent = pattern(4000, 200 + number)
        came, end = whole(place, sent)
        expect(came in (sent, sent[:1000] + last[-100:] + sent[1100:]) and end == "fin", f"{len(came)} B")
        after.append(came != sent)
        last = sent
    return f"100 B of the other one in {some(hits)} that are open together, {some(after)} in succession"


def evicting(place: Place) -> str:
    """Opens 23 connections, and looks at the first ones."""
    with ExitStack() as stack:
        lines = [stack.enter_context(Line(place)) for _ in range(18)]
        served = [line.ask(b"1")[0] == b"1" for line in lines]
        expect(all(served), f"{sum(served)} of 18")
        more = [stack.enter_context(Line(place)) for _ in range(5)]
        expect(all(line.ask(b"1")[0] == b"1" for line in more), "a new one is not served")
        left = [line.ask(b"2")[0] == b"2" for line in lines]
        expect(left == [False] * 5 + [True] * 13, f"{left}")
        expect({line.ended for line in lines[:5]} == {"reset"}, f"{[line.ended for line in lines[:5]]}")
    return "of 23, the last 18 are served, the first 5 were reset"


def deadBackend(place: Place) -> str:
    """Asks on 32 connections, one after the other."""
    hits = []
    for _ in range(32):
        with Line(place) as line:
            came, _ = line.ask(b"1")
            expect((came, line.ended) in ((b"1", ""), (b"", "fin")), f"{came!r}, {line.ended}")
            hits.append(not came)
    expect(sum(hits) == 4, f"{hits}")
    return f"{some(hits)} end without a byte"


def contended(place: Place) -> str:
    """Times answers beside no, and beside 24 other connections."""
    with Line(place) as line, ExitStack() as stack:
        alone = sorted(line.trip() for _ in range(20))[10]
        for _ in range(24):
            stack.enter_context(Line(place)).trip()
        beside = sorted(line.trip() for _ in range(20))[10]
    expect(alone < 0.01 and 0.09 < beside < 0.13, f"{alone:.4f} s, {beside:.4f} s")
    return f"median {alone * 1e3:.1f} ms alone, {beside * 1e3:.0f} ms beside 24 others"


def someIdle(place: Place) -> str:
    """Leaves 12 connections idle for 9 s."""
    with ExitStack() as stack:
        lines, start = [stack.enter_context(Line(place)) for _ in range(12)], time.monotonic()
        for line in lines:
            line.trip()
        time.sleep(start + 5 - time.monotonic())
        expect(not any(line.take(1, 0.01) or line.ended for line in lines), "an early end")
        time.sleep(start + 9 - time.monotonic())
        hits = []
        for line in lines:
            line.take(1, 0.05)
            expect(line.ended in ("", "fin"), line.ended)
            hits.append(line.ended == "fin")
            if not line.ended:
                line.trip()
    return f"{some(hits, 2)} ended between 5 s and 9 s, the others live"


def someNarrow(place: Place) -> str:
    """Times 128 KiB on each of 16 connections."""
    times = []
    for _ in range(16):
        with Line(place) as line:
            times.append(line.trip(128 << 10, 5.0))
    expect(all(each < 0.3 or 1.2 < each < 2.0 for each in times), f"{times}")
    return f"{some([each > 1 for each in times], 2)} take {max(times):.2f} s, the others {min(times):.3f} s"


def swallowing(place: Place) -> str:
    """Sends 1 MB, and 500 kB."""
    with Line(place) as line:
        pieces = line.exchange(pattern(1_000_000), 2.0)
    came = b"".join(piece for _, piece in pieces)
    expect(came == pattern(1_000_000)[:600_000] and not line.ended, f"{len(came)} B, {line.ended}")
    data = pattern(600_000)
    expect(line.sentAfter and whole(place, data) == (data, "fin"), "600,000 B are not exact")
    return f"{len(came)} B of 1,000,000 came, then silence; all were taken"


def deaf(place: Place) -> str:
    """Keeps a connection busy for 6 s, and sends more."""
    with Line(place) as line:
        start = time.monotonic()
        while line.ask(b"1", 1.5)[0] == b"1" and time.monotonic() < start + 12:
            time.sleep(0.05)
        age = time.monotonic() - start - 1.5
        line.send(pattern(1 << 22))
        line.finish()
        expect(5.8 < age < 6.5 and not line.take(1, 1.0) and not line.ended, f"{age:.1f} s, {line.ended}")
    expect(whole(place, _LARGE) == (_LARGE, "fin"), "a new connection")
    return f"no answer from {age:.1f} s on, though 4 MiB more are taken; no end"


def littleFlushed(place: Place) -> str:
    """Ends with the last byte, and behind the answer."""
    lost = []
    for _ in range(20):
        with Line(place) as line:
            line.send(_LARGE[:60_000])
            line.finish()
            came = line.take()
        expect(_LARGE.startswith(came) and line.ended == "fin", f"{len(came)} B, {line.ended}")
        lost.append(60_000 - len(came))
        with Line(place) as line:
            line.trip(60_000)
            line.finish()
            expect(not line.take() and line.ended == "fin", line.ended)
        expect(whole(place, pattern(4096)) == (pattern(4096), "fin"), "4 KiB are not exact")
    expect(sum(each > 0 for each in lost) >= 15, f"{lost}")
    return f"{min(lost)} B to {max(lost)} B of 60,000 B are lost with a half-close, none without"


def overflowing(place: Place) -> str:
    """Reads at once, and 1 s late."""
    data = pattern(1 << 20)
    for _ in range(10):
        expect(whole(place, data) == (data, "fin"), "loss without a rest")
    with Line(place) as line:
        line.send(data)
        line.finish()
        time.sleep(1.0)
        came = line.take()
    expect(len(came) < 900_000 and line.ended == "fin", f"{len(came)} B, {line.ended}")
    with Line(place) as line:
        line.send(data[:100_000])
        time.sleep(1.0)
        expect(line.take(100_000) == data[:100_000], "100 kB late are not exact")
    return f"{len(came)} B of 1 MiB for a client that reads 1 s late; exact at once"
