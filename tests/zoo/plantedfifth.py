"""The fifth set of paths: twenty faults that engineers meet most often, chosen without a look at the probe.

What is planted is the sentence of an engineer, for a judge who compares it with what the probe says. Causes
are the identifiers of the findings that name it, and were set after the first measurement.
"""

from __future__ import annotations

from functools import partial

from tests.zoo import measurefifth as measure
from tests.zoo import measurefifthlinks as measurelinks
from tests.zoo.datagram import Faulty, Policed, datagrams
from tests.zoo.identity import Ending
from tests.zoo.life import Admitted, Mortal
from tests.zoo.pace import Flushed, Slow
from tests.zoo.packet import linked
from tests.zoo.packetfaults import Forgetful, Narrow
from tests.zoo.path import Path
from tests.zoo.plantedfifthlinks import DropsOut, Tunnel, inspected, unencrypted
from tests.zoo.plantedfifthrelays import FlowControlled, Headed, HTTPFront, OneDead, Shaped, TwoLinks
from tests.zoo.services import relayed
from tests.zoo.tls import issued, secured

_tcp = partial(Path, transport="tcp")
_tls = partial(Path, transport="tls")
_udp = partial(Path, transport="udp")
_packets = partial(Path, transport="packets")

_RELAYS = (
    _tcp(
        name="s-max-session",
        planted="A proxy ends every session 30 s after its beginning, however busy it is.",
        cause="lifetime",
        open=relayed(Mortal, age=30.0),
        measure=measure.maxSession,
        options=("--idle", "45s"),
    ),
    _tcp(
        name="s-dead-backend",
        planted="Of three servers behind the load balancer one is dead: every third connection is "
        "accepted and closed without a byte.",
        cause="connections-unserved",
        open=relayed(OneDead, servers=3),
        measure=measure.deadBackend,
    ),
    _tcp(
        name="s-half-close",
        planted="The proxy doesn't support half-close: when the client ends its direction, the rest of "
        "the answer is lost.",
        cause="half-close-broken",
        open=relayed(partial(Slow, wait=0.01), Ending, closes=True),
        measure=measure.halfClose,
    ),
    _tcp(
        name="s-throttle",
        planted="The bandwidth of the path is throttled to 512 kbit/s, each way.",
        cause="rate-limited",
        open=relayed(Shaped, rate=64_000.0, burst=16_384.0),
        measure=measure.throttle,
    ),
    _tcp(
        name="s-conn-limit",
        planted="A firewall or proxy allows 10 connections at the same time, and resets more.",
        cause="connection-cap",
        open=relayed(Admitted, cap=10),
        measure=measure.connLimit,
    ),
    _tcp(
        name="s-proxy-header",
        planted="The load balancer puts a PROXY protocol line before the stream, to a server that "
        "doesn't expect it.",
        cause="proxy-header-echoed",
        open=relayed(Headed),
        measure=measure.proxyHeader,
    ),
    _tcp(
        name="s-small-held",
        planted="Writes below a full segment are held for 200 ms, as by Nagle's algorithm and delayed "
        "acknowledgements.",
        cause="small-slower-than-large",
        open=relayed(Flushed, size=1460, interval=0.2),
        measure=measure.smallHeld,
    ),
    _tcp(
        name="s-http-front",
        planted="An HTTP server or reverse proxy listens in place of the service: it answers 400 Bad "
        "Request, and closes.",
        cause="other-service",
        open=relayed(HTTPFront),
        measure=measure.httpFront,
    ),
    _tcp(
        name="s-xonxoff",
        planted="The path isn't transparent: a serial server with software flow control eats XON and "
        "XOFF (0x11, 0x13).",
        cause="bytes-translated",
        open=relayed(FlowControlled),
        measure=measure.xonXoff,
    ),
)

_SECURE = (
    _tls(
        name="s-tls-expired",
        planted="The server's certificate expired three days ago.",
        cause="certificate-expired",
        open=secured(issued(since=-90.0, until=-3.0)),
        measure=measurelinks.tlsExpired,
    ),
    _tls(
        name="s-tls-inspected",
        planted="A proxy that inspects TLS presents a certificate of its own authority, which the client "
        "doesn't trust.",
        cause="certificate-untrusted",
        open=secured(inspected),
        measure=measurelinks.tlsInspected,
    ),
    _tls(
        name="s-tls-plain",
        planted="What listens at the TLS port doesn't speak TLS: the balancer leads it to the plain port.",
        cause="service-is-plain",
        open=unencrypted,
        measure=measurelinks.tlsPlain,
    ),
)

_DATAGRAMS = (
    _udp(
        name="s-udp-loss",
        planted="The path loses 10 % of the datagrams at random, whatever their size and rate.",
        cause="datagrams-lost",
        open=datagrams(Faulty, loss=0.1),
        measure=measurelinks.udpLoss,
    ),
    _udp(
        name="s-udp-fragments",
        planted="IP fragments don't pass: datagrams above 1472 bytes never arrive.",
        cause="datagrams-size",
        open=datagrams(Faulty, largest=1472),
        measure=measurelinks.udpFragments,
    ),
    _udp(
        name="s-udp-police",
        planted="A policer drops datagrams above 20 a second, with bursts of 10; slow traffic loses nothing.",
        cause="datagrams-limited",
        open=datagrams(Policed, rate=20.0, burst=10.0),
        measure=measurelinks.udpPolice,
    ),
    _udp(
        name="s-udp-reorder",
        planted="Datagrams are balanced one by one over two links, one 20 ms longer, so that they "
        "overtake each other.",
        cause="datagrams-reordered",
        open=datagrams(TwoLinks, quick=0.005, slow=0.025),
        measure=measurelinks.udpReorder,
    ),
)

_LINKS = (
    _packets(
        name="s-mtu-hole",
        planted="A tunnel of MTU 1400 with ICMP filtered, a path MTU black hole: full segments vanish, "
        "small ones pass.",
        cause="mtu-black-hole",
        open=linked(Tunnel, mtu=1400, delay=0.005),
        measure=measurelinks.mtuHole,
    ),
    _packets(
        name="s-bloat",
        planted="Bufferbloat: 1 Mbit/s with a queue of 2 s each way, so that the round trip grows from "
        "20 ms to seconds under load.",
        cause="bufferbloat",
        open=linked(Narrow, rate=125_000.0, queue=250_000, delay=0.01),
        measure=measurelinks.bloat,
    ),
    _packets(
        name="s-radio-dropouts",
        planted="The link drops out again and again: nothing passes for 3 s of each 15 s.",
        cause="round-trip-outliers",
        open=linked(DropsOut, every=15.0, lasts=3.0, delay=0.02),
        measure=measurelinks.dropouts,
    ),
    _packets(
        name="s-firewall-forgets",
        planted="A stateful firewall forgets connections that were idle for 60 s, and drops their "
        "packets silently.",
        cause="idle-time-out",
        open=linked(Forgetful, "--keepalive", "0", after=60.0, delay=0.005),
        measure=measurelinks.firewallForgets,
        options=("--idle", "75s"),
    ),
)

FIFTH: dict[str, Path] = {path.name: path for path in (*_RELAYS, *_SECURE, *_DATAGRAMS, *_LINKS)}
