"""Mixin for ``TestCase`` of trial and of ``unittest``: a real echo service for a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from echo_app.testing.server import EchoServer


class EchoServerMixin:
    """To be mixed into a ``TestCase``, before it: ``class MyTests(EchoServerMixin, TestCase)``."""

    addCleanup: Callable[..., Any]

    def startEchoServer(self, *options: str, **more: Any) -> EchoServer:
        """Starts a service, and ends it with the test.

        :param options: and `more`, as :class:`EchoServer` takes them.
        :raise EchoProcessError: when it can't be started.
        """
        server = EchoServer(*options, **more)
        self.addCleanup(server.end)
        return server.start()
