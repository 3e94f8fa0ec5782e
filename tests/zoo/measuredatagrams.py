"""Measurements of paths of datagrams, with a plain client."""

from __future__ import annotations

import select
import socket
import time
from collections import Counter
from itertools import pairwise

from tests.zoo.client import addressOf, expect, pattern
from tests.zoo.path import Measure, Place

# Seconds in which an answer comes on a path of loopback, also on a busy machine.
_ANSWERS = 1.0

# Bytes of a datagram's number.
_NUMBER = 4


class Source:
    """A client's socket for datagrams, which is not connected, and so takes answers from every address."""

    def __init__(self, place: Place) -> None:
        self._address = addressOf(place)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *error: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Sends a datagram."""
        self.sock.sendto(data, self._address)

    def take(self, timeout: float = _ANSWERS) -> tuple[bytes | None, int]:
        """Returns the next datagram, None without one, and the port that it comes from."""
        if not select.select([self.sock], [], [], timeout)[0]:
            return None, 0
        data, (_, port) = self.sock.recvfrom(1 << 16)
        return data, port

    def ask(self, data: bytes, timeout: float = _ANSWERS) -> bytes | None:
        """Sends a datagram; returns the next one that comes, or None."""
        self.send(data)
        return self.take(timeout)[0]

    def series(self, count: int, interval: float, size: int = 100) -> list[bytes]:
        """Sends numbered datagrams, some seconds apart; returns all that come, in their order."""
        came, start = [], time.monotonic()
        for number in range(count):
            self.send(numbered(number, size))
            while (left := start + (number + 1) * interval - time.monotonic()) > 0:
                if (data := self.take(left)[0]) is not None:
                    came.append(data)
        while (data := self.take()[0]) is not None:
            came.append(data)
        return came


def numbered(number: int, size: int) -> bytes:
    """Returns a datagram that begins with its number."""
    return number.to_bytes(_NUMBER) + pattern(size - _NUMBER)


def lossy(low: float, high: float, count: int = 400, interval: float = 0.003) -> Measure:
    """Returns the measurement of the part of datagrams that are lost."""

    def measure(place: Place) -> str:
        with Source(place) as source:
            came = source.series(count, interval)
        sent = {numbered(number, 100) for number in range(count)}
        expect(sent.issuperset(came) and len(came) == len(set(came)), "other datagrams, or duplicates")
        lost = 1 - len(came) / count
        expect(low <= lost <= high, f"{lost:.1%} lost")
        return f"{lost:.1%} of {count} lost, {1 / interval:.0f} in a second"

    return measure


def policed(place: Place) -> str:
    """Measures that a slow series passes, and a quick one loses datagrams."""
    slow = lossy(0.0, 0.0, 50, 0.025)(place)
    time.sleep(1.0)
    return f"{slow}; {lossy(0.4, 0.85)(place)}"


def firstLost(place: Place) -> str:
    """Measures that each flow loses its first datagram."""
    for _ in range(3):
        with Source(place) as source:
            expect(source.ask(b"first") is None, "an answer to the first")
            expect(source.ask(b"second") == b"second", "no answer to the second")
    return "the first of each of 3 flows is lost, the second is answered"


def moved(place: Place) -> str:
    """Measures that answers come from another port."""
    with Source(place) as source:
        source.send(b"hello")
        data, port = source.take()
    expect(data == b"hello" and port != addressOf(place)[1], f"{data!r} from the same port")
    return "the answer comes from another port"


def passes(good: int, bad: int) -> Measure:
    """Returns the measurement of a size that is answered, and one that is not."""

    def measure(place: Place) -> str:
        with Source(place) as source:
            for _ in range(3):
                expect(source.ask(pattern(good)) == pattern(good), f"{good} B are not answered")
                expect(source.ask(pattern(bad)) is None, f"{bad} B are answered")
        return f"{good} B are answered, {bad} B are not"

    return measure


def truncated(size: int) -> Measure:
    """Returns the measurement of a size at which answers are cut off."""

    def measure(place: Place) -> str:
        with Source(place) as source:
            data = pattern(size + 300)
            answer = source.ask(data)
        expect(answer == data[:size], f"{None if answer is None else len(answer)} B")
        return f"{size} of {len(data)} B"

    return measure


def duplicated(place: Place) -> str:
    """Measures that some answers come twice."""
    with Source(place) as source:
        counts = Counter(source.series(400, 0.003))
    twice = sum(count == 2 for count in counts.values())
    expect(len(counts) == 400 and 5 <= twice <= 60, f"{len(counts)} came, {twice} of them twice")
    return f"{twice} of 400 twice"


def reordered(place: Place) -> str:
    """Measures that some answers come behind later ones."""
    with Source(place) as source:
        order = [int.from_bytes(data[:_NUMBER]) for data in source.series(400, 0.003)]
    late = sum(later < earlier for earlier, later in pairwise(order))
    expect(sorted(order) == list(range(400)) and late >= 10, f"{len(order)} came, {late} late")
    return f"{late} of 400 behind later ones"


def corrupt(place: Place) -> str:
    """Measures that some answers have a flipped bit."""
    with Source(place) as source:
        came = source.series(400, 0.003)
    wrong = len(set(came) - {numbered(number, 100) for number in range(400)})
    expect(len(came) == 400 and 2 <= wrong <= 40, f"{len(came)} came, {wrong} changed")
    return f"{wrong} of 400 changed"


def forgotten(after: float) -> Measure:
    """Returns the measurement of the idle time that ends a flow."""

    def measure(place: Place) -> str:
        with Source(place) as source:
            expect(source.ask(b"a") == b"a", "no answer at first")
            time.sleep(after - 1)
            expect(source.ask(b"b") == b"b", f"no answer after {after - 1} s")
            time.sleep(after + 1)
            for _ in range(3):
                expect(source.ask(b"c") is None, f"an answer after {after + 1} s")
        with Source(place) as other:
            expect(other.ask(b"d") == b"d", "another flow has no answer")
        return f"answered after {after - 1:.0f} s, dead after {after + 1:.0f} s; a new flow is answered"

    return measure


def dark(first: float, lasts: float) -> Measure:
    """Returns the measurement of a time in which nothing is answered."""

    def measure(place: Place) -> str:
        start, lost = time.monotonic(), []
        with Source(place) as source:
            while (now := time.monotonic() - start) < first + lasts + 2:
                source.send(b"%f" % now)
                due, data = time.monotonic() + 0.1, None
                while (left := due - time.monotonic()) > 0:
                    data = source.take(left)[0] or data
                if data is None:
                    lost.append(now)
        expect(lost and lost == sorted(lost), "nothing lost")
        expect(abs(lost[0] - first) < 0.5 and abs(lost[-1] - first - lasts) < 0.5, f"{lost[0]}, {lost[-1]}")
        return f"dark from {lost[0]:.1f} to {lost[-1]:.1f} s"

    return measure


def exact(place: Place) -> str:
    """Measures that every datagram is answered once, from the same port, of all sizes."""
    with Source(place) as source:
        came = source.series(200, 0.005)
        expect(came == [numbered(number, 100) for number in range(200)], f"{len(came)} of 200 in order")
        for size in (0, 1, 1200, 1472, 9000, 65_507):
            source.send(pattern(size))
            expect(source.take() == (pattern(size), addressOf(place)[1]), f"{size} B")
    return "200 of 200 in order; 0 to 65507 B"
