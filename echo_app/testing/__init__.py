"""Support for test suites: a real service in its own process, and transports in memory.

Public names are imported at their first use (PEP 562): the service's own process uses none.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from echo_app.testing.mixin import EchoServerMixin
    from echo_app.testing.process import TIMEOUT, EchoProcess, EchoProcessError, Listener
    from echo_app.testing.records import Record
    from echo_app.testing.server import EchoServer, faultyPath

__all__ = [
    "TIMEOUT",
    "EchoProcess",
    "EchoProcessError",
    "EchoServer",
    "EchoServerMixin",
    "Listener",
    "Record",
    "faultyPath",
]

_MODULES = {
    "TIMEOUT": "process",
    "EchoProcess": "process",
    "EchoProcessError": "process",
    "EchoServer": "server",
    "EchoServerMixin": "mixin",
    "Listener": "process",
    "Record": "records",
    "faultyPath": "server",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
