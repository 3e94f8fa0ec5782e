"""Nested poller: an epoll for many descriptors that is one descriptor to the reactor.

For every event a Twisted reactor sets up a log context, which costs more than the event. The descriptors of
a :class:`NestedPoller` are in an epoll of its own (epoll(7) nests), so a batch of events needs one log
context. The reactor's rules stay: for the results of ``doRead`` and ``doWrite``, for a half-close, and for an
exception, which is logged and disconnects only its descriptor. One thing differs: log events of the
descriptors have no prefix of their own in Twisted's legacy log context.

The rules of a poller:

- The poller is in the reactor, and its epoll is open, exactly while it has a descriptor.
- An event is dropped if its descriptor's interests have changed since the poll: the descriptor may be closed,
  and its number taken by another one. Epoll is level-triggered, and reports a lasting event again.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from time import monotonic
from typing import Any
from weakref import WeakValueDictionary

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

# Only Linux has epoll(7).
HAS_EPOLL = hasattr(select, "epoll")
if HAS_EPOLL:
    from select import EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, epoll

    # The interest in a reset alone, besides input and output. The kernel reports one in any case, but also a
    # lasting end of both sides, so that it must tell only of changes (epoll(7), edge-triggered).
    RESET = EPOLLET
    _ALL = EPOLLIN | EPOLLOUT | RESET

# Events of one poll: some 0.5 ms with small reads, some 3 ms with 64 KiB each.
EVENTS = 64

# Seconds after which no further poll begins in one turn of the reactor. The reactor's other descriptors wait
# that long, and the cost of a turn, some 10 microseconds, is below a hundredth of it.
TURN = 0.002


@implementer(IReactorFDSet, IReadDescriptor, ILoggingContext)
class NestedPoller:
    """Polls descriptors for a reactor, which sees only the poller.

    :param reactor: polls the poller.
    """

    def __init__(self, reactor: IReactorFDSet) -> None:
        self._reactor = reactor
        self._epoll: Any = None
        self._descriptors: dict[int, Any] = {}
        # Only those other than EPOLLIN, which nearly all have: an entry takes 50 bytes.
        self._interests: dict[int, int] = {}
        self._changed: set[int] = set()

    def addReader(self, reader: Any) -> None:
        """Calls the descriptor's ``doRead`` when there is something to read."""
        self._add(reader, EPOLLIN)

    def addWriter(self, writer: Any) -> None:
        """Calls the descriptor's ``doWrite`` when it can be written to."""
        self._add(writer, EPOLLOUT)

    def addWatch(self, descriptor: Any) -> None:
        """Disconnects the descriptor at a reset, even while it waits for nothing else."""
        self._add(descriptor, RESET)

    def removeReader(self, reader: Any) -> None:
        """Ends the effect of :meth:`addReader`, if there is one."""
        self._remove(reader, EPOLLIN)

    def removeWriter(self, writer: Any) -> None:
        """Ends the effect of :meth:`addWriter`, if there is one."""
        self._remove(writer, EPOLLOUT)

    def removeDescriptor(self, descriptor: Any) -> None:
        """Ends the effect of :meth:`addReader`, :meth:`addWriter` and :meth:`addWatch`."""
        self._remove(descriptor, _ALL)

    def removeAll(self) -> list[Any]:
        """Removes every descriptor, and returns them."""
        removed = list(self._descriptors.values())
        for descriptor in removed:
            self._remove(descriptor, _ALL)
        return removed

    def getReaders(self) -> list[Any]:
        """Returns the descriptors that wait for input."""
        return self._interestedIn(EPOLLIN)

    def getWriters(self) -> list[Any]:
        """Returns the descriptors that wait for room to write."""
        return self._interestedIn(EPOLLOUT)

    def _interestedIn(self, event: int) -> list[Any]:
        return [each for fd, each in self._descriptors.items() if self._interestOf(fd) & event]

    def _interestOf(self, fd: int) -> int:
        """Returns the events that a descriptor waits for; 0 without a descriptor."""
        return self._interests.get(fd) or (EPOLLIN if fd in self._descriptors else 0)

    def _setInterest(self, fd: int, interest: int) -> None:
        if interest in (0, EPOLLIN):
            self._interests.pop(fd, None)
        else:
            self._interests[fd] = interest
        self._changed.add(fd)

    def _add(self, descriptor: Any, event: int) -> None:
        fd = descriptor.fileno()
        before = self._interestOf(fd)
        if before & event:
            return
        if self._epoll is None:
            self._enter()
        if before:
            self._modify(fd, before, before | event)
        else:
            self._epoll.register(fd, event)
            self._descriptors[fd] = descriptor
        self._setInterest(fd, before | event)

    def _remove(self, descriptor: Any, event: int) -> None:
        fd = descriptor.fileno()
        if fd < 0:
            fd = next((fd for fd, each in self._descriptors.items() if each is descriptor), fd)
        before = self._interestOf(fd)
        after = before & ~event
        if after == before:
            return
        self._setInterest(fd, after)
        if after:
            self._modify(fd, before, after)
            return
        del self._descriptors[fd]
        try:
            self._epoll.unregister(fd)
        except OSError:
            # Other code has closed the descriptor. If a duplicate is open, epoll would report it for ever.
            self._leave()
            self._enter()
            for each in self._descriptors:
                self._epoll.register(each, _eventsOf(self._interestOf(each)))
        if not self._descriptors:
            self._leave()

    def _modify(self, fd: int, before: int, after: int) -> None:
        if _eventsOf(before) != _eventsOf(after):
            self._epoll.modify(fd, _eventsOf(after))

    def _enter(self) -> None:
        self._epoll = epoll()
        self._reactor.addReader(self)

    def _leave(self) -> None:
        self._reactor.removeReader(self)
        self._epoll.close()
        self._epoll = None

    def doRead(self) -> None:
        """Serves the descriptors that are ready. The reactor calls this when any of them is."""
        until = monotonic() + TURN
        while self._epoll is not None and self._serve(self._epoll.poll(0, EVENTS)) and monotonic() < until:
            pass

    def _serve(self, events: list[tuple[int, int]]) -> bool:
        """Serves a batch of events; returns whether there was an event."""
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
                self._disconnect(descriptor, fd, why, isRead)
        return bool(events)

    def _serveOther(self, descriptor: Any, fd: int, event: int) -> tuple[bool, Any]:
        """Serves an event other than input alone; returns whether reading ended, and the reason."""
        if event & (EPOLLHUP | EPOLLERR) and not event & EPOLLIN:
            # All input is read. To a reader this is the end of the stream.
            interest = self._interestOf(fd)
            if interest & EPOLLIN:
                return True, CONNECTION_DONE
            if interest == RESET and not event & EPOLLERR:
                # Both sides have ended, which is no reset.
                return False, None
            # A connection that is being closed may have sent everything, and then has ended well.
            return False, (descriptor.disconnecting and descriptor.doWrite()) or CONNECTION_LOST
        if event & EPOLLIN:
            why = descriptor.doRead()
            if why or fd in self._changed or not event & EPOLLOUT:
                return True, why
        return False, descriptor.doWrite()

    def _disconnect(self, descriptor: Any, fd: int, why: BaseException, isRead: bool) -> None:
        """Tells a descriptor of the end of its connection, or only of its input."""
        isInput = isRead and isinstance(why, ConnectionDone)
        if isInput and IHalfCloseableDescriptor.providedBy(descriptor):
            _tell(descriptor, descriptor.readConnectionLost, _failureOf(why))
            # Most connections end with their input, and have left already.
            if self._descriptors.get(fd) is descriptor:
                self.removeReader(descriptor)
        else:
            self.removeDescriptor(descriptor)
            _tell(descriptor, descriptor.connectionLost, _failureOf(why))

    def connectionLost(self, reason: Failure) -> None:
        """Disconnects every descriptor, at the reactor's shutdown."""
        for descriptor in self.removeAll():
            _tell(descriptor, descriptor.connectionLost, reason)

    def fileno(self) -> int:
        """Returns the descriptor of the epoll; -1 while the poller has no descriptor."""
        return -1 if self._epoll is None else self._epoll.fileno()

    def logPrefix(self) -> str:
        """Returns the log prefix for a batch of events."""
        return type(self).__name__

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {list(self._descriptors.values())}>"


