"""Forwarder: connects each client to the upstream, and counts the upstreams that can't be reached."""

from __future__ import annotations

from collections.abc import Callable
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
from echo_app.forward.legs import ClientLeg, Leg
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
}


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
        self._legs = _LegFactory(clock)

    def buildProtocol(self, addr: IAddress | None) -> ClientLeg:
        """Makes the client's leg."""
        leg = ClientLeg(self._clock, self)
        leg.factory = self
        return leg

    def connect(self, leg: ClientLeg) -> Deferred[None]:
        """Connects a client's leg to the upstream.

        :return: cancelling it ends the attempt.
        """
        attempt = attemptOf(leg.transport)
        connecting: Deferred[Any] = (
            self._upstream.connect(self._legs) if attempt is None else ensureDeferred(self._late(attempt))
        )
        connecting.addCallback(self._connected, leg)
        return connecting.addErrback(self._failed, leg)

    async def _late(self, attempt: Attempt) -> IProtocol:
        """Connects to the upstream as the faults of the client's connection say."""
        isOver = attempt.end == "never" or attempt.wait >= self._timeout
        await deferLater(self._clock, self._timeout if isOver else attempt.wait)
        if isOver:
            raise TimeoutError(string=f"fault {attempt.faults}")
        if attempt.end:
            raise ConnectionRefusedError(string=f"fault {attempt.faults}")
        return await self._upstream.connect(self._legs)

    def _connected(self, upstream: Leg, leg: ClientLeg) -> None:
        leg.reached(upstream, b"" if self._header is None else self._header(leg))

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


class _LegFactory(Factory):
    """Makes the leg to an upstream."""

    noisy = False

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock

    def buildProtocol(self, addr: IAddress | None) -> Leg:
        return Leg(self._clock)
