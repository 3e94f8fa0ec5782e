"""Descriptor limit and signal handlers of the process, which only the command line sets, never a service."""

from __future__ import annotations

import atexit
import errno
import itertools
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

from twisted.internet.selectreactor import SelectReactor
from twisted.logger import Logger

from echo_app.cli.early import endAtOnce, tookHangup
from echo_app.connections.registry import RESERVED_DESCRIPTORS
from echo_app.service.echoservice import EchoService

log = Logger()

# The number of descriptors that select(2) can poll: FD_SETSIZE of Linux.
SELECT_DESCRIPTORS = 1024

_Handler = Callable[[int, FrameType | None], None]

# The signals that stop the service, with the reactor's methods for them.
_STOPS = ((signal.SIGTERM, "sigTerm"), (signal.SIGINT, "sigInt"))

# Their handlers until a program installs its own.
_DEFAULTS: dict[int, Any] = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}


# Descriptors that a process opens between its listening and its first connection: the log, and the pipe of
# SIGCHLD.
_LATER_DESCRIPTORS = 3


def raiseDescriptorLimit(reactor: object) -> int | None:
    """Raises the soft limit of descriptors to the hard one; returns the limit, None if there is none.

    Where the kernel does not permit that, the soft limit stays.

    Under select(2) the limit stays as it is: a descriptor beyond FD_SETSIZE would stop the reactor.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if isinstance(reactor, SelectReactor):
        return SELECT_DESCRIPTORS if soft == resource.RLIM_INFINITY else min(soft, SELECT_DESCRIPTORS)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:
            log.warn("descriptor limit {soft} not raised to {hard}: {why}", soft=soft, hard=hard, why=error)
            hard = soft
    return None if hard == resource.RLIM_INFINITY else hard


def hasDescriptors(limit: int | None) -> bool:
    """Returns whether a descriptor limit leaves room for a connection, when the listeners are open."""
    if limit is None:
        return True
    try:
        lowest = os.open(os.devnull, os.O_RDONLY)
    except OSError:
        return False
    os.close(lowest)
    return lowest + _LATER_DESCRIPTORS < limit - RESERVED_DESCRIPTORS


def abortOnSecondSignal(reactor: Any, service: EchoService) -> None:
    """Stops at the first SIGTERM or SIGINT, as the reactor does, and aborts the service at further ones.

    Call this before the reactor runs: the reactor then installs these handlers in place of its own methods at
    its start. A reactor that installs no handlers gets none here.
    """
    signals = itertools.count()
    first: list[int] = []
    if os.getpid() == 1:
        atexit.register(_exitAsInit, first)

    def abortingLater(stop: _Handler) -> _Handler:
        def handle(number: int, frame: FrameType | None = None) -> None:
            # The handler of another signal may interrupt this one between any two steps; next() is one step.
            # So an abort may come before the stop, and the service remembers the abort.
            if next(signals) == 0:
                first.append(number)
                stop(number, frame)
            else:
                reactor.callFromThread(service.abort)

        return handle

    for number, name in _STOPS:
        # A reactor in memory, for unit tests, has no handlers.
        stop = getattr(reactor, name, None)
        if stop is not None:
            handler = abortingLater(stop)
            setattr(reactor, name, handler)
            # The reactor runs already.
            if signal.getsignal(number) == stop:
                signal.signal(number, handler)


def holdSignals(reactor: Any) -> None:
    """Holds the first SIGTERM and SIGINT back until the reactor runs, and then delivers them.

    Without this, a signal during the start would end the process at once: its files would stay, and a process
    with the id 1 would ignore the signal (pid_namespaces(7)). Handlers of the program stay as they are.
    """
    isMain = threading.current_thread() is threading.main_thread()
    # A reactor in memory, for unit tests, has no handlers.
    if not isMain or reactor.running or not hasattr(reactor, "sigTerm"):
        return
    held: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        if number not in held:
            held.append(number)

    for number, default in _DEFAULTS.items():
        if signal.getsignal(number) in (default, endAtOnce):
            signal.signal(number, hold)

    def deliver() -> None:
        # A reactor with handlers replaces every handler of SIGTERM, but only Python's own one of SIGINT.
        hasHandlers = signal.getsignal(signal.SIGTERM) == reactor.sigTerm
        for number, name in _STOPS:
            if signal.getsignal(number) is hold:
                signal.signal(number, getattr(reactor, name) if hasHandlers else _DEFAULTS[number])
        for each in held:
            signal.raise_signal(each)

    reactor.callWhenRunning(deliver)


def reloadOnHangup(reactor: Any, service: EchoService, hasFiles: bool) -> None:
    """Makes SIGHUP reload the service's files, or stop the service if its terminal has closed.

    A stop is the one of SIGINT. A process that was started without a terminal, by ``nohup`` or by ``setsid``
    has no terminal that could close. Signals that come before a reload begins, also during the start, cause
    one reload.

    :param hasFiles: whether the service has any such file; without one, a line in the log says so.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    # A daemon leaves the terminal with its session.
    session = os.getsid(0) if hasTerminal() and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN else None
    isWaiting = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal isWaiting
        if not isWaiting:
            isWaiting = True
            reactor.callFromThread(answer)

    def answer() -> None:
        nonlocal isWaiting, session
        isWaiting = False
        if session != os.getsid(0) or hasTerminal():
            service.reload()
            if not hasFiles:
                log.info("SIGHUP: there is no file to read again")
        else:
            # The kernel and the shell both send SIGHUP; a second SIGINT would abort the connections.
            session = None
            log.info("SIGHUP: the terminal has closed")
            reactor.sigInt(signal.SIGINT)

    signal.signal(signal.SIGHUP, handle)
    if tookHangup():
        handle(signal.SIGHUP, None)


def hasTerminal() -> bool:
    """Returns whether the process has a controlling terminal (tty(4)); True without a ``/dev/tty``."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError as error:
        return error.errno not in (errno.ENXIO, errno.EIO)
    return True


def _exitAsInit(signals: list[int]) -> None:
    """Exits with the status that a shell shows for the first signal, as the last step of the process.

    ``twistd`` and ``twist`` end by sending themselves the signal, which the kernel ignores for the process
    with the id 1 of a container.
    """
    if signals:
        with suppress(OSError, ValueError, AttributeError):
            sys.stdout.flush()
        os._exit(128 + signals[0])
