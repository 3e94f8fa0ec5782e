"""Answers of a responder, bounded in number and in time.

One :class:`Answers` serves all connections and ports of a service. Its rules:

- An answer is under way from the call of the responder until its Deferred has fired. An answer that is there
  at once is never under way.
- At most ``most`` answers are under way. A connection that finds no room is called when there is room, in the
  order of asking.
- Each failure is logged once, here.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import isclass, iscoroutine, signature
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from echo_app.addresses import describe
from echo_app.connections.registry import ReasonCounter
from echo_app.responders.framing import BadRequest, Framing, lines
from echo_app.text import escaped
from echo_app.transport.workqueue import WorkQueue

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from echo_app.interfaces import IResponder

log = Logger()

# Default of the seconds that an answer may take: as long as a handshake.
TIMEOUT = 30

# Answers that may be under way in a service at one time: several for each of a hundred connections.
MAX_UNDER_WAY = 1000


class Answer:
    """The answer to one request: its bytes, or none yet.

    :ivar value: the bytes to send, once the answer is done.
    :ivar isDone: the answer is complete, or has failed.
    :ivar isLast: the request was wrong, or the responder failed: no answer follows.
    """

    __slots__ = ("deferred", "isDone", "isLast", "isLate", "isLeft", "timer", "value")

    def __init__(self) -> None:
        self.value = b""
        self.isDone = self.isLast = self.isLate = self.isLeft = False
        self.deferred: Deferred[Any] | None = None
        self.timer: IDelayedCall | None = None

    def cancel(self) -> None:
        """Cancels the responder's Deferred, because the connection or the port is gone."""
        if self.deferred is not None and not self.isDone:
            self.isLeft = True
            self.deferred.cancel()


class Answers:
    """Calls a responder, and bounds its answers.

    :param responder: a function of one request, or an object that provides ``IResponder``.
    :param clock: measures the time-outs.
    :param timeout: seconds that an answer may take; None is no limit.
    :param most: answers that may be under way at one time.
    :raise ValueError: when `responder` is no responder.

    :ivar queue: does the work of connections with many requests.
    :ivar unanswered: counts requests without an answer, by reason.
    """

    def __init__(
        self,
        responder: IResponder | Callable[[Any], Any],
        clock: IReactorTime,
        timeout: float | None = TIMEOUT,
        most: int = MAX_UNDER_WAY,
    ) -> None:
        self.framing = framingOf(responder)
        self.clock = clock
        self.queue = WorkQueue(clock)
        self.unanswered = ReasonCounter("requests without an answer", clock.seconds)
        self._responder: Callable[[Any], Any] = responder
        self._timeout = timeout
        self._most = most
        self._underWay = 0
        self._waiting: dict[Callable[[], object], None] = {}

    @property
    def hasRoom(self) -> bool:
        """Returns whether one more answer may be under way."""
        return self._underWay < self._most

    def whenRoom(self, goOn: Callable[[], object]) -> None:
        """Calls a function once, when there is room."""
        self._waiting[goOn] = None

    def forget(self, goOn: Callable[[], object]) -> None:
        """Cancels the call that :meth:`whenRoom` promised."""
        self._waiting.pop(goOn, None)

    def ask(
        self,
        request: Any,
        wrap: Callable[[bytes], bytes],
        peer: Callable[[], object],
        whenDone: Callable[[], object],
    ) -> Answer:
        """Calls the responder with one request.

        :param wrap: returns the bytes on the wire for the answer's bytes.
        :param peer: returns the peer's address.
        :param whenDone: called when the answer is done, unless that is before this method returns.
        """
        answer = Answer()
        try:
            result = self._responder(request)
            if iscoroutine(result):
                result = Deferred.fromCoroutine(result)
            if not isinstance(result, Deferred):
                _settle(result, answer, wrap)
                return answer
        except Exception:
            self.fail(Failure(), answer, peer)
            return answer
        result.addCallback(_settle, answer, wrap).addErrback(self.fail, answer, peer)
        if not answer.isDone:
            self._underWay += 1
            answer.deferred = result
            if self._timeout is not None:
                answer.timer = self.clock.callLater(self._timeout, self._late, answer, peer, whenDone)
            result.addBoth(lambda _: self._release(answer, whenDone))
        return answer

    def fail(self, failure: Failure, answer: Answer, peer: Callable[[], object]) -> None:
        """Logs and counts the failure of a request or an answer, and makes the answer the last one."""
        error = failure.value
        if answer.isDone or (answer.isLeft and isinstance(error, CancelledError)):
            return
        answer.isDone = answer.isLast = True
        if isinstance(error, BadRequest):
            answer.value = error.answer
            self.unanswered.add(error.kind, f"{describe(peer())} sent {error}")
            return
        reason, what = "error", "the responder failed"
        if answer.isLate:
            reason, what = "timeout", f"the responder took longer than {self._timeout:g} seconds"
        self.unanswered.byReason[reason] += 1
        # The error's text may contain bytes of the peer.
        traceback = [escaped(line) for line in failure.getTraceback().strip().splitlines()]
        log.error(
            "no answer to {peer}: {what}\n{traceback}",
            peer=describe(peer()),
            what=what,
            traceback="\n".join(traceback),
        )

    def _late(self, answer: Answer, peer: Callable[[], object], whenDone: Callable[[], object]) -> None:
        answer.isLate = True
        assert answer.deferred is not None
        answer.deferred.cancel()
        if not answer.isDone:
            # The responder ignored the cancellation: its answer stays under way, but no connection waits.
            self.fail(Failure(CancelledError()), answer, peer)
            whenDone()

    def _release(self, answer: Answer, whenDone: Callable[[], object]) -> None:
        if answer.timer is not None and answer.timer.active():
            answer.timer.cancel()
        self._underWay -= 1
        # Waiting connections come before the one whose answer is done, which may have more requests. A
        # connection whose answers are there at once leaves the room to the next.
        while self._waiting and self.hasRoom:
            goOn = next(iter(self._waiting))
            del self._waiting[goOn]
            goOn()
        whenDone()


def _settle(result: object, answer: Answer, wrap: Callable[[bytes], bytes]) -> None:
    """Completes an answer with the result of the responder.

    :raise TypeError: when the result is not bytes.
    """
    if answer.isLate:
        raise CancelledError
    if not isinstance(result, bytes):
        raise TypeError(f"an answer is bytes, not {type(result).__name__}")
    answer.value = wrap(result)
    answer.isDone = True


def framingOf(responder: Any) -> Framing:
    """Returns the framing that a responder declares, or ``lines``.

    :raise ValueError: when it can't be called with a request, or its framing is none; with the reason.
    """
    if isclass(responder):
        raise ValueError("a class, not an instance of one")
    if not callable(responder):
        raise ValueError(f"not a function, but of type {type(responder).__name__}")
    framing = getattr(responder, "framing", lines)
    if not isinstance(framing, Framing):
        raise ValueError(f"its framing is no echo_app.Framing, but of type {type(framing).__name__}")
    try:
        parameters = signature(responder)
    except ValueError:
        # Some functions written in C have no signature.
        return framing
    try:
        parameters.bind(b"")
    except TypeError:
        raise ValueError(f"it takes {parameters}, and not one request") from None
    return framing
