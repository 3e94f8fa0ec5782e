"""Check ``protocol``: where nothing comes back, does the service speak TLS, or wait for a PROXY header?"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from echo_app.probe.checks.check import Check, Context, Cost
from echo_app.probe.checks.evidence import Observation
from echo_app.probe.checks.labels import MESSAGE
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.net.errors import ErrorKind, NetworkError
from echo_app.probe.net.proxyheader import ProxyHeader
from echo_app.targets import ClientTLS

# Seconds for each attempt: a service that closes, or speaks, does so at once.
_BRIEFLY = 3.0

TLS, PROXY = "TLS", "PROXY"

# Failures of a handshake that only a service with TLS causes.
_SPOKEN = (ErrorKind.CERTIFICATE, ErrorKind.CERTIFICATE_REFUSED)


@dataclass(slots=True)
class Protocols(Observation):
    """Protocol that the service speaks, or waits for.

    :ivar tried: whether it does, by the name of the protocol.
    :ivar details: such as the version of TLS, by the name of the protocol.
    """

    tried: dict[str, bool] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        spoken = {TLS: "speaks TLS", PROXY: "answers after a PROXY header"}
        not_ = {TLS: "no TLS", PROXY: "no answer after a PROXY header"}
        return ", ".join((spoken if isSpoken else not_)[name] for name, isSpoken in self.tried.items())

    def data(self) -> Mapping[str, object]:
        """Returns the answers."""
        return {"spoken": self.tried, "details": self.details}


class Protocol(Check[Protocols]):
    """Shakes hands, and sends a PROXY header, where no byte has come back on any connection."""

    name = "protocol"
    begin = Protocols
    explains = ("identity",)

    def reasonToSkip(self, context: Context) -> str:
        """Skips a service that is an echo, and targets over TLS, below which this is not looked for."""
        if context.target.kind not in ("tcp", "unix"):
            return "no plain stream"
        records = context.evidence.connections
        return "bytes come back" if any(each.came for each in records) else ""

    def cost(self, context: Context) -> Cost:
        """Returns the cost of two connections."""
        return Cost(MESSAGE, 2, 2 * _BRIEFLY)

    async def run(self, context: Context, seen: Protocols) -> None:
        """Tries one after the other, until one is answered."""
        attempts: dict[str, Callable[[Context, Protocols], Awaitable[bool]]] = {TLS: _shakes, PROXY: _answers}
        for name, attempt in attempts.items():
            seen.tried[name] = await attempt(context, seen)
            if seen.tried[name]:
                break


async def _shakes(context: Context, seen: Protocols) -> bool:
    """Says whether the service speaks TLS."""
    if context.target.kind != "tcp":
        return False
    target = replace(context.target, kind="tls", tls=ClientTLS(isInsecure=True))
    try:
        async with await context.connect(target, _BRIEFLY, _unseen(context)) as link:
            tls = link.stream.tls
            seen.details[TLS] = str(tls and tls.version())
        return True
    except NetworkError as error:
        isAlert = error.reason.kind is ErrorKind.TLS and "alert" in error.reason.detail
        return error.reason.kind in _SPOKEN or isAlert


async def _answers(context: Context, seen: Protocols) -> bool:
    """Says whether the service answers after a PROXY header, of version 1 (proxy-protocol.txt, 2.1)."""
    try:
        async with await context.connect(None, _BRIEFLY, _unseen(context)) as link:
            link.stream.write(_header(link.stream.sock))
            link.send(MESSAGE)
            return await link.receiveRest(_BRIEFLY)
    except NetworkError:
        return False


def _unseen(context: Context) -> ConnectionRecord:
    """Returns the record of a connection that is no evidence of the target, as another protocol is tried."""
    return ConnectionRecord(len(context.evidence.connections), context.check, context.now)


def _header(sock: socket.socket) -> bytes:
    """Returns a header with the addresses of the connection itself; without any for a UNIX socket."""
    isIP = sock.family in (socket.AF_INET, socket.AF_INET6)
    source = sock.getsockname()[0].partition("%")[0] if isIP else ""
    return ProxyHeader("v1", source).encode(sock)
