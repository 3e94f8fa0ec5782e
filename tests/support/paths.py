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
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.checks.udpsource import Source
from echo_app.probe.net.errors import ErrorKind, Reason
from echo_app.probe.net.waits import pause
from echo_app.targets import Target

T = TypeVar("T")

FIN = Reason(ErrorKind.FIN)

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
    """

    unfragmented = 1472
    isOpen = False

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

    def open(self, isConnected: bool = False) -> None:
        self.isOpen = True

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
    """

    idle: float | None = None
    end: Reason | None = FIN
    isTold: bool = True
    isMute: bool = False
    greeting: bytes = b""
    late: float = 0.0


class FakeSocket:
    """A socket of which the kernel says nothing."""

    def fileno(self) -> int:
        return -1


class FakeStream:
    """A fake connection on a path, with the members of a stream that links and checks use."""

    def __init__(self, clock: Clock, path: StreamPath) -> None:
        self.sock = FakeSocket()
        self._clock = clock
        self._path = path
        self._moved = clock.seconds()
        self._unread = bytearray(path.greeting)
        self.end: Reason | None = None
        self.isClosed = False

    def write(self, data: bytes) -> None:
        if self._isDropped():
            self.end = self._path.end
        elif not self._path.isMute:
            self._unread += data
        self._moved = self._clock.seconds()

    async def read(self, timeout: float, size: int = 1 << 16) -> bytes:
        if self._unread or self.end is not None:
            await pause(self._clock, self._path.late)
            data = bytes(self._unread[:size])
            del self._unread[:size]
            return data
        left = timeout
        if self._path.idle is not None and self._path.isTold and self._path.end is not None:
            left = min(timeout, max(0.0, self._moved + self._path.idle - self._clock.seconds()))
        await pause(self._clock, left)
        if left < timeout:
            self.end = self._path.end
        return b""

    async def close(self) -> None:
        self.isClosed = True

    async def abort(self) -> None:
        self.isClosed = True

    async def receive(self, size: int, timeout: float) -> bytes:
        return await self.read(timeout, size)

    def _isDropped(self) -> bool:
        return self._path.idle is not None and self._clock.seconds() >= self._moved + self._path.idle


class PathContext:
    """A fake context of a check, whose connections use a simulated path.

    :param path: the path, or a function of the connection's number, from 0.
    :ivar streams: all connections so far.
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
        self.streams: list[FakeStream] = []
        self._check = check
        self._path = path

    @property
    def now(self) -> float:
        return self.reactor.seconds()

    def newRecord(self) -> ConnectionRecord:
        return self.evidence.newRecord(self._check, self.now)

    async def connect(self, target: Target = TCP, record: ConnectionRecord | None = None) -> Link:
        path = self._path if isinstance(self._path, StreamPath) else self._path(len(self.streams))
        self.streams.append(FakeStream(self.reactor, path))
        record = record or self.newRecord()
        record.connected = 0.0
        stream: Any = self.streams[-1]
        examination = self.evidence.examination
        return Link(self.reactor, stream, record, examination=examination, random=self.random, start=0.0)
