"""A fourth set of further paths, whose faults are met most often in production networks.

They were written without knowledge of the judge's rules. A cause is in plain words, and no identifier.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path as Folder

from echo_app.testing import EchoProcess
from tests.support.certificates import Authority
from tests.support.crooked import dropped
from tests.zoo import measurefourth as m
from tests.zoo import measurefourthlinks as links
from tests.zoo.datagram import Policed, datagrams
from tests.zoo.identity import Edited, Translated
from tests.zoo.pace import Slow
from tests.zoo.packet import linked
from tests.zoo.packetfaults import Lossy
from tests.zoo.path import WATCH, Path, Place
from tests.zoo.plantedfourthlinks import FlowLost, FullTable, LostAfterRest, OneLossyLink
from tests.zoo.plantedfourthrelays import (
    ClosesSoon,
    DeadServer,
    Hanging,
    PiecesCrossed,
    Polling,
    Recycled,
    SentAgain,
    SharedUplink,
    SpreadAge,
    repaired,
)
from tests.zoo.plantedthird import balanced
from tests.zoo.plantedthirdlinks import OneNarrowLink
from tests.zoo.services import Opening, relayed
from tests.zoo.tls import securelyRelayed

# A chain of certificates, and its key.
Files = tuple[str, str]


def twoServers(share: float, issue: Callable[[Folder], tuple[Files, Files, str]]) -> Opening:
    """Returns the opening of a path to two TLS servers.

    :param share: the share of connections that reach the second one.
    :param issue: returns the files of both, and the trusted authority.
    """

    @contextmanager
    def opening() -> Iterator[Place]:
        with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
            *files, trusted = issue(Folder(name))
            first, second = (
                stack.enter_context(EchoProcess("--tls", "0", "--certificate", chain, "--key", key)).address()
                for chain, key in files
            )
            yield stack.enter_context(balanced(first, second, share, trusted))

    return opening


def oneIncomplete(folder: Folder) -> tuple[Files, Files, str]:
    """Issues by an authority below the root, whose certificate is in the first chain only."""
    root = Authority(folder)
    between = Authority(folder, "between", root)
    chain, key = between.issue("service")
    alone = between.issue("other")
    with Folder(chain).open("ab") as file:
        file.write(between.pem)
    return (chain, key), alone, root.path


def oneEndsSoon(folder: Folder) -> tuple[Files, Files, str]:
    """Issues by one authority; the second certificate ends in 2 days."""
    root, now = Authority(folder), datetime.now(UTC)
    old = root.issue("other", since=now - timedelta(days=78), until=now + timedelta(days=2))
    return root.issue("service"), old, root.path


_BAD = (
    Path("r-utf-8-repaired", "tcp", "what is no UTF-8 in an answer comes back as EF BF BD, as U+FFFD",
         "bytes-replaced-as-if-text", relayed(Translated, translate=repaired), m.repaired),
    Path("r-page-lost", "tcp", "each fourth connection: the 4 KiB at offset 98,304 of the answer are lost",
         "page-lost-on-some", relayed(Edited, edit=dropped(98_304, 4096), each=4), m.pageLost),
    Path("r-pieces-crossed", "tcp",
         "1 in 5 pieces of answers goes to another connection that had one in the last 20 ms",
         "pieces-of-another-connection", relayed(PiecesCrossed, within=0.02, share=0.2), m.piecesCrossed),
    Path("r-dead-server-reset", "tcp", "1 in 6 connections is accepted, and reset after 1.5 s without a byte",
         "some-accepted-and-reset-late", relayed(DeadServer, share=0.17, wait=1.5), m.deadServer),
    Path("r-flow-table-full", "packets", "while 30 connections are open, SYNs of further ones are lost",
         "syns-lost-above-open-ones", linked(FullTable, most=30), links.fullTable),
    Path("r-polls-each-80-ms", "tcp", "answers come at the ticks of a clock of 80 ms",
         "answers-wait-for-a-tick", relayed(Polling, interval=0.08), m.polling),
    Path("r-server-sends-again", "tcp", "1 in 20 pieces of answers comes 210 ms late",
         "some-answers-210-ms-late", relayed(SentAgain, share=0.05, wait=0.21), m.sentAgain),
    Path("r-age-8-to-11-s", "tcp", "a connection ends 8 s to 11 s after its begin, by chance",
         "ends-at-some-age", relayed(SpreadAge, least=8.0, most=11.0), m.spreadAge, WATCH),
    Path("r-worker-recycled", "tcp",
         "each 12 s, in turns, one of three workers restarts: its connections are reset, others live on",
         "a-third-reset-at-once", relayed(Recycled, workers=3, every=12.0), m.recycled, WATCH),
    Path("r-pppoe-black-hole", "packets", "packets above 1,492 B are lost, both ways, without ICMP",
         "largest-packets-lost", linked(OneNarrowLink, share=1.0, largest=1492), links.pppoe),
    Path("r-downlink-loss", "packets", "40 ms, and 3 % of the packets to the client are lost",
         "packets-to-the-client-lost", linked(Lossy, delay=0.02, down=0.03), links.downlinkLoss),
    Path("r-shared-uplink", "tcp", "what all clients send together passes at 400 kB/s; answers are free",
         "shared-rate-up", relayed(SharedUplink, rate=400e3), m.sharedUplink),
    Path("r-offload-loses-flow", "packets",
         "behind 400,000 B to the client a flow's packets are lost, both ways",
         "flow-silent-after-some-bytes", linked(FlowLost, after=400_000), links.flowLost),
    Path("r-udp-first-after-rest", "udp", "the first datagram after 3 s without one is lost, later ones pass",
         "first-after-rest-lost", datagrams(LostAfterRest, after=3.0), links.afterRest, WATCH),
    Path("r-udp-short-queue", "udp",
         "a queue of 12 datagrams, of which 1,500 a second are taken: the rest of a burst is lost",
         "datagrams-of-bursts-lost", datagrams(Policed, rate=1500.0, burst=12.0), links.shortQueue),
    Path("r-udp-one-lossy-link", "udp", "3 in 10 source ports: 40 % of the datagrams to the service are lost",
         "loss-on-some-source-ports", datagrams(OneLossyLink, share=0.3, loss=0.4), links.oneLossy),
    Path("r-tls-one-incomplete", "tls",
         "1 in 4 connections reaches a server that does not send the certificate of the authority between",
         "chain-incomplete-on-one", twoServers(0.25, oneIncomplete), links.oneIncomplete),
    Path("r-tls-one-ends-soon", "tls",
         "3 in 10 connections reach a server whose certificate ends in 2 days, the other one's in 80",
         "one-certificate-ends-soon", twoServers(0.3, oneEndsSoon), links.oneEndsSoon),
    Path("r-tls-some-hang", "tls", "1 in 7 handshakes is never answered, the connection stays open",
         "some-handshakes-hang", securelyRelayed(partial(Hanging, share=0.15)), links.someHang),
    Path("r-closes-after-end", "tcp",
         "a round trip of 300 ms; the connection is closed 200 ms after the client's end",
         "half-close-cuts-late-answer", relayed(partial(Slow, wait=0.3), ClosesSoon, after=0.2),
         m.closesSoon),
)  # fmt: skip

FOURTH = {path.name: path for path in _BAD}
