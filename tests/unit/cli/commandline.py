"""Command lines of ``twistd echo`` for the tests of its options, and the services that they make."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.python.usage import Options as BaseOptions
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echo_app.cli import tap
from echo_app.cli.tap import Options, makeService
from echo_app.service.echoservice import EchoService
from tests.support.fakes import withoutSignals


def parsed(*arguments: str, parent: BaseOptions | None = None) -> Options:
    """Returns the options of a command line."""
    options = Options()
    options.parent = parent
    options.parseOptions(arguments)
    return options


class OptionsTestCase(SynchronousTestCase):
    """Tests of what is typed."""

    def refusal(self, *arguments: str, parent: BaseOptions | None = None) -> str:
        """Returns the one line that a wrong command line ends with."""
        error = self.assertRaises(SystemExit, parsed, *arguments, parent=parent)
        self.assertRegex(str(error.code), r"\Aecho: .*\Z")
        return str(error.code)


class MakeServiceTestCase(TestCase):
    """Tests of the service that is made, which changes no signals.

    :ivar called: the names of the functions that would have changed signals.
    :ivar made: the settings of the last service.
    """

    def setUp(self) -> None:
        self.called = withoutSignals(self)
        self.made: dict[str, Any] = {}
        made = self.made

        class Recorded(EchoService):
            def __init__(self, *arguments: Any, **settings: Any) -> None:
                made.update(settings)
                super().__init__(*arguments, **settings)

        self.patch(tap, "EchoService", Recorded)

    def make(self, *arguments: str) -> EchoService:
        """Makes a service on the real reactor; it is stopped at the test's end."""
        service = makeService(parsed(*arguments), reactor)
        self.addCleanup(service.stopService)
        return service

    def failure(self, *arguments: str) -> str:
        """Returns the one line that ends a command line whose service can't be made."""
        error = self.assertRaises(SystemExit, makeService, parsed(*arguments), reactor)
        self.assertRegex(str(error.code), r"\Aecho: .*\Z")
        return str(error.code)
