"""Queue of the bytes that wait for faults that change bytes.

Such a fault may take 2 µs for each byte, which is 0.15 s for the 64 KiB that a protocol may write at once. So
the bytes of a direction pass the faults by small pieces, within the budget.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from echo_app.faults.budget import Budget

# Bytes that pass the faults at once: 0.1 to 1 ms for each fault, most with a probability just below 1.
MAX_INTAKE = 512


class ChangeQueue:
    """Keeps bytes until it is their turn.

    :param budget: has the work done.
    :param change: takes the next piece, and the seconds by which it is late.
    :param done: called when no bytes wait any more.

    :ivar size: bytes that wait.
    """

    def __init__(
        self, budget: Budget, change: Callable[[bytes, float], object], done: Callable[[], object]
    ) -> None:
        self.size = 0
        self._isTaking = False
        self._budget = budget
        self._change, self._done = change, done
        self._waiting: deque[tuple[bytes, float]] = deque()
        # Bytes of the first ones that have gone.
        self._taken = 0

    def add(self, data: bytes, delay: float) -> None:
        """Adds bytes that are late by so many seconds, and passes them on when it is their turn."""
        self._waiting.append((data, delay))
        self.size += len(data)
        if not self._isTaking:
            self._isTaking = True
            if self._budget.isWorking and len(data) <= MAX_INTAKE:
                # It is a part of that work, such as the echo of a piece of input.
                self._take()
            else:
                self._budget.do(self._take)

    def takeBack(self) -> bytes:
        """Returns the bytes that wait, and drops them here."""
        data = b"".join(data for data, _ in self._waiting)[self._taken :]
        self.clear()
        return data

    def clear(self) -> None:
        """Drops the bytes that wait."""
        self._waiting.clear()
        self.size = self._taken = 0

    def _take(self) -> None:
        """Passes pieces on, until it is another connection's turn."""
        began = self._budget.seconds()
        while self._waiting:
            data, delay = self._waiting[0]
            piece = data[self._taken : self._taken + MAX_INTAKE]
            self._taken += len(piece)
            self.size -= len(piece)
            if self._taken >= len(data):
                self._waiting.popleft()
                self._taken = 0
            self._change(piece, delay)
            if self._waiting and self._budget.isOver(began):
                self._budget.do(self._take)
                return
        self._isTaking = False
        self._done()
