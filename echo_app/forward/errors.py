"""Errors of connections to an upstream, besides Twisted's."""

from __future__ import annotations

from twisted.internet.error import ConnectError


class UpstreamTLSError(ConnectError):
    """The TLS handshake with an upstream failed; the text is one sentence.

    :cvar reason: the name of the count.
    :param name: the upstream's name.
    :param why: the reason in words.
    """

    reason = "tls"

    def __init__(self, name: str, why: str) -> None:
        super().__init__(string=f"the TLS handshake with {name} failed: {why}")

    def __str__(self) -> str:
        return str(self.args[0])
