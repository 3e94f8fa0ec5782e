"""Calls on a TLS connection that wait for the handshake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from echo_app.interfaces import IStreamTransport

# Bytes written during the handshake above which a streaming producer is paused: as in Twisted's transports.
BUFFER = 1 << 16


class Waiting:
    """Keeps the calls on a transport that need a complete handshake.

    :ivar unsent: the bytes that were written.
    """

    __slots__ = ("_isPaused", "_isStreaming", "_producer", "unsent")

    def __init__(self) -> None:
        self.unsent = b""
        self._producer: Any = None
        self._isStreaming = self._isPaused = False

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

    def handOver(self, transport: IStreamTransport) -> None:
        """Makes the calls on the transport, after its caller has written the unsent bytes."""
        if self._isPaused:
            transport.pauseProducing()
        if self._producer is not None:
            transport.registerProducer(self._producer, self._isStreaming)
            if self._isFull and self._isStreaming:
                self._producer.resumeProducing()

    @property
    def _isFull(self) -> bool:
        return len(self.unsent) > BUFFER
