"""An asyncio client that tries again, and its tests: ``pytest test_asyncio_client.py``."""

import asyncio
import random
from contextlib import suppress

import pytest


class Client:
    """Asks a service that answers a line with a line, on a connection for each question.

    :param timeout: seconds that one attempt may take, with the time to connect.
    :param retries: the number of further attempts after a failure.
    :param pause: the most seconds before the first retry; twice as many before each further one.
    """

    def __init__(self, host, port, timeout=5.0, retries=3, pause=0.02):
        self.host, self.port = host, port
        self.timeout, self.retries, self.pause = timeout, retries, pause

    async def ask(self, question):
        """Returns the answer; raises the error of the last attempt, an OSError or EOFError."""
        for attempt in range(self.retries):
            try:
                return await self._attempt(question)
            except (OSError, EOFError):
                await asyncio.sleep(random.uniform(0, self.pause * 2**attempt))
        return await self._attempt(question)

    async def _attempt(self, question):
        async with asyncio.timeout(self.timeout):
            reader, writer = await asyncio.open_connection(self.host, self.port)
            try:
                writer.write(question + b"\n")
                return (await reader.readuntil(b"\n"))[:-1]
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()


def ask(server, **settings):
    """Asks the test's service."""
    return asyncio.run(Client(*server.address(), **settings).ask(b"hello"))


@pytest.mark.echo_server(faults=["latency=100ms"])
def test_latency(echo_server):
    """A service that is slow, but in time, is asked once."""
    assert ask(echo_server, timeout=20) == b"hello"
    (record,) = echo_server.waitForRecords(1)
    assert (record.bytes_in, record.bytes_out, record.ended) == (6, 6, "fin")
    assert record.seconds >= 0.1


@pytest.mark.echo_server(faults=["reset,connections=1-2"])
def test_resets(echo_server):
    """After two resets the third connection is good, and there is no fourth."""
    assert ask(echo_server) == b"hello"
    assert [each.ended for each in echo_server.waitForRecords(3)] == ["fault", "fault", "fin"]


@pytest.mark.echo_server(faults=["reset,connections=1-2"])
def test_tooManyResets(echo_server):
    """A client with one retry raises the second reset."""
    with pytest.raises(ConnectionResetError):
        ask(echo_server, retries=1)
    assert [each.ended for each in echo_server.waitForRecords(2)] == ["fault", "fault"]


@pytest.mark.echo_server(faults=["stall,after=3B,direction=out,connections=1"])
def test_stall(echo_server):
    """A service that falls silent within an answer is asked again, on a new connection."""
    assert ask(echo_server, timeout=3) == b"hello"
    echo_server.waitForRecords(1)
    # The stalled connection is owed bytes, and stays open until the service ends.
    echo_server.end()
    good, stalled = echo_server.records()
    assert (stalled.bytes_in, stalled.bytes_out) == (6, 3)
    assert (good.bytes_in, good.bytes_out, good.ended) == (6, 6, "fin")
