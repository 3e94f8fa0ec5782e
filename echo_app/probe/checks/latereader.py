"""Check ``late-reader``: a client that sends much and reads late gets everything."""

from __future__ import annotations

from dataclasses import dataclass
from fcntl import ioctl
from struct import unpack
from termios import FIONREAD, TIOCOUTQ
from typing import Any

from echo_app.probe.checks.check import Check, CheckSettings, Context, Cost, Result, failed, passed, warned
from echo_app.probe.checks.identity import Shortfall, returned
from echo_app.probe.net.errors import timedOut
from echo_app.probe.net.stream import SILENCE, Stream
from echo_app.probe.net.waits import pause
from echo_app.probe.results.difference import StreamDifference
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


@dataclass(frozen=True, slots=True)
class Filled:
    """The bytes that a path stored before the first read.

    :param swallowed: bytes that our kernel took.
    :param sending: bytes of these that our kernel has not sent, or that are not acknowledged.
    :param receiving: bytes of these that are back in our kernel, unread.
    :param isPushedBack: our kernel took no more bytes.
    """

    swallowed: int
    sending: int
    receiving: int
    isPushedBack: bool


class LateReader(Check):
    """Sends without reading until nothing more is taken, waits, and reads everything."""

    name = "late-reader"

    def cost(self, context: Context) -> Cost:
        """Returns the cost of filling the path, which is quick on a fast one, and of the wait."""
        return Cost(LIMIT, 1, 10 + lateness(context.settings))

    async def run(self, context: Context) -> Result:
        """Fills the path, waits, reads everything, and compares it."""
        stall = QUICK_STALL if context.settings.isQuick else STALL
        async with await context.connect() as stream:
            sent, filled = await self._fill(context, stream, stall)
            if not stream.isCut:
                await pause(context.reactor, lateness(context.settings))
            return judge(filled, await returned(stream, sent))

    async def _fill(self, context: Context, stream: Stream, stall: float) -> tuple[bytes, Filled]:
        """Writes until the kernel has taken no byte for `stall` seconds; the rest stays in the buffer."""
        sent = bytearray()
        deadline = context.reactor.seconds() + FILLING
        isTaking = True
        while isTaking and len(sent) < LIMIT and context.reactor.seconds() < deadline:
            piece = context.random.randbytes(PIECE)
            sent += piece
            stream.write(piece)
            isTaking = await stream.drain(stall)
        # Bytes in the kernel's queues to the peer and from it.
        queues = (ioctl(stream.sock, which, bytes(4)) for which in (TIOCOUTQ, FIONREAD))
        sending, receiving = (unpack("=i", size)[0] for size in queues)
        return bytes(sent), Filled(len(sent) - stream.unsent, sending, receiving, not isTaking)


def lateness(settings: CheckSettings) -> float:
    """Returns the seconds by which the reader is late."""
    return QUICK_LATE if settings.isQuick else THOROUGH_LATE if settings.isThorough else LATE


def judge(filled: Filled, found: StreamDifference | Shortfall | None) -> Result:
    """Judges the stored bytes, and those that were read late.

    :param found: the fault of the bytes that came back; None if there is none.
    """
    details: dict[str, Any] = {
        "swallowed": filled.swallowed,
        "sending": filled.sending,
        "receiving": filled.receiving,
        "pushed back": filled.isPushedBack,
    }
    name = LateReader.name
    if isinstance(found, Shortfall):
        then = found.end or timedOut(SILENCE)
        seen = f"{binarySize(found.came)} of {binarySize(found.sent)} came back to a late reader, then {then}"
        loss = "loses data" if found.end else "waits for ever, and so does the far end"
        return failed(name, seen, f"A peer that pauses before it reads {loss}.", **details)
    if found is not None:
        return failed(name, str(found), "A peer that pauses before it reads gets other data.", **details)
    if filled.isPushedBack:
        own = binarySize(filled.sending + filled.receiving)
        return passed(
            name, f"push-back after {binarySize(filled.swallowed)}, {own} of it in this kernel", **details
        )
    seen = f"no push-back within {binarySize(filled.swallowed)}"
    if filled.swallowed < LIMIT:
        return passed(name, f"{seen} and {FILLING:g} s; whole", **details)
    return warned(
        name, seen, "Something on the way stores without a bound that a slow reader could meet.", **details
    )
