"""Simulated paths for the probe's checks, on a Clock."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.evidence import CheckSettings, Evidence
from echo_app.probe.checks.link import Link
from echo_app.probe.checks.record import ConnectionRecord, TCPSample
from echo_app.probe.checks.udpsource import Source
from echo_app.probe.net.datagrams import Discovery
from echo_app.probe.net.errors import ErrorKind, NetworkError, Reason
from echo_app.probe.net.waits import pause
from echo_app.targets import Target

T = TypeVar("T")

FIN, RESET = Reason(ErrorKind.FIN), Reason(ErrorKind.RESET)

TCP = Target("192.0.2.1:7", "tcp", "192.0.2.1", 7)
UDP = Target("udp://192.0.2.1:7", "udp", "192.0.2.1", 7)

# Seconds on the clock in which every check of a test is done.
LIMIT = 10_000.0


def result(clock: Clock, work: Coroutine[Any, Any, T], step: float = 0.005) -> T:
    """Lets time pass, in steps of some seconds, until a coroutine ends; returns its result."""
    done = Deferred.fromCoroutine(work)
    while not done.called and clock.seconds() < LIMIT:
        clock.advance(step)
    return SynchronousTestCase().successResultOf(done)


def datagramPath(answers: Callable[[FakeSource, bytes], list[tuple[float, bytes]]]) -> Any:
    """Returns a function that makes sources on a path.

    :param answers: returns the answers to a datagram, each with its delay in seconds.
    """

    def make(*arguments: Any) -> FakeSource:
        return FakeSource(*arguments, answers=answers)

    return make


class FakeSource(Source):
    """A fake source whose datagrams go to a function.

    :ivar isOpen: whether the source is open.
    :ivar discovery: of the path's MTU.
    """

    unfragmented = 1472
    isOpen = False
    discovery = Discovery.WANT

    def __init__(
        self, *arguments: Any, answers: Callable[[FakeSource, bytes], list[tuple[float, bytes]]]
    ) -> None:
        super().__init__(*arguments)
        self._answers = answers

    @property
    def port(self) -> int:
        """A port for each number."""
        return 40_001 + self.number

    @property
    def now(self) -> float:
        """The time of the clock."""
        return float(self._reactor.seconds())

    def open(self, isConnected: bool = False, discovery: Discovery = Discovery.WANT) -> None:
        self.isOpen, self.discovery = True, discovery

    def close(self) -> None:
        self.isOpen = False

    def transmit(self, data: bytes) -> None:
        for seconds, answer in self._answers(self, data):
            self._reactor.callLater(seconds, self._arrive, answer)

    def _arrive(self, answer: bytes) -> None:
        if self.isOpen:
            self.received(answer)


@dataclass(frozen=True, slots=True)
class StreamPath:
    """A simulated path with an echo, which drops connections that are idle for too long.

    :param idle: seconds of the idle time-out; None is never.
    :param end: the end that the client sees; None is silence.
    :param isTold: whether the client sees the end at once, or only after its next byte.
    :param isMute: the service never answers.
    :param greeting: bytes that the service sends first.
    :param late: seconds after which a connection's bytes are read.
    :param first: seconds that the first bytes of a connection take in addition.
    :param age: seconds after which a connection ends.
    :param bytes: the number of bytes of a connection that come back; then it ends, or is silent.
    :param room: bytes that the path stores unread; None is any number.
    :param hasEnd: a half-close is answered by the end.
    :param failure: why no connection is made.
    :param largest: payload bytes of the largest segment that passes; of longer ones no byte comes back.
    """

    idle: float | None = None
    end: Reason | None = FIN
    isTold: bool = True
    isMute: bool = False
    greeting: bytes = b""
    late: float = 0.0
    first: float = 0.0
    age: float | None = None
    bytes: int | None = None
    room: int | None = None
    hasEnd: bool = True
    failure: Reason | None = None
    largest: int = 1460


class FakeSocket:
    """A socket of which the kernel says nothing."""

    def fileno(self) -> int:
        return -1


class FakeStream:
    """A fake connection on a path, with the members of a stream that links and checks use.

    :ivar taken: bytes that the path has taken.
    :ivar isClosed: whether this end has closed it.
    """

    def __init__(self, clock: Clock, path: StreamPath, isMute: bool = False) -> None:
        self.sock = FakeSocket()
        self.taken = 0
        self.end: Reason | None = None
        self.isClosed = False
        self._clock = clock
        self._path = path
        self._isMute = path.isMute or isMute
        self._began = self._moved = clock.seconds()
        self._unread = bytearray(path.greeting)
        # What the path does not take, and whether this end has sent FIN.
        self._waiting = bytearray()
        self._isHalfClosed = False
        self._hasRead = False

    @property
    def unsent(self) -> int:
        """Bytes that the path has not taken."""
        return len(self._waiting)

    @property
    def isCut(self) -> bool:
        """Whether the peer has ended the connection."""
        return self.end is not None or self._isOver()

    def write(self, data: bytes) -> None:
        if self._isDropped():
            self.end = self._path.end
        else:
            self._waiting += data
            self._take()
        self._moved = self._clock.seconds()

    def halfClose(self, data: bytes = b"") -> None:
        self.write(data)
        self._isHalfClosed = True

    async def drain(self, timeout: float) -> bool:
        if self._waiting:
            await pause(self._clock, timeout)
        return not self._waiting and not self.isCut

    async def read(self, timeout: float, size: int = 1 << 16) -> bytes:
        if self._unread or self.end is not None:
            first = 0.0 if self._hasRead else self._path.first
            await pause(self._clock, self._path.late + first)
            self._hasRead = True
            data = bytes(self._unread[:size])
            del self._unread[:size]
            self._take()
            return data
        left = self._untilEnd(timeout)
        await pause(self._clock, min(left, timeout))
        if left < timeout:
            self.end = self._path.end
        return b""

    async def close(self) -> None:
        self.isClosed = True

    async def abort(self) -> None:
        self.isClosed = True

    async def receive(self, size: int, timeout: float) -> bytes:
        return await self.read(timeout, size)

    def _take(self) -> None:
        """Passes bytes on, as many as there is room for, until the connection is dropped."""
        if self._isDropped():
            return
        path = self._path
        size = len(self._waiting)
        if path.room is not None:
            size = min(size, max(0, path.room - len(self._unread)))
        data = bytes(self._waiting[:size])
        del self._waiting[:size]
        if path.bytes is not None:
            data = data[: max(0, path.bytes - self.taken)]
        self.taken += size
        if not self._isMute:
            self._unread += data

    def _untilEnd(self, timeout: float) -> float:
        """Returns the seconds until the client sees the end; the time-out without one."""
        path, now = self._path, self._clock.seconds()
        isShort = path.bytes is not None and self.taken >= path.bytes
        if path.end is None:
            return timeout
        if self._isOver() or isShort or (self._isHalfClosed and path.hasEnd and not self._waiting):
            return path.late
        ends = [self._began + path.age] if path.age is not None else []
        ends += [self._moved + path.idle] if path.idle is not None and path.isTold else []
        return max(0.0, min(ends) - now) if ends else timeout

    def _isOver(self) -> bool:
        """Says whether the client can know of the end."""
        return self._path.end is not None and (self._isOld() or (self._path.isTold and self._isIdle()))

    def _isDropped(self) -> bool:
        return self._isOld() or self._isIdle()

    def _isOld(self) -> bool:
        return self._path.age is not None and self._clock.seconds() >= self._began + self._path.age

    def _isIdle(self) -> bool:
        return self._path.idle is not None and self._clock.seconds() >= self._moved + self._path.idle


class PathContext:
    """A fake context of a check, whose connections use a simulated path.

    :param path: the path, or a function of the connection's number, from 0.
    :ivar tries: the number of connections that were begun.
    :ivar streams: all connections that were made.
    :ivar made: the kernel's counts of connections that are made.
    """

    target = TCP

    def __init__(
        self,
        clock: Clock,
        path: Callable[[int], StreamPath] | StreamPath,
        settings: CheckSettings = CheckSettings(),
        check: str = "check",
    ) -> None:
        self.reactor = clock
        self.settings = settings
        self.evidence = Evidence(TCP, settings, b"ours")
        self.random = Random(8862)
        self.tries = 0
        self.streams: list[FakeStream] = []
        self.made: TCPSample | None = None
        self._check = check
        self._path = path

    @property
    def now(self) -> float:
        return self.reactor.seconds()

    def newRecord(self) -> ConnectionRecord:
        return self.evidence.newRecord(self._check, self.now)

    async def connect(
        self, target: Target = TCP, record: ConnectionRecord | None = None, segment: int = 0
    ) -> Link:
        path = self._path if isinstance(self._path, StreamPath) else self._path(self.tries)
        self.tries += 1
        record = record or self.newRecord()
        if path.failure is not None:
            record.failure = path.failure
            raise NetworkError(path.failure)
        self.streams.append(FakeStream(self.reactor, path, isMute=segment > path.largest))
        record.connected = 0.0
        stream: Any = self.streams[-1]
        examination = self.evidence.examination
        link = Link(self.reactor, stream, record, examination=examination, random=self.random, start=0.0)
        record.made = self.made
        return link
