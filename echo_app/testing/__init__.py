"""For other people's tests, and ours: a real service in a process of its own."""

from __future__ import annotations

from echo_app.testing.mixin import EchoServerMixin
from echo_app.testing.process import PATIENCE, EchoProcess, EchoProcessError, Listener
from echo_app.testing.records import Record
from echo_app.testing.server import EchoServer

__all__ = [
    "PATIENCE",
    "EchoProcess",
    "EchoProcessError",
    "EchoServer",
    "EchoServerMixin",
    "Listener",
    "Record",
]
