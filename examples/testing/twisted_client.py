"""A Twisted client that has a deadline and tries again. Its tests are beside it, for trial and for pytest."""

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.endpoints import connectProtocol
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.protocol import connectionDone
from twisted.internet.task import deferLater
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

# Errors after which another attempt may succeed.
TRANSIENT = (ConnectError, ConnectionClosed, TimeoutError)


class Question(LineOnlyReceiver):
    """A connection with one question and one answer, which are lines.

    :ivar answer: fires with the answer, or fails with the reason why the connection was lost before it.
    :ivar closed: fires when the connection is lost.
    """

    delimiter = b"\n"

    def __init__(self, question):
        self._question = question
        self.answer = Deferred(canceller=lambda _: self.transport.abortConnection())
        self.closed = Deferred()

    def connectionMade(self):
        """Sends the question."""
        self.sendLine(self._question)

    def lineReceived(self, line):
        """Takes the line as the answer."""
        self.transport.loseConnection()
        self.answer.callback(line)

    def connectionLost(self, reason: Failure = connectionDone):
        """Fails ``answer``, if no answer has come."""
        if not self.answer.called:
            self.answer.errback(reason)
        self.closed.callback(None)


class Client:
    """Asks a service that answers a line with a line, on a connection for each question.

    :param endpoint: connects to the service.
    :param timeout: seconds that one attempt may take, without the time to connect.
    :param retries: the number of further attempts after a failure.
    :param pause: seconds before the first retry; twice as many before each further one.
    """

    def __init__(self, reactor, endpoint, timeout=5.0, retries=3, pause=0.02):
        self._reactor, self._endpoint = reactor, endpoint
        self._timeout, self._retries, self._pause = timeout, retries, pause

    async def ask(self, question):
        """Returns the answer; raises the error of the last attempt."""
        for attempt in range(self._retries):
            try:
                return await self._attempt(question)
            except TRANSIENT:
                await deferLater(self._reactor, self._pause * 2**attempt)
        return await self._attempt(question)

    async def _attempt(self, question):
        protocol = await connectProtocol(self._endpoint, Question(question))
        try:
            return await protocol.answer.addTimeout(self._timeout, self._reactor)
        finally:
            await protocol.closed
