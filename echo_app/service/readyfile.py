"""Ready file, which lists the listeners and exists while the service listens."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from echo_app.addresses import describe

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime


class ReadyFile:
    """The file with a line for each listener, such as ``tcp 127.0.0.1:8080``.

    :param path: the file's path.
    :param clock: the reactor, which writes the file in a turn of its own. A process that sees the file may
        send a signal, for which the reactor's handlers must be there.
    """

    def __init__(self, path: str, clock: IReactorTime) -> None:
        self._path = path
        self._clock = clock
        self._call: IDelayedCall | None = None

    def write(self, listeners: Sequence[tuple[str, IAddress]]) -> None:
        """Writes the file in the reactor's next turn, atomically: a reader sees all lines or no file.

        :param listeners: name and address of each listener.
        """
        self._call = self._clock.callLater(0, self._write, listeners)

    def remove(self) -> None:
        """Removes the file, or cancels its writing. A failure is ignored, so that a stop goes on."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        with suppress(OSError):
            os.unlink(self._path)

    def _write(self, listeners: Sequence[tuple[str, IAddress]]) -> None:
        with NamedTemporaryFile("w", dir=os.path.dirname(self._path) or ".", delete=False) as file:
            file.writelines(f"{name} {describe(host)}\n" for name, host in listeners)
        os.chmod(file.name, 0o644)
        os.replace(file.name, self._path)
