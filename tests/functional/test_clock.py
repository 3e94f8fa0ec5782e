"""Neither steps of the calendar's clock nor a stopped process end a connection: docs/dev/contract.rst, 5."""

from __future__ import annotations

import contextlib
import signal
import socket
import ssl
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from echo_app.testing import EchoServer, EchoServerMixin
from tests.support.kernel import waitUntil
from tests.support.service import PATIENCE, receiveAll, receiveUpTo
from tests.support.tls import clientContext

# Imported by the service's Python at its start: time.time() is off by the seconds in a file.
_STEPPED = """
import time
_time = time.time
def stepped():
    with open({path!r}) as file:
        return _time() + float(file.read())
time.time = stepped
"""


class StepTests(EchoServerMixin, TestCase):
    timeout = 120

    def serveStepped(self, *options: str, **more: Any) -> EchoServer:
        """Starts a service whose calendar :meth:`step` sets."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        self.offset = folder / "offset"
        self.step(0)
        (folder / "sitecustomize.py").write_text(_STEPPED.format(path=str(self.offset)))
        return self.startEchoServer(*options, env={"PYTHONPATH": str(folder)}, **more)

    def connect(self, server: EchoServer, transport: str) -> socket.socket:
        peer = socket.create_connection(server.address(transport), PATIENCE)
        self.addCleanup(peer.close)
        return peer

    def step(self, seconds: int) -> None:
        """Sets the calendar so far from now."""
        new = self.offset.with_suffix(".new")
        new.write_text(str(seconds))
        new.rename(self.offset)

    def echo(self, peer: socket.socket, data: bytes = b"hello") -> None:
        """Has data echoed, so that the reactor has had its turn."""
        peer.sendall(data)
        self.assertEqual(receiveUpTo(peer, len(data)), data)

    def test_forward(self) -> None:
        """A step forward ends no connection: neither an idle one nor one with a pending handshake."""
        server = self.serveStepped("--port", "0", "--tls", "0", "--idle-timeout", "600")
        idle, busy, shaking = (self.connect(server, transport) for transport in ("tcp", "tcp", "tls"))
        self.echo(idle)
        self.assertTrue(waitUntil(lambda: len(server.connections()) == 3))
        # A sweep of the time-outs passes, and nothing comes.
        idle.settimeout(2.5)
        self.assertRaises(TimeoutError, idle.recv, 1)
        self.step(3600)
        for _ in range(3):
            self.echo(busy)
        with clientContext().wrap_socket(shaking) as tls:
            self.echo(tls)
        self.echo(idle)

    def test_back(self) -> None:
        """A step back holds up neither a fault's latency nor a stop."""
        server = self.serveStepped(faults=["latency=50ms"])
        peer = self.connect(server, "tcp")
        self.echo(peer)
        self.step(-3600)
        self.echo(peer)
        self.assertEqual(server.stop(timeout=30), -signal.SIGTERM)
        self.assertEqual(receiveAll(peer), b"")


class StoppedTests(EchoServerMixin, TestCase):
    timeout = 120

    def test_handshake(self) -> None:
        """A service that was stopped for longer than a time-out reads what has come before it cuts."""
        server = self.startEchoServer("--tls", "0", "--handshake-timeout", "4")
        shaking, silent = (socket.create_connection(server.address(), PATIENCE) for _ in range(2))
        for peer in (shaking, silent):
            self.addCleanup(peer.close)
        self.assertTrue(waitUntil(lambda: len(server.connections()) == 2))
        server.signal(signal.SIGSTOP)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = clientContext().wrap_bio(incoming, outgoing)
        self.assertRaises(ssl.SSLWantReadError, client.do_handshake)
        shaking.sendall(outgoing.read())
        # The time passes, and nothing comes.
        shaking.settimeout(4.2)
        self.assertRaises(TimeoutError, shaking.recv, 1)
        server.signal(signal.SIGCONT)
        shaking.settimeout(PATIENCE)
        incoming.write(shaking.recv(1 << 16))
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
        self.assertTrue(outgoing.read())
        self.assertRaises(ConnectionResetError, silent.recv, 1)
