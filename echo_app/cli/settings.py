"""The table of all settings of the command line, in the order of the help.

The parser, the help, the shell completion and ``docs/options.rst`` are made from this table. It reads a
default that belongs to a class, such as :class:`Limits`, from that class.
"""

from __future__ import annotations

from echo_app.access.checkers import checkerOf
from echo_app.addresses import networkOf
from echo_app.cli.arguments import (
    byteCount,
    filePath,
    interfaceAddress,
    keepaliveOf,
    logPath,
    noneForZero,
    number,
    portNumber,
    positiveNumber,
    wholeNumber,
)
from echo_app.cli.setting import Setting
from echo_app.connections.limits import HANDSHAKE_TIMEOUT, Limits
from echo_app.faults.layer import CAP
from echo_app.faults.spec import parseFault
from echo_app.responders.answers import TIMEOUT
from echo_app.responders.named import NAMES, responderOf
from echo_app.transport.sockets import Keepalive
from echo_app.udp.protocol import RATE

# The listener if no option names one.
DEFAULT_PORT = 8080
DEFAULT_INTERFACE = "127.0.0.1"

_LIMITS = Limits()
_ANY_PORT = "any free one"

GROUPS = {
    "Listeners": (
        Setting(
            "port",
            "TCP port.",
            short="p",
            value="N",
            parser=portNumber,
            defaultText=f"{DEFAULT_PORT} without another listener",
            zero=_ANY_PORT,
            isRepeatable=True,
        ),
        Setting(
            "interface",
            "IPv4 or IPv6 address where --port, --tls and --udp bind.",
            short="i",
            value="ADDRESS",
            parser=interfaceAddress,
            defaultText=DEFAULT_INTERFACE,
            isRepeatable=True,
        ),
        Setting(
            "listen",
            "Twisted server endpoint description, such as tcp6:8080 or unix:/run/echo.",
            short="l",
            value="ENDPOINT",
            isRepeatable=True,
        ),
        Setting(
            "udp", "UDP port.", short="u", value="N", parser=portNumber, zero=_ANY_PORT, isRepeatable=True
        ),
        Setting(
            "proxy-protocol",
            "Each connection to --port and --tls begins with a header of the PROXY protocol, version 1 or 2.",
        ),
        Setting(
            "trust-proxy",
            "Network or address whose peers may send a PROXY header.",
            value="NETWORK",
            parser=networkOf,
            defaultText="loopback",
            isRepeatable=True,
        ),
        Setting(
            "ready-file",
            "Once every listener is open, write a line for each one here, such as 'tcp 127.0.0.1:8080'. "
            "Removed at stop.",
            value="FILE",
            parser=filePath,
        ),
        Setting("no-direct", "Use Twisted's own path for every byte, for comparison and debugging."),
    ),
    "TLS": (
        Setting("tls", "TCP port for TLS.", value="N", parser=portNumber, zero=_ANY_PORT, isRepeatable=True),
        Setting(
            "certificate",
            "PEM file with the certificate chain of --tls. Read again at SIGHUP.",
            value="FILE",
            defaultText="a throw-away one, for localhost",
        ),
        Setting(
            "key", "PEM file of the certificate's key.", value="FILE", defaultText="the certificate's file"
        ),
        Setting(
            "client-ca",
            "PEM file of authorities: a client must show a certificate that leads to one of them. Read again "
            "at SIGHUP.",
            value="FILE",
        ),
        Setting(
            "handshake-timeout",
            "Seconds until a TLS handshake must be complete.",
            value="SECONDS",
            parser=positiveNumber,
            default=HANDSHAKE_TIMEOUT,
        ),
    ),
    "Answers": (
        Setting(
            "responder",
            f"Responder: {', '.join(NAMES)}, or a function of your own, package.module:name.",
            value="NAME",
            parser=responderOf,
            default="echo",
            choices=NAMES,
        ),
        Setting(
            "responder-timeout",
            "Seconds that an answer of a function of your own may take until its connection is closed.",
            value="SECONDS",
            parser=noneForZero(number),
            default=TIMEOUT,
            zero="no limit",
        ),
        Setting(
            "udp-rate",
            "Answers a second to one UDP source.",
            value="N",
            parser=noneForZero(number),
            default=RATE,
            zero="no limit, no loop breaker",
        ),
    ),
    "Access": (
        Setting(
            "allow",
            "Network or address whose peers may connect; no others may. The most specific network decides.",
            value="NETWORK",
            parser=networkOf,
            defaultText="every network",
            isRepeatable=True,
        ),
        Setting(
            "deny",
            "Network or address whose peers may not connect.",
            value="NETWORK",
            parser=networkOf,
            isRepeatable=True,
        ),
        Setting(
            "auth",
            "Require a login before each stream, checked by file:PATH, memory:USER:PASSWORD, or a kind that "
            "--help-auth lists.",
            value="CHECKER",
            parser=checkerOf,
            isRepeatable=True,
            # The text after the kind may have passwords in it.
            isSecret=True,
        ),
        Setting("auth-cleartext", "Allow logins from the network without TLS, where others can read them."),
    ),
    "Limits and time-outs": (
        Setting(
            "max-connections",
            "Connections open at one time.",
            value="N",
            parser=noneForZero(wholeNumber),
            default=_LIMITS.maxConnections,
            defaultText="what the descriptor limit allows",
            zero="no cap",
        ),
        Setting(
            "max-connections-per-peer",
            "Connections of one IPv4 address or IPv6 /64 at one time.",
            value="N",
            parser=noneForZero(wholeNumber),
            default=_LIMITS.maxConnectionsPerPeer,
            zero="no cap",
        ),
        Setting(
            "idle-timeout",
            "Seconds without a byte in either direction until a connection is closed.",
            value="SECONDS",
            parser=noneForZero(number),
            default=_LIMITS.idleTimeout,
            zero="never",
        ),
        Setting(
            "stall-timeout",
            "Seconds in which no unsent byte leaves until a connection is reset. A value under 30 may cut "
            "off slow peers with large buffers.",
            value="SECONDS",
            parser=noneForZero(number),
            default=_LIMITS.stallTimeout,
            zero="never",
        ),
        Setting(
            "drain-timeout",
            "Seconds that a stop waits for busy connections.",
            value="SECONDS",
            parser=number,
            default=_LIMITS.drainTimeout,
            zero="not at all",
        ),
        Setting(
            "keepalive",
            "TCP keepalive: seconds of silence until the first probe, seconds between probes, and how many.",
            value="IDLE,INTERVAL,COUNT",
            parser=keepaliveOf,
            default=Keepalive(),
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
            "File with a fault a line. Read again at SIGHUP, for connections to come.",
            value="FILE",
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
            "Bytes, such as 64KiB, that faults may hold for one connection before reading from its peer "
            "stops.",
            value="SIZE",
            parser=byteCount,
            defaultText=f"{CAP >> 20}MiB",
        ),
    ),
    "Logs": (
        Setting(
            "access-log",
            "Append a line of JSON here when a connection ends, and for each UDP source and minute. -: "
            "standard output. Opened again at SIGHUP.",
            value="FILE",
            parser=logPath,
        ),
        Setting("log-connections", "Log each connection's beginning and end, at debug level."),
    ),
}

SETTINGS = {each.name: each for settings in GROUPS.values() for each in settings}
