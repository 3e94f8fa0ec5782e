"""The probe's checks on real paths: honest ones, and relays whose fault is known."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.threads import deferToThread

from echo_app.probe.checks.burst import Burst
from echo_app.probe.checks.check import Check
from echo_app.probe.checks.evidence import CheckSettings
from echo_app.probe.checks.handshake import ENDS, TLS
from echo_app.probe.checks.idle import Idle, Ladders, bracket
from echo_app.probe.checks.peer import Peer
from echo_app.probe.checks.udp import UDP
from echo_app.probe.net.waits import pause, together
from echo_app.targets import ClientTLS
from tests.functional.test_haproxy import HAProxyTestCase
from tests.support import probing
from tests.support.certificates import Authority
from tests.support.crooked import (
    Address,
    DatagramRelay,
    DatagramVices,
    Ending,
    Relay,
    StreamRelay,
    StreamVices,
    dropped,
    duplicated,
    flipped,
    injected,
    swapped,
)
from tests.support.probing import Examined, context
from tests.support.service import PATIENCE, ServiceTestCase, receiveAll

# The factor by which datagrams are sent faster than usual, on a path within this machine.
PACE = 8.0


async def examined(check: Check[Any], target: str, tls: ClientTLS = ClientTLS(), **settings: Any) -> Examined:
    """Runs a check; returns what it saw, judged."""
    return await probing.examined(context(target, tls=tls, settings=CheckSettings(**settings)), check)


class AnsweringElsewhere(DatagramProtocol):
    """A service that answers from another socket, as one that is bound to the wrong address."""

    def startProtocol(self) -> None:
        self._other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def stopProtocol(self) -> None:
        self._other.close()

    def datagramReceived(self, datagram: bytes, addr: Address) -> None:
        self._other.sendto(datagram, addr)


class RelayedTestCase(ServiceTestCase):
    """A test case with relays in front of a service."""

    def relay(self, relay: Relay) -> Address:
        """Starts a relay, which ends with the test; returns where it listens."""
        relay.start()
        self.addCleanup(relay.stop)
        return relay.address


class RelayTests(RelayedTestCase):
    """The relays themselves do what they are told, and nothing else."""

    def through(self, vices: StreamVices, data: bytes) -> bytes:
        """Returns what comes back of some data and an end."""
        server = self.serve()
        sock = self.connect(self.relay(StreamRelay(server.address("tcp"), vices)))
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return receiveAll(sock)

    def test_honest(self) -> None:
        """Without a vice everything comes back, with a delay too."""
        data = os.urandom(1 << 20)
        self.assertEqual(self.through(StreamVices(delay=(0.02, 0.01)), data), data)

    def test_edits(self) -> None:
        """An edit is made at its offset, and the bytes around it stay."""
        data = bytes(range(200))
        for edit, middle in (
            (flipped(100), b"\x74"),
            (dropped(100), b""),
            (duplicated(100), b"dd"),
            (injected(100, b"xyz"), b"xyzd"),
        ):
            self.assertEqual(self.through(StreamVices(edit), data), data[:100] + middle + data[101:])
        edit = swapped(100, 2)
        self.assertEqual(self.through(StreamVices(edit), data), data[:100] + b"fgde" + data[104:])

    def test_cut(self) -> None:
        """An edit that the stream does not reach is none."""
        self.assertEqual(self.through(StreamVices(dropped(100, 50)), bytes(120)), bytes(120))

    def test_halfClose(self) -> None:
        """An end may be answered with an end at once."""
        server = self.serve()
        vices = StreamVices(endAtHalfClose=True, delay=(0.5, 0.0))
        sock = self.connect(self.relay(StreamRelay(server.address("tcp"), vices)))
        sock.sendall(b"hello")
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(receiveAll(sock), b"")

    def test_swallow(self) -> None:
        """Everything may be read, and nothing answered."""
        server = self.serve()
        sock = self.connect(self.relay(StreamRelay(server.address("tcp"), StreamVices(swallow=True))))
        sock.sendall(bytes(1 << 24))
        sock.settimeout(0.2)
        self.assertRaises(TimeoutError, sock.recv, 1)


class DatagramTests(RelayedTestCase):
    """The check of datagrams, over paths with known faults."""

    async def test_paths(self) -> None:
        """Each fault is named, and an honest path has none."""
        server = self.serve("--udp", "0", "--udp-rate", "0")
        honest = server.address("udp")
        nobody, silent = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for sock in (nobody, silent):
            self.addCleanup(sock.close)
            sock.bind(("127.0.0.1", 0))
        refusing = nobody.getsockname()
        nobody.close()
        vices = (
            DatagramVices(largest=1472),
            DatagramVices(loss=0.2, twice=0.2, delay=(0.02, 0.02)),
            DatagramVices(truncate=512),
        )
        relays = [self.relay(DatagramRelay(honest, each)) for each in vices]
        good, small, lossy, cut, dead, refused = await together(
            examined(UDP(pace=PACE), "udp://{}:{}".format(*address), isQuick=True)
            for address in (honest, *relays, silent.getsockname(), refusing)
        )
        self.assertEqual(good.causes, {}, good)
        self.assertEqual(good.data("udp")["largest"], 65_507)
        self.assertEqual(list(small.causes), ["datagrams-size"], small)
        self.assertEqual(small.data("udp")["largest"], 1472)
        self.assertIn("datagrams-lost", lossy.causes, lossy)
        self.assertIn("datagrams-repeated", lossy.causes, lossy)
        self.assertIn("as 512 B", cut.finding("datagrams-truncated").match.seen)
        self.assertRegex(dead.finding("datagrams-unanswered").match.seen, r"^all \d+ datagrams lost$")
        self.assertIn("refused", refused.finding("datagrams-unanswered").match.seen)

    async def test_ports(self) -> None:
        """Source ports that lose everything are told from those that lose nothing."""
        server = self.serve("--udp", "0", "--udp-rate", "0")
        address = self.relay(DatagramRelay(server.address("udp"), DatagramVices(losePort=8)))
        target = "udp://{}:{}".format(*address)
        done = await examined(UDP(pace=PACE), target, isQuick=False)
        self.assertIn("datagrams-by-port", done.causes, done)
        self.assertRegex(done.finding("datagrams-by-port").match.seen, r"^\d+ of 64 source ports: ")

    async def test_elsewhere(self) -> None:
        """Answers from another port of a host are answers, and named."""
        from twisted.internet import reactor

        port = reactor.listenUDP(0, AnsweringElsewhere(), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        done = await examined(UDP(pace=PACE), f"udp://127.0.0.1:{port.getHost().port}")
        self.assertIn("datagrams-from-elsewhere", done.causes, done)
        self.assertEqual(done.data("udp")["phases"]["ports"]["lost"], 0, done)


def goneOf(done: Examined) -> float:
    """Returns the age at which the last ladder of idle connections was gone."""
    seen = done.evidence.observations["idle"]
    assert isinstance(seen, Ladders)
    found = bracket(seen.second) or bracket(seen.first)
    assert found is not None, done
    return found.gone


class IdleTests(RelayedTestCase):
    """The check of idle connections, over paths with known faults."""

    async def test_endings(self) -> None:
        """Each way of dropping an idle connection is told apart from the others, and its age is found."""
        server = self.serve()
        after = 0.6
        endings: tuple[Ending, ...] = ("fin", "rst", "rst when used", "silent")
        addresses = [self._relay(server.address("tcp"), after, ending) for ending in endings]
        check = Idle(ages=(0.2,), timeout=0.7)
        results = await together(
            examined(check, "{}:{}".format(*address), idle=1.2)
            for address in (*addresses, server.address("tcp"))
        )
        for done, words in zip(results[:-1], ("FIN", "reset", "when spoken to", "silently"), strict=True):
            self.assertEqual(list(done.causes), ["idle-time-out"], done)
            self.assertIn(words, done.finding("idle-time-out").match.seen)
            # Late, when the machine pauses, but never early.
            self.assertGreaterEqual(goneOf(done), 0.9 * after)
        self.assertEqual(results[-1].causes, {}, results[-1])

    def _relay(self, target: Address, after: float, ending: Ending) -> Address:
        return self.relay(StreamRelay(target, StreamVices(idle=after, ending=ending)))


class HAProxyTests(HAProxyTestCase):
    """Behind a real proxy that has no patience."""

    patience = "1s"

    async def test_idle(self) -> None:
        """HAProxy's time-out is found, as another connection sees it at the same time."""
        self.start()
        watching = deferToThread(self._watch)
        found = await examined(Idle(ages=(0.3,)), "{}:{}".format(*self.front[0]), idle=3)
        watched = await watching
        self.assertEqual(list(found.causes), ["idle-time-out"], found)
        self.assertIn("FIN", found.finding("idle-time-out").match.seen)
        gone = goneOf(found)
        # HAProxy is never early, and either sees it late when the machine pauses.
        self.assertTrue(0.9 <= gone <= watched + 1.0, (watched, found))

    def _watch(self) -> float:
        """Returns the age at which an idle connection is closed."""
        with socket.create_connection(self.front[0], PATIENCE) as sock:
            sock.sendall(b"?")
            sock.recv(1)
            start = time.monotonic()
            sock.recv(1)
            return time.monotonic() - start


