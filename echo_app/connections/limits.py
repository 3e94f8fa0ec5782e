"""Limits of a service: caps and time-outs, as a value."""

from __future__ import annotations

from dataclasses import dataclass, fields

# Seconds until a TLS handshake must be complete.
HANDSHAKE_TIMEOUT = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Caps and time-outs of one service.

    :param maxConnections: maximum number of open connections; None is no cap.
    :param maxConnectionsPerPeer: the same by peer: one IPv4 address or one IPv6 /64; None is no cap.
    :param idleTimeout: seconds without a byte in either direction until a connection is closed;
        None is never.
    :param stallTimeout: seconds in which no unsent byte leaves until a connection is reset;
        None is never. Under 30 seconds it may cut slow peers with large buffers.
    :param drainTimeout: seconds that a stop waits for busy connections; 0 is not at all.
    :raise ValueError: on a number out of its range.
    """

    maxConnections: int | None = None
    maxConnectionsPerPeer: int | None = None
    idleTimeout: float | None = None
    stallTimeout: float | None = 300
    drainTimeout: float = 5

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name != "drainTimeout" and value is not None and not value > 0:
                raise ValueError(f"{each.name} must be more than 0, or None: {value!r}")
        if not self.drainTimeout >= 0:
            raise ValueError(f"drainTimeout must be 0 or more: {self.drainTimeout!r}")
