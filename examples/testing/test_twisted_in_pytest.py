"""A test of ``twisted_client.py`` for pytest, with the fixture and ``pytest-twisted``."""

import pytest
import pytest_twisted
from twisted.internet.endpoints import HostnameEndpoint
from twisted_client import Client


@pytest.mark.echo_server(faults=["latency=50ms", "reset,connections=1-2"])
@pytest_twisted.ensureDeferred
async def test_resets(echo_server):
    """After two resets the third connection is good, and there is no fourth."""
    from twisted.internet import reactor

    client = Client(reactor, HostnameEndpoint(reactor, echo_server.host, echo_server.port))
    assert await client.ask(b"hello") == b"hello"
    assert [each.ended for each in echo_server.waitForRecords(3)] == ["fault", "fault", "fin"]
