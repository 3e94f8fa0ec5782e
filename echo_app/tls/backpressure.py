"""Back-pressure through a TLS layer: the pauses and the producer of the protocol above.

Once the handshake is complete, the transport below has both; until then the handshake keeps them. Plain
text that was decrypted before a pause waits for the protocol above to resume.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from echo_app.tls.phases import TLSPhase
from echo_app.transport.layer import Layer

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol

    from echo_app.interfaces import IStreamTransport
    from echo_app.tls.handshake import Handshake


class BackPressure(Layer):
    """The base class of the TLS layer: a producer and a consumer to the protocol above.

    :param protocol: the protocol above.
    """

    __slots__ = ("_below", "_isEndOwed", "_isPaused", "_phase", "_producer", "_unread")

    # The target of pauses and producers; set by makeConnection, and again after the handshake.
    _below: IStreamTransport | Handshake

    def __init__(self, protocol: IProtocol) -> None:
        super().__init__(protocol)
        # Plain text that waits for the protocol above to resume, and whether the peer's end does.
        self._unread = b""
        self._isEndOwed = False
        self._producer: Any = None
        self._isPaused = False
        self._phase = TLSPhase.HANDSHAKE

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Registers the producer below; a pull producer is first asked after the handshake."""
        if self._producer is not None:
            raise RuntimeError(f"{self._producer!r} is registered already")
        if self._phase is TLSPhase.DONE:
            producer.stopProducing()
            return
        self._producer = producer
        self._below.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """Forgets the producer; a close that waited for it goes on."""
        if self._producer is not None:
            self._producer = None
            self._below.unregisterProducer()
            self._end()

    def pauseProducing(self) -> None:
        """Pauses the input of the protocol above; a handshake goes on."""
        self._isPaused = True
        self._below.pauseProducing()

    def resumeProducing(self) -> None:
        """Resumes the input of the protocol above, with the plain text that has waited."""
        self._isPaused = False
        self._below.resumeProducing()
        plain, self._unread = self._unread, b""
        if plain:
            self.protocol.dataReceived(plain)
        if self._isEndOwed:
            self._endPeer()

    def _stopProducer(self) -> None:
        """Forgets what waits, and stops the producer."""
        self._unread = b""
        producer, self._producer = self._producer, None
        if producer is not None:
            self._below.unregisterProducer()
            producer.stopProducing()

    def _end(self) -> None:
        """Ends our side, if that was asked for; a subclass implements it."""
        raise NotImplementedError

    def _endPeer(self) -> None:
        """Tells the protocol above of the peer's end; a subclass implements it."""
        raise NotImplementedError
