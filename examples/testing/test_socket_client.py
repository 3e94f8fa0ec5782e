"""A client on a plain socket, with a deadline, and its tests: ``pytest test_socket_client.py``.

A socket's own time-out begins again with every byte. A peer that sends single bytes could so keep a client
for hours.
"""

import socket
import time

import pytest


class Deadline:
    """A limit in time.

    :param seconds: seconds from now.
    """

    def __init__(self, seconds):
        self._end = time.monotonic() + seconds

    def left(self):
        """Returns the seconds that are left; raises TimeoutError when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("no whole answer in time")
        return left


def ask(address, question, timeout=5.0, attempts=3):
    """Asks a service whose answer has as many bytes as the question.

    :param timeout: seconds that one attempt may take, from the connecting to the last byte.
    :raise OSError: the error of the last attempt.
    """
    for _ in range(attempts - 1):
        try:
            return attempt(address, question, Deadline(timeout))
        except OSError:
            pass
    return attempt(address, question, Deadline(timeout))


def attempt(address, question, deadline):
    """Asks once."""
    answer = b""
    with socket.create_connection(address, deadline.left()) as sock:
        sock.sendall(question)
        while len(answer) < len(question):
            sock.settimeout(deadline.left())
            chunk = sock.recv(65536)
            if not chunk:
                raise ConnectionError(f"ended after {len(answer)} of {len(question)} bytes")
            answer += chunk
    return answer


@pytest.mark.echo_server(faults=["latency=100ms"])
def test_latency(echo_server):
    """A service that is slow, but in time, is asked once."""
    assert ask(echo_server.address(), b"hello", timeout=20) == b"hello"
    (record,) = echo_server.waitForRecords(1)
    assert (record.bytes_in, record.bytes_out, record.ended) == (5, 5, "fin")
    assert record.seconds >= 0.1


@pytest.mark.echo_server(faults=["reset,connections=1-2"])
def test_resets(echo_server):
    """After two resets the third connection is good, and there is no fourth."""
    assert ask(echo_server.address(), b"hello") == b"hello"
    assert [each.ended for each in echo_server.waitForRecords(3)] == ["fault", "fault", "fin"]


@pytest.mark.echo_server(faults=["stall,after=3B,direction=out,connections=1"])
def test_stall(echo_server):
    """A service that falls silent within an answer is asked again, on a new connection."""
    assert ask(echo_server.address(), b"hello", timeout=3) == b"hello"
    echo_server.waitForRecords(1)
    # The stalled connection is owed bytes, and stays open until the service ends.
    echo_server.end()
    good, stalled = echo_server.records()
    assert (stalled.bytes_out, good.bytes_out) == (3, 5)


@pytest.mark.echo_server(faults=["bandwidth=2B/s"])
def test_drip(echo_server):
    """A peer that sends a byte every half second gets no more time."""
    with pytest.raises(TimeoutError):
        ask(echo_server.address(), b"hello, hello", timeout=2, attempts=1)
    (record,) = echo_server.waitForRecords(1)
    assert record.bytes_out < 12
