"""Measures the faults of links, datagrams and TLS of :mod:`tests.zoo.plantedsecond` with a plain client."""

from __future__ import annotations

import socket
import ssl
import time
import warnings

from tests.zoo.client import Line, expect, pattern, some, trusting
from tests.zoo.measuredatagrams import Source
from tests.zoo.measurepackets import TOTAL_RETRANS, told
from tests.zoo.path import Place

# Offset of the first byte of TCP_INFO's options, and the bit of window scaling (Linux, tcp.h).
_OPTIONS, _SCALES = 5, 4


def lossBursts(place: Place) -> str:
    """Times round trips for 9 s."""
    late, start, exact = [], time.monotonic(), 0
    with Line(place) as line:
        while (now := time.monotonic()) < start + 9:
            if line.trip(64, 10.0) > 0.15:
                late.append(now - start)
            exact += 1
            time.sleep(0.005)
        resent = told(line, TOTAL_RETRANS)
    expect(2 <= len(late) <= 4 and resent >= 2, f"{late}, {resent} resent")
    return f"late at {', '.join(f'{each:.1f}' for each in late)} s of {exact} trips; {resent} resent"


def unscaledWindow(place: Place) -> str:
    """Asks the kernel for the options, and times 3 MiB."""
    with Line(place) as line:
        trip = line.trip()
        options = line.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)[_OPTIONS]
        pieces = line.exchange(pattern(3 << 20), 10.0)
        resent = told(line, TOTAL_RETRANS)
    size, seconds = sum(len(piece) for _, piece in pieces), pieces[-1][0]
    expect(
        size == 3 << 20 and line.ended == "fin" and resent <= 2, f"{size} B, {line.ended}, {resent} resent"
    )
    rate = size / seconds
    expect(not options & _SCALES and 0.4 < rate * trip / 65_535 < 1.1, f"{options:#x}, {rate:.0f} B/s")
    return f"no window scale; {rate:.0f} B/s at {trip * 1e3:.0f} ms"


def forgetsAtEnd(place: Place) -> str:
    """Ends before the answer, and behind it."""
    with Line(place) as line:
        for _ in range(3):
            line.trip(20_000)
        line.send(b"last")
        line.finish()
        came = line.take(5, 3.0)
        expect(not came and not line.ended, f"{came!r}, {line.ended}")
    with Line(place) as line:
        time.sleep(0.5)
        line.trip(200_000)
    return "3 answers of 20 kB; behind the client's end no byte and no end in 3 s"


def deadFlows(place: Place) -> str:
    """Sends 4 datagrams from each of 30 ports."""
    hits = []
    for _ in range(30):
        with Source(place) as source:
            answers = [source.ask(data, 0.3) == data for data in (b"", b"1", pattern(1000), pattern(9000))]
            expect(len(set(answers)) == 1, f"{answers}")
            hits.append(not answers[0])
    return f"{some(hits, 3)} ports have no answer at all, the others each one"


def padded(place: Place) -> str:
    """Sends each size up to 40 B, and larger ones."""
    with Source(place) as source:
        for size in (*range(41), 1400, 20_000):
            data = pattern(size)
            came = source.ask(data, 0.3)
            expect(came == data + bytes(max(0, 18 - size)), f"{size} B: {came!r:.60}")
    return "0 B to 17 B come back as 18 B, larger ones exact"


def tooOld(place: Place) -> str:
    """Makes a handshake by default, and one that allows old versions."""
    try:
        Line(place, context=trusting(place)).sock.close()
    except ssl.SSLError as error:
        said = str(error.reason)
    else:
        said = "a handshake"
    expect("PROTOCOL_VERSION" in said, said)
    context = trusting(place)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
    with Line(place, context=context) as line:
        line.trip(50_000)
        assert isinstance(line.sock, ssl.SSLSocket)
        version = line.sock.version()
    expect(version == "TLSv1.1", f"{version}")
    return f"{said}; an echo over {version} for a client that allows it"


def slowHandshake(place: Place) -> str:
    """Times handshakes, and answers."""
    times, answers, context = [], [], trusting(place)
    for _ in range(20):
        start = time.monotonic()
        with Line(place, context=context) as line:
            times.append(time.monotonic() - start)
            answers.append(line.trip(1000))
    expect(all(each < 0.3 or 1.5 < each < 1.8 for each in times) and max(answers) < 0.2, f"{times} {answers}")
    late = some([each > 1 for each in times], 2)
    return (
        f"{late} take {max(times):.2f} s, the others {min(times):.3f} s; answers at most {max(answers):.3f} s"
    )
