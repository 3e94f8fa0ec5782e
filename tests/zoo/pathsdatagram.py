"""The table of paths over UDP."""

from __future__ import annotations

from tests.zoo import measuredatagrams as m
from tests.zoo.datagram import Dark, Faulty, Forgotten, Policed, datagrams
from tests.zoo.path import NONE, WATCH, Path
from tests.zoo.services import direct

udp = "udp"

DATAGRAMS = [
    Path(
        "udp-loss",
        udp,
        "10 % of the answers are lost",
        "datagrams-lost",
        datagrams(Faulty, loss=0.1),
        m.lossy(0.05, 0.17),
    ),
    Path(
        "udp-rate",
        udp,
        "above 100 datagrams in a second, with a burst of 20, datagrams are lost",
        "datagrams-limited",
        datagrams(Policed, rate=100.0, burst=20.0),
        m.policed,
    ),
    Path(
        "udp-first-lost",
        udp,
        "the first datagram of each flow is lost",
        "datagrams-first-lost",
        datagrams(Faulty, losesFirst=True),
        m.firstLost,
    ),
    Path(
        "udp-other-port",
        udp,
        "answers come from another port",
        "datagrams-from-elsewhere",
        datagrams(Faulty, moves=True),
        m.moved,
    ),
    Path(
        "udp-empty-lost",
        udp,
        "empty datagrams are lost",
        "datagrams-empty-lost",
        datagrams(Faulty, losesEmpty=True),
        m.passes(1, 0),
    ),
    Path(
        "udp-above-1200",
        udp,
        "datagrams above 1200 bytes are lost",
        "datagrams-size",
        datagrams(Faulty, largest=1200),
        m.passes(1200, 1201),
    ),
    Path(
        "udp-truncated",
        udp,
        "answers are cut off behind 1024 bytes",
        "datagrams-truncated",
        datagrams(Faulty, truncate=1024),
        m.truncated(1024),
    ),
    Path(
        "udp-duplicates",
        udp,
        "5 % of the answers come twice",
        "datagrams-repeated",
        datagrams(Faulty, twice=0.05),
        m.duplicated,
    ),
    Path(
        "udp-reordered",
        udp,
        "10 % of the answers come 20 ms late, behind others",
        "datagrams-reordered",
        datagrams(Faulty, late=0.1),
        m.reordered,
    ),
    Path(
        "udp-forgotten-5s",
        udp,
        "a flow that was idle for 5 s is dead",
        "datagrams-forgotten",
        datagrams(Forgotten, after=5.0),
        m.forgotten(5.0),
        WATCH,
    ),
    Path(
        "udp-blackout",
        udp,
        "nothing passes for 2 s, 3 s after the first datagram and each 20 s from then on",
        "datagrams-blackout",
        datagrams(Dark, first=3.0, every=20.0, lasts=2.0),
        m.dark(3.0, 2.0),
        WATCH,
    ),
    Path(
        "udp-corrupt",
        udp,
        "a bit is flipped in 3 % of the answers",
        "datagrams-changed",
        datagrams(Faulty, corrupt=0.03),
        m.corrupt,
    ),
    Path("good-udp", udp, "no fault: the service itself", NONE, direct("--udp", "0", scheme="udp"), m.exact),
    Path("good-udp-relay", udp, "no fault: a relay", NONE, datagrams(), m.exact),
]
