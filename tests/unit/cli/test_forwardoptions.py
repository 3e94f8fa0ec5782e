"""The options of forwarding, and the factory that they make."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint

from echo_app.forward.forwarder import Forwarder
from echo_app.forward.upstream import CONNECT_TIMEOUT, UpstreamEndpoint
from tests.unit.cli.commandline import OptionsTestCase, parsed


class ForwardOptionsTests(OptionsTestCase):
    def upstream(self, *options: str) -> Any:
        """Returns the upstream of the options."""
        factory = parsed(*options).forwarder(reactor, None).streams
        assert factory is not None
        return factory._upstream

    def test_none(self) -> None:
        """Without the option nothing is forwarded."""
        self.assertEqual(parsed().forwarder(reactor, None), Forwarder())

    def test_target(self) -> None:
        """A target of ours gets transports of ours, with the options that they have."""
        upstream = self.upstream("--forward", "192.0.2.1:80")
        self.assertIsInstance(upstream, UpstreamEndpoint)
        self.assertEqual((upstream._timeout, str(upstream._keepalive)), (CONNECT_TIMEOUT, "60,10,6"))
        self.assertIsNotNone(upstream._poller)
        upstream = self.upstream(
            *("--forward", "unix:///run/x", "--connect-timeout", "500ms", "--no-direct", "--keepalive", "0")
        )
        self.assertEqual((upstream._timeout, upstream._keepalive, upstream._poller), (0.5, None, None))

    def test_endpoint(self) -> None:
        """Any client endpoint of Twisted's may be the upstream."""
        self.assertIsInstance(self.upstream("--forward", "tcp:192.0.2.1:80"), TCP4ClientEndpoint)
