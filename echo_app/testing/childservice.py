"""Service under test, in its process: it takes the test's requests over the control connection."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

# What a reactor is made of, while the child's process has it imported without TLS.
from twisted.internet import posixbase  # noqa: F401
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.python.usage import UsageError

from echo_app.accesslog import file as accesslog
from echo_app.cli.options import Options
from echo_app.cli.settings import SETTINGS
from echo_app.cli.tap import makeService
from echo_app.faults.fault import Fault
from echo_app.faults.plan import FaultPlan
from echo_app.service.echoservice import EchoService


class ChildOptions(Options):
    """The options of ``twistd echo``, with a free port where it has none to listen on.

    :param settings: what the test asks for besides: ``faults``, whether they may change, and ``ca``, the path
        of a file to be made with the authority of the certificate for ``--tls``.
    """

    defaultPort = 0

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        self._settings = settings

    def postOptions(self) -> None:
        """Makes the certificate before it is looked for."""
        if self._settings.get("ca") and self["certificate"] is None:
            from echo_app.tls.certificates import throwAwayWithAuthority

            authority, identity = throwAwayWithAuthority()
            _write(self._settings["ca"], authority)
            _write("identity.pem", identity)
            self["certificate"] = "identity.pem"
        super().postOptions()

    def faultPlan(self) -> FaultPlan | None:
        """Returns a plan also where nothing goes wrong yet."""
        plan = super().faultPlan()
        return FaultPlan() if plan is None and self._settings.get("faults") else plan

    def faultsOf(self, specs: Sequence[str]) -> list[Fault]:
        """Returns the faults that specs mean.

        :raise UsageError: when one of them is none, or has nothing here to apply to.
        """
        faults = [SETTINGS["fault"].parse(spec) for spec in specs]
        self.checkApplies(faults)
        return faults


class ChildService:
    """The service, and what it does when it is told to.

    :param settings: what the test asks for besides the options.
    :param say: says something to the test.
    """

    def __init__(self, settings: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> None:
        self._settings = settings
        self._say = say
        self._options = ChildOptions(settings)
        # Whoever waits for a record waits for nothing else.
        accesslog.DELAY = 0.0
        self._service: EchoService | None = None

    def run(self, arguments: Sequence[str]) -> None:
        """Does what ``twistd -n echo`` does, and says when it listens.

        :param arguments: the options of ``twistd echo``.
        """
        if self._settings.get("reactor"):
            from twisted.application.reactors import installReactor

            installReactor(self._settings["reactor"])
        self._options.parseOptions(arguments)
        self._service = service = makeService(self._options)
        from twisted.internet import reactor

        self._reactor: Any = reactor
        globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)])
        service.privilegedStartService()
        service.startService()
        self._reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
        # Behind the ready file, which is written in the reactor's first turn.
        self._reactor.callWhenRunning(self._reactor.callLater, 0, self._say, {})
        # A shell has its background processes ignore it, and an end is two signals.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        numbers = _noteSignals(self._reactor)
        self._reactor.run()
        if numbers:
            # As twistd does: the status is that of the signal that stopped it.
            signal.signal(numbers[0], signal.SIG_DFL)
            os.kill(os.getpid(), numbers[0])

    def handle(self, question: dict[str, Any]) -> None:
        """Does what the test says, and answers; on a thread of its own."""
        self._reactor.callFromThread(self._answer, question)

    def _answer(self, question: dict[str, Any]) -> None:
        assert self._service is not None
        self._say(answerTo(question, self._options, self._service))


def answerTo(question: dict[str, Any], options: ChildOptions, service: EchoService) -> dict[str, Any]:
    """Sets the faults that a question asks for; returns the answer, which may be an error."""
    try:
        service.setFaults(options.faultsOf(question["faults"]))
    except (UsageError, ValueError) as error:
        return {"error": str(error)}
    return {}


def _noteSignals(reactor: Any) -> list[int]:
    """Returns a list that gets the number of each signal that the reactor's handlers are called for."""
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
