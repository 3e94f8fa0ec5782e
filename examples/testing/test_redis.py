"""redis-py on a faulty path to Redis: ``pytest test_redis.py``."""

import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from throwaway import newRedis


@pytest.fixture(scope="module")
def server():
    """A Redis for all tests of this module."""
    with newRedis() as address:
        yield address


@pytest.fixture
def path(server, faulty_path):
    """A path to Redis, without faults yet."""
    return faulty_path(*server)


def clientOf(path, retries=3, **settings):
    """Returns a client that tries a command again after a failure."""
    retry = Retry(ConstantBackoff(0.01), retries)
    return redis.Redis(path.host, path.port, retry=retry, **settings)


def test_resets(path):
    """After two resets the third connection is good, and there is no fourth."""
    path.setFaults("reset,connections=1-2")
    with clientOf(path) as client:
        assert client.set("greeting", "hello")
    assert [each.ended for each in path.waitForRecords(3)] == ["fault", "fault", "fin"]


def test_tooManyResets(path):
    """A client with one retry raises the second reset."""
    path.setFaults("reset,connections=1-2")
    with clientOf(path, retries=1) as client, pytest.raises(redis.ConnectionError):
        client.get("greeting")
    assert [each.ended for each in path.waitForRecords(2)] == ["fault", "fault"]


def test_lostElement(path):
    """A command whose answer is lost runs twice: the retry of LPOP takes the next element."""
    with clientOf(path) as client:
        client.rpush("queue", b"first" * 2000, b"second" * 2000)
    path.waitForRecords(1)
    path.setFaults("stall,direction=out,after=5KiB,connections=1")
    with clientOf(path, socket_timeout=1) as client:
        assert client.lpop("queue") == b"second" * 2000
        assert client.llen("queue") == 0
    path.waitForRecords(2)
    # The stalled connection is owed bytes, and stays open until the path ends.
    path.end()
    _, good, stalled = path.records()
    assert (good.ended, stalled.bytes_out) == ("fin", 5 * 1024)
