"""Measurements of paths of packets, with a plain client that asks its kernel."""

from __future__ import annotations

import socket
import struct
import threading
import time
from pathlib import Path

from tests.zoo.client import Line, expect, pattern, whole
from tests.zoo.measuretime import ms
from tests.zoo.path import Measure, Place

# Offsets in TCP_INFO (Linux, include/uapi/linux/tcp.h).
UNACKED, TOTAL_RETRANS, REORD_SEEN, OUT_OF_ORDER = 24, 100, 220, 224


def told(line: Line, offset: int) -> int:
    """Returns a number of 32 bits of TCP_INFO."""
    info = line.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return int(struct.unpack_from("=I", info, offset)[0])


def counted(name: str) -> int:
    """Returns a counter of this namespace's TCP."""
    lines = [line.split() for line in Path("/proc/self/net/netstat").read_text().splitlines()]
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        if name in names:
            return int(values[names.index(name)])
    raise LookupError(name)


def clean(place: Place) -> str:
    """Measures that nothing is lost in a transfer."""
    with Line(place) as line:
        for size in (1000, 200_000, 1000):
            line.trip(size)
        resent, late = told(line, TOTAL_RETRANS), told(line, OUT_OF_ORDER)
    data = pattern(1 << 20)
    answer, ended = whole(place, data, 10.0)
    expect(answer == data and ended == "fin", f"{len(answer)} B, {ended}")
    # A kernel resends when a machine was busy for some time.
    expect(resent <= 2 and not late, f"{resent} resent, {late} out of order")
    return f"exact, {resent} resent, nothing out of order"


def lossy(place: Place) -> str:
    """Measures that the kernel resends, and that the bytes are right."""
    with Line(place) as line:
        for _ in range(6):
            line.trip(100_000, 20.0)
        resent, late = told(line, TOTAL_RETRANS), told(line, OUT_OF_ORDER)
    expect(resent >= 3 and late >= 3, f"{resent} resent, {late} out of order")
    return f"{resent} of {600_000 // 1448} segments resent, {late} came out of order; the bytes are right"


def losesSyn(place: Place) -> str:
    """Measures that each second connect takes a second more."""
    times = []
    for _ in range(6):
        with Line(place, 10.0) as line:
            times.append(line.connectTime)
            line.trip()
    expect(all((each > 0.9) == number % 2 for number, each in enumerate(times)), f"{times}")
    return f"connects of {ms(times[::2])}, and of {ms(times[1::2])}"


def reordered(place: Place) -> str:
    """Measures that segments come out of order, and that few are lost."""
    with Line(place) as line:
        for _ in range(6):
            line.trip(200_000, 20.0)
        late = told(line, OUT_OF_ORDER)
    expect(late >= 10, f"{late} out of order")
    return f"{late} segments came out of order; the bytes are right"


def blackHole(isUp: bool) -> Measure:
    """Returns the measurement of large packets that are lost in one direction."""

    def measure(place: Place) -> str:
        with Line(place) as line:
            line.trip(500)
            answer, _ = line.ask(pattern(5000))
            unacknowledged = told(line, UNACKED)
            expect(len(answer) < 5000 and not line.ended, f"{len(answer)} B, {line.ended}")
        expect((unacknowledged > 0) == isUp, f"{unacknowledged} segments not acknowledged")
        arrived = "did not arrive" if isUp else "arrived, the answer did not"
        return f"500 B are answered; 5000 B {arrived}"

    return measure


def resetAfter(size: int) -> Measure:
    """Returns the measurement of the bytes behind which a connection is reset."""

    def measure(place: Place) -> str:
        with Line(place) as line:
            pieces = line.exchange(pattern(2 * size))
        came = sum(len(piece) for _, piece in pieces)
        expect(line.ended == "reset" and came <= size, f"{came} B, {line.ended or 'no end'}")
        with Line(place) as line:
            line.trip(size // 2)
        return f"reset after {came} B; {size // 2} B pass"

    return measure


def acknowledgementsLost(place: Place) -> str:
    """Measures that answers come again, though they have arrived."""
    before = counted("TCPDSACKOldSent")
    with Line(place) as line:
        for _ in range(20):
            line.trip(100)
            time.sleep(0.4)
    again = counted("TCPDSACKOldSent") - before
    expect(again >= 3, f"{again} of 20 came again")
    return f"{again} of 20 answers came again, though they had arrived"


def narrow(rate: float, low: float, high: float) -> Measure:
    """Returns the measurement of a rate, and of round trips beside a transfer.

    :param rate: bytes a second.
    :param low: seconds of the slowest round trip beside a transfer, at least.
    :param high: seconds of it at most.
    """

    def measure(place: Place) -> str:
        data, seconds = pattern(int(4 * rate)), 0.0

        def transfer() -> None:
            nonlocal seconds
            with Line(place) as line:
                pieces = line.exchange(data, 10.0)
            if b"".join(piece for _, piece in pieces) == data:
                seconds = pieces[-1][0]

        with Line(place) as line:
            alone = [line.trip(64, 10.0) for _ in range(5)]
            thread = threading.Thread(target=transfer)
            thread.start()
            beside = []
            while thread.is_alive():
                beside.append(line.trip(64, 20.0))
                time.sleep(0.05)
            thread.join()
        expect(seconds, "the transfer failed")
        seen = len(data) / seconds
        expect(0.5 * rate < seen < 1.05 * rate, f"{seen:.0f} B/s")
        expect(low < max(beside) < high, f"beside a transfer {ms(beside)}")
        return f"{seen:.0f} B/s; round trips {ms(alone)}, beside a transfer {ms(beside)}"

    return measure
