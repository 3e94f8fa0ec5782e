"""The options of forwarding: their checks, and the forwarder that they make."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twisted.python.usage import Options, UsageError

from echo_app.cli.listenerkinds import DATAGRAMS, STREAMS, isAsked, listed
from echo_app.clock import monotonicClock
from echo_app.forward.forwarder import Forwarder, ForwardFactory
from echo_app.forward.proxyheader import proxyHeader
from echo_app.forward.sessions import TIMEOUT, Sessions
from echo_app.forward.upstream import CONNECT_TIMEOUT, UpstreamEndpoint
from echo_app.proxy.writer import VERSIONS
from echo_app.targets import ClientTLS, Target

if TYPE_CHECKING:
    from echo_app.forward.legs import ClientLeg

# The options that need others.
_OF_STREAMS = ("connect-timeout", "send-proxy")
_OF_TLS = ("forward-ca", "forward-cert", "forward-sni", "forward-insecure")
_OF_DATAGRAMS = ("udp-session-timeout",)


class ForwardOptions(Options):
    """Checks the options of forwarding, and makes the forwarder."""

    def checkForward(self) -> None:
        """Refuses options of forwarding that apply to nothing.

        :raise UsageError: names the option.
        """
        target: Target | None = self["forward"]
        if target is None:
            unused = (*_OF_STREAMS, *_OF_TLS, *_OF_DATAGRAMS)
            self._checkUnused(unused, "there is no --forward that it applies to")
            return
        forward = f"--forward {target.text!r}"
        if target.kind != "tls":
            self._checkUnused(_OF_TLS, f"{forward} is no tls:// target")
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
            if self[name]:
                value = "" if self[name] is True or self[name] == 1 else f" {self[name]}"
                raise UsageError(f"--{name}{value}: {reason}")

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
            timeout = self["connect-timeout"] or CONNECT_TIMEOUT
            upstream = self._upstream(target, reactor, clock, timeout)
            streams = ForwardFactory(upstream, clock, timeout=timeout, header=self._header())
        if isAsked(DATAGRAMS, self):
            sessions = Sessions(
                reactor,
                clock,
                replace(target, kind="udp"),
                timeout=self["udp-session-timeout"] or TIMEOUT,
                descriptorLimit=descriptorLimit,
            )
        return Forwarder(target.text, streams, sessions)

    def _upstream(self, target: Target, reactor: Any, clock: Any, timeout: float) -> Any:
        if target.kind == "endpoint":
            return target.endpoint(reactor, timeout)
        isDirect = not self["no-direct"]
        upstream = UpstreamEndpoint(
            reactor, clock, target, timeout=timeout, isDirect=isDirect, keepalive=self["keepalive"]
        )
        return upstream if target.kind != "tls" else self._overTLS(upstream, target, clock)

    def _overTLS(self, upstream: UpstreamEndpoint, target: Target, clock: Any) -> Any:
        # Imported here, so that a service without TLS starts sooner.
        from echo_app.forward.tlsendpoint import TLSUpstreamEndpoint
        from echo_app.tls.credentials import BadCredentials

        # A daemon changes its directory.
        authority, certificate = (
            None if self[name] is None else os.path.abspath(self[name])
            for name in ("forward-ca", "forward-cert")
        )
        settings = ClientTLS(
            authority,
            certificate,
            isInsecure=bool(self["forward-insecure"]),
            serverName=self["forward-sni"],
        )
        try:
            return TLSUpstreamEndpoint(upstream, settings, target.host, clock, self["handshake-timeout"])
        except BadCredentials as error:
            option = "forward-ca" if error.setting == "authority" else "forward-cert"
            raise UsageError(f"--{option} {self[option]!r}: {error.reason}") from None

    def _header(self) -> Callable[[ClientLeg], bytes] | None:
        """Returns the function that makes the PROXY header of a client; None without ``--send-proxy``."""
        version = self["send-proxy"]
        return None if version is None else lambda leg: proxyHeader(leg.transport, version)


def headerVersion(text: str) -> str:
    """Returns the version of a PROXY header.

    :raise ValueError: when there is no such version.
    """
    if text not in VERSIONS:
        raise ValueError(f"neither of {', '.join(VERSIONS)}")
    return text


def _takesDatagrams(target: Target) -> bool:
    """Says whether datagrams can go on to a target: a URL of udp, or HOST:PORT, which is both."""
    return target.kind == "udp" or (target.kind == "tcp" and "://" not in target.text)
