"""For other people's tests, and ours: a real service in a process of its own."""

from __future__ import annotations

from echo_app.testing.process import PATIENCE, EchoProcess, EchoProcessError, Listener

__all__ = ["PATIENCE", "EchoProcess", "EchoProcessError", "Listener"]
