"""A third set of further paths, whose faults are often met in production networks.

They were written without knowledge of the judge's rules. A cause is in plain words, and no identifier.
"""

from __future__ import annotations

import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path as Folder

from echo_app.testing import EchoProcess
from tests.support.certificates import Authority
from tests.support.crooked import Address
from tests.zoo import measurethird as m
from tests.zoo import measurethirdlinks as links
from tests.zoo.datagram import datagrams
from tests.zoo.pace import Stalled
from tests.zoo.packet import linked
from tests.zoo.path import WATCH, Path, Place
from tests.zoo.planted import OtherServer
from tests.zoo.plantedthirdlinks import (
    BitErrors,
    BytesPoliced,
    OneNarrowLink,
    PolicedDown,
    SomeElsewhere,
    SynsPoliced,
)
from tests.zoo.plantedthirdrelays import (
    Busy,
    Counted,
    CrossedInBursts,
    Flapping,
    LineBuffered,
    NeverEnding,
    OutputLimited,
    ResetAtHello,
    SaysBye,
    SomeSilent,
    WrittenAgain,
)
from tests.zoo.services import at, relayed
from tests.zoo.stream import StreamRelay
from tests.zoo.tls import TLSEcho, issued, securelyRelayed


@contextmanager
def balanced(first: Address, second: Address, share: float, trusted: str) -> Iterator[Place]:
    """Opens a path to two TLS servers.

    :param share: the share of connections that reach the second one.
    """
    relay = StreamRelay(first, partial(OtherServer, share=share, other=second)).start()
    try:
        yield Place(at(relay.address, "tls"), ("--ca", trusted))
    finally:
        relay.stop()


@contextmanager
def oneUntrusted() -> Iterator[Place]:
    """Opens a path to two TLS servers; the second one's certificate is of an authority that nobody knows."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        certificate, key, trusted = issued()(Folder(name))
        files = (certificate, key), Authority(Folder(name, "default"), "appliance").issue("service")
        first, second = (
            stack.enter_context(EchoProcess("--tls", "0", "--certificate", chain, "--key", each)).address()
            for chain, each in files
        )
        yield stack.enter_context(balanced(first, second, 0.25, trusted))


@contextmanager
def ticketsUnshared() -> Iterator[Place]:
    """Opens a path to two TLS servers with one certificate, of which each has a ticket key of its own."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        certificate, key, trusted = issued()(Folder(name))
        servers = []
        for _ in range(2):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            server = stack.enter_context(TLSEcho(partial(_same, context), True))
            threading.Thread(target=partial(server.serve_forever, 0.05), daemon=True).start()
            stack.callback(server.shutdown)
            servers.append(("127.0.0.1", server.server_address[1]))
        yield stack.enter_context(balanced(servers[0], servers[1], 0.5, trusted))


def _same(context: ssl.SSLContext) -> ssl.SSLContext:
    return context


_BAD = (
    Path("q-short-write-again", "tcp",
         "answers: a piece of which the kernel took only a part is written again from its first byte",
         "bytes-twice-in-large-answers", relayed(WrittenAgain, buffer=1 << 14), m.writtenAgain),
    Path("q-crossed-in-bursts", "tcp",
         "3 in 10 pairs of clients that connect within 10 ms have each other's answers",
         "answers-of-another-one", relayed(CrossedInBursts, within=0.01, share=0.3), m.crossed),
    Path("q-busy-text", "tcp", "24 connections are served together, more get a line of text and the end",
         "too-many-connections", relayed(Busy, most=24), m.busy),
    Path("q-flapping", "tcp", "for the last 2 s of each 8 s new connections are reset; open ones live on",
         "new-ones-refused-at-times", relayed(Flapping, every=8.0, lasts=2.0), m.flapping),
    Path("q-line-buffered", "tcp", "bytes of an answer without a newline behind them wait for 250 ms",
         "ends-of-answers-wait", relayed(LineBuffered, size=1 << 16, interval=0.25), m.lineBuffered),
    Path("q-collector-pauses", "tcp", "each 2.5 s no answer passes for 350 ms, on all connections",
         "answers-pause-at-times", relayed(Stalled, first=1.0, every=2.5, lasts=0.35), m.pauses),
    Path("q-40-requests", "tcp", "a connection ends behind the answer to the 40th write of at most 1,500 B",
         "ends-after-some-requests", relayed(Counted, most=40, largest=1500), m.counted),
    Path("q-idle-bye", "tcp", "after 7 s without a byte a line of text comes, and the end",
         "idle-ones-get-text-and-end", relayed(SaysBye, after=7.0), m.bye, WATCH),
    Path("q-long-frames-lost", "packets", "4 % of the packets of at least 1,000 B to the service are lost",
         "large-packets-lost-at-times", linked(BitErrors, loss=0.04, least=1000), links.bitErrors),
    Path("q-one-narrow-link", "packets",
         "1 in 2 connections: packets above 1,400 B are lost, both ways, without ICMP",
         "large-packets-die-on-some", linked(OneNarrowLink, share=0.5, largest=1400), links.oneNarrow),
    Path("q-syns-policed", "packets", "above 20 SYNs in a second, with a burst of 20, SYNs are lost",
         "syns-lost-above-a-rate", linked(SynsPoliced, rate=20.0, burst=20.0), links.synsPoliced),
    Path("q-policer-drops", "packets",
         "20 ms, and packets to the client above 300 kB/s, with a burst of 60 kB, are lost",
         "packets-lost-above-a-rate", linked(PolicedDown, delay=0.01, rate=300e3, burst=60e3), links.policed),
    Path("q-some-silent-200-kb", "tcp",
         "1 in 3 connections: behind 200,000 B of the answer nothing comes any more",
         "some-go-silent-after-bytes", relayed(SomeSilent, share=0.33, after=200_000), m.someSilent),
    Path("q-udp-some-elsewhere", "udp", "3 in 10 answers come from another port",
         "some-answers-from-elsewhere", datagrams(SomeElsewhere, share=0.3), links.someElsewhere),
    Path("q-udp-bytes-policed", "udp",
         "above 60 kB in a second, with a burst of 20 kB, datagrams to the service are lost",
         "datagrams-lost-above-bytes", datagrams(BytesPoliced, rate=60e3, burst=20e3), links.bytesPoliced),
    Path("q-tls-one-untrusted", "tls",
         "1 in 4 connections reaches a server with a certificate of an authority that nobody knows",
         "one-server-untrusted", oneUntrusted, links.oneUntrusted),
    Path("q-tls-tickets-unshared", "tls",
         "two servers in turns by chance, and neither accepts the other one's tickets",
         "resumption-fails-at-times", ticketsUnshared, links.ticketsUnshared),
    Path("q-tls-some-reset", "tls", "1 in 5 connections is reset when the client's first bytes have come",
         "some-handshakes-reset", securelyRelayed(partial(ResetAtHello, share=0.2)), links.someReset),
    Path("q-some-never-end", "tcp", "3 in 10 connections: the whole answer comes, and no end behind it",
         "end-missing-on-some", relayed(NeverEnding, share=0.3), m.neverEnding),
    Path("q-output-limit", "tcp", "a client for which more than 256 KiB wait for 500 ms is reset",
         "late-reader-is-reset", relayed(OutputLimited, most=256 << 10, patience=0.5), m.outputLimit),
)  # fmt: skip

THIRD = {path.name: path for path in _BAD}
