"""The table of paths over TCP that end connections, or do not serve all."""

from __future__ import annotations

from tests.zoo import measurebytes as m
from tests.zoo import measurelife as life
from tests.zoo.identity import Cut
from tests.zoo.life import Admitted, Answering, Idle, Mortal, Unread
from tests.zoo.path import WATCH, Path
from tests.zoo.services import direct, refused, relayed

tcp = "tcp"
HTTP = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


LIVES = [
    Path(
        "age-10s",
        tcp,
        "a connection ends 10 s after its begin",
        "lifetime",
        relayed(Mortal, age=10.0),
        life.lifetime(10.0),
        WATCH,
    ),
    Path(
        "age-10s-reset",
        tcp,
        "a connection is reset 10 s after its begin",
        "lifetime",
        relayed(Mortal, age=10.0, resets=True),
        life.lifetime(10.0),
        WATCH,
    ),
    Path(
        "idle-5s",
        tcp,
        "a connection ends after 5 s without a byte",
        "idle-time-out",
        relayed(Idle, after=5.0),
        life.idle(5.0, "fin"),
        WATCH,
    ),
    Path(
        "idle-5s-reset",
        tcp,
        "a connection is reset after 5 s without a byte",
        "idle-time-out",
        relayed(Idle, after=5.0, how="reset"),
        life.idle(5.0, "reset"),
        WATCH,
    ),
    Path(
        "idle-5s-silent",
        tcp,
        "after 5 s without a byte nothing passes any more",
        "idle-time-out",
        relayed(Idle, after=5.0, how="silent"),
        life.idle(5.0, "silent"),
        WATCH,
    ),
    Path(
        "unread-5s",
        tcp,
        "a client that does not read for 5 s is reset",
        "unread-cut",
        relayed(Unread, after=5.0),
        life.unread(5.0),
    ),
    Path(
        "after-1mib",
        tcp,
        "a connection ends after 1 MiB",
        "byte-limit",
        relayed(Cut, size=1 << 20, ending="fin"),
        m.cutAt(1 << 20, "fin"),
    ),
    Path(
        "after-1mib-reset",
        tcp,
        "a connection is reset after 1 MiB",
        "byte-limit",
        relayed(Cut, size=1 << 20, ending="reset"),
        m.cutAt(1 << 20, "reset"),
    ),
    Path(
        "restart",
        tcp,
        "all connections end 12 s after the first one, and each 12 s from then on",
        "all-end-at-once",
        relayed(Mortal, moment=12.0),
        life.restart(12.0),
        WATCH,
    ),
]


def capped(how: str) -> Path:
    """Returns a path with a cap of connections."""
    planted = f"of more than 20 connections together, the others: {how}"
    return Path(
        f"cap-{how}", tcp, planted, "connection-cap", relayed(Admitted, cap=20, how=how), life.capped(20, how)
    )


ADMISSION = [
    *map(capped, ("reset", "fin", "silent")),
    Path(
        "accept-rate",
        tcp,
        "10 connections in a second, more are reset",
        "accept-rate",
        relayed(Admitted, rate=10),
        life.acceptRate(10),
    ),
    Path(
        "first-20-reset",
        tcp,
        "the first 20 connections are reset, later ones served",
        "refused-at-first",
        relayed(Admitted, first=20),
        life.firstRefused(20),
    ),
    Path(
        "silent",
        tcp,
        "the service takes all bytes, and is silent",
        "no-echo",
        relayed(Answering),
        life.answers(b""),
    ),
    Path(
        "http",
        tcp,
        "an HTTP server answers",
        "other-service",
        relayed(Answering, answer=HTTP),
        life.answers(HTTP, "fin"),
    ),
    Path(
        "chargen",
        tcp,
        "a chargen service sends without end",
        "other-service",
        direct("--port", "0", "--responder", "chargen"),
        life.talks,
    ),
    Path(
        "discard",
        tcp,
        "a discard service",
        "no-echo",
        direct("--port", "0", "--responder", "discard"),
        life.answers(b""),
    ),
    Path("refused", tcp, "the port does not listen", "unreachable", refused, life.isRefused),
    Path(
        "tls-unasked",
        tcp,
        "the service speaks TLS, the client does not",
        "service-speaks-tls",
        direct("--tls", "0"),
        life.closesAtFirst,
    ),
    Path(
        "proxy-expected",
        tcp,
        "the service expects a PROXY header",
        "proxy-header-expected",
        direct("--port", "0", "--proxy-protocol"),
        life.closesAtFirst,
    ),
]
