"""The table of paths over TCP and UNIX sockets."""

from __future__ import annotations

from functools import partial

from tests.support.crooked import Edit, dropped, duplicated, flipped, swapped
from tests.zoo import measurebytes as m
from tests.zoo import measurelife as life
from tests.zoo import measuretime as pace
from tests.zoo.identity import Cut, Edited, Ending, Mixed, Stale, Translated, crlf, sevenBits
from tests.zoo.life import Admitted, Answering, Greedy, Idle, Mortal, Unread
from tests.zoo.pace import FirstSlow, Flushed, Limited, Nagle, Paused, Slow, Stalled
from tests.zoo.path import NONE, Path
from tests.zoo.services import busyCore, direct, haproxy, program, refused, relayed, socat, unix
from tests.zoo.stream import Connection

tcp = "tcp"
HTTP = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
WATCH = ("--idle", "20s")


def edited(name: str, planted: str, cause: str, edit: Edit) -> Path:
    """Returns a path with an edit in each answer."""
    return Path(name, tcp, planted, cause, relayed(Edited, edit=edit), m.becomes(edit.apply))


def translated(name: str, planted: str, cause: str, translate: object) -> Path:
    """Returns a path that translates each piece of an answer."""
    return Path(name, tcp, planted, cause, relayed(Translated, translate=translate), m.becomes(translate))  # type: ignore[arg-type]


BYTES = [
    edited("byte-flipped", "one bit flipped at offset 20000 of each answer", "bytes-changed", flipped(20_000)),
    Path(
        "byte-flipped-third",
        tcp,
        "one bit flipped at offset 100, on one connection of three",
        "bytes-changed",
        relayed(Edited, edit=flipped(100), each=3),
        m.becomes(flipped(100).apply, (2, 5), 6),
    ),
    Path(
        "byte-flipped-rare",
        tcp,
        "one bit flipped at offset 40, on one connection of 30",
        "bytes-changed",
        relayed(Edited, edit=flipped(40), each=30),
        m.becomes(flipped(40).apply, (29,), 31),
    ),
    edited("bytes-lost", "10 bytes lost at offset 30000 of each answer", "bytes-lost", dropped(30_000, 10)),
    edited("bytes-doubled", "100 bytes sent twice at offset 30000", "bytes-doubled", duplicated(30_000, 100)),
    edited("bytes-swapped", "100 bytes at offset 30000 change places with the next 100", "bytes-reordered", swapped(30_000, 100)),
    translated("newlines", "each LF becomes CR LF", "newline-translation", crlf),
    translated("seven-bits", "the highest bit of each byte is cleared", "seven-bit", sevenBits),
    translated("capitals", "small ASCII letters become capitals", "bytes-changed", bytes.upper),
    Path("answers-swapped", tcp, "two connections open together have each other's answers", "connections-mixed", relayed(Mixed), m.mixed),
    Path("foreign-data", tcp, "100 bytes of an earlier connection inserted at offset 20000", "connections-mixed", relayed(Stale), m.stale),
    Path("truncated-64k", tcp, "an answer ends after 64 KiB, and the rest is lost", "cut-at-size", relayed(Cut, size=1 << 16, ending="end"), m.cutAt(1 << 16, "fin")),
    Path("end-late", tcp, "the end of the answer comes 2 s late", "end-late", relayed(Ending, late=2.0), m.endLate),
    Path("half-close-closes", tcp, "the client's end closes the connection at once", "half-close-cut", relayed(Ending, closes=True), m.halfCloseCloses),
    Path("half-close-ignored", tcp, "the client's end is not passed on", "half-close-ignored", relayed(Ending, ignores=True), m.halfCloseIgnored),
    Path("reset-for-fin", tcp, "the service's end becomes a reset", "reset-for-end", relayed(Ending, resets=True), m.resetForFin),
    Path("reset-after-fin", tcp, "a reset follows the end, and destroys what was not read", "data-lost-at-close", relayed(Ending, destroys=True), m.destroyed),
    Path("no-back-pressure", tcp, "the relay takes any number of bytes and keeps them", "no-back-pressure", relayed(Greedy), m.unlimited),
]

TIMES = [
    Path("nagle", tcp, "each answer in two writes, with Nagle's algorithm: waits for delayed acknowledgements (40 ms)", "waits-for-ack", relayed(Nagle), pace.nagle),
    Path("flush-200ms", tcp, "answers wait in a buffer of 4 KiB, or for 200 ms", "buffered-by-timer", relayed(Flushed, size=4096, interval=0.2), pace.flushed),
    Path("first-slow", tcp, "the first answer of each connection takes 300 ms", "first-answer-slow", relayed(FirstSlow, wait=0.3), pace.firstSlow(0.3)),
    Path("backend-asleep", tcp, "the first connection after 3 s without traffic waits for 1 s", "backend-asleep", relayed(FirstSlow, wait=1.0, asleep=3.0), pace.asleep),
    Path("backend-slow", tcp, "one connection of three has 100 ms more", "one-backend-slow", relayed(Slow, wait=0.1, each=3), pace.slowEach(3, 0.1)),
    Path("service-slow", tcp, "the service takes 30 ms, the kernel's handshake does not", "service-slow", direct("--port", "0", "--fault", "latency=30ms"), pace.slowerThanKernel),
    Path("stall", tcp, "nothing passes for 2 s, 8 s after the first connection and each 20 s from then on", "stall", relayed(Stalled, first=8.0, every=20.0, lasts=2.0), pace.stalls, WATCH),
    Path("pause-midway", tcp, "a pause of 3 s after 256 KiB of an answer", "pause-in-transfer", relayed(Paused, after=1 << 18, lasts=3.0), pace.paused(1 << 18, 3.0)),
    Path("rate-up", tcp, "250 kB/s on the way to the service, the other way is free", "rate-limit-up", relayed(Limited, rate=250e3, isUp=True), pace.limited(250e3, True)),
    Path("rate-down", tcp, "250 kB/s on the way to the client, the other way is free", "rate-limit-down", relayed(Limited, rate=250e3, isUp=False), pace.limited(250e3, False)),
    Path("policer", tcp, "125 kB/s after a burst of 1 MiB on each connection", "rate-limit-after-burst", relayed(Limited, rate=125e3, isUp=False, burst=float(1 << 20)), pace.policed(1 << 20, 125e3)),
    Path("jitter", tcp, "each piece takes 0 to 60 ms, in order", "jitter", relayed(Slow, wait=0.03, jitter=0.03), pace.jitter),
]

