"""A responder's answers to requests, and its failures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from echo_app.interfaces import IResponder
from echo_app.responders.answers import Answer, Answers, framingOf
from echo_app.responders.framing import BadRequest, lengthPrefixed, lines


def peer() -> IPv4Address:
    return IPv4Address("TCP", "192.0.2.1", 4242)


class AnswersTestCase(SynchronousTestCase):
    """Asks, and sees what is logged.

    :ivar logged: what was logged at error level.
    :ivar done: number of answers that were reported as done.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.done = 0
        self._events = self.enterContext(capturedLogs())

    @property
    def logged(self) -> list[dict[str, Any]]:
        return [event for event in self._events if event["log_level"] == LogLevel.error]

    def _count(self) -> None:
        self.done += 1

    def answers(self, responder: Callable[..., Any], **more: Any) -> Answers:
        return Answers(responder, self.clock, **more)

    def ask(self, answers: Answers, request: object = b"hello") -> Answer:
        return answers.ask(request, bytes, peer, self._count)

    def assertFailed(self, answer: Answer, error: str) -> None:
        """Checks that an answer is a last one without bytes, and is logged once."""
        self.assertEqual((answer.isDone, answer.isLast, answer.value), (True, True, b""))
        (event,) = self.logged
        self.assertIn(error, event["traceback"])
        self.assertEqual(event["peer"], "192.0.2.1:4242")


