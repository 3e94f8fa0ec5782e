"""Messages of a load as datagrams: each has a number, and bytes that follow from the number."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from echo_app.probe.load.channel import Channel, Plain
from echo_app.probe.load.connection import NEVER, Connection
from echo_app.probe.load.ledger import Second
from echo_app.probe.load.loop import IN, OUT
from echo_app.probe.load.pattern import CHUNK, PATTERN, placeOf
from echo_app.probe.net.errors import ErrorKind, Reason, reasonOf
from echo_app.probe.results.difference import agreeing

if TYPE_CHECKING:
    from echo_app.probe.load.generator import LoadGenerator

# Bytes of the number: no datagram has fewer.
HEADER = 8

# Seconds after which a datagram is taken for lost, at the least: Linux resends no TCP segment
# before; RFC 6298 (2.4) would have a second.
SHORTEST_PATIENCE = 0.2

# Seconds between two looks before the first answer, from which on a datagram can be taken for lost.
UNKNOWN_PATIENCE = 1.0

# Numbers of lost datagrams that are kept, so that a late answer does not count as a duplicate.
REMEMBERED = 4096

# The moments at which it was due and was sent, its second, its size in bytes.
Message = tuple[float, float, Second, int]


def datagramOf(number: int, size: int) -> bytes:
    """Returns the datagram with a number; the same must come back."""
    place = placeOf(number)
    return number.to_bytes(HEADER, "big") + PATTERN[place : place + size - HEADER]


class DatagramConnection(Connection):
    """Sends messages as datagrams, from one source port after the other; mostly from one.

    A datagram that is not answered is lost, and one that comes changed is corrupt; neither ends anything. One
    that takes much longer than those before it is taken for lost: it makes room for another one, and still
    counts as an answer if it comes within ``wait``. How much longer is what RFC 6298 (2) says of segments.
    """

    _underWay: dict[int, Message]
    _container = dict
    _patience = UNKNOWN_PATIENCE
    _smoothed: float | None = None
    _variation = 0.0

    def __init__(self, generator: LoadGenerator, number: int) -> None:
        super().__init__(generator, number)
        self._late: dict[int, Message] = {}

    def _use(self, channel: Channel) -> None:
        # Answers to an earlier owner of the port may still come: numbers begin anywhere.
        self._next = self._first = secrets.randbits(8 * HEADER - 2)
        self._held = b""
        self._lost: dict[int, None] = {}

    def _hasRoom(self) -> bool:
        return not self._held and super()._hasRoom()

    def _ask(self, due: float, now: float) -> Second:
        second = self._ledger.second(due)
        second.ask()
        size = next(self._sizes)
        self._underWay[self._next] = due, now, second, size
        self._held = datagramOf(self._next, size)
        self._next += 1
        self._push()
        return second

    def _push(self) -> None:
        if not self._held or self._channel is None:
            return
        try:
            self._channel.send(self._held)
        except BlockingIOError:
            self._loop.change(self._fd, IN | OUT, self._ready)
        except OSError as error:
            self._held = b""
            self.fail(reasonOf(error))
        else:
            self._held = b""

    def _ready(self, event: int) -> None:
        if event & OUT:
            self._loop.change(self._fd, IN, self._ready)
            self._push()
            self._goOn(self._clock())
        if self._channel is None:
            return
        try:
            data = self._channel.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self.fail(reasonOf(error))
            return
        number = int.from_bytes(data[:HEADER], "big")
        message = self._underWay.pop(number, None) or self._late.pop(number, None)
        if message is None:
            self._judge(number, data)
            return
        now = self._clock()
        due, sentAt, second, size = message
        self._took(now - sentAt)
        expected = datagramOf(number, size)
        if data != expected:
            self._differ(number, data, expected)
            self._ledger.latest = now
            second.fail(Reason(ErrorKind.CORRUPT))
        else:
            second.answer(now - due, size)
            self._ledger.came(now, 1)
            self._pause, self._isServed = 0.0, True
            if not self._isOpenLoop:
                second.lateness.record(now - self._loop.since)
        self._settled(now)

    def _took(self, seconds: float) -> None:
        """Learns from a round trip."""
        if self._smoothed is None:
            self._smoothed, self._variation = seconds, seconds / 2
        else:
            self._variation += (abs(seconds - self._smoothed) - self._variation) / 4
            self._smoothed += (seconds - self._smoothed) / 8
        self._patience = max(SHORTEST_PATIENCE, self._smoothed + 4 * self._variation)

    def _settled(self, now: float, since: float | None = None) -> None:
        """Goes on after a datagram was answered, or is taken for lost."""
        self._goOn(now, since)
        if not self._left and not self._underWay:
            self._lose(self._late, NEVER)
            self._end()

    def _judge(self, number: int, data: bytes) -> None:
        """Counts an answer to no datagram that is under way."""
        kind = ErrorKind.DUPLICATE
        if not self._first <= number < self._next or len(data) < HEADER:
            kind = ErrorKind.CORRUPT
            self._ledger.differ(f"{len(data)} bytes came that answer no datagram of {self._name()}")
        if number not in self._lost:
            self._ledger.second(self._clock()).errors[Reason(kind)] += 1

    def _differ(self, number: int, data: bytes, expected: bytes) -> None:
        if len(data) == len(expected):
            index = agreeing(expected, data)
            what = f"byte {index}: {data[index]:#04x} came, {expected[index]:#04x} was sent"
        else:
            what = f"{len(data)} bytes came, {len(expected)} were sent"
        self._ledger.differ(f"message {number - self._first}, {what} ({self._name()})")

    def _close(self) -> None:
        if isinstance(self._channel, Plain):
            self._ledger.second(self._clock()).dropped += self._channel.dropped
        super()._close()

    def _end(self) -> None:
        self._close()
        self._openAgain(self._clock())

    def _failAll(self, reason: Reason) -> None:
        for messages in (self._underWay, self._late):
            for _, _, second, _ in messages.values():
                second.fail(reason)
            messages.clear()

    def _giveUp(self, old: float) -> None:
        self._lose(self._late, old)
        before, now = len(self._underWay), self._clock()
        self._lose(self._underWay, old)
        late = now - self._patience if self._smoothed is not None else -NEVER
        while self._underWay and _sentAt(self._underWay) <= late:
            number = next(iter(self._underWay))
            self._late[number] = self._underWay.pop(number)
        if len(self._underWay) < before:
            self._settled(now, now)

    def _lose(self, messages: dict[int, Message], old: float) -> None:
        """Counts the messages as lost that were sent at a moment or before it."""
        while messages and _sentAt(messages) <= old:
            number = next(iter(messages))
            messages.pop(number)[2].fail(Reason(ErrorKind.LOST))
            self._ledger.latest = self._clock()
            self._hasFailed = True
            self._lost[number] = None
            if len(self._lost) > REMEMBERED:
                del self._lost[next(iter(self._lost))]

    def _oldest(self, now: float) -> float:
        return min((_sentAt(each) for each in (self._late, self._underWay) if each), default=now)


def _sentAt(messages: dict[int, Message]) -> float:
    """Returns when the first of some messages was sent."""
    return next(iter(messages.values()))[1]
