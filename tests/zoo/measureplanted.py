"""Measures the faults of :mod:`tests.zoo.planted` with a plain client."""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import ExitStack

from tests.zoo.client import Line, expect, pattern, some, trusting, untrusted, whole
from tests.zoo.measuredatagrams import Source
from tests.zoo.path import Place

_LARGE = pattern(256 << 10)


def flowControl(place: Place) -> str:
    """Sends every byte value."""
    came, _ = whole(place, bytes(range(256)))
    expect(came == bytes(each for each in range(256) if each not in (0x11, 0x13)), f"{len(came)} B of 256 B")
    return f"{len(came)} B of 256 B"


def badMemory(place: Place) -> str:
    """Looks for one other byte."""
    return some([whole(place, _LARGE)[0][200_000] != _LARGE[200_000] for _ in range(20)], 2)


def tailLost(place: Place) -> str:
    """Ends at once; then ends after the whole answer."""
    short = [len(_LARGE) - len(whole(place, _LARGE)[0]) for _ in range(24)]
    expect(set(short) == {0, 700}, f"missing: {set(short)}")
    for _ in range(12):
        with Line(place) as line:
            line.trip(4096)
    return some([each == 700 for each in short], 2)


def resetAfterEnd(place: Place) -> str:
    """Looks at the ends of whole answers."""
    ends = [whole(place, pattern(1024)) for _ in range(20)]
    expect(all(data == pattern(1024) for data, _ in ends), "an answer is not whole")
    return some([end == "reset" for _, end in ends], 3)


def ban(place: Place) -> str:
    """Opens 80 connections in succession, and again after the ban."""

    def isServed() -> bool:
        with Line(place) as line:
            return line.ask(b"1")[0] == b"1"

    first = [isServed() for _ in range(80)]
    expect(all(first[:39]) and not any(first[45:]), f"{sum(first)} of 80 served")
    time.sleep(4.5)
    expect(isServed(), "not served after the ban")
    return f"{sum(first)} of 80 served"


def deadServer(place: Place) -> str:
    """Times the first answers."""
    times = []
    for _ in range(12):
        with Line(place) as line:
            times.append(line.trip(16, 6.0))
    expect(all(each < 1.0 or 3.0 < each < 4.5 for each in times), f"{times}")
    return some([each > 3.0 for each in times], 1)


def boost(place: Place) -> str:
    """Times 3 MiB, and then 2 MiB twice."""
    with Line(place) as line:
        times = []
        for size in (3 << 20, 2 << 20, 2 << 20):
            begin = time.monotonic()
            for _ in range(size >> 16):
                line.trip(1 << 16, 10.0)
            times.append(time.monotonic() - begin)
    expect(times[0] < 3.0 and times[2] > 4.0, f"{times}")
    return f"3 MiB in {times[0]:.1f} s, 2 MiB later in {times[2]:.1f} s"


def powerSave(place: Place) -> str:
    """Times answers with and without a rest before them."""
    with Line(place) as line:
        line.trip()
        quick, late = [line.trip() for _ in range(10)], []
        for _ in range(10):
            time.sleep(0.23)
            late.append(line.trip())
    expect(sorted(quick)[5] < 0.01 and sorted(late)[5] > 0.02, f"{quick} {late}")
    return f"medians {sorted(quick)[5] * 1000:.1f} ms, after a rest {sorted(late)[5] * 1000:.0f} ms"


def earlyLost(place: Place) -> str:
    """Sends at once, and then later."""
    lost = []
    for _ in range(20):
        with Line(place) as line:
            early = line.ask(b"one", 0.5)[0]
            expect(line.ask(b"two", 3.0)[0] == b"two", "a later message is lost")
            lost.append(early == b"")
    return some(lost, 1)


def leftOver(place: Place) -> str:
    """Sends other bytes on each connection."""
    hits, last = [], b""
    for number in range(80):
        data = pattern(500, number)
        came, _ = whole(place, data)
        expect(came in (data, last[-40:] + data), f"{len(came)} B")
        hits.append(came != data)
        last = data
    return some(hits, 1)


def queue(place: Place) -> str:
    """Opens 17 connections, and closes one."""
    with ExitStack() as stack:
        lines = [stack.enter_context(Line(place)) for _ in range(17)]
        served = [line.ask(b"1", 1.0)[0] == b"1" for line in lines]
        expect(sum(served) == 16, f"{sum(served)} of 17 served")
        lines[0].sock.close()
        expect(lines[16].take(1) == b"1", "the last one is not served")
    return "16 of 17 served, and the last one after a close"


def stateLost(place: Place) -> str:
    """Keeps a connection busy over the moment."""
    with Line(place) as line:
        begin = time.monotonic()
        while line.ask(b"1", 2.0)[0] == b"1" and time.monotonic() < begin + 40:
            time.sleep(0.2)
        age = time.monotonic() - begin - 2.0
        expect(24 < age < 27 and not line.ended, f"{age:.1f} s, then {line.ended or 'silence'}")
        with Line(place) as other:
            other.trip()
    return f"silent after {age:.1f} s; a new connection is served"


