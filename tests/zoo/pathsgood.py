"""The table of paths over TCP and UNIX sockets without a fault."""

from __future__ import annotations

from functools import partial

from tests.zoo import measurebytes as m
from tests.zoo import measuretime as pace
from tests.zoo.pace import Slow
from tests.zoo.path import NONE, Path
from tests.zoo.services import busyCore, direct, haproxy, program, relayed, socat, unix
from tests.zoo.stream import Connection

tcp = "tcp"


GOOD = [
    Path("good-direct", tcp, "no fault: the service itself", NONE, direct(), m.exact),
    Path("good-relay", tcp, "no fault: a relay", NONE, relayed(Connection), m.exact),
    Path(
        "good-relays",
        tcp,
        "no fault: three relays in a row",
        NONE,
        relayed(Connection, Connection, Connection),
        m.exact,
    ),
    Path("good-haproxy", tcp, "no fault: HAProxy", NONE, partial(program, haproxy), m.exact),
    Path("good-socat", tcp, "no fault: socat", NONE, partial(program, socat), m.exact),
    Path("good-unix", "unix", "no fault: a UNIX socket", NONE, unix, m.exact),
    Path(
        "good-50ms", tcp, "no fault: 50 ms, steady", NONE, relayed(Slow, wait=0.05), pace.steady(0.05, 0.09)
    ),
    Path(
        "good-200ms", tcp, "no fault: 200 ms, steady", NONE, relayed(Slow, wait=0.2), pace.steady(0.2, 0.24)
    ),
    Path("good-busy", tcp, "no fault: a busy core beside the service", NONE, busyCore, m.exact),
]