def _eventsOf(interest: int) -> int:
    """Returns the events of an interest: input and output are level-triggered, whatever else there is."""
    return interest & ~RESET or interest


# By the id of their reactor, which a poller keeps alive.
_pollers: WeakValueDictionary[int, NestedPoller] = WeakValueDictionary()


def pollerOf(reactor: IReactorFDSet) -> NestedPoller:
    """Returns the poller of a reactor, which all listeners and upstreams share.

    With several, each batch of events costs a log context, and is smaller.
    """
    poller = _pollers.get(id(reactor))
    if poller is None:
        poller = _pollers[id(reactor)] = NestedPoller(reactor)
    return poller


# The two ordinary reasons of an end, made once: a Failure takes longer to make than the rest of an end.
_ORDINARY: dict[BaseException, Failure] = {each: Failure(each) for each in (CONNECTION_DONE, CONNECTION_LOST)}


def _failureOf(why: BaseException) -> Failure:
    return _ORDINARY.get(why) or Failure(why)


def _tell(descriptor: object, event: Callable[[Failure], object], reason: Failure) -> None:
    """Tells one descriptor of an event. Its exception is logged, and leaves the others connected."""
    try:
        event(reason)
    except BaseException:
        log.failure("{descriptor} failed at its end", descriptor=descriptor)
