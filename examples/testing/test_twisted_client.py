"""The tests of ``twisted_client.py`` for trial: ``python -m twisted.trial test_twisted_client``.

They run under pytest, too.
"""

from twisted.internet import reactor
from twisted.internet.endpoints import HostnameEndpoint
from twisted.trial.unittest import TestCase
from twisted_client import Client

from echo_app.testing import EchoServerMixin


class ClientTests(EchoServerMixin, TestCase):
    """Tests against a real service, which ends with the test."""

    timeout = 60

    def ask(self, server, **settings):
        """Asks the service; returns a Deferred."""
        return Client(reactor, HostnameEndpoint(reactor, server.host, server.port), **settings).ask(b"hello")

    async def test_latency(self):
        """A service that is slow, but in time, is asked once."""
        server = self.startEchoServer(faults=["latency=100ms"])
        self.assertEqual(await self.ask(server, timeout=20), b"hello")
        (record,) = server.waitForRecords(1)
        self.assertEqual((record.bytes_in, record.bytes_out, record.ended), (6, 6, "fin"))
        self.assertGreaterEqual(record.seconds, 0.1)

    async def test_resets(self):
        """After two resets the third connection is good, and there is no fourth."""
        server = self.startEchoServer(faults=["reset,connections=1-2"])
        self.assertEqual(await self.ask(server), b"hello")
        self.assertEqual([each.ended for each in server.waitForRecords(3)], ["fault", "fault", "fin"])

    async def test_stall(self):
        """A service that falls silent within an answer is asked again, on a new connection."""
        server = self.startEchoServer(faults=["stall,after=3B,direction=out,connections=1"])
        self.assertEqual(await self.ask(server, timeout=3), b"hello")
        stalled, good = server.waitForRecords(2)
        self.assertEqual((stalled.bytes_out, good.bytes_out), (3, 6))
