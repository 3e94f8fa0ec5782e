"""Responders as users write them, for the services of tests."""

from __future__ import annotations

import asyncio

from twisted.internet.defer import CancelledError, Deferred

waiting: list[Deferred[None]] = []


async def together(line: bytes) -> bytes:
    """Lets ``wait`` wait until somebody says ``go``, and says when it is cancelled."""
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
    """Waits in asyncio's way, under its reactor; what a cancelled answer sees there is asyncio's own."""

    async def wait() -> bytes:
        try:
            await asyncio.sleep(float(line))
        except asyncio.CancelledError:
            print("asyncio cancelled", flush=True)
            raise
        return line

    return await Deferred.fromFuture(asyncio.ensure_future(wait()))
