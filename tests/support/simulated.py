"""A load on simulated time, with servers whose behaviour the test sets."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

from echo_app.probe.load.channel import Channel
from echo_app.probe.load.dial import Address, Dial
from echo_app.probe.load.generator import LoadGenerator
from echo_app.probe.load.loop import IN, OUT, Loop
from echo_app.probe.net.errors import ErrorKind, Reason
from echo_app.probe.results.histogram import Histogram
from echo_app.probe.results.results import LoadSettings
from echo_app.targets import Target

# Returns the time of the answer to a message that a server gets now; None is never.
Answering = Callable[[float], "float | None"]

# Changes a piece that a server sends back.
Edit = Callable[[bytes], list[bytes]]

# Simulated seconds in which every load of a test ends.
ENOUGH = 100_000.0


class SimulatedLoop(Loop):
    """A loop whose time passes at once, and whose sockets are numbers."""

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__(lambda: self.now)
        self._epoll.close()
        self.channels: dict[int, tuple[FakeChannel, int, Callable[[int], object]]] = {}
        self.opened: list[FakeChannel] = []

    @property
    def size(self) -> int:
        """Returns the number of pending calls."""
        return len(self._calls)

    def watch(self, fd: int, events: int, call: Callable[[int], object]) -> None:
        """Starts watching a fake."""
        self._ready[fd] = call
        self.channels[fd] = self.opened[fd], events, call

    change = watch

    def forget(self, fd: int) -> None:
        """Stops watching a fake."""
        self._ready.pop(fd, None)
        self.channels.pop(fd, None)

    def _poll(self) -> list[tuple[int, int]]:
        return self._events()

    def _wait(self) -> list[tuple[int, int]]:
        events = self._events()
        if not events:
            self.now = max(self.now, self._calls[0][0])
            if self.now > 1000.0 + ENOUGH:
                raise AssertionError("the load does not end")
        return events or self._events()

    def _events(self) -> list[tuple[int, int]]:
        states = [(fd, channel.events() & events) for fd, (channel, events, _) in self.channels.items()]
        return [(fd, event) for fd, event in states if event]


class FakeChannel:
    """A fake stream to a server, or a fake source of datagrams.

    :param edit: changes the bytes that come back.
    :ivar isClosed: whether the load has closed the channel.
    :ivar sends: the number of sends.
    """

    end = Reason(ErrorKind.FIN)

    def __init__(
        self, loop: SimulatedLoop, answering: Answering, edit: Callable[[bytes], list[bytes]]
    ) -> None:
        self.loop = loop
        self.sock: Any = self
        self.answering = answering
        self._edit = edit
        self._number = len(loop.opened)
        loop.opened.append(self)
        self._coming: list[tuple[float, int, bytes | OSError]] = []
        self._came = 0
        self.room = 1 << 30
        self.isClosed = False
        self.sends = 0

    def fileno(self) -> int:
        """Returns its number."""
        return self._number

    def getsockname(self) -> tuple[str, int]:
        """Returns a value in place of the address."""
        return "127.0.0.1", 50000 + self._number

    def close(self) -> None:
        """Notes that the load has closed the channel."""
        self.isClosed = True

    def events(self) -> int:
        """Returns the events for which the channel is ready."""
        isIn = bool(self._coming) and self._coming[0][0] <= self.loop.now
        return (IN if isIn else 0) | (OUT if self.room else 0)

    def come(self, what: bytes | OSError, moment: float = 0.0) -> None:
        """Schedules an arrival: bytes, empty bytes for the end, or an error."""
        self._came += 1
        insort(self._coming, (moment, self._came, what))
        self.loop.at(moment, lambda moment: None)

    def send(self, data: bytes | memoryview) -> int:
        """Takes as many bytes as there is room for, and answers them."""
        if not self.room:
            raise BlockingIOError
        self.sends += 1
        taken = bytes(data[: self.room])
        self.room -= len(taken)
        moment = self.answering(self.loop.now)
        if moment is not None:
            for each in self._edit(taken):
                self.come(each, moment)
        return len(taken)

    def recv(self, size: int) -> bytes:
        """Returns the bytes that have come."""
        if not self._coming or self._coming[0][0] > self.loop.now:
            raise BlockingIOError
        what = self._coming.pop(0)[2]
        if isinstance(what, OSError):
            raise what
        return what

    def halfClose(self) -> None:
        """Half-closes; the server answers with its own end."""
        self.come(b"", self.loop.now)


class FakeServer:
    """A fake server, to which a load connects.

    :param takes: seconds until a connection is made.
    :ivar error: the error of connection attempts; a test may set and remove it.
    :ivar dials: the times of connection attempts.
    """

    isLast = True
    made: Counter[str] = Counter()

    def __init__(
        self,
        loop: SimulatedLoop,
        answering: Answering,
        edit: Edit = lambda data: [data],
        kind: str = "tcp",
        takes: float = 0.0,
    ) -> None:
        self.target = Target("fake", kind)
        self.loop = loop
        self.answering = answering
        self.edit = edit
        self.takes = takes
        self.error: ErrorKind | None = None
        self.dials: list[float] = []

    def settle(self) -> Counter[Reason]:
        """Returns no excused errors."""
        return Counter()

    def dial(self, loop: Loop) -> Dial:
        """Begins to connect."""
        self.dials.append(loop.clock())
        return cast(Dial, FakeDial(self))


class FakeDial:
    """A fake connection attempt."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self._error = server.error
        self._isOver = False

    def start(self, connected: Callable[[Channel], object], failed: Callable[[Reason], object]) -> None:
        """Ends after the server's time."""
        self._failed = failed
        loop = self._server.loop

        def end(moment: float) -> None:
            if not self._isOver and self._error:
                failed(Reason(self._error))
            elif not self._isOver:
                channel: Any = FakeChannel(loop, self._server.answering, self._server.edit)
                connected(channel)

        loop.at(loop.now + self._server.takes, end)

    def close(self) -> None:
        """Ends the attempt."""
        self._isOver = True

    def giveUp(self) -> None:
        """Ends the attempt without an answer."""
        self.close()
        self._failed(Reason(ErrorKind.CONNECT_TIMED_OUT))


