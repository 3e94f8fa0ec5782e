"""Protocols of responders: streams and datagrams that a responder answers.

The rules of an :class:`AnsweringProtocol`:

- The responder gets requests in the order of the stream, and the peer gets the answers in the same order.
- The protocol stops reading while the transport's buffer is full, ``MAX_OWED`` answers are owed, or the
  service has no room for another answer.
- The first requests of a read are answered at once. More of them wait in the work queue of the service: many
  connections with many small requests take a slice of each turn of the reactor, and no more.
- After a wrong request, or a failure of the responder, the responder gets no more requests. The protocol
  sends the answers before it, and closes without a reset, which would destroy data on their way to the peer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from echo_app.addresses import internetAddress, isLoopbackHost
from echo_app.connections.record import Ending, noteEnd
from echo_app.interfaces import IMessageTransport
from echo_app.responders.answers import Answer, Answers
from echo_app.responders.framing import INCOMPLETE, Requests
from echo_app.stream.protocol import EchoProtocol
from echo_app.transport.closing import linger
from echo_app.udp.protocol import UNSENDABLE, DatagramRules, EchoDatagramProtocol

# Answers that one connection may be owed: enough for a client that pipelines, a thirtieth of the service's.
# As many requests are answered at once, some 0.2 ms with small ones; more of them wait in the work queue.
MAX_OWED = 32

# Answers that may be under way for one UDP port: a quarter of the service's.
MAX_DATAGRAMS = 250


@implementer(IPushProducer)
class AnsweringProtocol(EchoProtocol):
    """Answers the requests of a stream with a responder.

    :param answers: calls the responder.

    :cvar onlyAnswers: a pause stops reading; the protocol writes nothing of its own.
    """

    onlyAnswers = True

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._requests = Requests(answers.framing)
        self._owed: deque[Answer] = deque()
        # The buffer may contain a complete request.
        self._hasMore = False
        self._isFull = False
        self._isPaused = False
        self._isEnded = False
        self._isWorking = False
        self._isClosing = False

    def registerProducer(self) -> None:
        """Registers with the transport, for back-pressure."""
        if IMessageTransport.providedBy(self.transport):
            self._send = self._sendMessages  # type: ignore[method-assign]
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """Answers the requests that are complete now."""
        self._requests.feed(data)
        self._hasMore = True
        self._work()

    def readConnectionLost(self) -> None:
        """Sends the owed answers after a half-close by the peer, and then our end of stream."""
        self._isEnded = True
        self._requests.end()
        self._hasMore = True
        self._work()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Cancels the answers that are under way."""
        self._stop()
        super().connectionLost(reason)

    def pauseProducing(self) -> None:
        """Stops reading: the peer does not read its answers fast enough."""
        self._isFull = True
        self._settle()

    def resumeProducing(self) -> None:
        """Goes on: the transport has room again."""
        self._isFull = False
        self._work()

    def stopProducing(self) -> None:
        """Does nothing: ``connectionLost`` comes next."""

    def _work(self) -> None:
        """Asks the responder and sends answers; with more requests, goes on in a later turn."""
        if self._isWorking or self._isClosing:
            return
        self._isWorking = True
        # Answers that are ready first, so that there is room for others.
        self._send()
        self._ask()
        self._send()
        if self._canAsk():
            self._answers.queue.add(self._work)
        self._isWorking = False
        self._settle()

    def _canAsk(self) -> bool:
        owed = self._owed
        if not self._hasMore or self._isFull or self._isClosing or len(owed) >= MAX_OWED:
            return False
        if owed and owed[-1].isLast:
            return False
        if not self._answers.hasRoom:
            self._answers.whenRoom(self._work)
            return False
        return True

    def _ask(self) -> None:
        """Gives the complete requests to the responder."""
        answers, peer = self._answers, self.transport.getPeer
        while self._canAsk():
            try:
                request = self._requests.take()
            except Exception:
                answer = Answer()
                answers.fail(Failure(), answer, peer)
            else:
                if request is INCOMPLETE:
                    self._hasMore = False
                    break
                answer = answers.ask(request, answers.framing.wrap, peer, self._work)
            self._owed.append(answer)

    def _send(self) -> None:
        """Sends the answers that are ready and next in order."""
        values: list[bytes] = []
        isLast = False
        while self._owed and self._owed[0].isDone and not isLast:
            answer = self._owed.popleft()
            values.append(answer.value)
            isLast = answer.isLast
        if data := b"".join(values):
            self.transport.write(data)
        if isLast:
            self._close()

    def _sendMessages(self) -> None:
        """Sends these answers one by one, for faults of messages; each may fill the transport."""
        transport: Any = self.transport
        while self._owed and self._owed[0].isDone and not self._isFull:
            answer = self._owed.popleft()
            if answer.value or not answer.isLast:
                transport.writeMessage(answer.value)
            if answer.isLast:
                self._close()

    def _settle(self) -> None:
        """Pauses or resumes reading, or ends the connection after its last answer."""
        if self._isClosing or self._isWorking:
            return
        self.pending = len(self._owed) + self._hasMore
        if self._isEnded:
            if not self.pending:
                self.finish()
        elif self._isPaused != (self._isFull or self._hasMore):
            self._isPaused = not self._isPaused
            if self._isPaused:
                self.transport.pauseProducing()
            else:
                self.transport.resumeProducing()

    def _close(self) -> None:
        """Ends our direction of the stream; the peer's end, or a second, then ends the connection."""
        self._stop()
        transport = self.transport
        noteEnd(transport, Ending.RESPONDER)
        transport.unregisterProducer()
        linger(transport, self, self._answers.clock, self._isEnded)

    def _stop(self) -> None:
        """Stops answering, and cancels the answers that are under way."""
        self._isClosing = True
        self.pending = 0
        self._answers.forget(self._work)
        self._answers.queue.remove(self._work)
        for answer in self._owed:
            answer.cancel()
        self._owed.clear()


