"""A second set of further paths, whose faults real products and networks have.

They were written without knowledge of the judge's rules. A cause is in plain words, and no identifier.
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path as Folder

from tests.zoo import measuresecond as m
from tests.zoo import measuresecondlinks as links
from tests.zoo.datagram import datagrams
from tests.zoo.packet import linked
from tests.zoo.path import WATCH, Path, Place
from tests.zoo.plantedfaults import Some
from tests.zoo.plantedlinks import DeadFlows, ForgetsAtEnd, LossBursts, Padded, Unscaled
from tests.zoo.plantedrelays import (
    Contended,
    DeadBackend,
    Deaf,
    Evicting,
    LittleFlushed,
    Overflowing,
    Overwritten,
    Retried,
    SomeIdle,
    SomeNarrow,
    StalePage,
    Swallowing,
    TelnetEscaped,
)
from tests.zoo.services import at, relayed
from tests.zoo.tls import TLSEcho, issued, securelyRelayed


@dataclass(kw_only=True, eq=False)
class SlowHandshake(Some):
    """Delays the service's first bytes, which are those of its handshake.

    :param takes: seconds.
    """

    takes: float
    _isFirst: bool = True

    async def back(self, data: bytes) -> None:
        if self._isFirst and self.isHit:
            await asyncio.sleep(self.takes)
        self._isFirst = False
        await super().back(data)


@contextmanager
def tooOld() -> Iterator[Place]:
    """Opens a path to a service that speaks no TLS above 1.1."""
    with tempfile.TemporaryDirectory() as name:
        certificate, key, trusted = issued()(Folder(name))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        # OpenSSL allows the old hashes of TLS 1.1 at this level only.
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        with TLSEcho(lambda: context, True) as server:
            threading.Thread(target=partial(server.serve_forever, 0.05), daemon=True).start()
            try:
                yield Place(at(("127.0.0.1", server.server_address[1]), "tls"), ("--ca", trusted))
            finally:
                server.shutdown()


_BAD = (
    Path("p-telnet-escape", "tcp", "each byte 255 of an answer comes twice", "bytes-255-doubled",
         relayed(TelnetEscaped), m.telnet),
    Path("p-stale-page", "tcp",
         "1 in 4 connections: the 4 KiB at offset 61,440 come again in place of the next 4 KiB",
         "page-replaced-by-earlier", relayed(StalePage, share=0.25, offset=65_536, size=4096), m.stalePage),
    Path("p-first-write-twice", "tcp",
         "1 in 5 connections: the client's first write reaches the service twice",
         "first-bytes-doubled", relayed(Retried, share=0.2), m.retried),
    Path("p-mixed-block", "tcp",
         "1 in 4 connections: 100 B at offset 1,000 are the last ones of another connection",
         "bytes-of-another-connection",
         relayed(Overwritten, share=0.25, offset=1000, size=100), m.overwritten),
    Path("p-oldest-evicted", "tcp", "more than 18 connections together: each new one resets the oldest",
         "new-ones-reset-the-oldest", relayed(Evicting, most=18), m.evicting),
    Path("p-dead-backend", "tcp", "each eighth connection ends at once, without a byte",
         "some-connections-refused", relayed(DeadBackend, each=8), m.deadBackend),
    Path("p-slower-with-load", "tcp", "an answer takes 4 ms more for each other connection that is open",
         "slower-with-open-ones", relayed(Contended, wait=0.004), m.contended),
    Path("p-idle-one-backend", "tcp", "1 in 2 connections ends after 6 s without a byte, the others do not",
         "some-end-when-idle", relayed(SomeIdle, share=0.5, after=6.0), m.someIdle, WATCH),
    Path("p-loss-bursts", "packets", "all packets are lost for 250 ms, each 4 s", "all-packets-lost-at-times",
         linked(LossBursts, first=2.0, every=4.0, lasts=0.25), links.lossBursts),
    Path("p-window-scale-gone", "packets", "80 ms, and the window scale option is taken out of SYNs",
         "window-limits-the-rate", linked(Unscaled, delay=0.04), links.unscaledWindow),
    Path("p-some-narrow", "tcp", "1 in 4 connections: answers pass at 100 kB/s",
         "some-connections-at-a-rate", relayed(SomeNarrow, share=0.25, rate=100e3), m.someNarrow),
    Path("p-silent-after-600-kb", "tcp",
         "what a client sends behind 600,000 B is taken, and vanishes, with the end",
         "silent-behind-some-bytes", relayed(Swallowing, after=600_000), m.swallowing),
    Path("p-deaf-after-6-s", "tcp",
         "6 s after a connection's begin its answers vanish, the client's bytes pass",
         "answers-vanish-at-an-age", relayed(Deaf, age=6.0), m.deaf, WATCH),
    Path("p-udp-dead-flows", "udp", "1 in 3 source ports is never answered", "some-source-ports-dead",
         datagrams(DeadFlows, share=0.33), links.deadFlows),
    Path("p-udp-padded", "udp", "answers below 18 B come with zeros behind them, as 18 B",
         "small-answers-padded", datagrams(Padded, least=18), links.padded),
    Path("p-tls-too-old", "tls", "the service speaks TLS 1.1 at most", "version-too-old",
         tooOld, links.tooOld),
    Path("p-tls-some-slow", "tls", "1 in 4 handshakes takes 1.5 s", "some-handshakes-slow",
         securelyRelayed(partial(SlowHandshake, share=0.25, takes=1.5)), links.slowHandshake),
    Path("p-fin-forgets-flow", "packets",
         "80 ms, and a flow's packets are lost from 20 ms after the client's FIN on",
         "silent-from-half-close-on", linked(ForgetsAtEnd, delay=0.04, after=0.02), links.forgetsAtEnd),
    Path("p-fin-flush-4-kib", "tcp",
         "from the client's end on 4 KiB more of the answer come, and then the end",
         "half-close-cuts-answer", relayed(LittleFlushed, most=4096), m.littleFlushed),
    Path("p-slow-reader-loses", "tcp",
         "128 KiB wait for a client; when it reads nothing for 200 ms, more is lost",
         "late-reader-loses-bytes", relayed(Overflowing, size=128 << 10, patience=0.2), m.overflowing),
)  # fmt: skip

SECOND = {path.name: path for path in _BAD}
