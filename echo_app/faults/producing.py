"""The producer of a protocol above the faults, which is paused and resumed as the output requires."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from echo_app.faults.shaping import TURN


class Producing:
    """Pauses and resumes the registered producer, of either kind.

    :param later: calls a function after some seconds, unless the connection ends before.
    :param pulled: called after a pull producer has been asked for more.

    :ivar producer: the producer; None without one.
    """

    def __init__(self, later: Callable[[float, Callable[[], object]], object], pulled: Callable[[], object]):
        self.producer: Any = None
        self._later, self._pulled = later, pulled
        self._isStreaming = self._isPulled = False
        self._isProducing = True

    def register(self, producer: Any, streaming: bool) -> None:
        """Registers a producer."""
        if self.producer is not None:
            raise RuntimeError(f"{self.producer!r} is registered already")
        self.producer, self._isStreaming, self._isProducing = producer, streaming, True

    def forget(self) -> Any:
        """Forgets the producer, and returns it."""
        producer, self.producer = self.producer, None
        return producer

    def adjust(self, isProducing: bool) -> None:
        """Has the producer go on, or pause."""
        if not self._isStreaming:
            if isProducing and not self._isPulled:
                self._isPulled = True
                self._later(TURN, self._pull)
        elif isProducing != self._isProducing:
            self._isProducing = isProducing
            if isProducing:
                self.producer.resumeProducing()
            else:
                self.producer.pauseProducing()

    def _pull(self) -> None:
        self._isPulled = False
        if self.producer is not None:
            self.producer.resumeProducing()
            self._pulled()
