"""Operation that runs once at a time, for any number of callers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure


class SharedOperation:
    """Runs an operation once at a time, for any number of waiting callers."""

    def __init__(self, operation: Callable[[], Coroutine[Deferred[Any], Any, None]]) -> None:
        self._operation = operation
        self._waiting: list[Deferred[None]] = []

    @property
    def isRunning(self) -> bool:
        """Returns whether the operation is running."""
        return bool(self._waiting)

    def run(self) -> Deferred[None]:
        """Begins the operation, or joins a running one.

        :return: fires with None, or fails with the operation's failure.
        """
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        if len(self._waiting) == 1:
            Deferred.fromCoroutine(self._operation()).addBoth(self._tell)
        return waiter

    def _tell(self, result: Failure | None) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(result)
