"""Check ``late-reader``: a client that sends much and reads late gets everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fcntl import ioctl
from struct import unpack
from termios import FIONREAD, TIOCOUTQ

from echo_app.probe.checks.check import Check, Context, Cost
from echo_app.probe.checks.evidence import CheckSettings, Observation
from echo_app.probe.checks.identity import isWrong, shortfall
from echo_app.probe.checks.link import Link
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.net.waits import pause
from echo_app.text import binarySize

# Bytes: a path that stores more than this has no bound that an application could meet.
LIMIT = 64 << 20

# Bytes of one write: as few as one wait is worth.
PIECE = 1 << 18

# Seconds in which the kernel takes no byte: then there is back-pressure. The second one is of a quick
# examination.
STALL, QUICK_STALL = 2.0, 0.5

# Seconds that the reader is late after that: longer than time-outs of a few seconds, which cut it off; and,
# of a thorough examination, longer than the minute that is the default of many proxies.
LATE, QUICK_LATE, THOROUGH_LATE = 6.0, 0.5, 65.0

# Seconds in which the path is filled: a slower path is read before it is full.
FILLING = 20.0


@dataclass(slots=True)
class Filling(Observation):
    """The bytes that a path stored before the first read, and what came of them.

    :ivar swallowed: bytes that our kernel took.
    :ivar sending: bytes of these that our kernel has not sent, or that are not acknowledged.
    :ivar receiving: bytes of these that are back in our kernel, unread.
    :ivar isPushedBack: our kernel took no more bytes.
    :ivar record: of the connection; None before it is made.
    """

    swallowed: int = 0
    sending: int = 0
    receiving: int = 0
    isPushedBack: bool = False
    record: ConnectionRecord | None = None

    def __str__(self) -> str:
        if self.record is None:
            return "not begun"
        if self.isPushedBack:
            own = binarySize(self.sending + self.receiving)
            seen = f"push-back after {binarySize(self.swallowed)}, {own} of it in this kernel"
        else:
            seen = f"no push-back within {binarySize(self.swallowed)}"
            if self.swallowed < LIMIT:
                seen += f" and {FILLING:g} s"
        return f"{seen}; {shortfall(self.record) if isWrong(self.record) else 'whole'}"

    def data(self) -> Mapping[str, object]:
        """Returns the counts, in bytes."""
        return {
            "swallowed": self.swallowed,
            "sending": self.sending,
            "receiving": self.receiving,
            "pushed back": self.isPushedBack,
        }


class LateReader(Check[Filling]):
    """Sends without reading until nothing more is taken, waits, and reads everything."""

    name = "late-reader"
    begin = Filling

    def cost(self, context: Context) -> Cost:
        """Returns the cost of filling the path, which is quick on a fast one, and of the wait."""
        return Cost(LIMIT, 1, 10 + lateness(context.settings))

    async def run(self, context: Context, seen: Filling) -> None:
        """Fills the path, waits, and reads everything."""
        stall = QUICK_STALL if context.settings.isQuick else STALL
        async with await context.connect() as link:
            seen.record = link.record
            await self._fill(context, link, stall, seen)
            if not link.stream.isCut:
                await pause(context.reactor, lateness(context.settings))
            await link.receiveRest()

    async def _fill(self, context: Context, link: Link, stall: float, seen: Filling) -> None:
        """Writes until the kernel has taken no byte for `stall` seconds; the rest stays in the buffer."""
        deadline = context.reactor.seconds() + FILLING
        isTaking = True
        while isTaking and link.record.sent < LIMIT and context.reactor.seconds() < deadline:
            link.send(PIECE)
            isTaking = await link.drain(stall)
        # Bytes in the kernel's queues to the peer and from it.
        queues = (ioctl(link.stream.sock, which, bytes(4)) for which in (TIOCOUTQ, FIONREAD))
        seen.sending, seen.receiving = (unpack("=i", size)[0] for size in queues)
        seen.swallowed = link.record.sent - link.stream.unsent
        seen.isPushedBack = not isTaking


def lateness(settings: CheckSettings) -> float:
    """Returns the seconds by which the reader is late."""
    return QUICK_LATE if settings.isQuick else THOROUGH_LATE if settings.isThorough else LATE
