"""Check ``segments``: do large segments get through? Connections with smaller and smaller ones tell.

Where a link drops packets that are too large, and the message that says so (ICMP, RFC 1191) is dropped too,
small messages pass and large ones hang: a black hole (RFC 2923, 2.1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from echo_app.probe.checks.check import Check, Context, Cost
from echo_app.probe.checks.evidence import Observation
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.net.errors import NetworkError
from echo_app.probe.net.segments import doesKernelProbe
from echo_app.probe.net.waits import together

# Bytes of the largest segments, with their TCP options: the least of IPv4 (RFC 9293, 3.7.1), that of IPv6
# (1,280 B), two that fit into tunnels, those of PPPoE (1,492 B, RFC 2516, 7) over IPv6 and IPv4, and that of
# Ethernet. IPv6 over Ethernet has 1,440 B.
SIZES = (536, 1220, 1320, 1400, 1432, 1440, 1452, 1460)

# Bytes of the time stamps in a segment (RFC 7323, 3.2, and two for alignment), and their bit in tcpi_options.
# The largest segment that the kernel states is without them.
STAMPS, _STAMPED = 12, 1

# Further connections of the least and of the largest size, where some sizes hang and larger ones pass: enough
# that a share of a half is told from none.
AGAIN = 16

# Bytes sent on each connection: several segments of each size.
AMOUNT = 1 << 15

# The largest segment on loopback and jumbo frames is larger: nothing on such a path is an Ethernet link.
ETHERNET = 1460

# Seconds without a byte: retransmissions of a lossy path are over by then.
TIMEOUT = 8.0


@dataclass(slots=True)
class Segments(Observation):
    """Echoes of connections with segments of different sizes.

    :ivar bySize: the records, by the largest payload in bytes, as it was asked for.
    :ivar largest: the largest segment of a connection without a cap, as the kernel says; 0 if it does not.
    :ivar stamps: bytes of time stamps that each segment carries beside that.
    :ivar headers: bytes of the headers of IP and TCP, without options.
    :ivar small: the records of further connections of the least size, where one hangs below one that passes.
    :ivar large: the same, of the largest size.
    :ivar isProbed: this kernel looks for smaller segments by itself, so that a black hole may not be seen.
    """

    bySize: dict[int, ConnectionRecord] = field(default_factory=dict)
    largest: int = 0
    stamps: int = 0
    headers: int = 40
    small: list[ConnectionRecord] = field(default_factory=list)
    large: list[ConnectionRecord] = field(default_factory=list)
    isProbed: bool = False

    @property
    def passing(self) -> list[int]:
        """The sizes that came back whole."""
        return [size for size, record in self.bySize.items() if isWhole(record)]

    @property
    def hanging(self) -> list[int]:
        """The sizes of which no byte came any more."""
        return [size for size, record in self.bySize.items() if record.silence and not isWhole(record)]

    def __str__(self) -> str:
        if self.largest > ETHERNET:
            return f"segments of {self.largest:,} B: no path of Ethernet"
        whole = [str(size) for size, record in self.bySize.items() if isWhole(record)]
        short = [str(size) for size, record in self.bySize.items() if not isWhole(record)]
        parts = [f"{' '.join(whole)} B pass"] if whole else []
        parts += [f"{' '.join(short)} B do not"] if short else []
        return ", ".join(parts) + (" (this kernel probes for smaller ones)" if self.isProbed else "")

    def data(self) -> Mapping[str, object]:
        """Returns the bytes that came back, by size, and the kernel's largest segment."""
        came = {str(size): record.came for size, record in self.bySize.items()}
        return {"largest": self.largest, "came": came, "probed": self.isProbed}


def isWhole(record: ConnectionRecord) -> bool:
    """Says whether all that was sent on a connection came back."""
    return record.sent > 0 and record.came == record.sent


class SegmentSizes(Check[Segments]):
    """Makes a connection for each size of segments, all together, and sends some segments on each."""

    name = "segments"
    begin = Segments

    def reasonToSkip(self, context: Context) -> str:
        """Skips other targets than TCP at an address: TLS has its own records on the same segments."""
        return "" if context.target.kind == "tcp" and context.target.isLiteral else "not over TCP"

    def cost(self, context: Context) -> Cost:
        """Returns the cost of one connection for each size."""
        return Cost(len(SIZES) * AMOUNT, len(SIZES) + 1, 2)

    async def run(self, context: Context, seen: Segments) -> None:
        """Asks the kernel for the largest segment; on paths of Ethernet, tries each size."""
        seen.isProbed = doesKernelProbe()
        async with await context.connect() as link:
            made = link.record.made
            seen.largest = made.sendMSS if made else 0
            seen.stamps = STAMPS if made and made.options & _STAMPED else 0
            seen.headers = 60 if ":" in context.target.host else 40
        most = seen.largest + seen.stamps
        if seen.largest <= ETHERNET:
            sizes = [size for size in SIZES if size <= most]
            seen.bySize = {size: context.newRecord() for size in sizes}
            await together(self._try(context, record, size) for size, record in seen.bySize.items())
            if seen.hanging and max(seen.passing, default=0) > min(seen.hanging):
                await self._tryAgain(context, seen, sizes)

    async def _tryAgain(self, context: Context, seen: Segments, sizes: Sequence[int]) -> None:
        """Makes further connections of the least and the largest size, all together."""
        for records in (seen.small, seen.large):
            records += [context.newRecord() for _ in range(AGAIN)]
        tries = [(record, sizes[0]) for record in seen.small] + [(record, sizes[-1]) for record in seen.large]
        await together(self._try(context, record, size) for record, size in tries)

    async def _try(self, context: Context, record: ConnectionRecord, size: int) -> None:
        try:
            link = await context.connect(record=record, segment=size)
        except NetworkError:
            return
        async with link:
            link.send(AMOUNT)
            await link.receiveRest(TIMEOUT)
