"""Descriptor limit and signal handlers of the process, which only the command line sets, never a service."""

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

# The number of descriptors that select(2) can poll: FD_SETSIZE of Linux.
SELECT_DESCRIPTORS = 1024

_Handler = Callable[[int, FrameType | None], None]


def raiseDescriptorLimit(reactor: object) -> int | None:
    """Raises the soft limit of descriptors to the hard one; returns the limit, None if there is none.

    Under select(2) the limit stays as it is: a descriptor beyond FD_SETSIZE would stop the reactor.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if isinstance(reactor, SelectReactor):
        return SELECT_DESCRIPTORS if soft == resource.RLIM_INFINITY else min(soft, SELECT_DESCRIPTORS)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return None if hard == resource.RLIM_INFINITY else hard


def abortOnSecondSignal(reactor: Any, service: EchoService) -> None:
    """Stops at the first SIGTERM or SIGINT, as the reactor does, and aborts the service at further ones.

    Call this before the reactor runs: the reactor then installs these handlers in place of its own methods at
    its start. A reactor that installs no handlers gets none here.
    """
    signals = itertools.count()

    def abortingLater(stop: _Handler) -> _Handler:
        def handle(number: int, frame: FrameType | None = None) -> None:
            # The handler of another signal may interrupt this one between any two steps; next() is one step.
            # So an abort may come before the stop, and the service remembers the abort.
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
    """Makes SIGHUP reload the service's files."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGHUP, lambda number, frame: reactor.callFromThread(service.reload))
