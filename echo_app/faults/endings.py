"""The faults that end a connection or a part of it: ``half-close``, ``close``, ``reset``, ``blackhole``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from echo_app.connections.record import Ending, noteEnd
from echo_app.faults.fault import CHOOSING, ENDING, EndingFault, Stage
from echo_app.transport.closing import Discard
from echo_app.transport.sockets import Progress, descriptorOf, progressOf

if TYPE_CHECKING:
    from echo_app.faults.layer import FaultLayer

# Seconds between two looks whether all is acknowledged, at first and at most. On loopback the acknowledgement
# comes at once; a peer that does not read may take hours.
FIRST_LOOK, LAST_LOOK = 0.01, 0.2


class HalfClose(EndingFault):
    """Ends the service's side of the connection."""

    name = "half-close"
    stage = Stage.HALF_CLOSE

    def begin(self, layer: FaultLayer) -> None:
        """Ends the output; input still comes in."""
        layer.endOutput(self)

    def outputPassed(self, layer: FaultLayer) -> None:
        """Ends our side."""
        layer.closeOutput()


class Close(EndingFault):
    """Closes the connection."""

    name = "close"
    stage = Stage.CLOSE
    takes = (*ENDING, "afterIdle", *CHOOSING)

    def outputPassed(self, layer: FaultLayer) -> None:
        """Ends our side, and closes after a linger: a close with unread input would be a reset."""
        layer.linger()


class Reset(EndingFault):
    """Resets the connection."""

    name = "reset"
    stage = Stage.RESET
    takes = (*ENDING, "afterIdle", *CHOOSING)

    def begin(self, layer: FaultLayer) -> None:
        """Resets the connection at once, or when the bytes or messages before it are acknowledged."""
        if self.afterBytes or self.messageKey:
            super().begin(layer)
        else:
            noteEnd(layer.transport, Ending.FAULT, str(self))
            layer.abortConnection()

    def outputPassed(self, layer: FaultLayer) -> None:
        """Resets the connection when its output is acknowledged."""
        _resetWhenAcknowledged(layer)


class Blackhole(EndingFault):
    """Keeps the connection, and never answers."""

    name = "blackhole"
    stage = Stage.BLACKHOLE
    directions = ("in",)
    takes = ("probability", "connections", "afterBytes", "afterSeconds", "afterIdle", *CHOOSING)

    def begin(self, layer: FaultLayer) -> None:
        """Discards input and output, also answers of TLS; limits and a drain end the connection."""
        descriptor = descriptorOf(layer.transport)
        if descriptor is not None and descriptor is not layer.transport:
            descriptor.protocol = Discard(descriptor.protocol)
        layer.discard()


def _resetWhenAcknowledged(
    layer: FaultLayer, before: Progress | None = None, wait: float = FIRST_LOOK
) -> None:
    """Resets the connection when its output is acknowledged.

    The size of the transport's buffer is unknown. But while the kernel has room, bytes do not wait there for
    longer than one turn of the reactor: the kernel's queue is empty then, and nothing has moved.
    """
    progress = progressOf(layer.transport)
    isSame = before is not None and progress is not None and progress.sent == before.sent
    if progress is None or (isSame and not progress.owed):
        layer.abortConnection()
    else:
        layer.later(wait, partial(_resetWhenAcknowledged, layer, progress, min(2 * wait, LAST_LOOK)))
