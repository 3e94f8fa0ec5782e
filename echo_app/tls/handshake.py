"""The part of a TLS connection that exists until its handshake is complete.

It keeps the calls that need a complete handshake, limits the handshake's time, and makes the handshakes of a
server wait for each other: many at once do not hold up open connections.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from echo_app.transport.cutting import CutTimer

if TYPE_CHECKING:
    from echo_app.interfaces import IStreamTransport
    from echo_app.tls.side import TLSSide

# Bytes written during the handshake above which a streaming producer is paused: as in Twisted's transports.
BUFFER = 1 << 16


class Handshake:
    """Stands in for the transport below in the calls that need a complete handshake.

    :param side: has the time-out and the work queue.
    :param transport: the transport below.
    :param take: is called with input, when it is this connection's turn.
    :param timedOut: is called when the time is over.

    :ivar unsent: the bytes that were written.
    """

    __slots__ = (
        "_delayed",
        "_isInputPaused",
        "_isPaused",
        "_isStreaming",
        "_producer",
        "_queue",
        "_take",
        "_timer",
        "_transport",
        "unsent",
    )

    def __init__(
        self,
        side: TLSSide,
        transport: IStreamTransport,
        take: Callable[[bytes], object],
        timedOut: Callable[[], object],
    ) -> None:
        self.unsent = b""
        self._producer: Any = None
        self._isStreaming = self._isPaused = False
        self._transport = transport
        self._take = take
        self._queue = side.handshakes
        # Input that waits for its turn. Meanwhile nothing more is read.
        self._delayed = b""
        self._isInputPaused = False
        self._timer = CutTimer(side.clock, side.handshakeTimeout, transport, timedOut)

    def received(self, data: bytes) -> None:
        """Takes input, now or when it is its turn."""
        if self._queue is None:
            self._take(data)
        elif self._delayed:
            self._delayed += data
        else:
            self._delayed = data
            self._queue.do(self._work)
            if self._delayed:
                self._transport.pauseProducing()
                self._isInputPaused = True

    def flush(self) -> None:
        """Takes the input that waits, because no more will come."""
        if self._queue is not None and self._delayed:
            self._queue.remove(self._work)
            self._work()

    def stop(self) -> None:
        """Ends the time-out, and forgets the input that waits; a second time is harmless."""
        self._timer.cancel()
        if self._queue is not None and self._delayed:
            self._queue.remove(self._work)
            self._delayed = b""

    def _work(self) -> None:
        data, self._delayed = self._delayed, b""
        if self._isInputPaused:
            self._isInputPaused = False
            self._transport.resumeProducing()
        self._take(data)

    def write(self, data: bytes) -> None:
        """Keeps the data, and pauses a streaming producer above ``BUFFER`` bytes."""
        wasFull = self._isFull
        self.unsent += data
        if self._isFull and not wasFull and self._isStreaming:
            self._producer.pauseProducing()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Keeps the producer; a pull producer is not asked yet."""
        self._producer, self._isStreaming = producer, streaming

    def unregisterProducer(self) -> None:
        """Forgets the producer."""
        self._producer, self._isStreaming = None, False

    def pauseProducing(self) -> None:
        """Notes that reading stops after the handshake, which goes on."""
        self._isPaused = True

    def resumeProducing(self) -> None:
        """Notes that reading goes on after the handshake."""
        self._isPaused = False

    def handOver(self) -> None:
        """Makes the calls on the transport, after the caller has written the unsent bytes."""
        if self._isPaused:
            self._transport.pauseProducing()
        if self._producer is not None:
            self._transport.registerProducer(self._producer, self._isStreaming)
            if self._isFull and self._isStreaming:
                self._producer.resumeProducing()

    @property
    def _isFull(self) -> bool:
        return len(self.unsent) > BUFFER
