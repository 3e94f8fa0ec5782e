"""Calls on a TLS connection that wait for the handshake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from echo_app.interfaces import IStreamTransport

# Bytes that may be written before the handshake is complete until a streaming producer is paused: as many as
# in a transport of Twisted's own.
BUFFER = 1 << 16


class Waiting:
    """Stands in the place of the transport below, as far as that needs a complete handshake.

    :ivar unsent: what was written.
    """

    __slots__ = ("_isPaused", "_isStreaming", "_producer", "unsent")

    def __init__(self) -> None:
        self.unsent = b""
        self._producer: Any = None
        self._isStreaming = self._isPaused = False

    def write(self, data: bytes) -> None:
        """Keeps the data; a streaming producer is paused when it is much."""
        wasFull = self._isFull
        self.unsent += data
        if self._isFull and not wasFull and self._isStreaming:
            self._producer.pauseProducing()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Keeps the producer; one that pulls is not asked yet."""
        self._producer, self._isStreaming = producer, streaming

    def unregisterProducer(self) -> None:
        """Forgets the producer."""
        self._producer, self._isStreaming = None, False

    def pauseProducing(self) -> None:
        """Will stop reading: the handshake goes on."""
        self._isPaused = True

    def resumeProducing(self) -> None:
        """Will not."""
        self._isPaused = False

    def handOver(self, transport: IStreamTransport) -> None:
        """Asks a transport for all of that, when what was written is with it."""
        if self._isPaused:
            transport.pauseProducing()
        if self._producer is not None:
            transport.registerProducer(self._producer, self._isStreaming)
            if self._isFull and self._isStreaming:
                self._producer.resumeProducing()

    @property
    def _isFull(self) -> bool:
        return len(self.unsent) > BUFFER
