"""The command line that the Python servers share."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

BACKLOG = 1024


class Arguments(NamedTuple):
    """What was asked for.

    :param udp: datagrams instead of streams.
    """

    udp: bool
    readyFile: str

    def tellReady(self, port: int) -> None:
        """Writes the ready file, whole."""
        with open(f"{self.readyFile}.part", "w") as file:
            file.write(f"{'udp' if self.udp else 'tcp'} 127.0.0.1:{port}\n")
        os.rename(file.name, self.readyFile)


def arguments() -> Arguments:
    """Returns what this process was asked for, of ``--port|--udp 0 --ready-file FILE``."""
    kind, _, _, readyFile = sys.argv[-4:]
    return Arguments(kind == "--udp", readyFile)
