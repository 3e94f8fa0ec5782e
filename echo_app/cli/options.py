"""Parser of the options of ``twistd echo`` and ``twist echo``."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.python.usage import CompleteFiles, CompleteList, Completer, Completions, UsageError
from twisted.python.usage import Options as BaseOptions

from echo_app import __version__
from echo_app.accesslog.file import STANDARD_OUTPUT
from echo_app.cli.accessoptions import AccessOptions
from echo_app.cli.early import MODULE_COMMAND, lostStream
from echo_app.cli.faultoptions import FaultOptions
from echo_app.cli.forwardoptions import ForwardOptions
from echo_app.cli.listenerkinds import (
    BOUND,
    KINDS,
    PROXIED,
    isAsked,
    isBoundAsked,
    isProxiedAsked,
    listed,
)
from echo_app.cli.pidfile import pidFileProblem
from echo_app.cli.rehearsal import startProblem
from echo_app.cli.setting import Setting, helpText
from echo_app.cli.settings import DEFAULT_INTERFACE, DEFAULT_PORT, GROUPS, SETTINGS
from echo_app.cli.tlsoptions import ServerTLSOptions
from echo_app.hints import didYouMean, optionHint
from echo_app.text import escaped

_FLAGS = [each for each in SETTINGS.values() if each.value is None]
_REPEATABLE = [each for each in SETTINGS.values() if each.isRepeatable]
_PARAMETERS = [each for each in SETTINGS.values() if each.value and not each.isRepeatable]


def _completer(setting: Setting) -> Completer:
    """Returns the completion of a setting's value."""
    if setting.value == "FILE":
        return CompleteFiles(descr=setting.value)
    return CompleteList(setting.choices) if setting.choices else Completer(descr=setting.value)


