"""Messages of a load on a stream: pieces of one pattern, one after the other."""

from __future__ import annotations

from collections import deque

from echo_app.probe.load.channel import Channel, Encrypted
from echo_app.probe.load.connection import NEVER, Connection
from echo_app.probe.load.ledger import Second
from echo_app.probe.load.loop import IN, OUT
from echo_app.probe.load.pattern import CHUNK, PATTERN, PERIOD, VIEW, placeOf
from echo_app.probe.net.errors import ErrorKind, NetworkError, Reason, reasonOf
from echo_app.probe.net.foreign import protocolOf
from echo_app.probe.results.difference import agreeing

# The moment at which it was due, its end in the stream, the moment at which it was sent, its second, its size
# in bytes.
Message = tuple[float, int, float, Second, int]


class StreamConnection(Connection):
    """Sends messages on a stream. The numbers of queued, sent and received bytes are positions in it."""

    _underWay: deque[Message]
    _container = deque

    def _use(self, channel: Channel) -> None:
        self._recv, self._send = channel.recv, channel.send
        self._place = placeOf(next(self._generator.streams))
        self._queued = self._sent = self._received = self._answered = 0
        self._isFull = False

    def _ask(self, due: float, now: float) -> Second:
        second = self._ledger.second(due)
        second.ask()
        size = next(self._sizes)
        self._queued += size
        self._underWay.append((due, self._queued, now, second, size))
        return second

    def _push(self) -> None:
        try:
            while rest := self._queued - self._sent:
                start = (self._place + self._sent) % PERIOD
                self._sent += self._send(VIEW[start : start + (rest if rest < CHUNK else CHUNK)])
        except BlockingIOError:
            self._watch(isFull=True)
        except OSError as error:
            # What came before says more, such as an alert of TLS.
            self._failAfter(error)
        else:
            if self._isFull:
                self._watch(isFull=False)

    def _failAfter(self, error: OSError) -> None:
        reason = reasonOf(error)
        if isinstance(self._channel, Encrypted):
            try:
                while self._recv(CHUNK):
                    pass
            except BlockingIOError:
                pass
            except NetworkError as said:
                reason = said.reason
            except OSError:
                pass
        self.fail(reason)

    def _watch(self, isFull: bool) -> None:
        if isFull is not self._isFull:
            self._isFull = isFull
            self._loop.change(self._fd, IN | OUT if isFull else IN, self._ready)

    def _ready(self, event: int) -> None:
        if event & OUT:
            self._push()
            if event == OUT or self._channel is None:
                return
        try:
            data = self._recv(CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self.fail(reasonOf(error))
            return
        start = (self._place + self._received) % PERIOD
        received = self._received + len(data)
        if data != PATTERN[start : start + len(data)] or received > self._sent or not data:
            self._judge(data, start)
            return
        self._received = received
        if self._underWay[0][1] <= received:
            now = self._clock()
            self._answer(now)
            self._goOn(now)
            if not self._left and not self._underWay:
                self._end()

    def _answer(self, now: float) -> None:
        """Counts the messages of which all bytes have come."""
        underWay, before = self._underWay, self._answered
        while underWay and underWay[0][1] <= self._received:
            due, _, _, second, size = underWay.popleft()
            second.answer(now - due, size)
            self._answered += 1
            if not self._isOpenLoop:
                second.lateness.record(now - self._loop.since)
        if self._answered > before:
            self._ledger.came(now, self._answered - before)
            self._pause, self._isServed = 0.0, True

    def _judge(self, data: bytes, start: int) -> None:
        """Judges bytes that differ from the expected ones, and the end of the stream."""
        if not data:
            self._endCame()
            return
        sent = min(self._sent - self._received, len(data))
        right = agreeing(PATTERN[start : start + sent], data)
        name = protocolOf(data) if self._received == 0 == right else ""
        self._received += right
        self._answer(self._clock())
        if right < sent:
            self._differ(data[right], PATTERN[start + right], f"{name}: " if name else "")
        else:
            surplus = len(data) - right
            self._ledger.differ(f"{surplus} bytes too many came after byte {self._sent} of {self._name()}")
            self.fail(Reason(ErrorKind.SURPLUS))

    def _differ(self, got: int, right: int, name: str) -> None:
        place = self._received - (self._underWay[0][1] - self._underWay[0][4])
        what = f"message {self._answered}, byte {place}: {got:#04x} came, {right:#04x} was sent"
        self._ledger.differ(f"{name}{what} (byte {self._received} of {self._name()})")
        self.fail(Reason(ErrorKind.CORRUPT))

    def _endCame(self) -> None:
        assert self._channel is not None
        if self._ended == NEVER or self._underWay:
            self.fail(self._channel.end)
            return
        self._close()
        self._openAgain(self._clock())

    def _failAll(self, reason: Reason) -> None:
        for _, _, _, second, _ in self._underWay:
            second.fail(reason)
        self._underWay.clear()

    def _giveUp(self, old: float) -> None:
        if self._underWay and self._underWay[0][2] <= old:
            self.fail(Reason(ErrorKind.TIMED_OUT))

    def _oldest(self, now: float) -> float:
        return self._underWay[0][2] if self._underWay else now