LIVES = [
    Path("age-10s", tcp, "a connection ends 10 s after its begin", "lifetime", relayed(Mortal, age=10.0), life.lifetime(10.0), WATCH),
    Path("age-10s-reset", tcp, "a connection is reset 10 s after its begin", "lifetime", relayed(Mortal, age=10.0, resets=True), life.lifetime(10.0), WATCH),
    Path("idle-5s", tcp, "a connection ends after 5 s without a byte", "idle-cut", relayed(Idle, after=5.0), life.idle(5.0, "fin"), WATCH),
    Path("idle-5s-reset", tcp, "a connection is reset after 5 s without a byte", "idle-cut", relayed(Idle, after=5.0, how="reset"), life.idle(5.0, "reset"), WATCH),
    Path("idle-5s-silent", tcp, "after 5 s without a byte nothing passes any more", "idle-cut", relayed(Idle, after=5.0, how="silent"), life.idle(5.0, "silent"), WATCH),
    Path("unread-5s", tcp, "a client that does not read for 5 s is reset", "unread-cut", relayed(Unread, after=5.0), life.unread(5.0)),
    Path("after-1mib", tcp, "a connection ends after 1 MiB", "cut-at-size", relayed(Cut, size=1 << 20, ending="fin"), m.cutAt(1 << 20, "fin")),
    Path("after-1mib-reset", tcp, "a connection is reset after 1 MiB", "cut-at-size", relayed(Cut, size=1 << 20, ending="reset"), m.cutAt(1 << 20, "reset")),
    Path("restart", tcp, "all connections end 12 s after the first one, and each 12 s from then on", "restart", relayed(Mortal, moment=12.0), life.restart(12.0), WATCH),
]


def capped(how: str) -> Path:
    """Returns a path with a cap of connections."""
    planted = f"of more than 20 connections together, the others: {how}"
    return Path(f"cap-{how}", tcp, planted, "connection-cap", relayed(Admitted, cap=20, how=how), life.capped(20, how))


ADMISSION = [
    *map(capped, ("reset", "fin", "silent")),
    Path("accept-rate", tcp, "10 connections in a second, more are reset", "accept-rate", relayed(Admitted, rate=10), life.acceptRate(10)),
    Path("first-20-reset", tcp, "the first 20 connections are reset, later ones served", "resets-at-first", relayed(Admitted, first=20), life.firstRefused(20)),
    Path("silent", tcp, "the service takes all bytes, and is silent", "no-answer", relayed(Answering), life.answers(b"")),
    Path("http", tcp, "an HTTP server answers", "other-service", relayed(Answering, answer=HTTP), life.answers(HTTP, "fin")),
    Path("chargen", tcp, "a chargen service sends without end", "other-service", direct("--port", "0", "--responder", "chargen"), life.talks),
    Path("discard", tcp, "a discard service", "no-answer", direct("--port", "0", "--responder", "discard"), life.answers(b"")),
    Path("refused", tcp, "the port does not listen", "refused", refused, life.isRefused),
    Path("tls-unasked", tcp, "the service speaks TLS, the client does not", "service-speaks-tls", direct("--tls", "0"), life.closesAtFirst),
    Path("proxy-expected", tcp, "the service expects a PROXY header", "proxy-header-expected", direct("--port", "0", "--proxy-protocol"), life.closesAtFirst),
]

GOOD = [
    Path("good-direct", tcp, "no fault: the service itself", NONE, direct(), m.exact),
    Path("good-relay", tcp, "no fault: a relay", NONE, relayed(Connection), m.exact),
    Path("good-relays", tcp, "no fault: three relays in a row", NONE, relayed(Connection, Connection, Connection), m.exact),
    Path("good-haproxy", tcp, "no fault: HAProxy", NONE, partial(program, haproxy), m.exact),
    Path("good-socat", tcp, "no fault: socat", NONE, partial(program, socat), m.exact),
    Path("good-unix", "unix", "no fault: a UNIX socket", NONE, unix, m.exact),
    Path("good-50ms", tcp, "no fault: 50 ms, steady", NONE, relayed(Slow, wait=0.05), pace.steady(0.05, 0.09)),
    Path("good-200ms", tcp, "no fault: 200 ms, steady", NONE, relayed(Slow, wait=0.2), pace.steady(0.2, 0.24)),
    Path("good-busy", tcp, "no fault: a busy core beside the service", NONE, busyCore, m.exact),
]

STREAMS = [*BYTES, *TIMES, *LIVES, *ADMISSION, *GOOD]
