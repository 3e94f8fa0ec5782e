"""``echo-probe ping``: round trips, one line each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList, DeferredQueue, maybeDeferred
from twisted.internet.error import CannotListenError, MessageLengthError
from twisted.internet.protocol import DatagramProtocol
from twisted.python.failure import Failure

from echo_app.probe.cli.pingreport import PingReport, TextReport
from echo_app.probe.net.addresses import addressesOf
from echo_app.probe.net.connecting import ConnectionSettings
from echo_app.probe.net.datagrams import LARGEST_DATAGRAM
from echo_app.probe.net.errors import ErrorKind, NetworkError, Reason, reasonOf, timedOut
from echo_app.probe.net.foreign import protocolOf
from echo_app.probe.net.stream import Stream, connect
from echo_app.probe.net.waits import pause
from echo_app.probe.results.difference import firstDifference
from echo_app.probe.results.severity import Severity
from echo_app.targets import Target
from echo_app.text import plural

# Bytes of a datagram's number. Pings on a stream need none, as a stream keeps their order.
NUMBER = 8

# Seconds between two checks whether the last datagrams are answered.
_LOOK = 0.05

# Seconds of silence after which the peer's end is not waited for, and bytes that are read before it.
_END, _SURPLUS = 1.0, 1 << 16

# Seconds of the last read of a ping whose time is over: what came in a pause of this process is there.
_LAST = 0.001


@dataclass(frozen=True, slots=True)
class Pings:
    """The settings of pings.

    :param count: number of pings; None is until they are cancelled.
    :param interval: seconds between two.
    :param size: bytes of each.
    :param wait: seconds after which a ping without an answer has failed.
    :param connecting: the settings of our end.
    """

    count: int | None = None
    interval: float = 1.0
    size: int = 56
    wait: float = 10.0
    connecting: ConnectionSettings = field(default_factory=ConnectionSettings)


class Ping:
    """Pings one target.

    :param reactor: an ``IReactorTime``, ``IReactorFDSet`` and ``IReactorUDP``.
    :param report: is told of each ping.
    """

    def __init__(
        self, reactor: Any, target: Target, pings: Pings, random: Random, report: PingReport
    ) -> None:
        self._reactor = reactor
        self._target = target
        self._pings = pings
        self._random = random
        self._report = report
        self.statistics = report.statistics

    async def run(self) -> None:
        """Sends all pings, and waits for the answers; cancelling it closes the connection."""
        raise NotImplementedError

    async def _numbers(self) -> AsyncIterator[int]:
        """Yields the number of each ping when the ping is due, and counts it as sent.

        The schedule does not drift: a ping that is late is sent at once.
        """
        start = self._reactor.seconds()
        for number in count(1) if self._pings.count is None else range(1, self._pings.count + 1):
            left = start + (number - 1) * self._pings.interval - self._reactor.seconds()
            if left > 0:
                await pause(self._reactor, left)
            self.statistics.sent += 1
            yield number

    def _answered(self, number: int, sentAt: float) -> None:
        self._report.answered(number, self._pings.size, self._reactor.seconds() - sentAt)


class StreamPing(Ping):
    """Pings over one connection; when it ends or falls silent, over another one."""

    _stream: Stream | None = None
    _end = Reason(ErrorKind.TIMED_OUT)

    async def run(self) -> None:
        """Sends by the clock in one coroutine, and reads in another one."""
        self._sent: DeferredQueue[tuple[int, bytes, float, Stream] | None] = DeferredQueue()
        reading = Deferred.fromCoroutine(self._read())
        try:
            await self._send()
            await reading
            if self._stream is not None:
                await self._finish(self._stream)
        finally:
            reading.cancel()
            reading.addErrback(lambda failure: failure.trap(CancelledError))
            if self._stream is not None:
                await self._stream.abort()

    async def _send(self) -> None:
        async for number in self._numbers():
            try:
                stream = self._stream = self._stream or await connect(
                    self._reactor, self._target, self._pings.wait, self._pings.connecting
                )
            except NetworkError as error:
                self._report.missed(number, error.reason, "no connection: ")
                continue
            data = self._random.randbytes(self._pings.size)
            now = self._reactor.seconds()
            stream.write(data)
            self._sent.put((number, data, now, stream))
        self._sent.put(None)

    async def _read(self) -> None:
        while (sent := await self._sent.get()) is not None:
            number, data, at, stream = sent
            if stream is not self._stream:
                self._report.missed(number, self._end, "its connection was given up: ")
                continue
            came = await self._receive(stream, len(data), at + self._pings.wait)
            if came == data:
                self._answered(number, at)
                continue
            # From now on the next ping has another connection.
            self._stream, self._end = None, stream.end or timedOut(self._pings.wait)
            if found := firstDifference(data, came):
                self._end = Reason(ErrorKind.OTHER, "a wrong answer came on it")
                name = protocolOf(came)
                self._report.corrupt(number, f"{name} came" if name else str(found))
            else:
                self._report.missed(number, self._end)
            await stream.abort()

    async def _finish(self, stream: Stream) -> None:
        """Ends our side, and reads to the peer's end: no byte may come before it."""
        stream.halfClose()
        surplus = await stream.receiveAll(_END, _SURPLUS)
        if surplus:
            self._report.corrupt(None, f"{plural(len(surplus), 'byte')} too many came after the last answer")
        await stream.close()

    async def _receive(self, stream: Stream, size: int, deadline: float) -> bytes:
        """Returns that many bytes; fewer at the end of the stream, or at the deadline.

        Bytes that are there at the deadline already are read.
        """
        received = b""
        while len(received) < size:
            left = deadline - self._reactor.seconds()
            chunk = await stream.read(max(left, _LAST), size - len(received))
            received += chunk
            if not chunk or left <= 0:
                break
        return received


