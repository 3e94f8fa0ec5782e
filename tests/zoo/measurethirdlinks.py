"""Measures the faults of links, datagrams and TLS of :mod:`tests.zoo.plantedthird` with a plain client."""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import ExitStack

from tests.zoo.client import Line, addressOf, expect, isConnected, pattern, some, trusting, untrusted, whole
from tests.zoo.measuredatagrams import Source
from tests.zoo.measurepackets import OUT_OF_ORDER, TOTAL_RETRANS, told
from tests.zoo.path import Place


def bitErrors(place: Place) -> str:
    """Counts what the kernel resends of large, and of small writes."""
    with Line(place) as line:
        for _ in range(400):
            line.trip(300)
        few = told(line, TOTAL_RETRANS)
        for _ in range(8):
            line.trip(100_000, 20.0)
        many, late = told(line, TOTAL_RETRANS) - few, told(line, OUT_OF_ORDER)
    expect(few <= 1 and many >= 8 and late <= 2, f"{few}, {many} resent, {late} out of order")
    return f"{few} of 400 small and {many} of 552 large packets resent; none of the service is lost"


def oneNarrow(place: Place) -> str:
    """Sends 10,000 B on each of 16 connections, and small messages."""
    hits = []
    for _ in range(16):
        with Line(place) as line:
            line.trip(1200)
            data = pattern(10_000)
            came = line.ask(data, 1.5)[0]
            expect(data.startswith(came), f"{len(came)} B")
            hits.append(came != data)
    return f"{some(hits, 3)} lose 10,000 B and pass 1,200 B, the others pass both"


def synsPoliced(place: Place) -> str:
    """Opens 40 connections at once, and 20 later ones at 100 ms."""
    with ExitStack() as stack:
        socks = []
        for _ in range(40):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(addressOf(place))
            socks.append(sock)
        time.sleep(0.5)
        early = sum(isConnected(sock) for sock in socks)
        time.sleep(6.0)
        later = sum(isConnected(sock) for sock in socks)
    times = []
    for _ in range(20):
        with Line(place) as line:
            times.append(line.connectTime)
            line.trip(10_000)
        time.sleep(0.1)
    expect(18 <= early <= 24 and later > 35 and max(times) < 0.5, f"{early}, {later}, {max(times):.2f} s")
    return f"{early} of 40 connected at once, {later} after some seconds; 10 in a second take no time"


def policed(place: Place) -> str:
    """Times 50 kB, and 1 MiB, and counts gaps."""
    with Line(place) as line:
        line.trip()
        short = line.trip(40_000)
        little = told(line, OUT_OF_ORDER)
        data = pattern(1 << 20)
        start = time.monotonic()
        pieces = line.exchange(data, 10.0)
        seconds = time.monotonic() - start
        late, resent = told(line, OUT_OF_ORDER), told(line, TOTAL_RETRANS)
    came = b"".join(piece for _, piece in pieces)
    expect(came == data and line.ended == "fin", f"{len(came)} B, {line.ended}")
    expect(short < 0.3 and not little and late > 10 and resent <= 5, f"{short:.2f} s, {late}, {resent}")
    expect(100e3 < len(data) / seconds < 360e3, f"{seconds:.1f} s")
    return (
        f"40 kB in {short:.2f} s, 1 MiB at {len(data) / seconds / 1e3:.0f} kB/s, {late} segments out of order"
    )


def someElsewhere(place: Place) -> str:
    """Looks at the ports of answers."""
    right, ports = addressOf(place)[1], []
    with Source(place) as source:
        for number in range(120):
            data = pattern(100, number)
            source.send(data)
            came, port = source.take()
            expect(came == data, f"{came!r:.40}")
            ports.append(port)
    expect(len(set(ports)) == 2, f"{set(ports)}")
    return f"{some([port != right for port in ports], 20)} answers come from another port, all are exact"


def bytesPoliced(place: Place) -> str:
    """Sends small datagrams at a rate, and then large ones at the same rate."""
    with Source(place) as source:
        small = len(source.series(200, 0.005, 50))
        time.sleep(1.0)
        large = len(source.series(200, 0.005, 1200))
        time.sleep(1.0)
        data = pattern(30_000)
        expect(source.ask(data) == data, "30,000 B alone are lost")
    expect(small == 200 and 30 < large < 110, f"{small}, {large}")
    return f"of 200 in a second, {small} of 50 B and {large} of 1,200 B come; 30,000 B alone do"


def oneUntrusted(place: Place) -> str:
    """Makes handshakes."""
    return f"{some(untrusted(place, 'issuer', 'self-signed'), 2)} certificates are untrusted, the others fine"


def ticketsUnshared(place: Place) -> str:
    """Offers a new ticket on each of 24 connections."""
    context = trusting(place)
    with Line(place, context=context) as line:
        line.trip()
        assert isinstance(line.sock, ssl.SSLSocket)
        session = line.sock.session
    expect(session and session.has_ticket, "no ticket")
    reused = []
    for _ in range(24):
        with Line(place, context=context, session=session) as line:
            line.trip(20_000)
            assert isinstance(line.sock, ssl.SSLSocket)
            reused.append(bool(line.sock.session_reused))
            session = line.sock.session
    return f"{some(reused, 5)} resumed"


def someReset(place: Place) -> str:
    """Makes handshakes, and whole exchanges."""
    hits = []
    for _ in range(24):
        try:
            with Line(place, context=trusting(place)) as line:
                hits.append(line.ended == "reset")
                if not line.ended:
                    line.trip(50_000)
        except (ConnectionError, ssl.SSLError) as error:
            expect(isinstance(error, ConnectionError | ssl.SSLEOFError), str(error))
            hits.append(True)
    came, end = whole(place, b"")
    expect(not came, f"{came!r} {end}")
    return f"{some(hits, 2)} handshakes are reset, the others fine"
