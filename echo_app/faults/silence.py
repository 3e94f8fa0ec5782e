"""Silence of a connection: calls a function when no byte has moved in either direction for some time.

A byte moves when the service reads it, or hands it to the transport below, and until the peer's kernel has
acknowledged it. Segments without data, such as those of keepalive, do not count.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from echo_app.transport.sockets import progressOf

if TYPE_CHECKING:
    from echo_app.faults.calls import Calls
    from echo_app.faults.layer import FaultLayer

# Seconds between two looks while the kernel's queues are not empty: the largest error of the time.
LOOK = 0.2

# Seconds by which rounding may change a time.
_ROUNDING = 1e-9


def watchSilence(layer: FaultLayer, calls: Calls, seconds: float, then: Callable[[], object]) -> None:
    """Calls a function once, when a connection has been silent for so many seconds.

    :param layer: the connection's layer, which notes the time of the last byte from now on.
    :param calls: makes the looks.
    """
    layer.lastByte = layer.clock.seconds()
    calls.later(seconds, partial(_look, layer, calls, seconds, then))


def _look(layer: FaultLayer, calls: Calls, seconds: float, then: Callable[[], object]) -> None:
    now = layer.clock.seconds()
    progress = progressOf(layer.transport)
    rest = seconds
    if progress is not None and (progress.owed or progress.unread):
        layer.lastByte = now
        rest = min(seconds, LOOK)
    elif layer.lastByte is not None:
        rest = layer.lastByte + seconds - now
    if rest > _ROUNDING:
        calls.later(rest, partial(_look, layer, calls, seconds, then))
    else:
        then()
