"""Operation that runs once at a time, for any number of callers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure


class SharedOperation:
    """An operation that runs once at a time, and that any number of callers wait for."""

    def __init__(self, operation: Callable[[], Coroutine[Deferred[Any], Any, None]]) -> None:
        self._operation = operation
        self._waiting: list[Deferred[None]] = []

    @property
    def isRunning(self) -> bool:
        """Whether somebody waits for it now."""
        return bool(self._waiting)

    def run(self) -> Deferred[None]:
        """Begins the operation, or joins it; the Deferred has its result."""
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        if len(self._waiting) == 1:
            Deferred.fromCoroutine(self._operation()).addBoth(self._tell)
        return waiter

    def _tell(self, result: Failure | None) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(result)
