"""Mixin for ``TestCase`` of trial and of ``unittest``: a real echo service for a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from echo_app.testing.server import EchoServer


class EchoServerMixin:
    """Adds :meth:`startEchoServer` to a ``TestCase``: ``class MyTests(EchoServerMixin, TestCase)``."""

    addCleanup: Callable[..., Any]

    def startEchoServer(self, *options: str, **more: Any) -> EchoServer:
        """Starts a service, which ends with the test.

        :param options: and `more`, as for :class:`EchoServer`.
        :raise EchoProcessError: when the service can't be started.
        """
        server = EchoServer(*options, **more)
        self.addCleanup(server.end)
        return server.start()
