"""The endpoint of an upstream: what its attempts fail with."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import TimeoutError
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.forward import upstream
from echo_app.forward.upstream import UpstreamEndpoint
from echo_app.targets import parseTarget


class Silent:
    """A resolver that never answers."""

    def __init__(self, reactor: object) -> None:
        pass

    def look(self, host: str, port: int) -> Deferred[Any]:
        return Deferred()


class UpstreamTests(SynchronousTestCase):
    def test_lookUpTakesTooLong(self) -> None:
        """A look-up that takes too long is a time-out as that of a connection is."""
        self.patch(upstream, "Names", Silent)
        clock = Clock()
        endpoint = UpstreamEndpoint(None, clock, parseTarget("host.invalid:80"), timeout=3, isDirect=False)
        connecting = endpoint.connect(Factory())
        clock.advance(2)
        self.assertNoResult(connecting)
        clock.advance(1)
        self.failureResultOf(connecting, TimeoutError)
        self.assertEqual(clock.getDelayedCalls(), [])
