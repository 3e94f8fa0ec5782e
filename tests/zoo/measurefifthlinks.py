"""Measurements of the fifth set's faults of TLS, datagrams and packets, by a plain client."""

from __future__ import annotations

import select
import socket
import ssl
import statistics
import time

from cryptography import x509

from tests.zoo.client import Line, addressOf, expect, pattern, trusting
from tests.zoo.path import Place


def tlsExpired(place: Place) -> str:
    """Measures that the handshake fails for the certificate's age only."""
    return _refused(place, "expired")


def tlsInspected(place: Place) -> str:
    """Measures that the handshake fails for the certificate's authority only."""
    return _refused(place, "unable to get local issuer")


def tlsPlain(place: Place) -> str:
    """Measures that plain TCP is echoed, and TLS is not spoken."""
    with Line(place) as line:
        line.trip(1000)
    context = ssl.create_default_context()
    try:
        Line(place, context=context).sock.close()
    except ssl.SSLError as error:
        return f"{error.reason}; plain TCP is echoed"
    raise AssertionError("a handshake")


def _refused(place: Place, word: str) -> str:
    try:
        Line(place, context=trusting(place)).sock.close()
    except ssl.SSLCertVerificationError as error:
        said = error.verify_message
    else:
        said = "a handshake"
    expect(word in said, said)
    lax = ssl.create_default_context()
    lax.check_hostname, lax.verify_mode = False, ssl.CERT_NONE
    with Line(place, context=lax) as line:
        line.trip(50_000)
        assert isinstance(line.sock, ssl.SSLSocket)
        seen = x509.load_der_x509_certificate(line.sock.getpeercert(True) or b"")
    until = f"{seen.not_valid_after_utc:%Y-%m-%d}"
    return f"{said!r} (issuer {seen.issuer.rfc4514_string()}, until {until}); unverified, 50 kB are echoed"


def _datagrams(place: Place, count: int, gap: float, size: int = 64, wait: float = 1.0) -> list[int]:
    """Sends numbered datagrams at a pace; returns the numbers that came back, in their order."""
    found: list[int] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(addressOf(place))
        start = time.monotonic()
        for number in range(count):
            sock.send(number.to_bytes(4) + bytes(size - 4))
            _collect(sock, found, size, start + (number + 1) * gap)
        _collect(sock, found, size, time.monotonic() + wait)
    return found


def _collect(sock: socket.socket, found: list[int], size: int, until: float) -> None:
    while select.select([sock], [], [], max(0.0, until - time.monotonic()))[0]:
        data = sock.recv(1 << 16)
        expect(len(data) == size, f"{len(data)} B instead of {size}")
        found.append(int.from_bytes(data[:4]))


def udpLoss(place: Place) -> str:
    """Measures the loss at two sizes and paces."""
    told = []
    for size, gap in ((64, 0.05), (64, 0.005), (1400, 0.01)):
        found = _datagrams(place, 300, gap, size)
        expect(found == sorted(set(found)) and 255 <= len(found) <= 288, f"{len(found)} of 300")
        told.append(f"{size} B at {1 / gap:.0f}/s: {300 - len(found)} of 300 lost")
    return "; ".join(told) + "; in order, none twice"


def udpFragments(place: Place) -> str:
    """Measures which sizes pass."""
    told = {size: len(_datagrams(place, 5, 0.05, size, 0.3)) for size in (64, 1472, 1473, 2000, 8000)}
    expect(list(told.values()) == [5, 5, 0, 0, 0], f"{told}")
    return "of 5 each came back: " + ", ".join(f"{size} B {count}" for size, count in told.items())


def udpPolice(place: Place) -> str:
    """Measures bursts, a fast pace, and a slow one."""
    burst = len(_datagrams(place, 100, 0.0))
    fast = len(_datagrams(place, 200, 0.02))
    slow = _datagrams(place, 60, 0.1)
    expect(burst <= 14 and 60 < fast < 110 and slow == list(range(60)), f"{burst}, {fast}, {len(slow)}")
    return f"came back: burst of 100: {burst}; 200 at 50/s: {fast}; 60 at 10/s: {len(slow)}"


