"""Measures the faults of links, datagrams and TLS of :mod:`tests.zoo.plantedfourth` with a plain client."""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import ExitStack

from tests.zoo.client import Line, addressOf, expect, isConnected, pattern, some, trusting, untrusted
from tests.zoo.measuredatagrams import Source
from tests.zoo.measurepackets import OUT_OF_ORDER, TOTAL_RETRANS, told
from tests.zoo.path import Place


def fullTable(place: Place) -> str:
    """Opens 30 connections, one more, and closes one."""
    with ExitStack() as stack:
        lines = [stack.enter_context(Line(place)) for _ in range(30)]
        for line in lines:
            line.trip(20_000)
        with socket.socket() as sock:
            sock.setblocking(False)
            sock.connect_ex(addressOf(place))
            time.sleep(2.0)
            expect(not isConnected(sock), "the 31st is connected")
            lines[0].finish()
            expect(not lines[0].take(1) and lines[0].ended == "fin", lines[0].ended)
            time.sleep(2.5)
            expect(isConnected(sock), "not connected after an end")
    # The last packets of the others are on their way.
    time.sleep(0.5)
    for _ in range(40):
        with Line(place) as line:
            expect(line.connectTime < 0.5, f"{line.connectTime:.2f} s")
            line.trip()
            line.finish()
            line.take()
    return (
        "30 are served, the 31st has no answer for 2 s, and is connected when one ends; 40 in turns are fine"
    )


def pppoe(place: Place) -> str:
    """Sends writes of one packet below and above the limit, and much."""
    with Line(place) as line:
        # 52 B of headers, with time stamps.
        for size in (100, 1400, 1440):
            line.trip(size)
        few = told(line, TOTAL_RETRANS)
        came = line.ask(pattern(1441), 2.0)[0]
        resent = told(line, TOTAL_RETRANS)
    expect(not few and not came and resent >= 2, f"{few}, {len(came)} B, {resent}")
    with Line(place) as line:
        came = b"".join(piece for _, piece in line.exchange(pattern(100_000), 2.0))
        expect(len(came) < 100_000, "100 kB pass")
    return f"1,440 B pass; 1,441 B do not, {resent} times sent again; of 100 kB {len(came)} B come"


def downlinkLoss(place: Place) -> str:
    """Counts what comes out of order, and what is sent again."""
    with Line(place) as line:
        trips = [line.trip(200, 10.0) for _ in range(60)]
        ours = told(line, TOTAL_RETRANS)
        for _ in range(6):
            line.trip(100_000, 30.0)
        late, resent = told(line, OUT_OF_ORDER), told(line, TOTAL_RETRANS)
    expect(late >= 6 and sorted(trips)[30] < 0.06, f"{late}, {ours}, {resent}")
    slow = sum(each > 0.15 for each in trips)
    return (
        f"{slow} of 60 trips slow; 600 kB: {late} segments out of order, {resent} of the client's sent again"
    )


def flowLost(place: Place) -> str:
    """Sends 1 MiB, and on another connection 350,000 B."""
    with Line(place) as line:
        line.send(pattern(200_000))
        came = len(line.take(200_000))
        size = 20_000
        while size == 20_000:
            size = len(line.ask(pattern(20_000), 2.0)[0])
            came += size
        resent = told(line, TOTAL_RETRANS)
        expect(not line.ended, line.ended)
    expect(350_000 < came <= 402_000 and resent >= 2, f"{came} B, {resent}")
    for _ in range(4):
        with Line(place) as line:
            line.trip(350_000, 10.0)
            line.finish()
            expect(not line.take(1) and line.ended == "fin", line.ended)
    return f"silent behind {came} B, {resent} segments sent again, no end; 350,000 B are exact, 4 times"


def afterRest(place: Place) -> str:
    """Rests for 2.5 s and for 3.5 s, some times."""
    seen = []
    with Source(place) as source:
        for rest in (0.0, 2.5, 3.5, 2.5, 3.5):
            time.sleep(rest)
            first = source.ask(b"first") == b"first"
            expect(source.ask(b"second") == b"second", "the second is lost")
            seen.append(first)
    # One second passes in waiting for an answer that is lost.
    expect(seen == [True, True, False, True, False], f"{seen}")
    return "after 3.5 s the first datagram is lost, and after 2.5 s none; the second ones are answered"


def shortQueue(place: Place) -> str:
    """Sends 200 datagrams at a rate, and then at once."""
    with Source(place) as source:
        slow = len(source.series(200, 0.003))
        time.sleep(0.5)
        sizes = []
        for _ in range(5):
            sizes.append(len(source.series(60, 0.0)))
    expect(slow == 200 and all(10 <= each <= 50 for each in sizes), f"{slow}, {sizes}")
    return f"of 200 at 330 in a second all come; of 60 at once {min(sizes)} to {max(sizes)}"


def oneLossy(place: Place) -> str:
    """Sends 40 datagrams from each of 24 ports."""
    lost = []
    for _ in range(24):
        with Source(place) as source:
            for number in range(40):
                source.send(b"%d" % number)
                time.sleep(0.002)
            came = set()
            while (data := source.take(0.1)[0]) is not None:
                came.add(data)
            lost.append(40 - len(came))
    expect(all(each == 0 or 6 <= each <= 28 for each in lost), f"{lost}")
    hits = [each for each in lost if each]
    return (
        f"{some([each > 0 for each in lost], 2)} ports lose {min(hits)} to {max(hits)} of 40, the others none"
    )


def oneIncomplete(place: Place) -> str:
    """Makes handshakes."""
    return f"{some(untrusted(place, 'issuer'), 2)} handshakes fail for want of an issuer, the others are fine"


def oneEndsSoon(place: Place) -> str:
    """Looks at the ends of certificates."""
    days = []
    for _ in range(24):
        with Line(place, context=trusting(place)) as line:
            line.trip(50_000)
            assert isinstance(line.sock, ssl.SSLSocket)
            ends = (line.sock.getpeercert() or {})["notAfter"]
            days.append((ssl.cert_time_to_seconds(str(ends)) - time.time()) / 86_400)
    expect(all(1.9 < each < 2.1 or 79 < each < 81 for each in days), f"{days}")
    return f"{some([each < 3 for each in days], 2)} certificates end in {min(days):.1f} days, others in 80"


def someHang(place: Place) -> str:
    """Makes handshakes, for 2 s at most."""
    hits, times = [], []
    for _ in range(24):
        start = time.monotonic()
        try:
            with Line(place, timeout=2.0, context=trusting(place)) as line:
                times.append(time.monotonic() - start)
                line.trip(50_000)
            hits.append(False)
        except TimeoutError:
            hits.append(True)
    expect(max(times) < 0.5, f"{times}")
    return f"{some(hits, 2)} handshakes have no answer in 2 s, the others take {max(times):.2f} s at most"
