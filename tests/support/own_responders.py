"""Responders of users, for the services of tests."""

from __future__ import annotations

import asyncio

from twisted.internet.defer import CancelledError, Deferred

waiting: list[Deferred[None]] = []


async def together(line: bytes) -> bytes:
    """Answers ``wait`` only after another connection's ``go``, and reports a cancellation."""
    if line == b"go\n":
        going, waiting[:] = waiting[:], []
        for each in reversed(going):
            each.callback(None)
    elif line == b"wait\n":
        waiting.append(Deferred())
        print("waits", flush=True)
        try:
            await waiting[-1]
        except CancelledError:
            print("cancelled", flush=True)
            raise
    elif line == b"fail\n":
        raise ArithmeticError("on purpose")
    return line.upper()


async def withAsyncio(line: bytes) -> bytes:
    """Awaits asyncio under its reactor; a cancelled answer sees asyncio's own exception."""

    async def wait() -> bytes:
        try:
            await asyncio.sleep(float(line))
        except asyncio.CancelledError:
            print("asyncio cancelled", flush=True)
            raise
        return line

    return await Deferred.fromFuture(asyncio.ensure_future(wait()))