def udpReorder(place: Place) -> str:
    """Measures the datagrams that come behind a later one."""
    told = []
    for gap, isOrdered in ((0.0, False), (0.005, False), (0.05, True)):
        found = _datagrams(place, 200, gap)
        late = sum(number < max(found[: at + 1]) for at, number in enumerate(found))
        expect(sorted(found) == list(range(200)), f"{len(found)} of 200")
        expect((late == 0) == isOrdered, f"{late} late")
        told.append(f"gap {gap * 1000:.0f} ms: {late} of 200 overtaken")
    return "; ".join(told) + "; none lost"


def mtuHole(place: Place) -> str:
    """Measures small messages, and a large transfer."""
    with Line(place) as line:
        small = [line.trip(size) for size in (10, 500, 1000, 1300)]
        got, _ = line.ask(pattern(20_000), 10.0)
    expect(max(small) < 0.5 and not got and not line.ended, f"{max(small):.2f} s, {len(got)} B, {line.ended}")
    return f"up to 1300 B: {max(small) * 1000:.0f} ms; of 20 kB 0 B within 10 s, and no end"


def bloat(place: Place) -> str:
    """Measures the round trip without and with a transfer on another connection."""
    with Line(place) as line, Line(place) as other:
        quiet = statistics.median(line.trip() for _ in range(20))
        loaded: list[float] = []
        view, got, start = memoryview(pattern(8_000_000)), 0, time.monotonic()
        other.sock.setblocking(False)
        line.sock.setblocking(False)
        asked = start
        line.sock.send(b"x")
        while (now := time.monotonic()) - start < 20:
            can, may, _ = select.select([other.sock, line.sock], [other.sock] if view else [], [], 0.5)
            if may:
                view = view[other.sock.send(view[:8192]) :]
            if other.sock in can:
                got += len(other.sock.recv(1 << 16))
            if line.sock in can and line.sock.recv(1):
                loaded.append(time.monotonic() - asked)
                asked = now
                line.sock.send(b"x")
    expect(quiet < 0.05 and max(loaded) > 1.0, f"{quiet * 1000:.0f} ms, {max(loaded) * 1000:.0f} ms")
    return (
        f"64 B round trip {quiet * 1000:.0f} ms; during a transfer up to {max(loaded):.1f} s "
        f"(last ones {', '.join(f'{each:.1f}' for each in loaded[-3:])}); {got / 20_000:.0f} kB/s"
    )


def dropouts(place: Place) -> str:
    """Measures when connects and round trips fail, every 0.25 s for 50 s."""
    start, failed = time.monotonic(), []
    while (into := time.monotonic() - start) < 50:
        try:
            with Line(place, timeout=0.2) as line:
                if line.ask(b"x", 0.2)[0] != b"x":
                    failed.append(into)
        except TimeoutError:
            failed.append(into)
        time.sleep(0.25)
    outages = [[failed[0], failed[0]]]
    for each in failed[1:]:
        if each - outages[-1][1] > 2:
            outages.append([each, each])
        outages[-1][1] = each
    told = ", ".join(f"{one:.1f} to {other:.1f} s" for one, other in outages)
    expect(len(outages) == 3 and all(2 < other - one < 3.5 for one, other in outages), told)
    return f"tries every 0.25 to 0.5 s fail only from {told}"


def firewallForgets(place: Place) -> str:
    """Measures round trips behind 50 s and 65 s of silence."""
    with Line(place) as kept, Line(place) as lost:
        kept.trip()
        lost.trip()
        time.sleep(50)
        trip = kept.trip()
        time.sleep(15)
        got, _ = lost.ask(b"still there?", 10.0)
        expect(not got and not lost.ended, f"{got!r}, {lost.ended}")
        kept.trip()
    with Line(place) as line:
        line.trip(100_000)
    return (
        f"behind 50 s of silence a round trip of {trip * 1000:.0f} ms; behind 65 s no answer and no end "
        "within 10 s; others work"
    )
