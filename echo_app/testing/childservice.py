"""Service under test, which takes the test's requests over the control connection."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

# The base of all reactors, imported here while child.py hides pyOpenSSL.
from twisted.internet import posixbase  # noqa: F401
from twisted.logger import globalLogBeginner, textFileLogObserver

from echo_app.accesslog import file as accesslog
from echo_app.cli.options import Options
from echo_app.cli.tap import makeService
from echo_app.faults.plan import FaultPlan
from echo_app.service.control import Control


class ChildOptions(Options):
    """The options of ``twistd echo``, with a free port by default.

    :param settings: further settings of the test: ``faults``, true if faults may change, and ``ca``, the path
        at which to write the authority of the certificate for ``--tls``.
    """

    defaultPort = 0

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        self._settings = settings

    def postOptions(self) -> None:
        """Makes the certificate, before the options are checked."""
        if self._settings.get("ca") and self["certificate"] is None:
            from echo_app.tls.certificates import throwAwayWithAuthority

            authority, identity = throwAwayWithAuthority()
            _write(self._settings["ca"], authority)
            _write("identity.pem", identity)
            self["certificate"] = "identity.pem"
        super().postOptions()

    def faultPlan(self) -> FaultPlan | None:
        """Returns the fault plan; an empty one if faults may come later."""
        plan = super().faultPlan()
        return FaultPlan() if plan is None and self._settings.get("faults") else plan


class ChildService:
    """Runs the service, and carries out the test's requests.

    :param settings: the test's settings besides the options.
    :param say: sends a message to the test.
    """

    def __init__(self, settings: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> None:
        self._settings = settings
        self._say = say
        self._options = ChildOptions(settings)
        # A test that waits for a record must not wait for further lines.
        accesslog.DELAY = 0.0

    def run(self, arguments: Sequence[str]) -> None:
        """Runs the service as ``twistd -n echo`` does, and tells the test when it listens.

        :param arguments: the options of ``twistd echo``.
        """
        if self._settings.get("reactor"):
            from twisted.application.reactors import installReactor

            installReactor(self._settings["reactor"])
        self._options.parseOptions(arguments)
        service = makeService(self._options)
        self._control = Control(service)
        from twisted.internet import reactor

        self._reactor: Any = reactor
        globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)])
        service.privilegedStartService()
        service.startService()
        self._reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
        # After the ready file, which is written in the reactor's first turn.
        self._reactor.callWhenRunning(self._reactor.callLater, 0, self._say, {})
        # A shell makes its background processes ignore SIGINT, and EchoServer.end sends SIGTERM and SIGINT.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        numbers = _noteSignals(self._reactor)
        self._reactor.run()
        if numbers:
            # As twistd does: the exit status is that of the signal.
            signal.signal(numbers[0], signal.SIG_DFL)
            os.kill(os.getpid(), numbers[0])

    def handle(self, request: dict[str, Any]) -> None:
        """Carries out a request in the reactor's thread, and answers it. The caller is another thread."""
        self._reactor.callFromThread(lambda: self._say(self._control.handle(request)))


def _noteSignals(reactor: Any) -> list[int]:
    """Returns a list to which the reactor's handlers add the number of each signal."""
    numbers: list[int] = []

    def noting(handler: Callable[..., None]) -> Callable[..., None]:
        def handle(number: int, frame: FrameType | None = None) -> None:
            numbers.append(number)
            handler(number, frame)

        return handle

    reactor.sigTerm = noting(reactor.sigTerm)
    reactor.sigInt = noting(reactor.sigInt)
    return numbers


def _write(path: str, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
