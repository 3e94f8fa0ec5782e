"""Messages of a load as datagrams: each has a number, and bytes that follow from the number."""

from __future__ import annotations

import secrets

from echo_app.probe.load.channel import Channel
from echo_app.probe.load.connection import Connection
from echo_app.probe.load.ledger import Second
from echo_app.probe.load.loop import IN, OUT
from echo_app.probe.load.pattern import CHUNK, PATTERN, placeOf
from echo_app.probe.net.errors import ErrorKind, Reason, reasonOf
from echo_app.probe.results.difference import agreeing

# Bytes of the number: no datagram has fewer.
HEADER = 8

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

    A datagram that is not answered is lost, and one that comes changed is corrupt; neither ends anything.
    """

    _underWay: dict[int, Message]
    _container = dict

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
        message = self._underWay.pop(number, None)
        if message is None:
            self._judge(number, data)
            return
        now = self._clock()
        due, _, second, size = message
        expected = datagramOf(number, size)
        if data != expected:
            self._differ(number, data, expected)
            second.fail(Reason(ErrorKind.CORRUPT))
        else:
            second.answer(now - due, size)
            self._pause = 0.0
            if not self._isOpenLoop:
                second.lateness.record(now - self._loop.woken)
        self._settled(now)

    def _settled(self, now: float) -> None:
        """Goes on after a datagram was answered, or is lost."""
        self._goOn(now)
        if not self._left and not self._underWay:
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

    def _end(self) -> None:
        self._close()
        self._openAgain(self._clock())

    def _failAll(self, reason: Reason) -> None:
        for _, _, second, _ in self._underWay.values():
            second.fail(reason)
        self._underWay.clear()

    def _giveUp(self, old: float) -> None:
        underWay, lost = self._underWay, self._lost
        before = len(underWay)
        while underWay and self._oldest(0) <= old:
            number = next(iter(underWay))
            underWay.pop(number)[2].fail(Reason(ErrorKind.LOST))
            lost[number] = None
            if len(lost) > REMEMBERED:
                del lost[next(iter(lost))]
        if len(underWay) < before:
            self._settled(self._clock())

    def _oldest(self, now: float) -> float:
        return next(iter(self._underWay.values()))[1] if self._underWay else now
