"""Connections in memory and over loopback TCP: the same scripts, and the same is seen at both ends.

The reactor is one of the tests' own, of which they take the turns by hand.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

from hypothesis import strategies as st
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from echo_app.testing.memory import connectedPair
from echo_app.testing.memorysocket import MemorySocket
from tests.support.properties import Phase, given, settings
from tests.support.service import reactorName

if reactorName() != "epoll":
    skip = "it has a reactor of its own: the tests' reactor does not matter"

# Bytes that a kernel holds, in either direction, for a peer that does not read, with any buffers.
LITTLE = 500

# Bytes over the high-water mark, and over what Twisted sends at once.
MUCH, VERY_MUCH = 70_000, 300_000

# Seconds until what was not seen over loopback is missing.
PATIENCE = 10.0

# Turns without an event after which a connection over loopback is taken for quiet.
QUIET_TURNS = 4

# Steps without a delivery between them: by whom, what, and how much.
Burst = list[tuple[str, str, int]]

DATA = bytes(range(251)) * (VERY_MUCH // 251 + 1)

# By what they show: how ends and resets come behind what was not read, and what both ends do at a time. A
# line is a burst. What holds on every transport is in tests/support/wholetransport.py.
SCRIPTS = {
    "data and the end of the stream together": """
        client: write 500, halfClose
        server: write 500, halfClose""",
    "a reset behind what a reader has not read": """
        server: pause
        client: write 500
        client: abort
        server: resume""",
    "an end, and then a reset, behind what a reader has not read": """
        server: pause
        client: write 500, close
        server: write 1
        server: resume
        server: write 1""",
    "a close with something unread": """
        server: pause
        client: write 500
        server: write 500, close
        client: write 1
        client: write 1""",
    "a reset while reading is paused, and writing": """
        server: pause
        client: abort
        server: write 1
        server: resume""",
    "a close after a half-close": """
        client: halfClose
        client: close
        server: write 1""",
    "both half-close": """
        client: halfClose
        server: halfClose
        client: resume
        client: close""",
    "after the end nothing can be done": """
        client: close
        client: write 1, halfClose, close, abort, resume, push, unregister, pull 1""",
    "a half-close does not wait for a producer to go": """
        client: push, write 70000, halfClose
        client: write 1
        client: unregister, close""",
}


class End(Protocol):
    """One end of a connection, which follows the script, and notes its events.

    :ivar stream: what it was told of the stream; data that follow each other are one.
    :ivar production: what its producer was told.
    """

    transport: Any
    other: End

    def __init__(self, isHalfCloseable: bool) -> None:
        self.stream: list[Any] = []
        self.production: list[str] = []
        self._isPaused = False
        self._left = 0
        if isHalfCloseable:
            directlyProvides(self, IHalfCloseableProtocol)

    def dataReceived(self, data: bytes) -> None:
        if isinstance(self.stream[-1], bytearray):
            self.stream[-1] += data
        else:
            self.stream.append(bytearray(data))

    def connectionMade(self) -> None:
        self.stream.append("made")

    def readConnectionLost(self) -> None:
        self.stream.append("read lost")

    def writeConnectionLost(self) -> None:
        self.stream.append("write lost")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.stream.append(type(reason.value).__name__)

    def pauseProducing(self) -> None:
        self.production.append("pause")

    def resumeProducing(self) -> None:
        self.production.append("resume")
        if self._left:
            self._left -= 1
            self.transport.write(DATA[:LITTLE])
        elif not self.transport.streamingProducer:
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        self.production.append("stop")

    def arrived(self) -> object:
        """Returns whether the kernel has something to read, and whether nothing goes to and fro any more."""
        if not self.transport.connected:
            return None
        handle = self.transport.getHandle()
        if isinstance(handle, MemorySocket):
            return handle.isReadable, handle.isHungUp
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        events = dict(poll.poll(0)).get(handle.fileno(), 0)
        return bool(events & select.POLLIN), bool(events & select.POLLHUP)

    # The steps of a script.

    def write(self, size: int) -> None:
        # How much a kernel takes for a paused peer is not compared, nor what gets lost of it by a reset,
        # which a close with something unread is.
        size = min(size, LITTLE) if self._isPaused or self.other._isPaused else size
        self.transport.write(DATA[:size])

    def writeMany(self, size: int) -> None:
        self.transport.writeSequence([DATA[:1], b"", DATA[: min(size, LITTLE)]])

    def pause(self, _: int) -> None:
        self._isPaused = True
        self.transport.pauseProducing()

    def resume(self, _: int) -> None:
        self._isPaused = False
        self.transport.resumeProducing()

    def push(self, _: int) -> None:
        self._register(streaming=True)

    def pull(self, times: int) -> None:
        self._left = min(times, 3)
        self._register(streaming=False)

    def _register(self, streaming: bool) -> None:
        try:
            self.transport.registerProducer(self, streaming)
        except RuntimeError:
            self.production.append("refused")

    def unregister(self, _: int) -> None:
        self._left = 0
        self.transport.unregisterProducer()

    def halfClose(self, _: int) -> None:
        try:
            self.transport.loseWriteConnection()
        except ValueError:
            self.production.append("refused")

    def close(self, _: int) -> None:
        # It does not read from now on, also where a producer keeps it open.
        self._isPaused = True
        self.transport.loseConnection()

    def stop(self, _: int) -> None:
        self._isPaused = True
        self.transport.stopProducing()

    def abort(self, _: int) -> None:
        self.transport.abortConnection()


SIZES = st.sampled_from([1, LITTLE, MUCH, VERY_MUCH])
GOING_ON = ["write", "writeMany", "pause", "resume", "push", "pull", "unregister"]
ENDING = ["halfClose", "close", "stop", "abort"]
# Steps of one side: the order of simultaneous steps of both sides is undefined.
BURSTS = st.tuples(
    st.sampled_from(["client", "server"]),
    # A connection goes on more often than it ends.
    st.lists(st.tuples(st.sampled_from([*GOING_ON * 2, *ENDING]), SIZES), min_size=1, max_size=3),
).map(lambda burst: [(burst[0], what, size) for what, size in burst[1]])


class Loopback:
    """A reactor, and a port, on which connections over TCP are made."""

    def __init__(self) -> None:
        self.reactor: Any = EPollReactor()
        self._server: Protocol | None = None
        factory = Factory()
        factory.noisy = False
        factory.buildProtocol = lambda _: self._server  # type: ignore[assignment]
        self._port = self.reactor.listenTCP(0, factory, interface="127.0.0.1")

    def connect(self, client: Protocol, server: Protocol) -> None:
        self._server = server
        factory = ClientFactory()
        factory.noisy = False
        factory.buildProtocol = lambda _: client  # type: ignore[assignment]
        self.reactor.connectTCP("127.0.0.1", self._port.getHost().port, factory)
        self.turnUntil(lambda: bool(client.transport and server.transport))

    def turnUntil(self, isSo: Callable[[], bool]) -> None:
        """Takes turns until something is so, or until patience ends; and some more, for what is too much."""
        deadline = time.monotonic() + PATIENCE
        while not isSo() and time.monotonic() < deadline:
            self.reactor.iterate(0.01)
        for _ in range(QUIET_TURNS):
            self.reactor.iterate(0)

    def close(self) -> None:
        stopped = self._port.stopListening()
        self.turnUntil(lambda: stopped is None or bool(stopped.called))
        for reader in self.reactor.removeAll():
            reader.connectionLost(connectionDone)
        for reader in list(self.reactor._internalReaders):
            reader.connectionLost(connectionDone)
        self.reactor._poller.close()


def seen(ends: Iterable[End]) -> list[object]:
    """Returns what was seen at the ends."""
    return [
        bytes(each) if isinstance(each, bytearray) else each
        for end in ends
        for each in (*end.stream, *end.production)
    ]


def everything(ends: Iterable[End]) -> list[object]:
    """Returns what was seen at the ends, and what their kernels say."""
    return [*seen(ends), *(end.arrived() for end in ends)]


def shown(ends: Iterable[End]) -> list[object]:
    """Returns what was seen at the ends, so that a difference can be read."""
    return [f"{len(each)} bytes" if isinstance(each, bytes) else each for each in everything(ends)]


def parsed(script: str) -> list[Burst]:
    """Returns a script's bursts."""
    bursts = []
    for line in script.split("\n")[1:]:
        who, _, steps = line.strip().partition(": ")
        words = [f"{step} 0".split() for step in steps.split(", ")]
        bursts.append([(who, what, int(size)) for what, size, *_ in words])
    return bursts


class ComparedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.loopback = Loopback()
        self.addCleanup(self.loopback.close)

    def compare(self, script: list[Burst], halfCloseable: tuple[bool, bool]) -> None:
        """Runs a script in memory and over TCP, and compares what was seen after each burst."""
        inMemory, overTCP = ([End(each) for each in halfCloseable] for _ in range(2))
        for client, server in (inMemory, overTCP):
            client.other, server.other = server, client
        pair = connectedPair(*inMemory)
        self.loopback.connect(*overTCP)
        try:
            for burst in script:
                for client, server in (inMemory, overTCP):
                    for who, what, size in burst:
                        getattr({"client": client, "server": server}[who], what)(size)
                pair.flush()
                # A reset, or data, that no end has read yet has arrived all the same.
                self.loopback.turnUntil(lambda: everything(inMemory) == everything(overTCP))
                if everything(inMemory) != everything(overTCP):
                    where = f"after {burst} of {script}, {halfCloseable}"
                    self.fail(f"{shown(inMemory)} in memory, {shown(overTCP)} over TCP, {where}")
        finally:
            for end in overTCP:
                end.transport.unregisterProducer()
                end.transport.abortConnection()
            self.loopback.turnUntil(lambda: not any(end.transport.connected for end in overTCP))

    def test_scripts(self) -> None:
        """In each script the same is seen, by protocols that hear of half-closes and by others."""
        for what, script in SCRIPTS.items():
            for halfCloseable in product((True, False), (True, False)):
                try:
                    self.compare(parsed(script), halfCloseable)
                except self.failureException as error:
                    raise self.failureException(f"{what}: {error}") from error

    @settings(max_examples=150, phases=[Phase.generate])
    @given(st.lists(BURSTS, max_size=8), st.tuples(st.booleans(), st.booleans()))
    def test_random(self, script: list[Burst], halfCloseable: tuple[bool, bool]) -> None:
        """Any order of writes, pauses, producers and closes has the same effects in memory and over TCP."""
        self.compare(script, halfCloseable)
