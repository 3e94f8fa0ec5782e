"""Progress of an examination: the check that runs, in a line of a terminal that is erased."""

from __future__ import annotations

from typing import Any, TextIO

from twisted.internet.interfaces import IDelayedCall

# Seconds between two updates: a check that ends sooner is not shown.
LOOK = 1.0

# Moves to the begin of the line, and erases it (ECMA-48, 8.3.41).
_ERASE = "\r\x1b[K"


class CheckProgress:
    """Shows the name of the check that runs, its time, and the time after which it is ended.

    :param output: standard error; nothing is shown where it is no terminal.
    """

    def __init__(self, clock: Any, output: TextIO) -> None:
        self._clock = clock
        self._output = output
        self._name = ""
        self._start = self._limit = 0.0
        self._call: IDelayedCall | None = None
        self._isShown = False

    def began(self, name: str, limit: float) -> None:
        """Takes the check that begins.

        :param limit: seconds after which it is ended.
        """
        self.ended()
        if self._output.isatty():
            self._name, self._start, self._limit = name, self._clock.seconds(), limit
            self._call = self._clock.callLater(LOOK, self._look)

    def ended(self) -> None:
        """Takes the end of all checks: nothing is shown any more."""
        self.clear()
        if self._call is not None and self._call.active():
            self._call.cancel()

    def clear(self) -> None:
        """Erases the line, so that another one can be written."""
        if self._isShown:
            self._isShown = False
            self._write(_ERASE)

    def _look(self) -> None:
        elapsed = self._clock.seconds() - self._start
        self._isShown = True
        self._write(f"{_ERASE}{self._name}: {elapsed:.0f} s of at most {self._limit:.0f} s")
        self._call = self._clock.callLater(LOOK, self._look)

    def _write(self, text: str) -> None:
        try:
            self._output.write(text)
            self._output.flush()
        except OSError:
            # The terminal is gone, and the report goes on.
            self._isShown = False
