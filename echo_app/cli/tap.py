"""Makes the service of the command line: its listeners, their TLS and PROXY headers, and what options set."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.python.failure import Failure
from twisted.python.usage import UsageError

from echo_app.cli.listenerkinds import BOUND, DATAGRAMS, STREAMS
from echo_app.cli.options import Options
from echo_app.cli.process import (
    abortOnSecondSignal,
    hasDescriptors,
    holdSignals,
    raiseDescriptorLimit,
    reloadOnHangup,
)
from echo_app.cli.settings import LIMITS, SERVICE, SETTINGS
from echo_app.clock import makeMonotonic
from echo_app.connections.limits import Limits
from echo_app.proxy.gate import LOOPBACK, ProxyHeaders
from echo_app.service.echoservice import EchoService
from echo_app.service.listeners import Listener
from echo_app.text import reasonOf

__all__ = ["Options", "makeService"]


# The name of a listener whose value is a port, and the first port for every user (ip(7), by default).
_PORT = re.compile(rf"--(?:{'|'.join(each.option for each in BOUND)}) ([0-9]+) ")
_FIRST_UNPRIVILEGED = 1024


def makeService(options: Options, reactor: Any = None) -> EchoService:
    """Returns the service of the options, which listens already.

    The service listens before the fork, the pid file and the log, so that the command itself reports a
    failure. The first SIGTERM or SIGINT stops the service; a second one aborts the connections for which the
    stop waits.

    :param reactor: None is the global one, which gets a monotonic clock.
    :raise SystemExit: with one line that names the listener or file that can't be opened, or the descriptor
        limit, if it leaves no room for a connection.
    """
    if reactor is None:
        from twisted.internet import reactor

        makeMonotonic(reactor)
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
    error: Any = failures[0].value
    assert isinstance(error, CannotListenError)
    cause = error
    while isinstance(cause, CannotListenError):
        cause = cause.socketError
    port = _PORT.match(error.port)
    hint = ""
    if isinstance(cause, PermissionError) and port and int(port[1]) < _FIRST_UNPRIVILEGED:
        hint = f"; a port below {_FIRST_UNPRIVILEGED} needs root, or the capability CAP_NET_BIND_SERVICE"
    return f"{error.port}: {reasonOf(error)}{hint}"


def _makeService(options: Options, reactor: Any, descriptorLimit: int | None) -> EchoService:
    tls = options.serverTLS(reactor) if options["tls"] else None
    hasHeaders = options["proxy-protocol"]
    proxy = ProxyHeaders(reactor, options["trust-proxy"] or LOOPBACK) if hasHeaders else None
    return EchoService(
        reactor,
        [
            Listener(endpoint, tls if kind.isTLS else None, proxy if isProxied else None)
            for kind in STREAMS
            for endpoint, isProxied in kind.endpoints(options, reactor)
        ],
        [endpoint for kind in DATAGRAMS for endpoint, _ in kind.endpoints(options, reactor)],
        forwarder=options.forwarder(reactor, descriptorLimit),
        limits=Limits(**_filled(options, LIMITS)),
        descriptorLimit=descriptorLimit,
        access=options.access(),
        portal=options.portal(),
        faults=options.faultPlan(),
        **_filled(options, SERVICE),
    )


def _filled(options: Options, parameters: Container[str]) -> dict[str, Any]:
    """Returns the arguments for those of the parameters that settings fill."""
    settings = [each for each in SETTINGS.values() if each.parameter in parameters]
    return {each.parameter: each.argument(options[each.name]) for each in settings}
