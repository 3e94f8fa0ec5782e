"""The options of TLS."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from twisted.python.usage import Options, UsageError

from echo_app.cli.arguments import named, portNumber, positiveNumber, row
from echo_app.connections.limits import HANDSHAKE_TIMEOUT

if TYPE_CHECKING:
    from echo_app.tls.server import ServerTLS


class TLSOptions(Options):
    """Their part of the command line."""

    optParameters = [
        row(
            "certificate",
            None,
            "PEM file of --tls: the certificate, and those that lead to its root. Read again at "
            "SIGHUP. [default: a throw-away one]",
            str,
        ),
        row("key", None, "PEM file of the certificate's key. [default: the certificate's file]", str),
        row(
            "client-ca",
            None,
            "PEM file of certificates: a client must show one that leads to one of these.",
            str,
        ),
        row(
            "handshake-timeout",
            HANDSHAKE_TIMEOUT,
            "Seconds until a TLS handshake must be complete.",
            positiveNumber,
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self["tls-ports"] = []

    def opt_tls(self, text: str) -> None:
        """TCP port for TLS, 0: any free one. Repeatable."""
        self["tls-ports"].append(named("tls", portNumber)(text))

    def checkTLS(self) -> None:
        """Refuses what would apply to nothing.

        :raise UsageError: says what.
        """
        for option in ("certificate", "key", "client-ca"):
            if self[option] is not None and not self["tls-ports"]:
                raise UsageError(f"--{option} {self[option]!r}: there is no --tls that it applies to")
        if self["key"] is not None and self["certificate"] is None:
            raise UsageError(f"--key {self['key']!r}: there is no --certificate that it belongs to")

    def serverTLS(self, reactor: Any) -> ServerTLS:
        """Returns what the listeners of --tls share.

        :raise UsageError: when a file can't be used.
        """
        # Who has no TLS need not wait for all that it imports.
        from echo_app.tls.certificates import BadCredentials
        from echo_app.tls.server import ServerTLS

        # A daemon is in another directory when it reads them again.
        paths = [
            None if self[option] is None else os.path.abspath(self[option])
            for option in ("certificate", "key", "client-ca")
        ]
        try:
            return ServerTLS(reactor, *paths, handshakeTimeout=self["handshake-timeout"])
        except BadCredentials as error:
            raise UsageError(f"--{error.setting} {self[error.setting]!r}: {error.reason}") from None
