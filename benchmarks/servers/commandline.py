"""The command line that the Python servers share."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

BACKLOG = 1024


class Arguments(NamedTuple):
    """The values of the options.

    :param transport: ``tcp``, ``tls`` or ``udp``.
    :param certificate: the path of the PEM file of TLS, with the key; empty for other transports.
    :param readyFile: the path of the ready file.
    :param forward: the upstream of a relay; empty for other servers.
    """

    transport: str
    certificate: str
    readyFile: str
    forward: str = ""

    @property
    def upstream(self) -> tuple[str, int]:
        """Returns host and port of the upstream, of a value ``HOST:PORT``."""
        host, _, port = self.forward.rpartition(":")
        return host, int(port)

    def tellReady(self, port: int) -> None:
        """Writes the ready file, atomically."""
        with open(f"{self.readyFile}.part", "w") as file:
            file.write(f"{self.transport} 127.0.0.1:{port}\n")
        os.rename(file.name, self.readyFile)


def arguments() -> Arguments:
    """Returns the options of this process, which the package describes."""
    words = sys.argv[sys.argv.index("0") - 1 :]
    options = dict(zip(words[::2], words[1::2], strict=True))
    transport = {"--port": "tcp", "--tls": "tls", "--udp": "udp"}[words[0]]
    return Arguments(
        transport, options.get("--certificate", ""), options["--ready-file"], options.get("--forward", "")
    )
