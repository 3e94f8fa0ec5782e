"""Command lines of ``twistd echo``: their options, the line that refuses them, and the service's settings."""

from __future__ import annotations

from typing import Any

from twisted.python.usage import Options as BaseOptions
from twisted.trial.unittest import SynchronousTestCase

from echo_app.cli import tap
from echo_app.cli.options import Options
from echo_app.service.echoservice import EchoService


def parsed(*arguments: str, parent: BaseOptions | None = None) -> Options:
    """Returns the options of a command line."""
    options = Options()
    options.parent = parent
    options.parseOptions(list(arguments))
    return options


class OptionsTestCase(SynchronousTestCase):
    """A test of options."""

    def refusal(self, *arguments: str, parent: Any = None) -> str:
        """Returns the one line that a wrong command line ends with."""
        error = self.assertRaises(SystemExit, parsed, *arguments, parent=parent)
        self.assertRegex(str(error.code), r"\Aecho: .*\Z")
        return str(error.code)


def recordedSettings(case: SynchronousTestCase) -> dict[str, Any]:
    """Returns a dict that gets the settings of each ``EchoService`` that ``makeService`` makes."""
    made: dict[str, Any] = {}

    class Recorded(EchoService):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            made.update(settings)
            super().__init__(*arguments, **settings)

    case.patch(tap, "EchoService", Recorded)
    return made
