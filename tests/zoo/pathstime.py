"""The table of paths over TCP that change times."""

from __future__ import annotations

from tests.zoo import measuretime as pace
from tests.zoo.pace import FirstSlow, Flushed, Limited, Nagle, Paused, Slow, Stalled
from tests.zoo.path import WATCH, Path
from tests.zoo.services import direct, relayed

tcp = "tcp"


TIMES = [
    Path(
        "nagle",
        tcp,
        "each answer in two writes, with Nagle's algorithm: waits for delayed acknowledgements (40 ms)",
        "nagle-delays",
        relayed(Nagle),
        pace.nagle,
    ),
    Path(
        "flush-200ms",
        tcp,
        "answers wait in a buffer of 4 KiB, or for 200 ms",
        "small-slower-than-large",
        relayed(Flushed, size=4096, interval=0.2),
        pace.flushed,
    ),
    Path(
        "first-slow",
        tcp,
        "the first answer of each connection takes 300 ms",
        "first-answer-slow",
        relayed(FirstSlow, wait=0.3),
        pace.firstSlow(0.3),
    ),
    Path(
        "backend-asleep",
        tcp,
        "the first connection after 3 s without traffic waits for 1 s",
        "cold-start",
        relayed(FirstSlow, wait=1.0, asleep=3.0),
        pace.asleep,
    ),
    Path(
        "backend-slow",
        tcp,
        "one connection of three has 100 ms more",
        "connections-unequal",
        relayed(Slow, wait=0.1, each=3),
        pace.slowEach(3, 0.1),
    ),
    Path(
        "service-slow",
        tcp,
        "the service takes 30 ms, the kernel's handshake does not",
        "answers-slow",
        direct("--port", "0", "--fault", "latency=30ms"),
        pace.slowerThanKernel,
    ),
    Path(
        "stall",
        tcp,
        "nothing passes for 2 s, 8 s after the first connection and each 20 s from then on",
        "round-trip-outliers",
        relayed(Stalled, first=8.0, every=20.0, lasts=2.0),
        pace.stalls,
        WATCH,
    ),
    Path(
        "pause-midway",
        tcp,
        "a pause of 3 s after 256 KiB of an answer",
        "transfer-pauses",
        relayed(Paused, after=1 << 18, lasts=3.0),
        pace.paused(1 << 18, 3.0),
    ),
    Path(
        "rate-up",
        tcp,
        "250 kB/s on the way to the service, the other way is free",
        "rate-limited",
        relayed(Limited, rate=250e3, isUp=True),
        pace.limited(250e3, True),
    ),
    Path(
        "rate-down",
        tcp,
        "250 kB/s on the way to the client, the other way is free",
        "rate-limited",
        relayed(Limited, rate=250e3, isUp=False),
        pace.limited(250e3, False),
    ),
    Path(
        "policer",
        tcp,
        "125 kB/s after a burst of 1 MiB on each connection",
        "rate-after-burst",
        relayed(Limited, rate=125e3, isUp=False, burst=float(1 << 20)),
        pace.policed(1 << 20, 125e3),
    ),
    Path(
        "jitter",
        tcp,
        "each piece takes 0 to 60 ms, in order",
        "jitter",
        relayed(Slow, wait=0.03, jitter=0.03),
        pace.jitter,
    ),
]
