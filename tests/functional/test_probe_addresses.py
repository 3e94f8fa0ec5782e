"""Loads of a name that has several addresses."""

from __future__ import annotations

import socket
from typing import Any

from echo_app.probe.load.dial import Address
from echo_app.probe.load.generator import LoadGenerator
from echo_app.probe.load.loop import Loop
from echo_app.probe.results.results import LoadSettings
from echo_app.targets import parseTarget
from tests.support.service import ServiceTestCase


class AddressTests(ServiceTestCase):
    def load(self, hosts: list[str], isOne: bool = False) -> tuple[list[dict[str, Any]], int]:
        """Loads a service on 127.0.0.1 by a name with these addresses; returns the worker's lines."""
        _, port = self.serve("--port", "0", "--interface", "127.0.0.1").address("tcp")
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in hosts]
        self.patch(socket, "getaddrinfo", lambda *arguments, **more: found)
        said: list[dict[str, Any]] = []
        loop = Loop()

        def say(data: dict[str, Any]) -> None:
            said.append(data)
            if "ready" in data:
                generator.begin(loop.clock())

        settings = LoadSettings(connections=6, duration=0.2, warmup=0.0, wait=5.0)
        address = Address(parseTarget(f"name.example:{port}"), isOne)
        generator = LoadGenerator(loop, address, settings, 1, 0, say)
        generator.connect()
        loop.run()
        loop.close()
        return said, port

    def test_inTurn(self) -> None:
        """Connections take the addresses in turn, and are counted by address."""
        _, port = self.serve("--port", "0", "--interface", "0.0.0.0").address("tcp")
        hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
        self.patch(self, "serve", lambda *arguments: self)
        self.address = lambda scheme: ("", port)
        said, _ = self.load(hosts)
        self.assertEqual(said[-2]["addresses"], dict.fromkeys(hosts, 2))
        said, _ = self.load(hosts, isOne=True)
        self.assertEqual(said[-2]["addresses"], {"127.0.0.1": 6, "127.0.0.2": 0, "127.0.0.3": 0})

    def test_refusedLoopback(self) -> None:
        """An address without a server is left out; on loopback that is no error."""
        said, _ = self.load(["127.0.0.2", "127.0.0.1"])
        self.assertEqual(said[0]["ready"]["errors"], {})
        self.assertEqual(said[-2]["addresses"]["127.0.0.2"], 0)
        self.assertGreaterEqual(said[-2]["addresses"]["127.0.0.1"], 6)
