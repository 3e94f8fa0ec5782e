"""The rows of the benchmark, and the targets."""

from __future__ import annotations

from dataclasses import dataclass, replace

# The peer to which the targets apply, but those of relays.
OURS = "direct"

# The same of the rows of relays.
RELAY = "forward"

# The transport of the rows of relays: TCP, from the load to the relay and from there to the upstream.
FORWARD = "forward"


# Enough for an interval that leaves out the three lowest and the three highest rounds.
ROUNDS = 15

# Of idle connections, which take most of a minute: the fewest rounds that have an interval.
FEWER = 5


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a sample.

    :param name: a field of :class:`benchmarks.results.Sample`.
    :param title: the title in a table's line, after the row's own title.
    :param unit: the unit.
    """

    name: str
    title: str
    unit: str


CPU = Figure("cpu", "", "µs")
MEDIAN = Figure("median", "p50", "µs")
TAIL = Figure("tail", "p99", "µs")
MEMORY = Figure("memory", "memory", "B")
SHARE = Figure("share", "CPU", "%")


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of load, the same for all peers.

    :param mode: the load's mode; ``load.c`` describes them.
    :param size: bytes of a message.
    :param transport: the server's listener: a key of :attr:`Peer.options`.
    :param quick: whether ``--quick`` measures the row.
    :param pythonLoad: whether a load in Python is fast enough for a verdict.
    :param base: the name of the row that the row is compared with, and takes turns with; empty for none.
    :param each: each how many-th connection speaks; only in the mode ``stream``.
    :param options: options of the server, besides the listener's.
    :param peers: the names of the only peers that the row measures; empty for all.
    :param rounds: the number of rounds, unless the caller asks for another.
    """

    name: str
    title: str
    mode: str
    size: int
    connections: int
    figures: tuple[Figure, ...] = (CPU,)
    transport: str = "tcp"
    quick: bool = False
    pythonLoad: bool = False
    base: str = ""
    each: int = 1
    options: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    rounds: int = ROUNDS

    @property
    def isForwarded(self) -> bool:
        """Says whether the servers are relays, which need an upstream."""
        return self.transport == FORWARD

    @property
    def listener(self) -> str:
        """Returns the transport of the connections to the server: ``tcp``, ``tls`` or ``udp``."""
        return "tcp" if self.isForwarded else self.transport

    @property
    def ours(self) -> str:
        """Returns the name of the peer to which the row's targets apply."""
        return RELAY if self.isForwarded else OURS

    def withConnections(self, count: int) -> Row:
        """Returns the row with another number of connections, in its title too."""
        title = self.title.replace(f"{self.connections:,}", f"{count:,}")
        return replace(self, title=title, connections=count)


# Accepting comes last: it leaves half a million connections in TIME_WAIT, which slow down the others. Rows of
# thousands of connections leave some, and come before it.
ROWS = (
    Row("1k-10", "1 KiB, 10 connections", "stream", 1024, 10, quick=True),
    Row("1k-200", "1 KiB, 200 connections", "stream", 1024, 200, quick=True),
    Row("1k-1000", "1 KiB, 1,000 connections", "stream", 1024, 1000),
    Row("16k-10", "16 KiB, 10 connections", "stream", 16 * 1024, 10),
    Row("128k-10", "128 KiB, 10 connections", "stream", 128 * 1024, 10),
    Row("tls-1k-10", "TLS, 1 KiB, 10 connections", "stream", 1024, 10, transport="tls", quick=True),
    Row("tls-1k-200", "TLS, 1 KiB, 200 connections", "stream", 1024, 200, transport="tls"),
    Row("udp", "UDP, 64 bytes, 10 sources", "datagram", 64, 10, transport="udp", quick=True),
    Row("latency", "Round trip of 1 KiB at half of saturation", "rate", 1024, 10, (MEDIAN, TAIL)),
    Row(
        "1k-18000",
        "1 KiB, 18,000 connections, half of them speaking",
        *("stream", 1024, 18_000),
        base="1k-1000",
        each=2,
        # C tells how much of the growth is the kernel's and the caches'.
        peers=(OURS, "c"),
    ),
    Row(
        "forward-1k",
        "Forwarding, 1 KiB, 10 connections",
        *("stream", 1024, 10),
        transport=FORWARD,
        # A byte that is forwarded is received and sent twice.
        base="1k-10",
    ),
    Row(
        "forward-64k",
        "Forwarding, 64 KiB, 10 connections",
        *("stream", 64 * 1024, 10),
        transport=FORWARD,
    ),
    Row("tls-idle", "Idle over TLS, 2,000 connections", "idle", 1024, 2000, (MEMORY,), "tls", rounds=FEWER),
    Row(
        "idle",
        "Idle, 12,000 connections",
        *("idle", 1024, 12_000, (MEMORY, SHARE)),
        pythonLoad=True,
        rounds=FEWER,
    ),
    Row(
        "idle-60",
        "Idle with --idle-timeout 60, 12,000 connections",
        *("idle", 1024, 12_000, (MEMORY, SHARE)),
        pythonLoad=True,
        options=("--idle-timeout", "60"),
        peers=(OURS,),
        rounds=FEWER,
    ),
    Row("accept", "Accept, 1 byte, close", "accept", 1, 10, quick=True, pythonLoad=True),
)

