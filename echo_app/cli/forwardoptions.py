"""The options of forwarding: their checks, and the forwarder that they make."""

from __future__ import annotations

from typing import Any

from twisted.python.usage import Options, UsageError

from echo_app.cli.listenerkinds import DATAGRAMS, STREAMS, isAsked, listed
from echo_app.clock import monotonicClock
from echo_app.forward.forwarder import ForwardFactory
from echo_app.forward.upstream import CONNECT_TIMEOUT, UpstreamEndpoint
from echo_app.targets import Target, parseTarget


def forwardTarget(text: str) -> Target:
    """Returns the target of ``--forward``.

    :raise ValueError: when the text is none.
    """
    target = parseTarget(text)
    if target.kind == "tls":
        raise ValueError("streams can't go on over TLS yet")
    if target.kind == "udp":
        raise ValueError("datagrams can't go on yet")
    return target


class ForwardOptions(Options):
    """Checks the options of forwarding, and makes the factory that forwards."""

    def checkForward(self) -> None:
        """Refuses options of forwarding that apply to nothing.

        :raise UsageError: names the option.
        """
        target: Target | None = self["forward"]
        if target is None:
            for name in ("connect-timeout",):
                if self[name] is not None:
                    raise UsageError(f"--{name} {self[name]}: there is no --forward that it applies to")
            return
        if self["responder"] != "echo":
            raise UsageError(f"--responder {self['responder']!r}: with --forward the upstream answers")
        if not isAsked(STREAMS, self):
            raise UsageError(f"--forward {target.text!r}: there is no {listed(STREAMS)} whose streams go on")
        if isAsked(DATAGRAMS, self):
            raise UsageError(f"--forward {target.text!r}: the datagrams of --udp can't go on yet")

    def forwardFactory(self, reactor: Any) -> ForwardFactory | None:
        """Returns the factory that forwards; None without ``--forward``."""
        target: Target | None = self["forward"]
        if target is None:
            return None
        clock = monotonicClock(reactor)
        timeout = self["connect-timeout"] or CONNECT_TIMEOUT
        if target.kind == "endpoint":
            return ForwardFactory(target.endpoint(reactor, timeout), clock, timeout=timeout)
        upstream = UpstreamEndpoint(
            reactor,
            clock,
            target,
            timeout=timeout,
            isDirect=not self["no-direct"],
            keepalive=self["keepalive"],
        )
        return ForwardFactory(upstream, clock, timeout=timeout)
