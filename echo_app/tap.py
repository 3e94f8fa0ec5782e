"""The command line of ``twistd echo`` and ``twist echo``, and what makes a service of it."""

from __future__ import annotations

import ipaddress
import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from math import isfinite
from types import FrameType
from typing import Any

from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.selectreactor import SelectReactor
from twisted.python.failure import Failure
from twisted.python.usage import Options as BaseOptions
from twisted.python.usage import UsageError

from echo_app import __version__
from echo_app.addresses import networkOf, printable
from echo_app.certificates import BadCredentials
from echo_app.datagram import BROADCAST, RATE, DatagramEndpoint
from echo_app.endpoints import BadDescription, NamedEndpoint, endpointFromDescription, reasonOf
from echo_app.gates import LOOPBACK, ProxyEndpoint
from echo_app.limits import Keepalive, Limits
from echo_app.listeners import BACKLOG
from echo_app.service import EchoService
from echo_app.tlsserver import HANDSHAKE_TIMEOUT, ServerTLS, TLSEndpoint

DEFAULT_PORT = 8080
DEFAULT_INTERFACE = "127.0.0.1"

# The descriptors that select(2) can be asked about: FD_SETSIZE of Linux.
SELECT_DESCRIPTORS = 1024


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= 65535):
        raise ValueError("a port is a number from 0 to 65535")
    return int(text)


def _address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError("not an IPv4 or IPv6 address") from None
    if address.is_multicast or address == BROADCAST:
        raise ValueError("an address of many hosts; an interface has one of its own")
    return text


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError("not a whole number, 0 or more")
    return int(text)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not (isfinite(number) and number >= 0):
        raise ValueError("not a number, 0 or more")
    return number


def _positive(text: str) -> float:
    number = _number(text)
    if not number:
        raise ValueError("not a number, more than 0")
    return number


def _keepalive(text: str) -> Keepalive | None:
    if text == "0":
        return None
    parts = text.split(",")
    if len(parts) != 3:
        raise ValueError("not three numbers IDLE,INTERVAL,COUNT, nor 0")
    return Keepalive(*map(_count, parts))


def _file(text: str) -> str:
    path = os.path.abspath(text)
    if not text or os.path.isdir(path):
        raise ValueError("not a file's name")
    folder = os.path.dirname(path)
    if not (os.path.isdir(folder) and os.access(folder, os.W_OK)):
        raise ValueError("its directory can't be written to")
    return path


