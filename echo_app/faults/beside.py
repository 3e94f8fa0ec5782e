"""Output that passes beside its flow, as long as that would only pass it on.

A protocol may keep its transport's ``write``. So that is one function for the whole connection, which costs
no more than a call and a sum: attributes of a layer cost more, since it has others from the transport below.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from echo_app.interfaces import IStreamTransport


class Beside:
    """Says whether output passes beside its flow.

    :ivar isClear: it does.
    :ivar skipped: bytes that have, and are not counted in the flow yet.
    """

    __slots__ = ("isClear", "skipped")

    def __init__(self) -> None:
        self.isClear = False
        self.skipped = 0


def writer(
    transport: IStreamTransport, beside: Beside, feed: Callable[[bytes], object]
) -> Callable[[bytes], None]:
    """Returns the ``write`` of a layer.

    :param transport: the transport below.
    :param beside: says where output goes.
    :param feed: takes the output that does not pass beside the flow.
    """

    def write(data: bytes) -> None:
        if beside.isClear:
            beside.skipped += len(data)
            transport.write(data)
        else:
            feed(data)

    return write