def largeRecords(place: Place) -> str:
    """Sends records of two sizes."""
    with Line(place, context=trusting(place)) as line:
        for _ in range(8):
            line.trip(8000)
        came, _ = line.ask(pattern(12_000))
        expect(not came and line.ended, f"{len(came)} B, then {line.ended}")
    # Python's ssl may report a reset as an end: the plain header of a record shows which one it is.
    with Line(place) as line:
        line.ask(b"\x17\x03\x03" + (12_000).to_bytes(2, "big"))
        expect(line.ended == "reset", line.ended)
    return "8,000 B pass 8 times, 12,000 B are answered by a reset"


def oneExpired(place: Place) -> str:
    """Makes handshakes."""
    return some(untrusted(place, "expired", count=20, size=64), 1)


def badRecord(place: Place) -> str:
    """Reads 150,000 B on each connection."""
    failed = []
    for _ in range(20):
        with Line(place, context=trusting(place)) as line:
            came = b"".join(line.ask(pattern(10_000, each))[0] for each in range(15))
            failed.append(len(came) < 150_000)
    return some(failed, 1)


def oneHandshake(place: Place) -> str:
    """Times one handshake, and eight at once."""
    begin = time.monotonic()
    with Line(place, context=trusting(place)):
        single = time.monotonic() - begin
    begin = time.monotonic()
    context = trusting(place)
    with ExitStack() as stack:
        lines = [stack.enter_context(Line(place)) for _ in range(8)]
        for line in lines:
            line.sock = context.wrap_socket(
                line.sock, server_hostname="localhost", do_handshake_on_connect=False
            )
            line.sock.setblocking(False)
        left = list(lines)
        while left and time.monotonic() < begin + 10:
            for line in list(left):
                try:
                    line.sock.do_handshake()  # type: ignore[attr-defined]
                    left.remove(line)
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    time.sleep(0.002)
        several = time.monotonic() - begin
    expect(several > 1.15 and single < 0.9, f"{single:.2f} s, {several:.2f} s")
    return f"one in {single:.2f} s, eight at once in {several:.2f} s"


def fixedAge(place: Place) -> str:
    """Keeps a flow busy."""
    with Source(place) as source, Source(place) as other:
        begin = time.monotonic()
        while source.ask(b"1", 0.5) and time.monotonic() < begin + 8:
            time.sleep(0.02)
        age = time.monotonic() - begin - 0.5
        expect(3.5 < age < 5 and other.ask(b"2", 0.5) == b"2", f"{age:.1f} s")
    return f"silent at {age:.1f} s; another port is answered"


def sizesLost(place: Place) -> str:
    """Sends sizes around the hole."""
    with Source(place) as source:
        passed = [size for size in (1372, 1373, 1400, 1472, 1473, 4000) if source.ask(pattern(size), 0.5)]
    expect(passed == [1372, 1473, 4000], f"{passed}")
    return f"pass: {passed}"


def bundle(place: Place) -> str:
    """Sends a datagram each 10 ms."""
    order: list[bytes] = []
    with Source(place) as source:
        for number in range(30):
            source.send(bytes([number]))
            time.sleep(0.01)
        for _ in range(30):
            came, _ = source.take(0.5)
            expect(came, f"{len(order)} of 30 answered")
            order.append(came or b"")
    late = sum(later < max(order[:at]) for at, later in enumerate(order) if at)
    expect(late > 8, f"{late} of 30 reordered")
    return f"{late} of 30 reordered"


def crossDelivered(place: Place) -> str:
    """Asks from two ports in turns."""
    with Source(place) as one, Source(place) as other:
        sources, wrong = (one, other), 0
        for number in range(200):
            sources[number % 2].send(b"%d %d" % (number % 2, number))
        time.sleep(0.3)
        for index, source in enumerate(sources):
            while came := source.take(0.0)[0]:
                wrong += not came.startswith(b"%d " % index)
    expect(wrong > 0, f"{wrong} of 200 to the other port")
    return f"{wrong} of 200 to the other port"


def exact(place: Place) -> str:
    """Sends 256 KiB and the end."""
    came, end = whole(place, _LARGE, 5.0)
    expect(came == _LARGE and end == "fin", f"{len(came)} B, {end}")
    return "exact"


def exactIPv6(place: Place) -> str:
    """Sends 1 KiB over IPv6."""
    with socket.create_connection(("::1", int(place.target.rpartition(":")[2]))) as sock:
        sock.sendall(_LARGE[:1024])
        came = sock.recv(1024, socket.MSG_WAITALL)
    expect(came == _LARGE[:1024], f"{len(came)} B")
    return "exact"


def exactTLS(place: Place) -> str:
    """Sends 256 KiB over TLS."""
    with Line(place, context=trusting(place)) as line:
        line.trip(1 << 18, 5.0)
    return "exact"


def exactUDP(place: Place) -> str:
    """Sends datagrams of some sizes."""
    with Source(place) as source:
        for size in (0, 1, 1400, 20_000):
            expect(source.ask(pattern(size), 0.5) == pattern(size), f"{size} B")
    return "exact"
