"""Mixin for ``TestCase`` of trial and of ``unittest``: a real echo service, or a faulty path, for a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from echo_app.testing.server import EchoServer


class EchoServerMixin:
    """Adds methods that start services to a ``TestCase``: ``class MyTests(EchoServerMixin, TestCase)``."""

    addCleanup: Callable[..., Any]

    def startEchoServer(self, *options: str, **more: Any) -> EchoServer:
        """Starts a service, which ends with the test.

        :param options: and `more`, as for :class:`EchoServer`.
        :raise EchoProcessError: when the service can't be started.
        """
        server = EchoServer(*options, **more)
        self.addCleanup(server.end)
        return server.start()

    def startFaultyPath(self, host: str, port: int, *options: str, **more: Any) -> EchoServer:
        """Starts a path to a service of somebody else's, which ends with the test.

        :param host: the name or the IP address of the service.
        :param port: the TCP port of the service.
        :param options: and `more`, as for :class:`EchoServer`.
        :raise EchoProcessError: when the path can't be started.
        """
        return self.startEchoServer(*options, forward=(host, port), **more)
