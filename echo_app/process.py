"""What the command line does to its process, and a service never does: limits and signals."""

from __future__ import annotations

import resource
import signal
import threading
from types import FrameType
from typing import Any

from twisted.internet.selectreactor import SelectReactor

from echo_app.service import EchoService

# The descriptors that select(2) can be asked about: FD_SETSIZE of Linux.
SELECT_DESCRIPTORS = 1024


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
    """Lets the reactor's handler have the first SIGTERM or SIGINT, and the service the next ones."""
    if threading.current_thread() is not threading.main_thread():
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    first = {number: handler for number, handler in handlers.items() if callable(handler)}

    def abort(number: int, frame: FrameType | None) -> None:
        reactor.callFromThread(service.abort)

    def stop(number: int, frame: FrameType | None) -> None:
        for each in first:
            signal.signal(each, abort)
        first[signal.Signals(number)](number, frame)

    for number in first:
        signal.signal(number, stop)


def reloadOnHangup(reactor: Any, service: EchoService) -> None:
    """Has the service read its files again at SIGHUP."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGHUP, lambda number, frame: reactor.callFromThread(service.reload))
