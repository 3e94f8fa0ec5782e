"""The options of ``twistd echo`` and ``twist echo``, as they are typed."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.python.usage import Options as BaseOptions
from twisted.python.usage import UsageError

from echo_app import __version__
from echo_app.accesslog.file import STANDARD_OUTPUT
from echo_app.addresses import networkOf
from echo_app.cli.accessoptions import AccessOptions
from echo_app.cli.arguments import (
    filePath,
    interfaceAddress,
    keepaliveOf,
    logPath,
    named,
    number,
    portNumber,
    row,
    wholeNumber,
)
from echo_app.cli.faultoptions import FaultOptions
from echo_app.cli.tlsoptions import TLSOptions
from echo_app.responders.answers import TIMEOUT
from echo_app.responders.named import NAMES, responderOf
from echo_app.text import escaped
from echo_app.transport.sockets import Keepalive
from echo_app.udp.protocol import RATE

DEFAULT_PORT = 8080
DEFAULT_INTERFACE = "127.0.0.1"


class Options(TLSOptions, AccessOptions, FaultOptions, BaseOptions):
    """The options of ``twistd echo``, as typed; a wrong one ends the process with one line."""

    synopsis = "[options]"
    # Where it listens when nothing else is asked for.
    defaultPort = DEFAULT_PORT
    longdesc = (
        "Sends back every byte that a peer sends: exactly, in order, nothing lost. "
        "Listens on 127.0.0.1:8080 unless told otherwise."
    )
    optFlags = [
        ["no-direct", None, "Take Twisted's own path for every byte: for comparison and debugging."],
        [
            "proxy-protocol",
            None,
            "Each connection to --port and --tls begins with a header of the PROXY protocol, version 1 or 2.",
        ],
        ["log-connections", None, "Log each connection's beginning and end, at debug level."],
    ]
    optParameters = [
        row(
            "udp-rate",
            RATE,
            "Answers a second to one UDP source; 0: no limit, no loop breaker.",
            number,
        ),
        row(
            "max-connections",
            None,
            "Connections open at one time; 0: no cap. [default: what the descriptor limit allows]",
            wholeNumber,
        ),
        row(
            "max-connections-per-peer",
            0,
            "Connections of one IPv4 address or IPv6 /64 at one time; 0: no cap.",
            wholeNumber,
        ),
        row(
            "idle-timeout",
            0,
            "Seconds without a byte in either direction until a connection is closed; 0: never.",
            number,
        ),
        row(
            "stall-timeout",
            300,
            "Seconds without any unsent byte leaving until a connection is reset; "
            "0: never. Under 30 it may cut slow peers with large buffers.",
            number,
        ),
        row(
            "keepalive",
            Keepalive(),
            "TCP keepalive: seconds of silence until the first probe, seconds "
            "between probes, and how many; 0: off.",
            keepaliveOf,
        ),
        row(
            "drain-timeout",
            5,
            "Seconds that a stop waits for busy connections; 0: not at all.",
            number,
        ),
        row(
            "responder",
            "echo",
            f"What answers: {', '.join(NAMES)}, or a function of your own, package.module:name.",
            responderOf,
        ),
        row(
            "responder-timeout",
            TIMEOUT,
            "Seconds that an answer of a function of your own may take until its connection is closed; "
            "0: no limit.",
            number,
        ),
        row(
            "ready-file",
            None,
            "When everything listens, write here a line for each listener, such as "
            "'tcp 127.0.0.1:8080'; removed at stop.",
            filePath,
        ),
        row(
            "access-log",
            None,
            "Append here a line of JSON when a connection ends, and for each UDP source and minute; "
            "-: standard output. Opened again at SIGHUP.",
            logPath,
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self["ports"] = []
        self["interfaces"] = []
        self["endpoints"] = []
        self["udp-ports"] = []
        self["trusted-proxies"] = []

    def opt_port(self, text: str) -> None:
        """TCP port, 0: any free one. Repeatable. [default: 8080 when nothing else is asked for]"""
        self["ports"].append(named("port", portNumber)(text))

    def opt_interface(self, text: str) -> None:
        """IPv4 or IPv6 address where --port, --tls and --udp bind. Repeatable. [default: 127.0.0.1]"""
        self["interfaces"].append(named("interface", interfaceAddress)(text))

    def opt_listen(self, text: str) -> None:
        """Twisted server endpoint description, such as tcp6:8080 or unix:/run/echo. Repeatable."""
        self["endpoints"].append(text)

    def opt_udp(self, text: str) -> None:
        """UDP port, 0: any free one. Repeatable."""
        self["udp-ports"].append(named("udp", portNumber)(text))

    def opt_trust_proxy(self, text: str) -> None:
        """Network or address whose peers may send a PROXY header. Repeatable. [default: loopback]"""
        self["trusted-proxies"].append(named("trust-proxy", networkOf)(text))

    def opt_version(self) -> None:
        """Display the version of echo_app and exit."""
        print(f"echo_app {__version__}")
        raise SystemExit(0)

    opt_p = opt_port
    opt_i = opt_interface
    opt_l = opt_listen
    opt_u = opt_udp

    def parseArgs(self, *arguments: str) -> None:
        """Takes no arguments."""
        if arguments:
            raise UsageError(f"unexpected argument {arguments[0]!r}")

    def postOptions(self) -> None:
        """Fills in the defaults that depend on each other."""
        bound = self["ports"] or self["tls-ports"] or self["udp-ports"]
        if not (bound or self["endpoints"]):
            bound = self["ports"] = [self.defaultPort]
        if self["interfaces"] and not bound:
            reason = "there is no --port, --tls or --udp to bind"
            raise UsageError(f"--interface {self['interfaces'][0]!r}: {reason}")
        if self["proxy-protocol"] and not (self["ports"] or self["tls-ports"]):
            raise UsageError("--proxy-protocol: there is no --port or --tls that it applies to")
        if self["trusted-proxies"] and not self["proxy-protocol"]:
            raise UsageError(f"--trust-proxy '{self['trusted-proxies'][0]}': there is no --proxy-protocol")
        if self["access-log"] == STANDARD_OUTPUT and _isDaemon(self.parent):
            raise UsageError("--access-log '-': a daemon has no standard output; twistd -n has")
        self["interfaces"] = self["interfaces"] or [DEFAULT_INTERFACE]
        self.checkTLS()
        self.checkLogins()
        self.checkFaults()

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parses the command line.

        :raise SystemExit: with one line for a wrong one; twistd would add its usage on standard output.
        """
        try:
            super().parseOptions(options)
        except UsageError as error:
            raise SystemExit(f"echo: {escaped(str(error))}") from None


def _isDaemon(command: BaseOptions | None) -> bool:
    """Says whether the command will fork: twistd does, unless told otherwise, and twist does not."""
    return command is not None and not (command.get("nodaemon", True) or command.get("debug"))
