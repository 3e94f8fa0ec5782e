"""Unit tests of Twisted protocols in memory, without a reactor: ``pytest test_in_memory.py``."""

import random
from contextlib import suppress

import pytest
from twisted.internet.defer import TimeoutError
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted_client import Question

from echo_app import EchoProtocol
from echo_app.testing.memory import connectedPair, connectedTransport


def failureOf(deferred):
    """Returns the exception of a failed Deferred."""
    failures = []
    deferred.addErrback(failures.append)
    return failures[0].value


@pytest.mark.parametrize("segments", [None, 1, random.Random(1)])
def test_answer(segments):
    """The answer is found, however the stream is split, and then the connection ends."""
    question = Question(b"hello")
    pair = connectedPair(question, EchoProtocol(), segments=segments)
    pair.flush()
    assert question.answer.result == b"hello"
    assert question.closed.called


def test_reset():
    """A reset within the answer is an error, and no short answer."""
    question = Question(b"hello")
    transport = connectedTransport(question)
    transport.flush()
    assert transport.farEnd.recv() == b"hello\n"
    transport.farEnd.send(b"hel")
    transport.farEnd.reset()
    transport.flush()
    assert isinstance(failureOf(question.answer), ConnectionLost)


def test_ended():
    """An end of the stream within the answer is an error, too, also together with the data."""
    question = Question(b"hello")
    transport = connectedTransport(question)
    transport.farEnd.send(b"hel")
    transport.farEnd.shutdown()
    transport.flush()
    assert isinstance(failureOf(question.answer), ConnectionDone)


def test_timeout():
    """A peer that does not answer in time is reset. The test moves the clock."""
    clock = Clock()
    question = Question(b"hello")
    transport = connectedTransport(question, clock=clock)
    answer = question.answer.addTimeout(2, clock)
    clock.advance(1.9)
    transport.flush()
    assert not question.closed.called
    clock.advance(0.1)
    transport.flush()
    assert isinstance(failureOf(answer), TimeoutError)
    transport.farEnd.recv()
    with pytest.raises(ConnectionResetError):
        transport.farEnd.recv()


def test_backPressure():
    """The protocol stops reading from a peer that never reads, and its memory is bounded."""
    transport = connectedTransport(EchoProtocol())
    for _ in range(100):
        with suppress(BlockingIOError):
            transport.farEnd.send(bytes(65536))
        transport.flush()
    assert not transport.isReading
    assert transport.unsent <= 128 * 1024