# The latency row's rate is half of this peer's largest rate with that row's messages and connections. The
# target compares with this peer, and all peers get the same rate.
REFERENCE = "uvloop"


@dataclass(frozen=True, slots=True)
class Target:
    """A target: the figure of echo_app divided by a peer's or that in the row's base, or the figure itself.

    In the rows of relays it is the figure of the relay of echo_app; the row's base is no relay's.

    :param against: the peer's name; None if the target is a figure, or a ratio to the row's base.
    :param most: the largest ratio or figure that meets the target.
    """

    row: str
    figure: Figure
    against: str | None
    most: float


# The part of a target that a measurement may lie above it: two runs of the same servers differ by that much.
TOLERANCE = 0.03

TARGETS = (
    Target("1k-10", CPU, "textbook", 0.40),
    Target("1k-10", CPU, "uvloop", 1.25),
    Target("1k-10", CPU, "tokio", 1.40),
    Target("1k-200", CPU, "textbook", 0.40),
    Target("1k-200", CPU, "uvloop", 1.25),
    Target("1k-200", CPU, "tokio", 1.40),
    Target("1k-1000", CPU, "textbook", 0.40),
    Target("1k-1000", CPU, "uvloop", 1.00),
    Target("1k-1000", CPU, "tokio", 1.25),
    Target("1k-18000", CPU, None, 1.15),
    Target("16k-10", CPU, "tokio", 0.20),
    Target("128k-10", CPU, "uvloop", 1.20),
    Target("tls-1k-10", CPU, "textbook", 0.75),
    Target("tls-1k-10", CPU, "go", 1.20),
    Target("tls-1k-200", CPU, "textbook", 0.75),
    Target("tls-1k-200", CPU, "go", 1.20),
    Target("udp", CPU, "textbook", 0.80),
    Target("udp", CPU, "uvloop", 1.00),
    Target("udp", CPU, "c", 1.50),
    Target("latency", TAIL, "uvloop", 1.00),
    Target("forward-1k", CPU, None, 2.20),
    Target("forward-1k", CPU, "portforward", 0.45),
    Target("forward-1k", CPU, "uvloop-relay", 1.00),
    Target("forward-64k", CPU, "portforward", 0.45),
    Target("forward-64k", CPU, "uvloop-relay", 1.00),
    Target("idle", MEMORY, None, 1000),
    Target("idle", SHARE, None, 1.0),
    Target("idle-60", MEMORY, None, 1150),
    Target("idle-60", SHARE, None, 0.7),
    Target("accept", CPU, "textbook", 0.65),
    Target("accept", CPU, "uvloop", 1.15),
    Target("accept", CPU, "c", 1.45),
)


def rowNamed(name: str) -> Row:
    """Returns a row by its name.

    :raise KeyError: when there is no such row.
    """
    return {row.name: row for row in ROWS}[name]