class StreamTests(ServiceTestCase):
    """The other checks, with our service, with and without a relay."""

    async def test_good(self) -> None:
        """Connections that come together are all served; a plain echo is no finding about the peer."""
        server = self.serve()
        target = "{}:{}".format(*server.address("tcp"))
        burst, peer = await together(examined(check, target) for check in (Burst(), Peer()))
        self.assertEqual(burst.causes, {}, burst)
        self.assertEqual((peer.causes, peer.seen("peer")), ({}, "the service does not say"))

    async def test_retransmits(self) -> None:
        """A SYN that a full queue drops is seen to have been sent again."""
        from twisted.internet import reactor

        listening = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.addCleanup(listening.close)
        given = context("{}:{}".format(*listening.getsockname()))
        first = await given.connect()
        second = Deferred.fromCoroutine(given.connect())
        # The reactor has sent the SYN by then, as it does what is due in the order in which it is.
        await pause(cast(IReactorTime, reactor), 0.1)
        accepted, _ = listening.accept()
        accepted.close()
        links = [first, await second]
        again = [link.record.made.allRetransmits for link in links if link.record.made]
        self.assertEqual([count > 0 for count in again], [False, True])
        for link in links:
            await link.abort()

    async def test_refused(self) -> None:
        """A service that takes but a few at a time turns others away, and not those that come one by one."""
        server = self.serve("--port", "0", "--max-connections", "20")
        done = await examined(Burst(calmly=0.001), "{}:{}".format(*server.address("tcp")), isQuick=True)
        self.assertIn("connection-cap", done.causes, done)
        self.assertIn("20 of 30 are served", done.finding("connection-cap").match.seen)

    async def test_tls(self) -> None:
        """A good certificate, a protocol that both speak, and an end that is told from a cut."""
        authority = Authority(Path(self.mktemp()))
        certificate, key = authority.issue("server")
        server = self.serve("--tls", "0", "--certificate", certificate, "--key", key)
        options = ClientTLS(authority=authority.path)
        done = await examined(TLS(), "tls://{}:{}".format(*server.address("tls")), tls=options)
        self.assertEqual(done.causes, {}, done)
        self.assertIn("TLSv1.3", done.seen("tls"))

    async def test_truncation(self) -> None:
        """A server that ends its connections without close_notify is named, beside its passed checks."""
        authority = Authority(Path(self.mktemp()))
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*authority.issue("server"))

        def echo(sock: socket.socket) -> None:
            with tls.wrap_socket(sock, server_side=True) as wrapped:
                while data := wrapped.recv(1 << 16):
                    wrapped.sendall(data)

        # One more connection is for the certificates, and three are to resume sessions.
        target = "tls://{}:{}".format(*self._listen(echo, ENDS + 4))
        done = await examined(TLS(), target, tls=ClientTLS(authority=authority.path))
        self.assertEqual(list(done.causes), ["no-close-notify"], done)
        self.assertIn("FIN without close_notify", done.finding("no-close-notify").match.seen)

    async def test_responder(self) -> None:
        """Our service with the responder ``peer`` reports the client's own address, and the check passes."""
        server = self.serve("--port", "0", "--tls", "0", "--responder", "peer")
        tcp, tls = ("{}:{}".format(*server.address(kind)) for kind in ("tcp", "tls"))
        for target in (tcp, f"tls://{tls}"):
            done = await examined(Peer(), target, tls=ClientTLS(isInsecure=True))
            self.assertEqual(done.causes, {}, done)
            self.assertTrue(done.seen("peer").endswith(", as we are"), done)

    async def test_peer(self) -> None:
        """The address that a service reports is compared with the client's own."""
        line = b'{"peer": "203.0.113.9:4711", "proxy": "203.0.113.1:80", "tls": null}\n'
        done = await examined(Peer(), "{}:{}".format(*self._listen(lambda sock: sock.sendall(line), 1)))
        self.assertEqual(done.causes, {}, done)
        self.assertIn("seen as 203.0.113.9:4711, ours is 127.0.0.1:", done.seen("peer"))
        self.assertIn("proxy at 203.0.113.1:80", done.seen("peer"))

    def _listen(self, serve: Callable[[socket.socket], None], count: int) -> Address:
        """Serves so many connections, one after the other, on a thread; returns where."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        listening.settimeout(PATIENCE)

        def work() -> None:
            for _ in range(count):
                sock, _ = listening.accept()
                sock.settimeout(PATIENCE)
                # Clients may reset.
                with sock, contextlib.suppress(OSError):
                    serve(sock)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        self.addCleanup(thread.join)
        address: Address = listening.getsockname()
        return address
