"""Connecting to one of several addresses, as RFC 8305 ("Happy Eyeballs") says.

An attempt at the next address begins when the one before has failed, or a quarter of a second after it began.
The first connection that succeeds is taken, and all other attempts end.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, TimeoutError, getConnectError
from twisted.python.failure import Failure

from echo_app.forward.names import SocketName

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorFDSet, IReactorTime

# Seconds between the beginnings of two attempts (RFC 8305, section 5), and between two tries at a UNIX socket
# whose queue is full, where the kernel says nothing when there is room.
STAGGER = 0.25
RETRY = 0.02


class Connecting:
    """Connects to the first address that accepts.

    :param clock: counts the time.
    :param poller: tells when a socket is connected: a reactor, or a nested poller.
    :param names: the addresses, in the order of the attempts.
    :param timeout: seconds for all attempts together.

    :ivar done: fires with the connected socket, which does not block, and its address; fails with a
        ``ConnectError`` of Twisted's, that of the last attempt that failed. Cancelling it ends all attempts.
    """

    def __init__(
        self, clock: IReactorTime, poller: IReactorFDSet, names: Sequence[SocketName], timeout: float
    ) -> None:
        self.done: Deferred[tuple[socket.socket, Any]] = Deferred(lambda _: self._end())
        self._clock = clock
        self._poller = poller
        self._left = list(names)
        self._attempts: set[_Attempt] = set()
        self._error: ConnectError = ConnectError(string="no address")
        self._next: IDelayedCall | None = None
        self._deadline: IDelayedCall | None = clock.callLater(timeout, self._timeOut)
        self._begin()

    def _begin(self) -> None:
        """Begins the next attempt."""
        self._next = None
        while self._left and not self.done.called:
            try:
                attempt = _Attempt(self, self._poller, *self._left.pop(0))
            except OSError as error:
                # Most likely there are no descriptors left.
                self._error = getConnectError(error)
                continue
            self._attempts.add(attempt)
            attempt.begin()
            if attempt in self._attempts and not self.done.called:
                if self._left:
                    self._next = self._clock.callLater(STAGGER, self._begin)
                return
        if not self._attempts and not self.done.called:
            self._fail(self._error)

    def later(self, attempt: _Attempt) -> IDelayedCall:
        """Lets an attempt try again soon."""
        return self._clock.callLater(RETRY, attempt.begin)

    def succeeded(self, attempt: _Attempt) -> None:
        """Takes the socket of an attempt."""
        self._attempts.discard(attempt)
        self._end()
        self.done.callback((attempt.sock, attempt.name))

    def failed(self, attempt: _Attempt, number: int) -> None:
        """Goes on after an attempt that failed.

        :param number: the errno.
        """
        self._attempts.discard(attempt)
        attempt.sock.close()
        self._error = getConnectError((number, os.strerror(number)))
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if not attempt.isBeginning:
            self._begin()

    def _timeOut(self) -> None:
        self._deadline = None
        self._fail(TimeoutError())

    def _fail(self, error: ConnectError) -> None:
        self._end()
        self.done.errback(Failure(error))

    def _end(self) -> None:
        for call in (self._next, self._deadline):
            if call is not None:
                call.cancel()
        self._next = self._deadline = None
        self._left.clear()
        while self._attempts:
            self._attempts.pop().cancel()


class _Attempt:
    """A connection attempt at one address: a descriptor that waits until it can be written to.

    :ivar isBeginning: ``begin`` runs.
    """

    disconnecting = False

    def __init__(self, owner: Connecting, poller: Any, family: int, name: Any) -> None:
        self.name = name
        self.isBeginning = False
        self._retry: IDelayedCall | None = None
        self._owner = owner
        self._poller = poller
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.setblocking(False)

    def begin(self) -> None:
        """Asks the kernel to connect."""
        self.isBeginning = True
        try:
            number = self.sock.connect_ex(self.name)
        except OSError as error:
            # A name that the kernel was not asked about, such as a path that is too long.
            number = error.errno or errno.EINVAL
        if number == errno.EINPROGRESS:
            self._poller.addWriter(self)
        elif number == errno.EAGAIN:
            self._retry = self._owner.later(self)
        else:
            self._tell(number)
        self.isBeginning = False

    def doWrite(self) -> None:
        """Tells the result of the attempt."""
        self._poller.removeWriter(self)
        self._tell(self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def doRead(self) -> None:
        """Is not called."""

    def connectionLost(self, reason: Failure) -> None:
        """Tells the error of the attempt; the poller calls it."""
        self._tell(self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or errno.ECONNABORTED)

    def _tell(self, number: int) -> None:
        if number:
            self._owner.failed(self, number)
        else:
            self._owner.succeeded(self)

    def cancel(self) -> None:
        """Ends the attempt, without a word."""
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        with suppress(OSError):
            self._poller.removeWriter(self)
        self.sock.close()

    def fileno(self) -> int:
        """Returns the descriptor."""
        return self.sock.fileno()

    def logPrefix(self) -> str:
        """Returns the log prefix."""
        return "connecting"
