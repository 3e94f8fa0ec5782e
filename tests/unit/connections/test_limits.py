"""The caps and time-outs, as a value."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echo_app.connections.limits import Limits
from echo_app.transport.sockets import Keepalive


class ValueTests(SynchronousTestCase):
    def test_ranges(self) -> None:
        """A number out of its range is refused by name."""
        wrong: list[dict[str, Any]] = [
            {"maxConnections": 0},
            {"maxConnectionsPerPeer": -1},
            {"idleTimeout": 0},
            {"stallTimeout": float("nan")},
            {"drainTimeout": -0.1},
        ]
        for limits in wrong:
            with self.assertRaisesRegex(ValueError, next(iter(limits))):
                Limits(**limits)
        for keepalive, name in (((0, 1, 1), "idle"), ((1, 32768, 1), "interval"), ((1, 1, 128), "count")):
            with self.assertRaisesRegex(ValueError, f"keepalive {name}"):
                Keepalive(*keepalive)

    def test_defaults(self) -> None:
        """Without a word: no caps, no idle time-out, five minutes for a stall, five seconds for a drain."""
        limits = Limits()
        self.assertEqual((limits.maxConnections, limits.maxConnectionsPerPeer), (None, None))
        self.assertEqual((limits.idleTimeout, limits.stallTimeout, limits.drainTimeout), (None, 300, 5))
        self.assertEqual(str(Keepalive()), "60,10,6")
