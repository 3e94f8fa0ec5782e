"""The first address that accepts is taken; no attempt, socket or call is left."""

from __future__ import annotations

import errno
import socket
from typing import Any

from twisted.internet.error import ConnectError, ConnectionRefusedError, TimeoutError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.forward import connecting
from echo_app.forward.connecting import STAGGER, Connecting
from echo_app.forward.names import SocketName, inTurns


class Poller:
    """Keeps the attempts that wait."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []

    def addWriter(self, attempt: Any) -> None:
        self.waiting.append(attempt)

    def removeWriter(self, attempt: Any) -> None:
        if attempt in self.waiting:
            self.waiting.remove(attempt)


class FakeSocket:
    """A socket whose connection attempt does what a test says.

    :cvar results: the results of connect_ex by the address; an attempt at any other is under way.
    :cvar made: all sockets.
    """

    results: dict[Any, int]
    made: list[FakeSocket]

    def __init__(self, family: int, kind: int) -> None:
        self.family = family
        self.isOpen = True
        self.error = 0
        self.tried = 0
        self.made.append(self)

    def setblocking(self, isBlocking: bool) -> None:
        assert not isBlocking

    def connect_ex(self, name: Any) -> int:
        self.name = name
        self.tried += 1
        return self.results.get(name, errno.EINPROGRESS)

    def getsockopt(self, level: int, option: int) -> int:
        return self.error

    def close(self) -> None:
        self.isOpen = False

    def fileno(self) -> int:
        return 99 if self.isOpen else -1


A, B, C = [(int(socket.AF_INET), ("192.0.2.1", port)) for port in (1, 2, 3)]


class ConnectingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.poller: Any = Poller()
        FakeSocket.results, FakeSocket.made = {}, []
        self.patch(socket, "socket", FakeSocket)

    def connect(self, *names: SocketName, timeout: float = 10) -> Connecting:
        return Connecting(self.clock, self.poller, names, timeout)

    def assertNothingLeft(self, *taken: object) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.poller.waiting, [])
        self.assertEqual([each for each in FakeSocket.made if each.isOpen], list(taken))

    def test_first(self) -> None:
        """The only address is connected when its socket can be written to."""
        done = self.connect(A).done
        self.assertNoResult(done)
        self.poller.waiting[0].doWrite()
        sock, name = self.successResultOf(done)
        self.assertEqual(name, A[1])
        self.assertNothingLeft(sock)

    def test_atOnce(self) -> None:
        """A UNIX socket is connected at once."""
        FakeSocket.results[A[1]] = 0
        sock, _ = self.successResultOf(self.connect(A, B).done)
        self.assertNothingLeft(sock)

    def test_next(self) -> None:
        """After a failure the next address is tried at once."""
        done = self.connect(A, B).done
        FakeSocket.made[0].error = errno.ECONNREFUSED
        self.poller.waiting[0].doWrite()
        self.poller.waiting[0].doWrite()
        _, name = self.successResultOf(done)
        self.assertEqual(name, B[1])
        self.assertNothingLeft(FakeSocket.made[1])

    def test_staggered(self) -> None:
        """An address without an answer delays the next by a quarter of a second; the first to accept wins."""
        done = self.connect(A, B, C).done
        self.clock.advance(STAGGER)
        self.clock.advance(STAGGER)
        self.assertEqual(len(self.poller.waiting), 3)
        self.poller.waiting[1].doWrite()
        _, name = self.successResultOf(done)
        self.assertEqual(name, B[1])
        self.assertNothingLeft(FakeSocket.made[1])

    def test_allFail(self) -> None:
        """When all have failed, the last error is told."""
        FakeSocket.results.update({A[1]: errno.ENETUNREACH, B[1]: errno.ECONNREFUSED})
        self.failureResultOf(self.connect(A, B).done, ConnectionRefusedError)
        self.assertNothingLeft()

    def test_hungUp(self) -> None:
        """The poller may tell an error as the end of the descriptor."""
        done = self.connect(A).done
        FakeSocket.made[0].error = errno.ECONNREFUSED
        attempt = self.poller.waiting.pop()
        attempt.connectionLost(None)
        self.failureResultOf(done, ConnectionRefusedError)
        self.assertNothingLeft()

    def test_timeOut(self) -> None:
        """All attempts together have one time-out."""
        done = self.connect(A, B, timeout=2).done
        self.clock.advance(1)
        self.assertNoResult(done)
        self.clock.advance(1)
        self.failureResultOf(done, TimeoutError)
        self.assertNothingLeft()

    def test_cancel(self) -> None:
        """A cancelled connection leaves nothing."""
        done = self.connect(A, B).done
        done.cancel()
        self.failureResultOf(done)
        self.assertNothingLeft()

    def test_fullQueue(self) -> None:
        """A UNIX socket whose queue is full is tried again, until it accepts or the time is over."""
        FakeSocket.results[A[1]] = errno.EAGAIN
        done = self.connect(A).done
        self.clock.pump([connecting.RETRY] * 5)
        self.assertEqual(FakeSocket.made[0].tried, 6)
        FakeSocket.results[A[1]] = 0
        self.clock.advance(connecting.RETRY)
        self.successResultOf(done)
        self.assertNothingLeft(FakeSocket.made[0])

    def test_fullQueueCancelled(self) -> None:
        """One that is to be tried again is not, after a cancellation."""
        FakeSocket.results[A[1]] = errno.EAGAIN
        done = self.connect(A).done
        done.cancel()
        self.failureResultOf(done)
        self.assertNothingLeft()

    def test_noDescriptor(self) -> None:
        """Without a descriptor the attempt fails."""

        def none(*arguments: object) -> Any:
            raise OSError(errno.EMFILE, "Too many open files")

        self.patch(socket, "socket", none)
        self.failureResultOf(self.connect(A, B).done, ConnectError)
        self.assertNothingLeft()

    def test_noAddress(self) -> None:
        """Without an address there is nothing to try."""
        self.failureResultOf(self.connect().done, ConnectError)
        self.assertNothingLeft()

    def test_inTurns(self) -> None:
        """The families of addresses are tried in turns, the first one first."""
        six = [(int(socket.AF_INET6), n) for n in range(3)]
        four = [(int(socket.AF_INET), n) for n in range(1)]
        self.assertEqual(inTurns([*six, *four]), [six[0], four[0], six[1], six[2]])
        self.assertEqual(inTurns([]), [])
