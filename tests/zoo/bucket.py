"""Token bucket, by which relays lose or delay what comes above a rate."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class TokenBucket:
    """A token bucket, which is full at first.

    :param rate: tokens a second.
    :param burst: tokens that it holds.
    :ivar tokens: those that are left; below 0 they are owed.
    """

    rate: float
    burst: float
    tokens: float = field(init=False)
    _filled: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.tokens = self.burst

    def level(self, now: float) -> float:
        """Fills it up to this moment; returns the tokens that are left."""
        since = now - (now if self._filled is None else self._filled)
        self.tokens, self._filled = min(self.burst, self.tokens + since * self.rate), now
        return self.tokens

    def owe(self, amount: float, now: float) -> float:
        """Takes tokens, whether or not they are there; returns the seconds until none is owed."""
        self.tokens = self.level(now) - amount
        return max(0.0, -self.tokens / self.rate)