class Options(ServerTLSOptions, ForwardOptions, AccessOptions, FaultOptions, BaseOptions):
    """Parses the options of ``twistd echo``. A wrong option ends the process with one line.

    The object maps each option's name to its value, and a repeatable option's to the list of its values.
    """

    synopsis = "[options]"
    # The port if no option names a listener; a subclass may have another.
    defaultPort = DEFAULT_PORT
    longdesc = (
        "Sends back every byte that a peer sends, unchanged and in order. "
        f"Listens on {DEFAULT_INTERFACE}:{DEFAULT_PORT} unless told otherwise. "
        "A TIME is in seconds, or has a unit: 50ms, 5min, 2h. A SIZE is in bytes, or has a unit: 64KiB, 1MB."
    )
    optFlags = [[each.name, each.short, each.description] for each in _FLAGS]
    optParameters = [
        [each.name, each.short, each.default, each.description, each.parse] for each in _PARAMETERS
    ]
    compData = Completions(
        multiUse=[each.name for each in _REPEATABLE],
        optActions={each.name: _completer(each) for each in _REPEATABLE + _PARAMETERS},
    )

    def __init__(self) -> None:
        super().__init__()
        self.update({each.name: [] for each in _REPEATABLE})

    opt_h = BaseOptions.opt_help

    def opt_version(self) -> None:
        """Display the version of echo_app and exit."""
        print(f"echo_app {__version__}")
        raise SystemExit(0)

    def groups(self) -> dict[str, Sequence[Setting]]:
        """Returns all options by group. The last group has Twisted's own, such as ``--help``."""
        added = [
            Setting(
                name,
                " ".join(self.docs[name].split()),
                short="h" if name == "help" else None,
                value="TYPE" if hasValue else None,
            )
            for name, hasValue, _ in (each.partition("=") for each in sorted(self.longOpt))
            if name not in SETTINGS
        ]
        return {**GROUPS, "Information": added}

    def getSynopsis(self) -> str:
        """Returns the first line of the help text."""
        if sys.argv[0] == MODULE_COMMAND:
            return f"Usage: {MODULE_COMMAND} {self.synopsis}"
        return str(super().getSynopsis())

    def getUsage(self, width: int | None = None) -> str:
        """Returns the help text, for the terminal's width by default."""
        width = width or shutil.get_terminal_size().columns
        return f"\n{textwrap.fill(self.longdesc, width)}\n{helpText(self.groups(), width)}"

    def parseArgs(self, *arguments: str) -> None:
        """Takes no arguments."""
        if arguments:
            hint = didYouMean([f"--port {each}" for each in arguments[:1] if each.isdecimal()])
            raise UsageError(f"unexpected argument {arguments[0]!r}{hint}")

    def postOptions(self) -> None:
        """Sets the defaults that depend on other options, and checks options against each other."""
        self._checkCommand()
        if not isAsked(KINDS, self):
            self["port"] = [self.defaultPort]
        if self["interface"] and not isBoundAsked(self):
            raise UsageError(f"--interface {self['interface'][0]!r}: there is no {listed(BOUND)} to bind")
        if self["proxy-protocol"] and not isProxiedAsked(self):
            raise UsageError(f"--proxy-protocol: there is no {PROXIED} that it applies to")
        if self["proxy-protocol"] and (ports := self["udp"]):
            raise UsageError(f"--proxy-protocol: not for --udp {ports[0]}, whose datagrams have no header")
        if self["trust-proxy"] and not self["proxy-protocol"]:
            raise UsageError(f"--trust-proxy '{self['trust-proxy'][0]}': there is no --proxy-protocol")
        if self["access-log"] == STANDARD_OUTPUT and _isDaemon(self.parent):
            raise UsageError("--access-log '-': a daemon has no standard output; twistd -n has")
        if self["no-empty-entries"] and not self["access-log"]:
            raise UsageError("--no-empty-entries: there is no --access-log that it applies to")
        self._checkReadyFile()
        for each in self["listen"]:
            # The first of two would close the descriptor, whose number another listener then takes.
            if each.startswith("systemd:") and self["listen"].count(each) > 1:
                raise UsageError(f"--listen {each!r}: it is named twice")
        self["interface"] = self["interface"] or [DEFAULT_INTERFACE]
        self.checkTLS()
        self.checkLogins()
        self.checkForward()
        self.checkFaults()

    def hasReloadableFiles(self) -> bool:
        """Returns whether any option names a file that SIGHUP has the service read or open again."""
        return any(self[each.name] for each in SETTINGS.values() if each.hangup) or self.hasPasswordFile()

    def _checkReadyFile(self) -> None:
        """Refuses a ready file that another option writes too: each would replace the other's lines.

        :raise UsageError: names both options.
        """
        path = self["ready-file"]
        command: Mapping[str, object] = self.parent or {}
        written: dict[str, Any] = {
            "--access-log": self["access-log"],
            "twistd --pidfile": command.get("pidfile"),
            "twistd --logfile": command.get("logfile"),
        }
        for option, other in written.items():
            if path and other and os.path.realpath(other) == os.path.realpath(path):
                raise UsageError(f"--ready-file {path!r}: {option} names the same file")

    def _checkCommand(self) -> None:
        """Refuses what would end ``twistd`` with a traceback, or break its daemon.

        :raise UsageError: names it.
        """
        if self.parent is None:
            return
        isDaemon = _isDaemon(self.parent)
        if isDaemon and (stream := lostStream()):
            raise UsageError(f"{stream} is closed, and its descriptor in use: redirect it to /dev/null")
        problem = None if isDaemon else pidFileProblem(self.parent)
        if problem := problem or startProblem(self.parent, isDaemon):
            raise UsageError(problem)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parses the command line.

        :raise SystemExit: on a wrong option, with one line; twistd would print its usage too.
        """
        try:
            super().parseOptions(options)
        except UsageError as error:
            hint = optionHint(str(error), options or (), self)
            raise SystemExit(f"echo: {escaped(f'{error}{hint}')}") from None


def _collector(setting: Setting) -> Callable[[Options, str], None]:
    """Returns the method that adds a value to a repeatable option's list."""

    def collect(self: Options, text: str) -> None:
        value = setting.parse(text)
        self[setting.name].extend(value if setting.isList else [value])

    collect.__doc__ = setting.description
    return collect


# Twisted keeps only the last value of an option, unless the class has a method with the option's name.
for _each in _REPEATABLE:
    _method = _collector(_each)
    for _name in filter(None, (_each.name.replace("-", "_"), _each.short)):
        setattr(Options, f"opt_{_name}", _method)


def _isDaemon(command: BaseOptions | None) -> bool:
    """Returns whether the command will fork: twistd does without --nodaemon, twist never does."""
    return command is not None and not (command.get("nodaemon", True) or command.get("debug"))