class KindTests(AnswersTestCase):
    """A responder answers at once, by a Deferred, or as a coroutine."""

    def test_bytes(self) -> None:
        """Bytes are an answer at once, wrapped as the framing says."""
        answer = self.answers(bytes.upper).ask(b"hello", lengthPrefixed.wrap, peer, self._count)
        self.assertEqual((answer.value, answer.isDone, answer.isLast), (b"\0\0\0\5HELLO", True, False))
        self.assertEqual(self.done, 0)

    def test_fired(self) -> None:
        """A Deferred with a result, and a coroutine that never waits, are an answer at once."""

        async def later(request: bytes) -> bytes:
            return request

        for responder in (later, succeed):
            answer = self.ask(self.answers(responder, most=0))
            self.assertEqual((answer.value, answer.isDone, self.done), (b"hello", True, 0))

    def test_deferred(self) -> None:
        """A Deferred's bytes are the answer when it fires, and its time is no longer watched then."""
        deferred: Deferred[bytes] = Deferred()
        answer = self.ask(self.answers(lambda _: deferred))
        self.assertEqual((answer.isDone, self.done), (False, 0))
        deferred.callback(b"later")
        self.assertEqual((answer.value, answer.isDone, self.done), (b"later", True, 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_coroutine(self) -> None:
        """A coroutine's bytes are the answer when it returns."""
        deferred: Deferred[bytes] = Deferred()

        async def later(request: bytes) -> bytes:
            return request + await deferred

        answer = self.ask(self.answers(later))
        deferred.callback(b", later")
        self.assertEqual((answer.value, self.done), (b"hello, later", 1))


class FailureTests(AnswersTestCase):
    def test_raises(self) -> None:
        """A responder's exception is logged with its traceback and counted."""

        def wrong(_: bytes) -> bytes:
            raise ArithmeticError("wrong")

        answers = self.answers(wrong)
        self.assertFailed(self.ask(answers), "ArithmeticError: wrong")
        self.assertIn(", in wrong", self.logged[0]["traceback"])
        self.assertEqual(answers.unanswered.byReason, {"error": 1})

    def test_raisesLater(self) -> None:
        """A coroutine's exception after a wait is logged and counted too."""
        deferred: Deferred[None] = Deferred()

        async def wrongLater(_: bytes) -> bytes:
            await deferred
            raise ArithmeticError("wrong")

        answer = self.ask(self.answers(wrongLater))
        deferred.callback(None)
        self.assertFailed(answer, "ArithmeticError: wrong")
        self.assertIn(", in wrongLater", self.logged[0]["traceback"])

    def test_noBytes(self) -> None:
        """An answer that is no bytes is a failure that names its type."""
        answer = self.ask(self.answers(lambda _: "hello"))
        self.assertFailed(answer, "TypeError: an answer is bytes, not str")

    def test_escaped(self) -> None:
        """A peer's bytes that an error quotes are escaped in the log."""

        def wrong(request: bytes) -> bytes:
            raise ValueError(request.decode())

        self.ask(self.answers(wrong), b"\x1b[2J\r")
        self.assertIn("\\x1b[2J", self.logged[0]["traceback"])
        self.assertTrue(self.logged[0]["traceback"].replace("\n", "").isprintable())

    def test_badRequest(self) -> None:
        """A wrong request is the peer's mistake: it gets the error's answer, and it is no error of ours."""

        def wrong(_: bytes) -> bytes:
            raise BadRequest("none of ours", b"error\n")

        answers = self.answers(wrong)
        answer = self.ask(answers)
        self.assertEqual((answer.value, answer.isDone, answer.isLast), (b"error\n", True, True))
        self.assertEqual((answers.unanswered.byReason, self.logged), ({"bad-request": 1}, []))


class TimeoutTests(AnswersTestCase):
    def test_late(self) -> None:
        """An answer that takes too long is cancelled, and the log has the place of its wait."""
        seen = []

        async def slow(_: bytes) -> bytes:
            try:
                return await Deferred()
            except CancelledError:
                seen.append("cancelled")
                raise

        answers = self.answers(slow, timeout=5)
        answer = self.ask(answers)
        self.clock.advance(4.9)
        self.assertEqual((seen, answer.isDone), ([], False))
        self.clock.advance(0.1)
        self.assertEqual((seen, self.done), (["cancelled"], 1))
        self.assertFailed(answer, "await Deferred()")
        self.assertIn("longer than 5 seconds", self.logged[0]["what"])
        self.assertEqual(answers.unanswered.byReason, {"timeout": 1})

    def test_goesOn(self) -> None:
        """An answer that goes on after its cancellation fails at once, and takes its room until it ends."""
        rest: Deferred[bytes] = Deferred()

        async def stubborn(_: bytes) -> bytes:
            try:
                return await Deferred()
            except CancelledError:
                return await rest

        answers = self.answers(stubborn, timeout=5, most=1)
        answer = self.ask(answers)
        self.clock.advance(5)
        self.assertFailed(answer, "CancelledError")
        self.assertEqual((self.done, answers.hasRoom), (1, False))
        rest.callback(b"at last")
        self.assertEqual((answer.value, answers.hasRoom, len(self.logged)), (b"", True, 1))

    def test_never(self) -> None:
        """Without a time-out nothing is timed."""
        self.ask(self.answers(lambda _: Deferred(), timeout=None))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_left(self) -> None:
        """An answer that is no longer needed is cancelled without a line, and its room is free."""
        cancelled: list[Deferred[bytes]] = []
        answers = self.answers(lambda _: Deferred(cancelled.append), most=1)
        answer = self.ask(answers)
        answer.cancel()
        self.assertEqual((len(cancelled), self.logged, answers.hasRoom), (1, [], True))
        self.assertEqual((self.clock.getDelayedCalls(), answers.unanswered.byReason), ([], {}))

    def test_leftAndWrong(self) -> None:
        """If it fails at that, which is a mistake of the responder's, it is logged."""

        async def wrong(_: bytes) -> bytes:
            try:
                return await Deferred()
            finally:
                raise ArithmeticError

        answer = self.ask(self.answers(wrong))
        answer.cancel()
        self.assertFailed(answer, "ArithmeticError")


class RoomTests(AnswersTestCase):
    def test_order(self) -> None:
        """Waiters for room are told in the order of asking, one for each free place."""
        under: list[Deferred[bytes]] = []

        def later(_: bytes) -> Deferred[bytes]:
            under.append(Deferred())
            return under[-1]

        answers = self.answers(later, most=2)
        told: list[str] = []

        def first() -> None:
            told.append("first")
            self.ask(answers)

        def second() -> None:
            told.append("second")

        self.ask(answers)
        self.ask(answers)
        self.assertFalse(answers.hasRoom)
        answers.whenRoom(first)
        answers.whenRoom(second)
        answers.whenRoom(first)
        under[0].callback(b"")
        self.assertEqual((told, answers.hasRoom), (["first"], False))
        under[1].callback(b"")
        self.assertEqual((told, answers.hasRoom), (["first", "second"], True))

    def test_unused(self) -> None:
        """A waiter that does not use its place leaves it to the next one; one that has left is not told."""
        deferred: Deferred[bytes] = Deferred()
        answers = self.answers(lambda _: deferred, most=1)
        told: list[int] = []
        waiting = [lambda n=n: told.append(n) for n in range(3)]
        self.ask(answers)
        for each in waiting:
            answers.whenRoom(each)
        answers.forget(waiting[1])
        deferred.callback(b"")
        self.assertEqual(told, [0, 2])


class FramingOfTests(SynchronousTestCase):
    def test_declared(self) -> None:
        """The framing is the one that a responder declares, and lines otherwise."""

        def prefixed(request: bytes) -> bytes:
            return request

        self.assertIs(framingOf(prefixed), lines)
        prefixed.framing = lengthPrefixed  # type: ignore[attr-defined]
        self.assertIs(framingOf(prefixed), lengthPrefixed)
        self.assertIs(framingOf(bytes.upper), lines)

    def test_object(self) -> None:
        """An object that provides the interface is asked as a function is."""

        @implementer(IResponder)
        class Shouting:
            framing = lengthPrefixed

            def __call__(self, request: bytes) -> bytes:
                return request.upper()

        self.assertTrue(verifyObject(IResponder, Shouting()))
        self.assertIs(framingOf(Shouting()), lengthPrefixed)

    def test_none(self) -> None:
        """An object that is no responder is refused, with the reason."""

        class Wrong:
            framing = "lines"

            def __call__(self, request: bytes) -> bytes:
                return request

        for responder, reason in (
            (3, "of type int"),
            (Wrong, "a class"),
            (Wrong(), "no echo_app.Framing, but of type str"),
            (lambda: b"", r"takes \(\), and not one request"),
        ):
            self.assertRaisesRegex(ValueError, reason, framingOf, responder)
