"""The table of paths of packets, between two kernels' TCP."""

from __future__ import annotations

from tests.zoo import measuredatagrams as datagrams
from tests.zoo import measurelife as life
from tests.zoo import measurepackets as m
from tests.zoo import measuretime as pace
from tests.zoo.packet import Link, linked
from tests.zoo.packetfaults import BlackHole, Forgetful, LosesSyn, Lossy, Narrow, Reordering, Resetting
from tests.zoo.path import NONE, WATCH, Path

packets = "packets"
# The service's keepalive: after 2 s of silence, each 2 s, 5 times.
KEEPALIVE = ("--keepalive", "2,2,5")

PACKETS = [
    Path(
        "packet-loss",
        packets,
        "2 % of the packets are lost, both ways",
        "segments-lost",
        linked(Lossy, up=0.02, down=0.02),
        m.lossy,
    ),
    Path(
        "syn-loss",
        packets,
        "the first SYN of each second connection is lost",
        "syns-lost",
        linked(LosesSyn),
        m.losesSyn,
    ),
    Path(
        "packets-reordered",
        packets,
        "5 % of the packets come 5 ms late, behind others",
        "segments-reordered",
        linked(Reordering, share=0.05, late=0.005),
        m.reordered,
    ),
    Path(
        "mtu-up",
        packets,
        "packets above 1300 bytes to the service are lost without ICMP",
        "mtu-black-hole",
        linked(BlackHole, largest=1300, isUp=True),
        m.blackHole(True),
    ),
    Path(
        "mtu-down",
        packets,
        "packets above 1300 bytes to the client are lost without ICMP",
        "mtu-black-hole",
        linked(BlackHole, largest=1300, isUp=False),
        m.blackHole(False),
    ),
    Path(
        "rst-injected",
        packets,
        "both ends are reset after 200 kB to the client",
        "byte-limit",
        linked(Resetting, after=200_000),
        m.resetAfter(200_000),
    ),
    Path(
        "nat-5s-silent",
        packets,
        "a flow is forgotten after 5 s without a packet, then its packets are lost",
        "idle-time-out",
        linked(Forgetful, after=5.0),
        life.forgotten(5.0, "silent"),
        WATCH,
    ),
    Path(
        "nat-5s-reset",
        packets,
        "a flow is forgotten after 5 s without a packet, then its packets are answered by a reset",
        "idle-time-out",
        linked(Forgetful, after=5.0, resets=True),
        life.forgotten(5.0, "reset"),
        WATCH,
    ),
    Path(
        "bufferbloat",
        packets,
        "4 Mbit/s behind a queue of 1 MiB",
        "bufferbloat",
        linked(Narrow, rate=500e3, queue=1 << 20),
        m.narrow(500e3, 0.4, 5.0),
    ),
    Path(
        "ack-loss",
        packets,
        "half of the client's acknowledgements without data are lost",
        "ack-loss",
        linked(Lossy, up=0.5, onlyAcknowledgements=True),
        m.acknowledgementsLost,
    ),
    Path(
        "fragments-lost",
        "udp",
        "datagrams above the MTU, which come as fragments, are lost",
        "datagrams-fragments-lost",
        linked(BlackHole, fragments=True, scheme="udp"),
        datagrams.passes(1400, 2000),
    ),
    Path("good-packets", packets, "no fault: a link", NONE, linked(), m.clean),
    Path(
        "good-packets-50ms",
        packets,
        "no fault: 50 ms, steady",
        NONE,
        linked(Link, delay=0.025),
        pace.steady(0.05, 0.09),
    ),
    Path(
        "good-packets-200ms",
        packets,
        "no fault: 200 ms, steady",
        NONE,
        linked(Link, delay=0.1),
        pace.steady(0.2, 0.24),
    ),
    Path(
        "good-packets-1mbit",
        packets,
        "no fault: a steady line of 1 Mbit/s, 20 ms, with a queue of 16 KiB",
        NONE,
        linked(Narrow, rate=125e3, queue=1 << 14, delay=0.01),
        m.narrow(125e3, 0.02, 0.6),
    ),
    Path(
        "good-nat-kept",
        packets,
        "no fault: a NAT that forgets after 5 s, and the far end's keepalive each 2 s",
        NONE,
        linked(Forgetful, *KEEPALIVE, after=5.0),
        life.kept(9.0),
        WATCH,
    ),
]
