"""Forwarder: connects each client to the upstream, and counts the upstreams that can't be reached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.error import (
    ConnectError,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TimeoutError,
    UserError,
)
from twisted.internet.interfaces import IAddress, IProtocol, IStreamClientEndpoint
from twisted.internet.protocol import Factory, ServerFactory
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from echo_app.connections.record import Ending, noteEnd
from echo_app.connections.registry import ReasonCounter
from echo_app.faults.connect import Attempt, attemptOf
from echo_app.forward.errors import UpstreamTLSError
from echo_app.forward.legs import ClientLeg, Leg
from echo_app.forward.sessions import Sessions
from echo_app.forward.upstream import CONNECT_TIMEOUT

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

log = Logger()

# The names of the counts, by the error of the connection attempt; any other is ``error``.
REASONS: dict[type[Exception], str] = {
    ConnectionRefusedError: "refused",
    TimeoutError: "timeout",
    UserError: "timeout",
    NoRouteError: "unreachable",
    DNSLookupError: "unresolved",
    UpstreamTLSError: UpstreamTLSError.reason,
}


@dataclass(frozen=True, slots=True)
class Forwarder:
    """Where a service's streams and datagrams go on to.

    :param target: the upstream's name in the log.
    :param streams: makes the clients' legs; None leaves streams to the echo.
    :param sessions: the sessions of datagrams; None leaves datagrams to the echo.
    """

    target: str = ""
    streams: ForwardFactory | None = None
    sessions: Sessions | None = None

    @property
    def unreached(self) -> Counter[str]:
        """The connections and sessions that did not reach their upstream, by reason."""
        ofStreams = Counter() if self.streams is None else self.streams.unreached.byReason
        ofSessions = Counter() if self.sessions is None else self.sessions.failures.byReason
        return ofStreams + ofSessions


class ForwardFactory(ServerFactory):
    """Makes the client's leg for each connection of a listener, and connects it to the upstream.

    :param upstream: the endpoint of the upstream: an :class:`~echo_app.forward.upstream.UpstreamEndpoint`, or
        any client endpoint of Twisted.
    :param clock: counts times.
    :param timeout: seconds that a fault ``connect`` may hold a client up, as the upstream might.
    :param header: returns what is sent first on the upstream's connection, from the client's leg; None is
        nothing.

    :ivar unreached: counts the connections whose upstream could not be reached, by reason.
    """

    noisy = False

    def __init__(
        self,
        upstream: IStreamClientEndpoint,
        clock: IReactorTime,
        *,
        timeout: float = CONNECT_TIMEOUT,
        header: Callable[[ClientLeg], bytes] | None = None,
    ) -> None:
        self.unreached = ReasonCounter("connections without their upstream", clock.seconds)
        self._upstream = upstream
        self._clock = clock
        self._timeout = timeout
        self._header = header

    def buildProtocol(self, addr: IAddress | None) -> ClientLeg:
        """Makes the client's leg."""
        leg = ClientLeg(self._clock, self)
        leg.factory = self
        return leg

    def connect(self, leg: ClientLeg) -> Deferred[None]:
        """Connects a client's leg to the upstream.

        :return: cancelling it ends the attempt.
        """
        legs = LegFactory(self._clock, b"" if self._header is None else self._header(leg))
        attempt = attemptOf(leg.transport)
        connecting: Deferred[Any] = (
            self._upstream.connect(legs) if attempt is None else ensureDeferred(self._late(attempt, legs))
        )
        connecting.addCallback(self._connected, leg)
        return connecting.addErrback(self._failed, leg)

    async def _late(self, attempt: Attempt, legs: LegFactory) -> IProtocol:
        """Connects to the upstream as the faults of the client's connection say."""
        isOver = attempt.end == "never" or attempt.wait >= self._timeout
        await deferLater(self._clock, self._timeout if isOver else attempt.wait)
        if isOver:
            raise TimeoutError(string=f"fault {attempt.faults}")
        if attempt.end:
            raise ConnectionRefusedError(string=f"fault {attempt.faults}")
        return await self._upstream.connect(legs)

    def _connected(self, upstream: Leg, leg: ClientLeg) -> None:
        leg.reached(upstream)

    def _failed(self, failure: Failure, leg: ClientLeg) -> None:
        if failure.check(CancelledError):
            return
        kind = failure.check(*REASONS)
        if not failure.check(ConnectError, DNSLookupError):
            log.failure("no upstream for a connection, which is reset", failure)
        reason = "error" if kind is None else REASONS[kind]
        text = failure.getErrorMessage().rstrip(".")
        self.unreached.add(reason, text)
        noteEnd(leg.transport, Ending.UPSTREAM, reason if kind is not None else f"{reason}: {text}")
        leg.unreached()


class LegFactory(Factory):
    """Makes the leg of one connection to an upstream.

    :param header: is sent first.
    """

    noisy = False

    def __init__(self, clock: IReactorTime, header: bytes) -> None:
        self._clock = clock
        self._header = header

    def takeHeader(self) -> bytes:
        """Returns the header, for an endpoint that sends it below a layer of its own; only once."""
        header, self._header = self._header, b""
        return header

    def buildProtocol(self, addr: IAddress | None) -> Leg:
        """Makes the leg."""
        return Leg(self._clock, self.takeHeader())
