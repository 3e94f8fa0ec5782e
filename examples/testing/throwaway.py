"""Throw-away servers for tests: each is there for a block, on a free port of 127.0.0.1."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from glob import glob

import pytest

# Debian keeps PostgreSQL's own programs outside of PATH.
PATH = os.pathsep.join([os.environ["PATH"], *glob("/usr/lib/postgresql/*/bin")])

# PostgreSQL refuses to run as root, which tests in a container often are.
UNPRIVILEGED = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups") if os.geteuid() == 0 else ()


@contextmanager
def newPostgres():
    """Runs a new PostgreSQL, whose superuser ``postgres`` needs no password; yields its address."""
    initdb, postgres, isReady = map(program, ("initdb", "postgres", "pg_isready"))
    host, port = address = freeAddress()
    # The other user must get there, so the folder is in none of root's own.
    with tempfile.TemporaryDirectory(prefix="postgres-", dir="/tmp") as folder:
        if UNPRIVILEGED:
            shutil.chown(folder, "nobody")
        data, user, port = f"{folder}/data", "--username=postgres", str(port)
        subprocess.run([*UNPRIVILEGED, initdb, "--auth=trust", "--no-sync", user, data], check=True)
        with running(*UNPRIVILEGED, postgres, "-F", "-D", data, "-k", folder, "-p", port) as process:
            while subprocess.run([isReady, "--quiet", "--host", host, "--port", port, user]).returncode:
                look(process)
            yield address


@contextmanager
def newRedis():
    """Runs a new Redis, which keeps nothing on the disk; yields its address."""
    server = program("redis-server")
    host, port = address = freeAddress()
    with running(server, "--bind", host, "--port", str(port), "--save", "") as process:
        while not accepts(address):
            look(process)
        yield address


def program(name):
    """Returns the path of a program; skips the test where there is none."""
    return shutil.which(name, path=PATH) or pytest.skip(f"not installed: {name}")


def freeAddress():
    """Returns a host and a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()


@contextmanager
def running(*command):
    """Runs a server until the end of the block."""
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        # SIGINT ends PostgreSQL without waiting for its clients, and Redis too.
        process.send_signal(signal.SIGINT)
        process.wait()


def look(process):
    """Waits a moment; raises an error when the server has ended."""
    assert process.poll() is None, f"{process.args} has ended with status {process.returncode}"
    time.sleep(0.02)


def accepts(address):
    """Says whether a server accepts connections."""
    try:
        socket.create_connection(address).close()
    except ConnectionRefusedError:
        return False
    return True