class GuardedDatagramProtocol(EchoDatagramProtocol):
    """Answers datagrams, never with more bytes than the request has, except on loopback.

    UDP sources are easily forged: a longer answer would make the service an amplifier.
    """

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Answers the datagram if the rules admit it."""
        if self.rules.admits(addr[0], addr[1]):
            self.respond(datagram, addr)

    def respond(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Answers an admitted datagram."""
        raise NotImplementedError

    def replyTo(self, datagram: bytes, addr: tuple[str, int]) -> Callable[[bytes], None]:
        """Returns a function that answers the current datagram, now or later."""
        transport: Any = self.transport
        # Our port and the layers above it have this method; Twisted's port does not.
        replying = getattr(transport, "replying", None)
        send: Callable[[bytes], object] = replying() if replying else partial(transport.write, addr=addr)
        return partial(self._reply, send, len(datagram), addr[0])

    def _reply(self, send: Callable[[bytes], object], size: int, host: str, answer: bytes) -> None:
        if len(answer) > size and not isLoopbackHost(host):
            self.rules.dropped.add("longer-answer")
            return
        try:
            send(answer)
        except UNSENDABLE:
            self.rules.dropped.add("unsendable")
        else:
            self.rules.answered += 1


class AnsweringDatagramProtocol(GuardedDatagramProtocol):
    """Answers datagrams with a responder; each datagram is a request.

    :param answers: calls the responder.
    :param rules: as for ``EchoDatagramProtocol``.
    """

    def __init__(self, answers: Answers, rules: DatagramRules | None = None) -> None:
        super().__init__(rules)
        self._answers = answers
        self._underWay: set[Answer] = set()

    def respond(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Gives the request to the responder, and sends the answer when it is ready."""
        if len(self._underWay) >= MAX_DATAGRAMS or not self._answers.hasRoom:
            self.rules.dropped.add("busy")
            return
        reply = self.replyTo(datagram, addr)
        peer = partial(internetAddress, "UDP", addr[0], addr[1])
        answer = self._answers.ask(datagram, bytes, peer, lambda: self._answered(answer, reply))
        self._underWay.add(answer)
        if answer.isDone:
            self._answered(answer, reply)

    def stopProtocol(self) -> None:
        """Cancels the answers that are under way: no port is left to send them."""
        super().stopProtocol()
        underWay, self._underWay = self._underWay, set()
        for answer in underWay:
            answer.cancel()

    def _answered(self, answer: Answer, reply: Callable[[bytes], None]) -> None:
        if answer not in self._underWay:
            # The responder went on after its answer was cancelled.
            return
        self._underWay.remove(answer)
        if answer.value or not answer.isLast:
            reply(answer.value)
        else:
            self.rules.dropped.add("failed")
