"""Tries of sizes: the largest datagram that comes back, those of a few bytes, and empty ones."""

from __future__ import annotations

from collections.abc import Sequence

from echo_app.probe.checks.udprecord import (
    CONTROL,
    EMPTY,
    FRAGMENTABLE,
    SIZE,
    SIZES,
    SMALL,
    WHOLE,
    Datagrams,
    lostOf,
)
from echo_app.probe.checks.udpsender import Sender
from echo_app.probe.checks.udpsource import Datagram, Source
from echo_app.probe.net.datagrams import LARGEST_DATAGRAM, Discovery

# Sizes that are sent to find the largest that comes back: around those that fit into IPv6's smallest packet,
# into one of Ethernet with and without tunnels, and up to the largest datagram.
TRIED_SIZES = (512, 1232, 1372, 1412, 1472, 1473, 2048, 4096, 8192, 16_384, 32_768, LARGEST_DATAGRAM)

# Tries of each size. A large datagram is lost with each of its fragments: of 45 at 1 %, every third time.
TRIES, CONFIRMATIONS = 4, 6

# Sizes that are tried between the largest that comes back and the next one, and how often: enough to tell
# every size from its neighbour. Seconds between two datagrams, for slow links.
BETWEEN, ZOOMS, SIZE_INTERVAL = 7, 5, 0.05

# Bytes from which on a datagram is awaited before the next one, and for how many seconds: a receiver's
# buffer holds few of them.
LARGE, LARGE_WAIT = 8192, 0.3

# Bytes of small datagrams: one that is told by its bytes, first, and one that is too short for that.
SMALL_SIZES = (12, 1)


class SizeTries:
    """Sends datagrams of many sizes.

    :param isQuick: the largest size is found among a few alone.
    """

    def __init__(self, sender: Sender, seen: Datagrams, isQuick: bool) -> None:
        self._sender = sender
        self._seen = seen
        self._isQuick = isQuick

    async def run(self, source: Source) -> None:
        """Looks for the largest size that comes back."""
        sizes: Sequence[int] = TRIED_SIZES
        low, high = SIZE, LARGEST_DATAGRAM + 1
        for _ in range(1 if self._isQuick else 1 + ZOOMS):
            sent = [await self._one(source, size) for _ in range(TRIES) for size in sizes]
            await self._sender.settle()
            if any(each.changed is not None for each in sent):
                return
            came = {each.size for each in sent if each.came is not None}
            # Larger ones may come back in fragments.
            missing = [size for size in sizes if size not in came and size <= source.unfragmented]
            high = min([size for size in sizes if size > max(came, default=low)] + missing, default=high)
            low = max([low, *(size for size in came if size < high)])
            step = max(1, (high - low) // (BETWEEN + 1))
            sizes = range(low + step, high, step)
            if not sizes:
                break
        self._seen.unfragmented = source.unfragmented
        if high <= LARGEST_DATAGRAM:
            for size in (low, high) * CONFIRMATIONS:
                await self._one(source, size)
            if high <= source.unfragmented:
                await self._fragmentable(high)
            await self._sender.settle()

    async def _fragmentable(self, size: int) -> None:
        """Sends a size that is lost in packets that routers must not fragment, and in those that they may."""
        ways = ((WHOLE, Discovery.PROBE), (FRAGMENTABLE, Discovery.DONT))
        sources = {phase: self._sender.open(discovery=discovery) for phase, discovery in ways}
        for _ in range(CONFIRMATIONS):
            for phase, source in sources.items():
                await self._one(source, size, phase)

    async def _one(self, source: Source, size: int, phase: str = SIZES) -> Datagram:
        """Sends a datagram of that size, and a small one behind it: a try counts if that comes back."""
        datagram = await self._sender.send(source, phase, size)
        if size > LARGE:
            await self._sender.answer(datagram, LARGE_WAIT)
        await self._sender.send(source, CONTROL)
        await self._sender.pause(SIZE_INTERVAL)
        return datagram

    async def runSmall(self) -> None:
        """Sends datagrams of a few bytes, and empty ones, from a source of their own."""
        source = self._sender.open()
        for size in SMALL_SIZES:
            for _ in range(TRIES):
                await self._alone(source, size, SMALL)
        sent: list[Datagram] = []
        for number in range(2 * TRIES):
            if number == TRIES and not lostOf(sent):
                break
            sent.append(await self._alone(source, 0, EMPTY))

    async def _alone(self, source: Source, size: int, phase: str) -> Datagram:
        """Sends a small datagram between two others, and waits: nothing may tell such answers apart."""
        await self._sender.send(source, CONTROL)
        datagram = await self._sender.send(source, phase, size)
        control = await self._sender.send(source, CONTROL)
        await self._sender.answer(control, LARGE_WAIT)
        await self._sender.answer(datagram, LARGE_WAIT)
        return datagram
