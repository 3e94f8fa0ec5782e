"""Descriptor limit and signals of the process, which the command line sets and a service never does."""

from __future__ import annotations

import itertools
import resource
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from twisted.internet.selectreactor import SelectReactor

from echo_app.service.echoservice import EchoService

# The descriptors that select(2) can be asked about: FD_SETSIZE of Linux.
SELECT_DESCRIPTORS = 1024

_Handler = Callable[[int, FrameType | None], None]


def raiseDescriptorLimit(reactor: object) -> int | None:
    """Raises the soft limit to the hard one; returns what descriptors stay below, None if nothing.

    Under select(2) the limit stays, since a descriptor beyond its set would stop the reactor.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if isinstance(reactor, SelectReactor):
        return SELECT_DESCRIPTORS if soft == resource.RLIM_INFINITY else min(soft, SELECT_DESCRIPTORS)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return None if hard == resource.RLIM_INFINITY else hard


def abortOnSecondSignal(reactor: Any, service: EchoService) -> None:
    """Lets the reactor's handler have the first SIGTERM or SIGINT, and the service the next ones.

    To be called before the reactor runs: it installs these handlers in place of its own methods when it
    starts, so that no signal finds others. A reactor that installs none gets none here either.
    """
    signals = itertools.count()

    def abortingLater(stop: _Handler) -> _Handler:
        def handle(number: int, frame: FrameType | None = None) -> None:
            # The handler of another signal may run between any two steps of this one, and next() is one
            # step. An abort may so come before the stop: the service remembers it.
            if next(signals) == 0:
                stop(number, frame)
            else:
                reactor.callFromThread(service.abort)

        return handle

    for number, name in ((signal.SIGTERM, "sigTerm"), (signal.SIGINT, "sigInt")):
        # A reactor in memory, for unit tests, has no handlers.
        stop = getattr(reactor, name, None)
        if stop is not None:
            handler = abortingLater(stop)
            setattr(reactor, name, handler)
            # The reactor runs already.
            if signal.getsignal(number) == stop:
                signal.signal(number, handler)


def reloadOnHangup(reactor: Any, service: EchoService) -> None:
    """Has the service read its files again at SIGHUP."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGHUP, lambda number, frame: reactor.callFromThread(service.reload))