def _named(option: str, parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Returns the parser of a value, with errors that name the option and the value."""

    def coerce(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise UsageError(f"--{option} {text!r}: {error}") from None

    return coerce


def _row(option: str, default: object, doc: str, parse: Callable[[str], Any]) -> list[Any]:
    return [option, None, default, doc, _named(option, parse)]


class Options(BaseOptions):
    """The options of ``twistd echo``, as typed; a wrong one ends the process with one line."""

    synopsis = "[options]"
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
        _row(
            "udp-rate",
            RATE,
            "Answers a second to one UDP source; 0: no limit, no loop breaker.",
            _number,
        ),
        _row(
            "max-connections",
            None,
            "Connections open at one time; 0: no cap. [default: what the descriptor limit allows]",
            _count,
        ),
        _row(
            "max-connections-per-peer",
            0,
            "The same for one IPv4 address or IPv6 /64; 0: no cap.",
            _count,
        ),
        _row(
            "idle-timeout",
            0,
            "Seconds without a byte in either direction until a connection is closed; 0: never.",
            _number,
        ),
        _row(
            "stall-timeout",
            300,
            "Seconds without any unsent byte leaving until a connection is reset; "
            "0: never. Under 30 it may cut slow peers with large buffers.",
            _number,
        ),
        _row(
            "keepalive",
            Keepalive(),
            "TCP keepalive: seconds of silence until the first probe, seconds "
            "between probes, and how many; 0: off.",
            _keepalive,
        ),
        _row(
            "drain-timeout",
            5,
            "Seconds that a stop waits for busy connections; 0: not at all.",
            _number,
        ),
        _row(
            "certificate",
            None,
            "PEM file of --tls: the certificate, and those that lead to its root. Read again at "
            "SIGHUP. [default: a throw-away one]",
            str,
        ),
        _row("key", None, "PEM file of its key. [default: the certificate's file]", str),
        _row(
            "client-ca",
            None,
            "PEM file of certificates: a client must show one that leads to one of these.",
            str,
        ),
        _row(
            "handshake-timeout",
            HANDSHAKE_TIMEOUT,
            "Seconds until a TLS handshake must be complete.",
            _positive,
        ),
        _row(
            "ready-file",
            None,
            "When everything listens, write here a line for each listener, such as "
            "'tcp 127.0.0.1:8080'; removed at stop.",
            _file,
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self["ports"] = []
        self["interfaces"] = []
        self["endpoints"] = []
        self["udp-ports"] = []
        self["tls-ports"] = []
        self["trusted-proxies"] = []

    def opt_port(self, text: str) -> None:
        """TCP port, 0: any free one. Repeatable. [default: 8080 when nothing else is asked for]"""
        self["ports"].append(_named("port", _port)(text))

    def opt_interface(self, text: str) -> None:
        """IPv4 or IPv6 address where --port, --tls and --udp bind. Repeatable. [default: 127.0.0.1]"""
        self["interfaces"].append(_named("interface", _address)(text))

    def opt_listen(self, text: str) -> None:
        """Twisted server endpoint description, such as tcp6:8080 or unix:/run/echo. Repeatable."""
        self["endpoints"].append(text)

    def opt_tls(self, text: str) -> None:
        """TCP port for TLS, 0: any free one. Repeatable."""
        self["tls-ports"].append(_named("tls", _port)(text))

    def opt_udp(self, text: str) -> None:
        """UDP port, 0: any free one. Repeatable."""
        self["udp-ports"].append(_named("udp", _port)(text))

    def opt_trust_proxy(self, text: str) -> None:
        """Network or address whose peers may send that header. Repeatable. [default: loopback]"""
        self["trusted-proxies"].append(_named("trust-proxy", networkOf)(text))

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
            bound = self["ports"] = [DEFAULT_PORT]
        if self["interfaces"] and not bound:
            reason = "there is no --port, --tls or --udp to bind"
            raise UsageError(f"--interface {self['interfaces'][0]!r}: {reason}")
        for option in ("certificate", "key", "client-ca"):
            if self[option] is not None and not self["tls-ports"]:
                raise UsageError(f"--{option} {self[option]!r}: there is no --tls that it applies to")
        if self["key"] is not None and self["certificate"] is None:
            raise UsageError(f"--key {self['key']!r}: there is no --certificate that it belongs to")
        if self["proxy-protocol"] and not (self["ports"] or self["tls-ports"]):
            raise UsageError("--proxy-protocol: there is no --port or --tls that it applies to")
        if self["trusted-proxies"] and not self["proxy-protocol"]:
            raise UsageError(f"--trust-proxy '{self['trusted-proxies'][0]}': there is no --proxy-protocol")
        self["interfaces"] = self["interfaces"] or [DEFAULT_INTERFACE]

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parses the command line.

        :raise SystemExit: with one line for a wrong one; twistd would add its usage on standard output.
        """
        try:
            super().parseOptions(options)
        except UsageError as error:
            raise SystemExit(f"echo: {printable(str(error))}") from None


def makeService(options: Options, reactor: Any = None) -> EchoService:
    """Returns the service that the options ask for, which listens already.

    Listening comes before the fork, the pid file and the log, so that a failure is the command's own.
    The first SIGTERM or SIGINT stops the service as ever, a second one aborts what the stop waits for.

    :param reactor: None is the global one.
    :raise SystemExit: with one line that says what can't be opened.
    """
    if reactor is None:
        from twisted.internet import reactor
    try:
        service = _makeService(options, reactor)
    except UsageError as error:
        raise SystemExit(f"echo: {error}") from None
    failures: list[Failure] = []
    listening = service.listen().addErrback(failures.append)
    if failures or not listening.called:
        # What was opened closes, and socket files go, in the reactor's next turn.
        reactor.iterate(0)
        raise SystemExit(f"echo: {_reasonFor(failures)}")
    reactor.callWhenRunning(_abortOnSecondSignal, reactor, service)
    if options["certificate"] or options["client-ca"]:
        reactor.callWhenRunning(_reloadOnHangup, reactor, service)
    return service


def _reasonFor(failures: list[Failure]) -> str:
    """Says what the user typed, and why it can't be opened."""
    if not failures:
        return "an endpoint of --listen does not listen at once"
    error = failures[0].value
    assert isinstance(error, CannotListenError)
    # A stream endpoint has a name; what has an interface is a datagram endpoint.
    name = error.port if error.interface is None else f"--udp {error.port} on {error.interface}"
    return f"{name}: {reasonOf(error)}"


def _makeService(options: Options, reactor: Any) -> EchoService:
    return EchoService(
        reactor,
        list(_endpoints(options, reactor)),
        [
            DatagramEndpoint(reactor, port, interface)
            for port in options["udp-ports"]
            for interface in options["interfaces"]
        ],
        limits=Limits(
            maxConnections=options["max-connections"] or None,
            maxConnectionsPerPeer=options["max-connections-per-peer"] or None,
            idleTimeout=options["idle-timeout"] or None,
            stallTimeout=options["stall-timeout"] or None,
            drainTimeout=options["drain-timeout"],
        ),
        keepalive=options["keepalive"],
        direct=not options["no-direct"],
        datagramRate=options["udp-rate"] or None,
        descriptorLimit=_raiseDescriptorLimit(reactor),
        logConnections=bool(options["log-connections"]),
        readyFile=options["ready-file"],
    )


def _endpoints(options: Options, reactor: Any) -> Iterator[IStreamServerEndpoint]:
    yield from _tcp(options, reactor, "port", options["ports"])
    if options["tls-ports"]:
        tls = _serverTLS(options, reactor)
        for endpoint in _tcp(options, reactor, "tls", options["tls-ports"]):
            yield TLSEndpoint(tls, endpoint)
    for description in options["endpoints"]:
        name = f"--listen {description!r}"
        try:
            yield NamedEndpoint(name, endpointFromDescription(reactor, description))
        except BadDescription as error:
            raise UsageError(f"{name}: {error}") from None


def _tcp(options: Options, reactor: Any, option: str, ports: list[int]) -> Iterator[NamedEndpoint]:
    for port in ports:
        for interface in options["interfaces"]:
            kind = TCP6ServerEndpoint if ":" in interface else TCP4ServerEndpoint
            endpoint: IStreamServerEndpoint = kind(reactor, port, BACKLOG, interface)
            if options["proxy-protocol"]:
                endpoint = ProxyEndpoint(endpoint, reactor, options["trusted-proxies"] or LOOPBACK)
            yield NamedEndpoint(f"--{option} {port} on {interface}", endpoint)


def _serverTLS(options: Options, reactor: Any) -> ServerTLS:
    # A daemon is in another directory when it reads them again.
    paths = [
        None if options[option] is None else os.path.abspath(options[option])
        for option in ("certificate", "key", "client-ca")
    ]
    try:
        return ServerTLS(reactor, *paths, handshakeTimeout=options["handshake-timeout"])
    except BadCredentials as error:
        raise UsageError(f"--{error.setting} {options[error.setting]!r}: {error.reason}") from None


def _raiseDescriptorLimit(reactor: object) -> int | None:
    """Raises the soft limit to the hard one; returns what descriptors stay below, None if nothing.

    Under select(2) the limit stays, since a descriptor beyond its set would stop the reactor.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if isinstance(reactor, SelectReactor):
        return SELECT_DESCRIPTORS if soft == resource.RLIM_INFINITY else min(soft, SELECT_DESCRIPTORS)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return None if hard == resource.RLIM_INFINITY else hard


def _abortOnSecondSignal(reactor: Any, service: EchoService) -> None:
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


def _reloadOnHangup(reactor: Any, service: EchoService) -> None:
    """Has the service read its files again at SIGHUP."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGHUP, lambda number, frame: reactor.callFromThread(service.reload))
