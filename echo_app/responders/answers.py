"""Answers of a responder: in order, bounded in number and in time.

The rules of :class:`Answers`, one object for all connections and ports of a service: an answer is under way
from when the responder is asked until the Deferred that it gave has fired, and not at all if that had its
result at once; so many are under way at one time; who finds no room is told when there is some, in the order
of asking. What fails is logged here, once.
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

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from echo_app.interfaces import IResponder

log = Logger()

# Seconds that an answer may take, unless told otherwise: as long as a handshake.
TIMEOUT = 30

# Answers that may be under way for a service at one time: several for each of a hundred connections.
MAX_UNDER_WAY = 1000


class Answer:
    """What comes of one request.

    :ivar value: the bytes to send, once it is done.
    :ivar isDone: nothing more is to be waited for.
    :ivar isLast: the request was wrong, or the responder failed: nothing is answered after it.
    """

    __slots__ = ("deferred", "isDone", "isLast", "isLate", "isLeft", "timer", "value")

    def __init__(self) -> None:
        self.value = b""
        self.isDone = self.isLast = self.isLate = self.isLeft = False
        self.deferred: Deferred[Any] | None = None
        self.timer: IDelayedCall | None = None

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        if self.deferred is not None and not self.isDone:
            self.isLeft = True
            self.deferred.cancel()


class Answers:
    """Asks a responder.

    :param responder: a function of one request, or what provides ``IResponder``.
    :param clock: what time is.
    :param timeout: seconds that an answer may take; None is no limit.
    :param most: how many may be under way at one time.
    :raise ValueError: when `responder` can't be one.

    :ivar unanswered: requests that were not answered, by reason.
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
        self.unanswered = ReasonCounter("requests without an answer", clock.seconds)
        self._responder: Callable[[Any], Any] = responder
        self._timeout = timeout
        self._most = most
        self._underWay = 0
        self._waiting: dict[Callable[[], object], None] = {}

    @property
    def hasRoom(self) -> bool:
        """Whether one more may be under way."""
        return self._underWay < self._most

    def whenRoom(self, goOn: Callable[[], object]) -> None:
        """Has a function called, once, when there is room."""
        self._waiting[goOn] = None

    def forget(self, goOn: Callable[[], object]) -> None:
        """Has it called no more."""
        self._waiting.pop(goOn, None)

    def ask(
        self,
        request: Any,
        wrap: Callable[[bytes], bytes],
        peer: Callable[[], object],
        whenDone: Callable[[], object],
    ) -> Answer:
        """Asks for one answer.

        :param wrap: returns the bytes that carry it.
        :param peer: returns the address of who is to have it.
        :param whenDone: is called when it is done, if it is not when this returns.
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
        """Logs why there is no answer, or no right request, and makes the answer the last one."""
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
        # What a peer has sent may be in the error's text.
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
            # It goes on all the same, and stays under way until it ends; nobody waits for that.
            self.fail(Failure(CancelledError()), answer, peer)
            whenDone()

    def _release(self, answer: Answer, whenDone: Callable[[], object]) -> None:
        if answer.timer is not None and answer.timer.active():
            answer.timer.cancel()
        self._underWay -= 1
        # Those that wait come before the one whose room it was, which may have more to ask. One that has its
        # answers at once leaves the room to the next.
        while self._waiting and self.hasRoom:
            goOn = next(iter(self._waiting))
            del self._waiting[goOn]
            goOn()
        whenDone()


def _settle(result: object, answer: Answer, wrap: Callable[[bytes], bytes]) -> None:
    """Takes what the responder returned for its answer."""
    if answer.isLate:
        raise CancelledError
    if not isinstance(result, bytes):
        raise TypeError(f"an answer is bytes, not {type(result).__name__}")
    answer.value = wrap(result)
    answer.isDone = True


def framingOf(responder: Any) -> Framing:
    """Returns the framing that a responder declares, or ``lines``.

    :raise ValueError: when it can't be asked, or its framing is none; the text says why.
    """
    if isclass(responder):
        raise ValueError("a class: name an object of it")
    if not callable(responder):
        raise ValueError(f"not a function, but of type {type(responder).__name__}")
    framing = getattr(responder, "framing", lines)
    if not isinstance(framing, Framing):
        raise ValueError(f"its framing is no echo_app.Framing, but of type {type(framing).__name__}")
    try:
        parameters = signature(responder)
    except ValueError:
        # Not all that is written in C has one.
        return framing
    try:
        parameters.bind(b"")
    except TypeError:
        raise ValueError(f"it takes {parameters}, and not one request") from None
    return framing
