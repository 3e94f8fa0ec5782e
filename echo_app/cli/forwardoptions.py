"""The options of forwarding: their checks, and the forwarder that they make."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.python.usage import Options, UsageError

from echo_app.cli.listenerkinds import DATAGRAMS, STREAMS, isAsked, listed
from echo_app.clock import monotonicClock
from echo_app.forward.forwarder import Forwarder, ForwardFactory
from echo_app.forward.sessions import TIMEOUT, Sessions
from echo_app.forward.upstream import CONNECT_TIMEOUT, UpstreamEndpoint
from echo_app.targets import Target, parseTarget

# The options that need others.
_OF_STREAMS = ("connect-timeout",)
_OF_DATAGRAMS = ("udp-session-timeout",)


class ForwardOptions(Options):
    """Checks the options of forwarding, and makes the forwarder."""

    def checkForward(self) -> None:
        """Refuses options of forwarding that apply to nothing.

        :raise UsageError: names the option.
        """
        target: Target | None = self["forward"]
        if target is None:
            self._checkUnused((*_OF_STREAMS, *_OF_DATAGRAMS), "there is no --forward that it applies to")
            return
        forward = f"--forward {target.text!r}"
        if self["responder"] != "echo":
            raise UsageError(f"--responder {self['responder']!r}: with --forward the upstream answers")
        for kinds, takes, what, options in (
            (STREAMS, target.isStream, "streams", _OF_STREAMS),
            (DATAGRAMS, _takesDatagrams(target), "datagrams", _OF_DATAGRAMS),
        ):
            if isAsked(kinds, self) and not takes:
                asked = next(each.option for each in kinds if self[each.option])
                raise UsageError(f"{forward}: takes no {what}, which --{asked} has")
            if not isAsked(kinds, self):
                self._checkUnused(options, f"there is no {listed(kinds)} that it applies to")
        if not (isAsked(STREAMS, self) or isAsked(DATAGRAMS, self)):
            raise UsageError(f"{forward}: there is no listener that it applies to")

    def _checkUnused(self, options: tuple[str, ...], reason: str) -> None:
        for name in options:
            if self[name] is not None:
                raise UsageError(f"--{name} {self[name]}: {reason}")

    def forwarder(self, reactor: Any, descriptorLimit: int | None) -> Forwarder:
        """Returns the forwarder, which leaves all to the echo without ``--forward``.

        :param descriptorLimit: the number that the process's descriptors stay below; None is no such limit.
        """
        target: Target | None = self["forward"]
        if target is None:
            return Forwarder()
        clock = monotonicClock(reactor)
        streams = sessions = None
        if isAsked(STREAMS, self):
            streams = ForwardFactory(self._upstream(target, reactor, clock), clock)
        if isAsked(DATAGRAMS, self):
            timeout = self["udp-session-timeout"] or TIMEOUT
            to = replace(target, kind="udp")
            sessions = Sessions(reactor, clock, to, timeout=timeout, descriptorLimit=descriptorLimit)
        return Forwarder(streams, sessions)

    def _upstream(self, target: Target, reactor: Any, clock: Any) -> Any:
        timeout = self["connect-timeout"] or CONNECT_TIMEOUT
        if target.kind == "endpoint":
            return target.endpoint(reactor, timeout)
        isDirect = not self["no-direct"]
        return UpstreamEndpoint(
            reactor, clock, target, timeout=timeout, isDirect=isDirect, keepalive=self["keepalive"]
        )


def forwardTarget(text: str) -> Target:
    """Returns the target of ``--forward``.

    :raise ValueError: when the text is none.
    """
    target = parseTarget(text)
    if target.kind == "tls":
        raise ValueError("streams can't go on over TLS yet")
    return target


def _takesDatagrams(target: Target) -> bool:
    """Says whether datagrams can go on to a target: a URL of udp, or HOST:PORT, which is both."""
    return target.kind == "udp" or (target.kind == "tcp" and "://" not in target.text)