class DatagramPing(Ping, DatagramProtocol):
    """Pings with datagrams, from one port; each carries its number."""

    transport: Any = None
    _isDone = False

    async def run(self) -> None:
        """Sends all pings, and waits after the last one for those under way."""
        self._waiting: dict[int, tuple[bytes, float]] = {}
        self._lost: dict[int, float] = {}
        self._last = 0
        connecting = self._pings.connecting
        addresses = connecting.chosen(await addressesOf(self._reactor, self._target.host))
        if not addresses:
            self._report.unresolved(connecting.unresolved)
            return
        self._address = addresses[0]
        try:
            await self._send()
        finally:
            self._forget()
            self._isDone = True
            if self.transport is not None:
                await maybeDeferred(self.transport.stopListening)

    async def _send(self) -> None:
        async for number in self._numbers():
            self._forget()
            data = number.to_bytes(NUMBER, "big") + self._random.randbytes(self._pings.size - NUMBER)
            self._waiting[number] = data, self._reactor.seconds()
            try:
                if self.transport is None:
                    self._open()
                self.transport.write(data)
            except (CannotListenError, OSError, MessageLengthError) as error:
                if self._waiting.pop(number, None) is not None:
                    self._report.missed(number, reasonOf(error), "not sent: ")
        deadline = self._reactor.seconds() + self._pings.wait
        while self._waiting and self._reactor.seconds() < deadline:
            await pause(self._reactor, min(_LOOK, self._pings.wait))

    def _forget(self) -> None:
        """Gives up pings that are not answered in time."""
        tooLate = self._reactor.seconds() - self._pings.wait
        for number in [number for number, (_, at) in self._waiting.items() if at <= tooLate]:
            _, self._lost[number] = self._waiting.pop(number)
            self._report.missed(number, Reason(ErrorKind.LOST))

    def _open(self) -> None:
        """Opens a port; most reactors close it when an ICMP message comes."""
        connecting = self._pings.connecting
        interface = connecting.source or ("::" if ":" in self._address else "")
        self._reactor.listenUDP(0, self, interface, LARGEST_DATAGRAM)
        connecting.mark(self.transport.getHandle())
        self.transport.connect(self._address, self._target.port)

    def stopProtocol(self) -> None:
        """Counts refusals, when an ICMP message has closed the port."""
        if not self._isDone:
            self.connectionRefused()

    def connectionRefused(self) -> None:
        """Counts refusals, when an ICMP message has come (RFC 792: port unreachable)."""
        waiting, self._waiting = self._waiting, {}
        for number in waiting:
            self._report.missed(number, Reason(ErrorKind.REFUSED))

    def datagramReceived(self, data: bytes, address: Any) -> None:
        """Compares an answer with its ping."""
        number = int.from_bytes(data[:NUMBER], "big")
        self._forget()
        if number in self._lost:
            spent = self._reactor.seconds() - self._lost.pop(number)
            self._report.late(number, spent)
            return
        if number not in self._waiting:
            if 0 < number <= self.statistics.sent:
                self._report.again(number)
            else:
                self._report.corrupt(None, "other bytes")
            return
        sent, at = self._waiting.pop(number)
        if data != sent:
            found = firstDifference(sent, data)
            self._report.corrupt(number, str(found or f"{len(data)} of {len(sent)} bytes"))
            return
        self.statistics.reordered += number < self._last
        self._last = max(number, self._last)
        self._answered(number, at)


async def ping(
    reactor: Any,
    targets: Sequence[Target],
    pings: Pings,
    random: Random,
    say: Callable[[str], None],
    reportOf: Callable[[Target, Callable[[str], None]], PingReport] = TextReport,
) -> list[Severity | None]:
    """Pings all targets at the same time, and reports the statistics, also when it is cancelled.

    :param say: called with each line.
    :param reportOf: returns the report of a target.
    :return: the status of each target.
    """
    reports = [reportOf(target, say) for target in targets]
    running = [
        Deferred.fromCoroutine(
            (StreamPing if target.isStream else DatagramPing)(reactor, target, pings, random, report).run()
        )
        for target, report in zip(targets, reports, strict=True)
    ]
    for _, result in await DeferredList(running, consumeErrors=True):
        if isinstance(result, Failure) and not result.check(CancelledError):
            result.raiseException()
    for report in reports:
        report.end()
    return [report.statistics.status(report.target.isStream) for report in reports]
