"""The TLS options: their checks, and the TLS settings that they make."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from twisted.python.usage import Options, UsageError

if TYPE_CHECKING:
    from echo_app.tls.server import ServerTLS


# The options that name files, in the order of ServerTLS.
FILES = ("certificate", "key", "client-ca", "client-crl")


class ServerTLSOptions(Options):
    """Checks the options of TLS against each other, and reads the files that they name."""

    def checkTLS(self) -> None:
        """Refuses TLS options without a listener that they apply to.

        :raise UsageError: names the option.
        """
        for option in FILES:
            if self[option] is not None and not self["tls"]:
                raise UsageError(f"--{option} {self[option]!r}: there is no --tls that it applies to")
        if self["key"] is not None and self["certificate"] is None:
            raise UsageError(f"--key {self['key']!r}: there is no --certificate that it belongs to")
        if self["client-crl"] is not None and self["client-ca"] is None:
            raise UsageError(
                f"--client-crl {self['client-crl']!r}: there is no --client-ca that it belongs to"
            )

    def serverTLS(self, reactor: Any) -> ServerTLS:
        """Returns the TLS settings that the listeners of --tls share.

        :raise UsageError: when a file can't be used.
        """
        # Imported here, so that a service without TLS starts sooner.
        from echo_app.tls.credentials import BadCredentials
        from echo_app.tls.server import ServerTLS

        # A daemon changes its directory before it reads these files again.
        paths = [None if self[option] is None else os.path.abspath(self[option]) for option in FILES]
        try:
            return ServerTLS(reactor, *paths, handshakeTimeout=self["handshake-timeout"])
        except BadCredentials as error:
            value = self[error.setting]
            named = f"--{error.setting}" if value is None else f"--{error.setting} {value!r}"
            raise UsageError(f"{named}: {error.reason}") from None
