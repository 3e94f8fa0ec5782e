"""A load over real sockets, at honest services and at others."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from echo_app.probe.load.channel import Plain
from echo_app.probe.results.histogram import Histogram
from echo_app.probe.results.results import LoadSettings
from echo_app.targets import ClientTLS
from tests.support import programs
from tests.support.certificates import Authority
from tests.support.crooked import DatagramRelay, DatagramVices, Relay, StreamRelay, StreamVices, flipped
from tests.support.loading import Peer, Said, answeredAtLeast, differences, errors, failedAtLeast, load, total
from tests.support.service import PATIENCE, ServiceTestCase, readAndReset, receiveAll, reset


def echo(sock: socket.socket, size: int) -> None:
    """Echoes that many bytes."""
    while size > 0:
        data = sock.recv(min(size, 1 << 16))
        if not data:
            raise OSError
        sock.sendall(data)
        size -= len(data)


def never(answered: int, errors: Mapping[str, int]) -> bool:
    """Is asked whether it is enough, where there is nothing."""
    return False


class HonestTests(ServiceTestCase):
    def check(self, said: Said) -> None:
        """All messages are answered, except those under way at the end that the machine was too slow for."""
        self.assertEqual(errors(said), {})
        self.assertApproximates(total(said, "answered"), total(said, "sent"), 10)
        # Every message that was due has an end, or was under way or waiting at the stop.
        ends = sum(total(said, name) for name in ("answered", "outstanding", "unbegun"))
        self.assertEqual(ends, total(said, "due"))
        self.assertEqual(said[-1], {"done": True})

    def test_everyTransport(self) -> None:
        """Every kind of target is loaded, in both kinds of loop, and over one connection after the other."""
        authority = Authority(Path(self.mktemp()))
        certificate, key = authority.issue("server")
        options = ("--certificate", certificate, "--key", key, "--udp-rate", "0")
        server = self.serve("--port", "0", "--tls", "0", "--udp", "0", "--listen", "unix:echo.sock", *options)
        tls = ClientTLS(authority=authority.path)
        for target in (
            "127.0.0.1:{}".format(server.address("tcp")[1]),
            "localhost:{}".format(server.address("tcp")[1]),
            "tls://127.0.0.1:{}".format(server.address("tls")[1]),
            "udp://127.0.0.1:{}".format(server.address("udp")[1]),
            "unix://{}".format(server.address("unix")[0]),
        ):
            sizes = ((64, 1.0), (30_000, 1.0))
            enough = answeredAtLeast(50)
            self.check(load(target, enough, tls, sizes=sizes, connections=3, maxInflight=2))
            steady = {"rate": 500.0, "arrivals": "uniform", "perConnection": 5}
            said = load(target, enough, tls, sizes=sizes, connections=2, **steady)
            self.check(said)
            self.assertGreater(sum(len(Histogram(each.get("connects"))) for each in said), 2)

    def test_large(self) -> None:
        """Messages that no buffer holds."""
        authority = Authority(Path(self.mktemp()))
        certificate, key = authority.issue("server")
        server = self.serve("--port", "0", "--tls", "0", "--certificate", certificate, "--key", key)
        tls = ClientTLS(authority=authority.path)
        for target in (
            "127.0.0.1:{}".format(server.address("tcp")[1]),
            "tls://127.0.0.1:{}".format(server.address("tls")[1]),
        ):
            said = load(target, answeredAtLeast(1), tls, sizes=((20_000_000, 1.0),))
            self.assertEqual(errors(said), {})
            self.assertGreaterEqual(total(said, "bytes"), 20_000_000)

    def test_notBelieved(self) -> None:
        """An untrusted certificate, or no TLS at all, is reported."""
        server = self.serve("--port", "0", "--tls", "0")
        said = load("tls://127.0.0.1:{}".format(server.address("tls")[1]), never)
        self.assertIn("TLS: certificate: ", said[0]["failed"])
        said = load("tls://127.0.0.1:{}".format(server.address("tcp")[1]), never)
        self.assertIn("TLS: ", said[0]["failed"])

    def test_corrupting(self) -> None:
        """A byte that our service's fault changes is found."""
        server = self.serve("--port", "0", "--fault", "corrupt=1e-4")
        target = "127.0.0.1:{}".format(server.address("tcp")[1])
        said = load(target, failedAtLeast(3), sizes=((1000, 1.0),))
        self.assertEqual(set(errors(said)), {"corrupt"})
        self.assertGreaterEqual(len(differences(said)), 3)


