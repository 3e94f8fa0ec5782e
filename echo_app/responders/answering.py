"""Protocols of responders: streams and datagrams that a responder answers.

The rules of an :class:`AnsweringProtocol`: requests are asked in their order, and answers are sent in it,
whichever is there first. It reads only while every request that came is asked, and the peer reads: what
stops it is the transport's full buffer, so many answers that are owed, or no room in the service. After a
wrong request, or one that the responder failed at, nothing more is asked; what came before is answered,
and then it closes, without a reset that would destroy what is under way to the peer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from echo_app.addresses import internetAddress, isLoopbackHost
from echo_app.connections.limits import LINGER
from echo_app.connections.record import Ending, noteEnd
from echo_app.responders.answers import Answer, Answers
from echo_app.responders.framing import INCOMPLETE, Requests
from echo_app.stream.protocol import EchoProtocol
from echo_app.transport.sockets import canHalfClose
from echo_app.udp.protocol import UNSENDABLE, DatagramRules, EchoDatagramProtocol

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

# Answers that one connection may be owed: enough for a client that pipelines, and a thirtieth of the service.
MOST = 32

# Times that so many are asked for before the reactor has its turn: some 2 ms of small ones.
ROUNDS = 10

# Answers that may be under way for one UDP port: a quarter of the service's.
MOST_DATAGRAMS = 250


@implementer(IPushProducer)
class AnsweringProtocol(EchoProtocol):
    """Sends the answers of a responder.

    :param answers: asks it.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._requests = Requests(answers.framing)
        self._owed: deque[Answer] = deque()
        # There may be a complete request.
        self._hasMore = False
        self._isFull = False
        self._isPaused = False
        self._isEnded = False
        self._isWorking = False
        self._isClosing = False
        self._call: IDelayedCall | None = None

    def registerProducer(self) -> None:
        """Is told by the transport when to pause."""
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """Takes what is complete for requests."""
        if not self._isClosing:
            self._requests.feed(data)
            self._hasMore = True
            self._work()

    def readConnectionLost(self) -> None:
        """The peer half-closed: it gets the answers that it is owed, and then our end of stream."""
        self._isEnded = True
        if self._isClosing:
            self.transport.loseConnection()
        else:
            self._requests.end()
            self._hasMore = True
            self._work()

    def writeConnectionLost(self) -> None:
        """Everything is sent, and our end of stream; the peer has a second for its own."""
        if self._isClosing:
            self._later(LINGER, self.transport.abortConnection)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Cancels the answers that are under way."""
        self._stop()
        super().connectionLost(reason)

    def pauseProducing(self) -> None:
        """The peer does not read as fast as it is answered."""
        self._isFull = True
        self._settle()

    def resumeProducing(self) -> None:
        """The peer has read."""
        self._isFull = False
        self._work()

    def stopProducing(self) -> None:
        """The connection is lost; ``connectionLost`` comes next."""

    def _work(self) -> None:
        """Asks and sends, as long as there is something to ask, and this turn lasts."""
        if self._isWorking or self._isClosing:
            return
        self._isWorking = True
        for _ in range(ROUNDS):
            self._ask()
            self._send()
            if not self._canAsk():
                break
        else:
            self._later(0, self._work)
        self._isWorking = False
        self._settle()

    def _canAsk(self) -> bool:
        owed = self._owed
        if not self._hasMore or self._isFull or self._isClosing or len(owed) >= MOST:
            return False
        if owed and owed[-1].isLast:
            return False
        if not self._answers.hasRoom:
            self._answers.whenRoom(self._work)
            return False
        return True

    def _ask(self) -> None:
        """Asks for the answers to the requests that are complete."""
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
        """Sends the answers whose turn it is."""
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

    def _settle(self) -> None:
        """Reads on, or not, or ends the connection, as it stands now."""
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
        """Ends the stream to the peer, whose own end, or a second, ends the connection."""
        self._stop()
        transport = self.transport
        noteEnd(transport, Ending.RESPONDER)
        transport.unregisterProducer()
        if not self._isEnded:
            # What comes now is read and forgotten: a close with unread input would be a reset.
            transport.resumeProducing()
        if self._isEnded or not canHalfClose(transport):
            transport.loseConnection()
        else:
            transport.loseWriteConnection()

    def _stop(self) -> None:
        """Asks nothing more, and waits for nothing."""
        self._isClosing = True
        self.pending = 0
        self._answers.forget(self._work)
        if self._call is not None and self._call.active():
            self._call.cancel()
        for answer in self._owed:
            answer.cancel()
        self._owed.clear()

    def _later(self, seconds: float, function: Callable[[], object]) -> None:
        if self._call is None or not self._call.active():
            self._call = self._answers.clock.callLater(seconds, function)


class GuardedDatagramProtocol(EchoDatagramProtocol):
    """Answers datagrams, and never with more than was asked with, except on loopback.

    UDP sources are easily forged: a longer answer would make the service an amplifier.
    """

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Answers, if the rules admit it."""
        if self.rules.admits(addr[0], addr[1]):
            self.respond(datagram, addr)

    def respond(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Answers an admitted datagram."""
        raise NotImplementedError

    def replyTo(self, datagram: bytes, addr: tuple[str, int]) -> Callable[[bytes], None]:
        """Returns what sends an answer to the datagram that is received now, also later."""
        transport: Any = self.transport
        # Ours has it, and so has what is put before it; Twisted's has not.
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
    """Sends the answers of a responder; a datagram is a request.

    :param answers: asks it.
    :param rules: as for ``EchoDatagramProtocol``.
    """

    def __init__(self, answers: Answers, rules: DatagramRules | None = None) -> None:
        super().__init__(rules)
        self._answers = answers
        self._underWay: set[Answer] = set()

    def respond(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Asks, and answers when there is something to send."""
        if len(self._underWay) >= MOST_DATAGRAMS or not self._answers.hasRoom:
            self.rules.dropped.add("busy")
            return
        reply = self.replyTo(datagram, addr)
        peer = partial(internetAddress, "UDP", addr[0], addr[1])
        answer = self._answers.ask(datagram, bytes, peer, lambda: self._answered(answer, reply))
        self._underWay.add(answer)
        if answer.isDone:
            self._answered(answer, reply)

    def stopProtocol(self) -> None:
        """Cancels the answers that are under way: there is nothing any more that could send them."""
        super().stopProtocol()
        underWay, self._underWay = self._underWay, set()
        for answer in underWay:
            answer.cancel()

    def _answered(self, answer: Answer, reply: Callable[[bytes], None]) -> None:
        if answer not in self._underWay:
            # It went on after it was cancelled.
            return
        self._underWay.remove(answer)
        if answer.value or not answer.isLast:
            reply(answer.value)
        else:
            self.rules.dropped.add("failed")
