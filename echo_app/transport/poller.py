"""Nested poller: an epoll for many descriptors that is one descriptor to the reactor.

Around every event a Twisted reactor sets up a log context, which costs more than the event. Descriptors of
a :class:`NestedPoller` are in an epoll of its own (epoll(7) nests), so that it is paid once for a batch.
The reactor's rules hold for them: what ``doRead`` and ``doWrite`` return, half-close, and that an exception
is logged and disconnects its descriptor alone. One thing differs: events that they log have no prefix of
their own in Twisted's legacy log context.

The rules of a poller: it is in the reactor, and its epoll is open, exactly while it has a descriptor. An
event is dropped if its descriptor's interests have changed since the poll: the descriptor may have been
closed, and its number taken by another one. Epoll is level-triggered and reports what is still true.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from time import monotonic
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IHalfCloseableDescriptor,
    ILoggingContext,
    IReactorFDSet,
    IReadDescriptor,
)
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

log = Logger()

# epoll(7) is Linux's.
HAS_EPOLL = hasattr(select, "epoll")
if HAS_EPOLL:
    from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, epoll

# Events that one poll asks for: some 0.5 ms of small ones, some 3 ms with 64 KiB each.
EVENTS = 64

# Seconds after which no further poll is begun in one turn of the reactor: everything else that it serves
# waits that long, and its own cost of a turn, some 10 microseconds, is below a hundredth.
TURN = 0.002


@implementer(IReactorFDSet, IReadDescriptor, ILoggingContext)
class NestedPoller:
    """Polls descriptors on behalf of a reactor, in which it is one descriptor itself.

    :param reactor: what polls it.
    """

    def __init__(self, reactor: IReactorFDSet) -> None:
        self._reactor = reactor
        self._epoll: Any = None
        self._descriptors: dict[int, Any] = {}
        self._interests: dict[int, int] = {}
        self._changed: set[int] = set()

    def addReader(self, reader: Any) -> None:
        """Calls the descriptor's ``doRead`` when there is something to read."""
        self._add(reader, EPOLLIN)

    def addWriter(self, writer: Any) -> None:
        """Calls the descriptor's ``doWrite`` when it can be written to."""
        self._add(writer, EPOLLOUT)

    def removeReader(self, reader: Any) -> None:
        """Ends what :meth:`addReader` began; harmless if nothing did."""
        self._remove(reader, EPOLLIN)

    def removeWriter(self, writer: Any) -> None:
        """Ends what :meth:`addWriter` began; harmless if nothing did."""
        self._remove(writer, EPOLLOUT)

    def removeAll(self) -> list[Any]:
        """Removes every descriptor, and returns them."""
        removed = list(self._descriptors.values())
        for descriptor in removed:
            self._remove(descriptor, EPOLLIN | EPOLLOUT)
        return removed

    def getReaders(self) -> list[Any]:
        """Returns the descriptors that are read from."""
        return self._interestedIn(EPOLLIN)

    def getWriters(self) -> list[Any]:
        """Returns the descriptors that wait to be written to."""
        return self._interestedIn(EPOLLOUT)

    def _interestedIn(self, event: int) -> list[Any]:
        return [self._descriptors[fd] for fd, interest in self._interests.items() if interest & event]

    def _add(self, descriptor: Any, event: int) -> None:
        fd = descriptor.fileno()
        before = self._interests.get(fd, 0)
        if before & event:
            return
        if self._epoll is None:
            self._enter()
        if before:
            self._epoll.modify(fd, before | event)
        else:
            self._epoll.register(fd, event)
            self._descriptors[fd] = descriptor
        self._interests[fd] = before | event
        self._changed.add(fd)

    def _remove(self, descriptor: Any, event: int) -> None:
        fd = descriptor.fileno()
        if fd < 0:
            fd = next((fd for fd, each in self._descriptors.items() if each is descriptor), fd)
        before = self._interests.get(fd, 0)
        after = before & ~event
        if after == before:
            return
        self._changed.add(fd)
        if after:
            self._epoll.modify(fd, after)
            self._interests[fd] = after
            return
        del self._interests[fd], self._descriptors[fd]
        try:
            self._epoll.unregister(fd)
        except OSError:
            # It was closed behind our back. If it had been duplicated, epoll would report it for ever.
            self._leave()
            self._enter()
            for each, interest in self._interests.items():
                self._epoll.register(each, interest)
        if not self._descriptors:
            self._leave()

    def _enter(self) -> None:
        self._epoll = epoll()
        self._reactor.addReader(self)

    def _leave(self) -> None:
        self._reactor.removeReader(self)
        self._epoll.close()
        self._epoll = None

    def doRead(self) -> None:
        """Serves the descriptors that are ready: the reactor's call when any of them is."""
        until = monotonic() + TURN
        while self._epoll is not None and self._serve(self._epoll.poll(0, EVENTS)) and monotonic() < until:
            pass

    def _serve(self, events: list[tuple[int, int]]) -> bool:
        """Serves a batch of events; says whether there was any."""
        descriptors, changed = self._descriptors, self._changed
        changed.clear()
        for fd, event in events:
            descriptor = descriptors.get(fd)
            if descriptor is None or (changed and fd in changed):
                continue
            try:
                if event == EPOLLIN:
                    isRead, why = True, descriptor.doRead()
                else:
                    isRead, why = self._serveOther(descriptor, fd, event)
            except BaseException as error:
                log.failure("{descriptor} is disconnected", descriptor=descriptor)
                isRead, why = False, error
            if why:
                self._disconnect(descriptor, why, isRead)
        return bool(events)

    def _serveOther(self, descriptor: Any, fd: int, event: int) -> tuple[bool, Any]:
        """Serves an event that is not input alone; returns whether reading ended, and why."""
        if event & (EPOLLHUP | EPOLLERR) and not event & EPOLLIN:
            # All input is read. To a reader this is the end of the stream.
            isReading = bool(self._interests[fd] & EPOLLIN)
            return isReading, CONNECTION_DONE if isReading else CONNECTION_LOST
        if event & EPOLLIN:
            why = descriptor.doRead()
            if why or fd in self._changed or not event & EPOLLOUT:
                return True, why
        return False, descriptor.doWrite()

    def _disconnect(self, descriptor: Any, why: BaseException, isRead: bool) -> None:
        """Tells a descriptor that it is at its end, or, where only its input is, that."""
        self.removeReader(descriptor)
        isInput = isRead and isinstance(why, ConnectionDone)
        if isInput and IHalfCloseableDescriptor.providedBy(descriptor):
            _tell(descriptor, descriptor.readConnectionLost, _failureOf(why))
        else:
            self.removeWriter(descriptor)
            _tell(descriptor, descriptor.connectionLost, _failureOf(why))

    def connectionLost(self, reason: Failure) -> None:
        """Disconnects every descriptor: the reactor shuts down."""
        for descriptor in self.removeAll():
            _tell(descriptor, descriptor.connectionLost, reason)

    def fileno(self) -> int:
        """Returns the descriptor of its epoll; -1 while it has nothing to poll."""
        return -1 if self._epoll is None else self._epoll.fileno()

    def logPrefix(self) -> str:
        """Returns what a whole batch of events is logged as."""
        return type(self).__name__

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {list(self._descriptors.values())}>"


# The two ordinary ends; a Failure takes longer to make than all the rest of an end.
_ORDINARY: dict[BaseException, Failure] = {each: Failure(each) for each in (CONNECTION_DONE, CONNECTION_LOST)}


def _failureOf(why: BaseException) -> Failure:
    return _ORDINARY.get(why) or Failure(why)


def _tell(descriptor: object, event: Callable[[Failure], object], reason: Failure) -> None:
    """Tells one descriptor; that it fails is no reason for the others to be disconnected."""
    try:
        event(reason)
    except BaseException:
        log.failure("{descriptor} failed at its end", descriptor=descriptor)
