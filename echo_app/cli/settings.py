"""The table of all settings of the command line, in the order of the help.

The parser, the help, the shell completion and ``docs/options.rst`` are made from this table, and so are the
arguments of :class:`EchoService` and :class:`Limits`. A setting has the default
of the parameter that it fills.
"""

from __future__ import annotations

from functools import partial
from inspect import signature

from echo_app.access.checkers import checkerOf
from echo_app.addresses import networkOf
from echo_app.cli.arguments import (
    filePath,
    interfaceAddress,
    keepaliveOf,
    logPath,
    noneForZero,
    portNumbers,
    portsOrSocket,
    wholeNumber,
)
from echo_app.cli.forwardoptions import headerVersion
from echo_app.cli.listenerkinds import BOUND, PROXIED, listed
from echo_app.cli.setting import Setting
from echo_app.connections.limits import HANDSHAKE_TIMEOUT, Limits
from echo_app.faults.flowlayer import CAP
from echo_app.faults.spec import parseFault
from echo_app.forward.sessions import TIMEOUT as SESSION_TIMEOUT
from echo_app.forward.upstream import CONNECT_TIMEOUT
from echo_app.proxy.writer import VERSIONS
from echo_app.quantities import BYTES, MESSAGES, SECONDS
from echo_app.responders.named import NAMES, responderOf
from echo_app.service.echoservice import EchoService
from echo_app.targets import parseTarget

# The listener if no option names one.
DEFAULT_PORT = 8080
DEFAULT_INTERFACE = "127.0.0.1"

# The parameters that settings fill.
LIMITS = signature(Limits).parameters
SERVICE = signature(EchoService).parameters

# Makers of settings whose values are of the same kind.
_ports = partial(Setting, value="N", parser=portNumbers, zero="any free one", isRepeatable=True, isList=True)
_networks = partial(Setting, value="NETWORK", parser=networkOf, isRepeatable=True)
_cap = partial(Setting, value="N", parser=noneForZero(wholeNumber), zero="no cap")
_timeout = partial(Setting, value="TIME", parser=noneForZero(SECONDS.parse), zero="never")

_READ_AGAIN = "Read again at SIGHUP."
_READ_WHEN_CHANGED = "Read again when it changes, and at SIGHUP."

