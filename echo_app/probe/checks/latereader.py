"""Check ``late-reader``: a client that sends much and reads late gets everything; and how fast each way is.

While nothing is read, only the way out carries data: the kernel's count of acknowledged bytes gives its rate.
When the reader begins, what comes beyond the bytes that lay in this kernel gives the rate of the way back.
Both are those as far as the first TCP proxy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fcntl import ioctl
from struct import unpack
from termios import FIONREAD, TIOCOUTQ

from echo_app.probe.checks.check import Check, Context, Cost
from echo_app.probe.checks.evidence import CheckSettings, Evidence, Observation
from echo_app.probe.checks.identity import Sizes, isWrong, shortfall
from echo_app.probe.checks.link import Link
from echo_app.probe.checks.record import ConnectionRecord, sampleOf
from echo_app.probe.net.stream import SILENCE
from echo_app.probe.net.waits import pause
from echo_app.text import binarySize

# Bytes: a path that stores more than this has no bound that an application could meet. Three relays in a row
# have eight kernels' buffers of up to ten MiB each.
LIMIT = 128 << 20

# Bytes of one write: as few as one wait is worth.
PIECE = 1 << 18

# Seconds in which the kernel takes no byte and the far end acknowledges none: then there is back-pressure.
# The second one is of a quick examination.
STALL, QUICK_STALL = 2.0, 0.5

# Round trips without an acknowledged byte before that is concluded.
ROUND_TRIPS = 3

# Seconds between two looks at the kernel's counts.
_LOOK = 0.1

# Seconds that the reader is late after that: longer than time-outs of a few seconds, which cut it off; and,
# of a thorough examination, longer than the minute that is the default of many proxies.
LATE, QUICK_LATE, THOROUGH_LATE = 6.0, 0.5, 65.0

# Seconds in which the path is filled, and read: a slower path is read before it is full.
FILLING, _READING = 20.0, 30.0


@dataclass(slots=True)
class Filling(Observation):
    """The bytes that a path stored before the first read, and what came of them.

    :ivar swallowed: bytes that our kernel took.
    :ivar sending: bytes of these that our kernel has not sent, or that are not acknowledged.
    :ivar receiving: bytes of these that are back in our kernel, unread.
    :ivar unread: bytes that lay in our kernel when the reader began.
    :ivar isPushedBack: our kernel took no more bytes.
    :ivar record: of the connection; None before it is made.
    :ivar out: moments, and the bytes that were acknowledged by then, while nothing was read.
    :ivar back: moments, and the bytes that had been read by then.
    """

    swallowed: int = 0
    sending: int = 0
    receiving: int = 0
    unread: int = 0
    isPushedBack: bool = False
    record: ConnectionRecord | None = None
    out: list[tuple[float, int]] = field(default_factory=list)
    back: list[tuple[float, int]] = field(default_factory=list)

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
        """Returns the counts, in bytes, and the curves, in seconds and bytes."""
        return {
            "swallowed": self.swallowed,
            "sending": self.sending,
            "receiving": self.receiving,
            "pushed back": self.isPushedBack,
            "out": [list(each) for each in self.out],
            "back": [list(each) for each in self.back],
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
            await self._drain(context, link, seen)

    async def _fill(self, context: Context, link: Link, stall: float, seen: Filling) -> None:
        """Writes until neither this kernel nor the far end has taken a byte for `stall` seconds."""
        deadline = context.now + FILLING
        limit = fillLimit(context.evidence, LIMIT)
        progressed, taken = context.now, (0, 0)
        while link.record.sent < limit and context.now < deadline and not link.stream.isCut:
            if not link.stream.unsent:
                link.send(PIECE)
            # The kernel may take all of it at once, and the reactor has its turn, too.
            await pause(context.reactor, 0)
            await link.drain(_LOOK)
            sample = sampleOf(link.stream.sock)
            acked = sample.bytesAcked if sample else 0
            seen.swallowed = link.record.sent - link.stream.unsent
            if (seen.swallowed, acked) != taken:
                progressed, taken = context.now, (seen.swallowed, acked)
                seen.out.append((context.now, acked))
            rtt = (sample.minRTT if sample else None) or 0.0
            if context.now - progressed >= max(stall, ROUND_TRIPS * rtt):
                seen.isPushedBack = True
                break
        seen.sending, seen.receiving = queuesOf(link)

    async def _drain(self, context: Context, link: Link, seen: Filling) -> None:
        """Reads everything, and notes the curve."""
        _, seen.unread = queuesOf(link)
        seen.back.append((context.now, 0))
        # The far end's probes of our window may be as far apart as the time that nothing was read (RFC 9293).
        timeout = SILENCE + round(context.now - link.record.began)
        while link.outstanding and await link.read(timeout):
            if context.now - seen.back[-1][0] >= _LOOK or not link.outstanding:
                seen.back.append((context.now, link.record.came))


def fillLimit(evidence: Evidence, most: int) -> int:
    """Returns the bytes to fill a path with: what comes back in half a minute, by the rate of identity."""
    seen = evidence.observations.get("identity")
    rate = seen.rate if isinstance(seen, Sizes) else 0.0
    return min(most, max(PIECE, int(rate * _READING))) if rate else most


def queuesOf(link: Link) -> tuple[int, int]:
    """Returns the bytes in this kernel's queues to the peer and from it; over TLS, encrypted ones."""
    if link.stream.sock.fileno() < 0:
        return 0, 0
    queues = (ioctl(link.stream.sock, which, bytes(4)) for which in (TIOCOUTQ, FIONREAD))
    sending, receiving = (unpack("=i", size)[0] for size in queues)
    return sending, receiving


def lateness(settings: CheckSettings) -> float:
    """Returns the seconds by which the reader is late."""
    return QUICK_LATE if settings.isQuick else THOROUGH_LATE if settings.isThorough else LATE


def slopeOf(curve: Sequence[tuple[float, int]], begin: float = 0.0, end: float = 1.0) -> float | None:
    """Returns the bytes a second in a part of a curve; None where that part is too short to tell.

    :param curve: moments, in seconds, and bytes by then.
    :param begin: of the part, as a share of the curve's time.
    """
    if len(curve) < _POINTS:
        return None
    first, last = curve[0][0], curve[-1][0]
    low, high = first + begin * (last - first), first + end * (last - first)
    part = [point for point in curve if low <= point[0] <= high]
    if len(part) < 2 or part[-1][0] - part[0][0] < _SECONDS:
        return None
    return (part[-1][1] - part[0][1]) / (part[-1][0] - part[0][0])


# Points of a curve, and seconds of a part of it, at the least, for a rate.
_POINTS, _SECONDS = 5, 0.5