class CrookedTests(ServiceTestCase):
    def relay(self, kind: Callable[..., Relay], *vices: object) -> str:
        """Starts a relay before a service; returns its address."""
        server = self.serve("--port", "0", "--udp", "0", "--udp-rate", "0")
        relay = kind(server.address("tcp" if kind is StreamRelay else "udp"), *vices).start()
        self.addCleanup(relay.stop)
        return "{}:{}".format(*relay.address)

    def peer(self, serve: Callable[[socket.socket], object]) -> str:
        """Starts a peer; returns its address."""
        peer = Peer(serve)
        self.addCleanup(peer.stop)
        return peer.target

    def test_flipped(self) -> None:
        """One flipped byte is located, on each connection anew."""
        target = self.relay(StreamRelay, StreamVices(edit=flipped(20_017)))
        said = load(target, failedAtLeast(2))
        self.assertEqual(set(errors(said)), {"corrupt"})
        for line in differences(said):
            self.assertIn("message 200, byte 17: ", line)
            self.assertIn("(byte 20017 of connection 0, from port ", line)
        self.assertGreater(total(said, "answered"), 200)

    def test_ends(self) -> None:
        """The ends of connections are counted by their kind, and the load goes on."""

        def fin(sock: socket.socket) -> None:
            echo(sock, 300)
            sock.recv(1 << 16)

        def rst(sock: socket.socket) -> None:
            echo(sock, 300)
            sock.recv(1)
            reset(sock)

        def surplus(sock: socket.socket) -> None:
            echo(sock, 300)
            sock.sendall(sock.recv(1 << 16) + b"!")
            sock.recv(1)

        for serve, kind in ((fin, "FIN"), (rst, "reset"), (surplus, "surplus")):
            said = load(self.peer(serve), failedAtLeast(2))
            self.assertEqual(set(errors(said)), {kind})
            self.assertGreaterEqual(total(said, "answered"), 6)

    def test_silence(self) -> None:
        """A message that is never answered is timed out."""
        target = self.relay(StreamRelay, StreamVices(swallow=True))
        said = load(target, failedAtLeast(2), wait=0.2)
        self.assertEqual((set(errors(said)), total(said, "answered")), ({"timed out"}, 0))

    def test_refused(self) -> None:
        """When a server goes away its connections end, and further ones are refused."""
        server = self.serve("--port", "0")

        def until(answered: int, errors: Mapping[str, int]) -> bool:
            if answered and not errors:
                server.kill()
            return "refused" in errors

        said = load("127.0.0.1:{}".format(server.address("tcp")[1]), until)
        self.assertTrue({"FIN", "reset"} & set(errors(said)))

    def test_endsOfTLS(self) -> None:
        """FIN alone is no end of TLS; close_notify is one, and an error where answers are missing."""
        authority = Authority(Path(self.mktemp()))
        certificate, key = authority.issue("server")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)

        def serve(sock: socket.socket, isSigned: bool) -> None:
            with context.wrap_socket(sock, server_side=True) as tls:
                try:
                    echo(tls, 300)
                    tls.recv(100)
                finally:
                    if isSigned:
                        tls.unwrap()

        for isSigned, kind in ((False, "FIN without close_notify"), (True, "close_notify")):
            target = f"tls://{self.peer(partial(serve, isSigned=isSigned))}"
            said = load(target, failedAtLeast(1), ClientTLS(authority=authority.path))
            self.assertEqual(set(errors(said)), {kind})

    def test_handshake(self) -> None:
        """A failed handshake is a failed connection."""
        said = load(f"tls://{self.peer(lambda sock: sock.recv(10_000))}", never)
        self.assertEqual(said, [{"failed": "TLS: FIN in the handshake"}])
        said = load(f"tls://{self.peer(readAndReset)}", never)
        self.assertEqual(said, [{"failed": "TLS: reset in the handshake"}])
        said = load(f"tls://{self.peer(receiveAll)}", never, wait=0.2)
        self.assertEqual(said, [{"failed": "TLS: timed out in the handshake"}])

    def test_datagrams(self) -> None:
        """Lost datagrams and those that come twice are counted, and reordering is no error."""
        vices = DatagramVices(loss=0.2, twice=0.3, delay=(0.005, 0.005))
        target = self.relay(DatagramRelay, vices)
        wanted: dict[str, Any] = {"rate": 1000.0, "arrivals": "poisson", "maxInflight": 10_000}

        def until(answered: int, errors: Mapping[str, int]) -> bool:
            return min(answered, errors.get("lost", 0), errors.get("duplicate", 0)) > 10

        said = load(f"udp://{target}", until, wait=1.0, **wanted)
        self.assertEqual(set(errors(said)), {"lost", "duplicate"})
        self.assertLessEqual(total(said, "answered") + errors(said)["lost"], total(said, "due"))

    def test_receiveQueue(self) -> None:
        """Datagrams that find the probe's receive queue full are counted apart from those that are lost."""
        ours, theirs = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        with ours, theirs:
            ours.setblocking(False)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 13)
            ours.bind(("127.0.0.1", 0))
            for _ in range(100):
                theirs.sendto(bytes(1000), ours.getsockname())
            came = 0
            with contextlib.suppress(BlockingIOError):
                while ours.recv(1000):
                    came += 1
            self.assertEqual((came > 0, Plain(ours).dropped), (True, 100 - came))

    def test_nobody(self) -> None:
        """However many connections fail at once, that is all that happens."""
        self.assertEqual(load("unix:///nobody", never, connections=1500), [{"failed": "no such socket"}])

    def test_noDatagrams(self) -> None:
        """An ICMP refusal is the error of a load on a closed port."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        said = load(f"udp://127.0.0.1:{port}", failedAtLeast(2))
        self.assertEqual(set(errors(said)), {"refused"})


class WorkerTests(ServiceTestCase):
    """The process itself."""

    def start(self, target: str, tls: ClientTLS = ClientTLS(), **fields: Any) -> subprocess.Popen[str]:
        """Starts a worker, and sends it its order."""
        worker = programs.start(
            self,
            *(sys.executable, "-m", "echo_app.probe.load.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        settings = asdict(LoadSettings(**{"warmup": 0.0, "duration": 1000.0, **fields}))
        task = {"target": target, "tls": asdict(tls), "settings": settings, "seed": 1, "index": 0}
        self.tell(worker, json.dumps(task))
        return worker

    def tell(self, worker: subprocess.Popen[str], line: str) -> None:
        """Writes a line to it."""
        assert worker.stdin is not None
        worker.stdin.write(line + "\n")
        worker.stdin.flush()

    def hear(self, worker: subprocess.Popen[str]) -> dict[str, Any]:
        """Returns the worker's next report."""
        assert worker.stdout is not None
        said: dict[str, Any] = json.loads(worker.stdout.readline())
        return said

    def rest(self, worker: subprocess.Popen[str]) -> Said:
        """Returns the worker's reports until its end, with status 0."""
        assert worker.stdout is not None
        assert worker.stderr is not None
        said = [json.loads(line) for line in worker.stdout]
        self.assertEqual((worker.wait(PATIENCE), worker.stderr.read()), (0, ""))
        return said

    def test_whole(self) -> None:
        """A worker connects, reports, begins when it is told to, and reports its result."""
        server = self.serve("--port", "0")
        worker = self.start("127.0.0.1:{}".format(server.address("tcp")[1]), duration=1.5, connections=2)
        ready = self.hear(worker)["ready"]
        self.assertEqual((len(Histogram(ready["connects"])), ready["errors"]), (2, {}))
        self.tell(worker, f"start {time.monotonic()}")
        said = self.rest(worker)
        self.assertEqual([each.get("second") for each in said], [0, 1, None])
        self.assertEqual(len(Histogram(said[0]["latency"])), said[0]["answered"])
        self.assertEqual((errors(said), said[-1]), ({}, {"done": True}))

    def test_stop(self) -> None:
        """The line, and the end of its input, end it; SIGINT does not."""
        server = self.serve("--port", "0")
        target = "127.0.0.1:{}".format(server.address("tcp")[1])
        workers = [self.start(target) for _ in range(2)]
        for worker in workers:
            self.hear(worker)
            self.tell(worker, f"start {time.monotonic()}")
        for worker in workers:
            worker.send_signal(signal.SIGINT)
            self.assertEqual(self.hear(worker)["second"], 0)
        self.tell(workers[0], "stop")
        assert workers[1].stdin is not None
        workers[1].stdin.close()
        for worker in workers:
            said = self.rest(worker)
            self.assertEqual((errors(said), said[-1]), ({}, {"done": True}))

    def test_failed(self) -> None:
        """A load that can't begin is an error in words."""
        for target, reason in (
            ("127.0.0.1:1", "refused"),
            ("tcp:host=127.0.0.1:port=7", "a load needs HOST:PORT, or tcp://, tls://, udp:// or unix://"),
        ):
            self.assertEqual(self.rest(self.start(target)), [{"failed": reason}])

    def test_notTold(self) -> None:
        """Something else than an order is one line, and the end of its input is the end."""
        for line, status in ((b"hello\n", 1), (b"{}\n", 1), (b"", 0)):
            command = [sys.executable, "-m", "echo_app.probe.load.worker"]
            ended = programs.run(*command, input=line)
            self.assertEqual(
                (ended.returncode, ended.stderr.count(b"\n"), ended.stdout), (status, status, b"")
            )

    def test_nobodyListens(self) -> None:
        """A worker whose output has no reader ends without a word."""
        server = self.serve("--port", "0")
        worker = self.start("127.0.0.1:{}".format(server.address("tcp")[1]))
        self.hear(worker)
        assert worker.stdout is not None
        worker.stdout.close()
        self.tell(worker, f"start {time.monotonic()}")
        self.assertEqual(worker.wait(PATIENCE), 0)
        assert worker.stderr is not None
        self.assertEqual(worker.stderr.read(), "")
