"""The faults that end a connection or a part of it: ``half-close``, ``close``, ``reset``, ``blackhole``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from echo_app.connections.record import Ending, noteEnd
from echo_app.faults.fault import CHOOSING, ENDING, EndingFault, Stage
from echo_app.transport.closing import Discard, whenDelivered
from echo_app.transport.sockets import descriptorOf

if TYPE_CHECKING:
    from echo_app.faults.layer import FaultLayer


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
        whenDelivered(layer.transport, layer.later, layer.abortConnection)


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
