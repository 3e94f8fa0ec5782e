"""Pools of psycopg on a faulty path to PostgreSQL: ``pytest test_postgres.py``.

The path's address stands in the connection string in place of the server's. Nothing else is different.
"""

import asyncio

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout
from throwaway import newPostgres

# A result of 100,000 rows, 1.6 MB on the wire.
ROWS = "select generate_series(1, 100000)"


@pytest.fixture(scope="module")
def postgres():
    """A PostgreSQL for all tests of this module."""
    with newPostgres() as address:
        yield address


@pytest.fixture
def path(postgres, faulty_path):
    """A path to PostgreSQL, without faults yet."""
    return faulty_path(*postgres)


def conninfo(path, settings=""):
    """Returns the connection string for libpq."""
    return f"host={path.host} port={path.port} user=postgres dbname=postgres {settings}"


def test_latency(path):
    """A request that is tired of waiting does not end the slow connection, which serves the next one."""
    path.setFaults("latency=500ms")
    with ConnectionPool(conninfo(path), min_size=1, open=True) as pool:
        with pytest.raises(PoolTimeout), pool.connection(timeout=0.1):
            pass
        with pool.connection() as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    (record,) = path.waitForRecords(1)
    assert record.ended == "fin"


def test_resetWithinResult(path):
    """A reset within a result is an error, not a short result, and the pool replaces the connection."""
    path.setFaults("reset,after=64KiB,connections=1")
    with ConnectionPool(conninfo(path), min_size=1, open=True) as pool:
        with pytest.raises(psycopg.OperationalError), pool.connection() as connection:
            connection.execute(ROWS)
        with pool.connection() as connection:
            assert len(connection.execute(ROWS).fetchall()) == 100_000
    cut, whole = path.waitForRecords(2)
    assert (cut.bytes_out, cut.ended, whole.ended) == (65536, "fault", "fin")


@pytest.mark.parametrize("isChecked", [False, True])
def test_resetWhileIdle(path, isChecked):
    """A pool hands out a connection that was reset while it was idle, unless it checks it first."""
    check = ConnectionPool.check_connection if isChecked else None
    with ConnectionPool(conninfo(path), min_size=1, check=check, open=True) as pool:
        pool.wait()
        for each in path.connections():
            path.reset(each.number)
        if not isChecked:
            with pytest.raises(psycopg.OperationalError), pool.connection() as connection:
                connection.execute("select 1")
        with pool.connection() as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    assert [each.ended for each in path.waitForRecords(2)] == ["control", "fin"]


def fill(connection):
    """Sends 50 MB, more than the buffers of the kernels hold."""
    connection.execute("create temporary table lines (line text)")
    with connection.cursor().copy("copy lines from stdin") as copy:
        for _ in range(5000):
            copy.write("x" * 10_000 + "\n")


def test_stalledCopy(path):
    """``tcp_user_timeout`` ends a connection that takes no more bytes, and the pool replaces it."""
    path.setFaults("stall,direction=in,after=64KiB,connections=1")
    with ConnectionPool(conninfo(path, "tcp_user_timeout=1000"), min_size=1, open=True) as pool:
        with pytest.raises(psycopg.OperationalError), pool.connection() as connection:
            fill(connection)
        with pool.connection() as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    path.waitForRecords(1)
    # The stalled connection is owed bytes, and stays open until the path ends.
    path.end()
    assert len(path.records()) == 2


def test_stalledResult(path):
    """Neither keepalive nor ``tcp_user_timeout`` ends a silent query: the kernel over there is alive."""
    path.setFaults("stall,direction=out,after=64KiB,for=3s")
    settings = "keepalives_idle=1 keepalives_interval=1 keepalives_count=1 tcp_user_timeout=1000"
    with psycopg.connect(conninfo(path, settings)) as connection:
        assert len(connection.execute(ROWS).fetchall()) == 100_000
    (record,) = path.waitForRecords(1)
    assert record.seconds >= 3


def test_timeout(path):
    """A time-out ends it, after a request to cancel on another connection, and 5 more seconds."""

    async def ask():
        async with AsyncConnectionPool(conninfo(path), min_size=1, open=False) as pool:
            with pytest.raises(TimeoutError):
                async with pool.connection() as connection, asyncio.timeout(0.5):
                    await connection.execute(ROWS)
            async with pool.connection() as connection:
                return await (await connection.execute("select 1")).fetchone()

    path.setFaults("stall,direction=out,after=64KiB,connections=1")
    assert asyncio.run(ask()) == (1,)
    path.waitForRecords(2)
    path.end()
    cancel, good, stalled = path.records()
    assert (cancel.bytes_out, good.ended, stalled.bytes_out) == (1, "fin", 65536)
