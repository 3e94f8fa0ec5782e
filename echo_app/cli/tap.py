"""Makes the service from the options of the command line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.python.failure import Failure
from twisted.python.usage import UsageError

from echo_app.cli.options import Options
from echo_app.cli.process import (
    abortOnSecondSignal,
    hasDescriptors,
    holdSignals,
    raiseDescriptorLimit,
    reloadOnHangup,
)
from echo_app.connections.limits import Limits
from echo_app.proxy.gate import LOOPBACK, ProxyHeaders
from echo_app.service.echoservice import EchoService
from echo_app.service.endpoints import BadDescription, NamedEndpoint, endpointFromDescription
from echo_app.service.listeners import BACKLOG, Listener
from echo_app.text import reasonOf
from echo_app.udp.port import DatagramEndpoint

__all__ = ["Options", "makeService"]


def makeService(options: Options, reactor: Any = None) -> EchoService:
    """Returns the service of the options, which listens already.

    The service listens before the fork, the pid file and the log, so that the command itself reports a
    failure. The first SIGTERM or SIGINT stops the service; a second one aborts the connections for which the
    stop waits.

    :param reactor: None is the global one.
    :raise SystemExit: with one line that names the listener or file that can't be opened, or the descriptor
        limit, if it leaves no room for a connection.
    """
    if reactor is None:
        from twisted.internet import reactor
    limit = raiseDescriptorLimit(reactor)
    try:
        service = _makeService(options, reactor, limit)
    except UsageError as error:
        raise SystemExit(f"echo: {error}") from None
    holdSignals(reactor)
    abortOnSecondSignal(reactor, service)
    reloadOnHangup(reactor, service, options.hasReloadableFiles())
    failures: list[Failure] = []
    listening = service.listen().addErrback(failures.append)
    if failures or not listening.called:
        # In its next turn the reactor closes the open listeners and removes socket files.
        reactor.iterate(0)
        raise SystemExit(f"echo: {_reasonFor(failures)}")
    if not hasDescriptors(limit):
        service.stopService()
        reactor.iterate(0)
        raise SystemExit(f"echo: the descriptor limit {limit} leaves none for connections; see ulimit -n")
    return service


def _reasonFor(failures: list[Failure]) -> str:
    """Returns the option, as the user typed it, whose listener can't be opened, and the reason."""
    if not failures:
        return "an endpoint of --listen does not listen at once"
    error = failures[0].value
    assert isinstance(error, CannotListenError)
    # The error of a stream endpoint has a name; the error of a datagram endpoint has an interface.
    name = error.port if error.interface is None else f"--udp {error.port} on {error.interface}"
    return f"{name}: {reasonOf(error)}"


def _makeService(options: Options, reactor: Any, descriptorLimit: int | None) -> EchoService:
    return EchoService(
        reactor,
        list(_listeners(options, reactor)),
        [
            DatagramEndpoint(reactor, port, interface)
            for port in options["udp"]
            for interface in options["interface"]
        ],
        limits=Limits(
            maxConnections=options["max-connections"],
            maxConnectionsPerPeer=options["max-connections-per-peer"],
            idleTimeout=options["idle-timeout"],
            stallTimeout=options["stall-timeout"],
            drainTimeout=options["drain-timeout"],
        ),
        keepalive=options["keepalive"],
        direct=not options["no-direct"],
        datagramRate=options["udp-rate"],
        descriptorLimit=descriptorLimit,
        access=options.access(),
        portal=options.portal(),
        logConnections=bool(options["log-connections"]),
        readyFile=options["ready-file"],
        responder=options["responder"],
        responderTimeout=options["responder-timeout"],
        faults=options.faultPlan(),
        faultPreamble=bool(options["fault-preamble"]),
        accessLog=options["access-log"],
    )


def _listeners(options: Options, reactor: Any) -> Iterator[Listener]:
    yield from _tcp(options, reactor, "port", options["port"])
    if options["tls"]:
        tls = options.serverTLS(reactor)
        for listener in _tcp(options, reactor, "tls", options["tls"]):
            yield replace(listener, tls=tls)
    for description in options["listen"]:
        name = f"--listen {description!r}"
        try:
            yield Listener(NamedEndpoint(name, endpointFromDescription(reactor, description)))
        except BadDescription as error:
            raise UsageError(f"{name}: {error}") from None


def _tcp(options: Options, reactor: Any, option: str, ports: list[int]) -> Iterator[Listener]:
    isProxied = options["proxy-protocol"]
    proxy = ProxyHeaders(reactor, options["trust-proxy"] or LOOPBACK) if isProxied else None
    for port in ports:
        for interface in options["interface"]:
            kind = TCP6ServerEndpoint if ":" in interface else TCP4ServerEndpoint
            endpoint: IStreamServerEndpoint = kind(reactor, port, BACKLOG, interface)
            yield Listener(NamedEndpoint(f"--{option} {port} on {interface}", endpoint), proxy=proxy)