_GROUPS = {
    "Listeners": (
        _ports(
            "port",
            "TCP port, or a range such as 9000-9010.",
            short="p",
            defaultText=f"{DEFAULT_PORT} without another listener",
        ),
        Setting(
            "interface",
            f"IPv4 or IPv6 address where {listed(BOUND, 'and')} bind.",
            short="i",
            value="ADDRESS",
            parser=interfaceAddress,
            defaultText=DEFAULT_INTERFACE,
            isRepeatable=True,
        ),
        Setting(
            "listen",
            "Twisted server endpoint description, such as tcp6:8080 or unix:/run/echo; also systemd:NAME and "
            "systemd:INDEX.",
            short="l",
            value="ENDPOINT",
            isRepeatable=True,
        ),
        _ports("udp", "UDP port, or a range.", short="u"),
        Setting(
            "proxy-protocol",
            f"Each connection to {PROXIED} begins with a header of the PROXY protocol, version 1 or 2.",
        ),
        _networks(
            "trust-proxy", "Network or address whose peers may send a PROXY header.", defaultText="loopback"
        ),
        Setting(
            "ready-file",
            "Once every listener is open, write a line for each one here, such as 'tcp 127.0.0.1:8080'. "
            "Removed at stop.",
            value="FILE",
            parser=filePath,
        ),
        Setting(
            "no-direct",
            "Use Twisted's own path for every byte, for comparison and debugging.",
            fills="direct",
        ),
    ),
    "TLS": (
        _ports(
            "tls",
            "TCP port for TLS, a range, or a socket: unix:/run/echo, or one that systemd passes, "
            "systemd:NAME or systemd:INDEX.",
            value="PLACE",
            parser=portsOrSocket,
        ),
        Setting(
            "certificate",
            "PEM file with the certificate chain of --tls.",
            value="FILE",
            defaultText="a throw-away one, for localhost",
            hangup=_READ_WHEN_CHANGED,
        ),
        Setting(
            "key", "PEM file of the certificate's key.", value="FILE", defaultText="the certificate's file"
        ),
        Setting(
            "client-ca",
            "PEM file of authorities: a client must show a certificate that leads to one of them.",
            value="FILE",
            hangup=_READ_WHEN_CHANGED,
        ),
        Setting(
            "client-crl",
            "PEM file of revocation lists (CRL) of these authorities: a revoked certificate is refused.",
            value="FILE",
            hangup=_READ_WHEN_CHANGED,
        ),
        Setting(
            "handshake-timeout",
            "Time until a TLS handshake must be complete.",
            value="TIME",
            parser=SECONDS.parsePositive,
            default=HANDSHAKE_TIMEOUT,
        ),
    ),
    "Answers": (
        Setting(
            "responder",
            f"Responder: {', '.join(NAMES)}, or a function of your own, package.module:name.",
            value="NAME",
            parser=responderOf,
            choices=NAMES,
        ),
        _timeout(
            "responder-timeout",
            "Time that an answer of a function of your own may take until its connection is closed.",
            zero="no limit",
        ),
        Setting(
            "udp-rate",
            "Answers a second to one UDP source.",
            value="N",
            parser=noneForZero(MESSAGES.parse),
            fills="datagramRate",
            zero="no limit, no loop breaker",
        ),
    ),
    "Forwarding": (
        Setting(
            "forward",
            "Send each stream and datagram on to this service, which answers in place of the echo: "
            "HOST:PORT, a URL such as udp://localhost:53 or unix:///run/redis.sock, or one of Twisted's "
            "client endpoint descriptions.",
            value="TARGET",
            parser=parseTarget,
        ),
        Setting(
            "forward-ca",
            "PEM file with the authorities that may sign the certificate of a tls:// target.",
            value="FILE",
            defaultText="those of the system",
        ),
        Setting(
            "forward-cert",
            "PEM file with our certificate chain and its key, for a tls:// target that asks for one.",
            value="FILE",
        ),
        Setting(
            "forward-sni",
            "Name that a tls:// target is asked for, and that its certificate must have.",
            value="NAME",
            defaultText="the target's host",
        ),
        Setting("forward-insecure", "Accept every certificate of a tls:// target."),
        Setting(
            "send-proxy",
            "Begin each upstream connection with a PROXY header that names the client: v1, or v2, which also "
            "tells of its TLS.",
            value="VERSION",
            parser=headerVersion,
            choices=VERSIONS,
        ),
        Setting(
            "connect-timeout",
            "Time until the upstream must have accepted a connection; the client is reset then.",
            value="TIME",
            parser=SECONDS.parsePositive,
            defaultText=str(CONNECT_TIMEOUT),
        ),
        Setting(
            "udp-session-timeout",
            "Time without a datagram in either direction that ends a client's session.",
            value="TIME",
            parser=SECONDS.parsePositive,
            defaultText=str(SESSION_TIMEOUT),
        ),
    ),
    "Access": (
        _networks(
            "allow",
            "Network or address whose peers may connect; no others may. The most specific network decides.",
            defaultText="every network",
        ),
        _networks("deny", "Network or address whose peers may not connect."),
        Setting(
            "auth",
            "Require a login before each stream, checked by file:PATH, memory:USER:PASSWORD, or a kind that "
            "--help-auth lists. A file is read again when it changes, and at SIGHUP.",
            value="CHECKER",
            parser=checkerOf,
            isRepeatable=True,
            # The text after the kind may have passwords in it.
            isSecret=True,
        ),
        Setting("auth-cleartext", "Allow logins from the network without TLS, where others can read them."),
    ),
    "Limits and time-outs": (
        _cap(
            "max-connections", "Connections open at one time.", defaultText="what the descriptor limit allows"
        ),
        _cap("max-connections-per-peer", "Connections of one IPv4 address or IPv6 /64 at one time."),
        _timeout("idle-timeout", "Time without a byte in either direction until a connection is closed."),
        _timeout(
            "stall-timeout",
            "Time in which no unsent byte leaves until a connection is reset. A value under 30 s may cut "
            "off slow peers with large buffers.",
        ),
        Setting(
            "drain-timeout",
            "Time that a stop waits for busy connections.",
            value="TIME",
            parser=SECONDS.parse,
            zero="not at all",
        ),
        Setting(
            "keepalive",
            "TCP keepalive: time of silence until the first probe, time between probes, and how many.",
            value="IDLE,INTERVAL,COUNT",
            parser=keepaliveOf,
            zero="off",
        ),
    ),
    "Faults": (
        Setting(
            "fault",
            "Fault to make on purpose, such as latency=50ms or reset,after=10KiB.",
            value="SPEC",
            parser=parseFault,
            isRepeatable=True,
        ),
        Setting(
            "fault-file",
            "File with a fault a line.",
            value="FILE",
            hangup="Read again when it changes, and at SIGHUP, for connections to come.",
        ),
        Setting(
            "fault-preamble",
            "A connection may begin with a line that chooses its faults, such as '!fault latency=50ms'.",
        ),
        Setting(
            "fault-seed",
            "Seed of the faults' random numbers, a whole number. The same seed gives the same faults.",
            value="N",
            parser=wholeNumber,
            defaultText="a random one, which is logged",
        ),
        Setting(
            "fault-buffer",
            "Bytes that faults may hold for one connection before reading from its peer stops.",
            value="SIZE",
            parser=BYTES.parsePositive,
            defaultText=f"{CAP >> 20}MiB",
        ),
    ),
    "Logs": (
        Setting(
            "access-log",
            "Append a line of JSON here when a connection ends, and for each UDP source and minute. -: "
            "standard output.",
            value="FILE",
            parser=logPath,
            hangup="Opened again at SIGHUP.",
        ),
        Setting(
            "no-empty-entries",
            "Leave connections without a byte, such as health checks, out of the access log.",
            fills="emptyEntries",
        ),
        Setting("log-connections", "Log each connection's beginning and end, at debug level."),
    ),
}


def _withDefault(setting: Setting) -> Setting:
    """Returns a setting with the default of the parameter that it fills."""
    filled = LIMITS.get(setting.parameter) or SERVICE.get(setting.parameter)
    return setting if filled is None else setting._replace(default=filled.default)


GROUPS = {title: [*map(_withDefault, settings)] for title, settings in _GROUPS.items()}

SETTINGS = {each.name: each for settings in GROUPS.values() for each in settings}