class SimulatedLoad:
    """Load generator on simulated time, whose warm-up begins a second after it is ready.

    :ivar said: all lines of the worker.
    """

    def __init__(self, server: FakeServer, settings: LoadSettings, seed: int = 1, index: int = 0) -> None:
        self.loop = server.loop
        self.said: list[dict[str, Any]] = []
        self.generator = LoadGenerator(self.loop, cast(Address, server), settings, seed, index, self._say)
        self.begin = 0.0

    def _say(self, data: dict[str, Any]) -> None:
        self.said.append(data)
        if "ready" in data:
            self.begin = self.loop.now + 1
            self.generator.begin(self.begin)

    def run(self) -> SimulatedLoad:
        """Runs the load until its end; returns this object."""
        self.generator.connect()
        self.loop.run()
        return self

    @property
    def seconds(self) -> list[dict[str, Any]]:
        """Returns the worker's line for each second."""
        return [each for each in self.said if "second" in each]

    def total(self, name: str) -> int:
        """Returns the sum over the seconds."""
        return sum(each[name] for each in self.seconds)

    def errors(self) -> dict[str, int]:
        """Returns the errors of all seconds, by kind."""
        errors: dict[str, int] = {}
        for each in self.seconds:
            for kind, count in each["errors"].items():
                errors[kind] = errors.get(kind, 0) + count
        return errors

    def histogram(self, name: str) -> Histogram:
        """Returns the sum over the seconds."""
        histogram = Histogram()
        for each in self.seconds:
            if name in each:
                histogram.add(each[name])
        return histogram
