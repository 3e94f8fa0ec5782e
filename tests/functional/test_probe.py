"""The probe is right about services that are known: ours, the textbook's, and other people's."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import subprocess
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any, cast

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTCP, IReactorUDP
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol, connectionDone
from twisted.protocols.wire import Chargen, Discard
from twisted.python.failure import Failure

from echo_app.probe.checks import halfclose, latereader
from echo_app.probe.checks.smallwrites import BODY, HEAD
from echo_app.probe.cli.ping import Pings, ping
from echo_app.probe.judge import endrules
from echo_app.probe.judge.finding import Finding
from echo_app.probe.results.severity import Severity
from echo_app.targets import ClientTLS, parseTarget
from tests.functional.test_haproxy import HAProxyTestCase
from tests.support import programs
from tests.support.certificates import Authority
from tests.support.crooked import StreamRelay, StreamVices
from tests.support.kernel import waitUntil
from tests.support.probing import STREAM, Examined, Hurried, context, examined
from tests.support.service import PATIENCE, ServiceTestCase, needs


class TextbookEcho(Protocol):
    """Twisted's own example."""

    def dataReceived(self, data: bytes) -> None:
        """Sends it back."""
        assert self.transport is not None
        self.transport.write(data)


class GoodTestCase(ServiceTestCase):
    def good(self, done: Examined) -> None:
        """Checks that nothing failed, and that everything was examined; a busy machine makes warnings."""
        self.assertNotIn(Severity.FAIL, done.causes.values(), done)
        self.assertFalse(done.verdict.isFailed, done)
        self.assertRegex(done.seen("half-close"), r"^(\d+) of \1 whole, then the end$")


class GoodTests(GoodTestCase):
    """Our service passes every check, over every transport."""

    async def test_everyStream(self) -> None:
        """Over TCP, UNIX and TLS, with a certificate that is believed for its authority."""
        certificate, key = Authority(Path(self.mktemp())).issue("server")
        authority = str(Path(certificate).parent / "authority.pem")
        server = self.serve(
            *("--port", "0", "--listen", "unix:echo.sock"),
            *("--tls", "0", "--certificate", certificate, "--key", key),
        )
        tcp, tls, unix = (server.address(kind) for kind in ("tcp", "tls", "unix"))
        results = await gatherResults(
            [
                Deferred.fromCoroutine(examined(context(text, tls=ClientTLS(authority)), *STREAM))
                for text in (
                    f"localhost:{tcp[1]}",
                    f"tcp:127.0.0.1:{tcp[1]}",
                    f"tls://localhost:{tls[1]}",
                    f"unix://{unix[0]}",
                )
            ]
        )
        for each in results:
            self.good(each)


class ProxyTests(HAProxyTestCase, GoodTestCase):
    """Our service behind HAProxy, which writes a PROXY header."""

    async def test_passes(self) -> None:
        """Our service passes every check behind a proxy."""
        self.start()
        self.good(await examined(context(f"127.0.0.1:{self.front[0][1]}"), *STREAM))


STUNNEL = """\
foreground = yes
pid =
debug = info
[echo]
accept = 127.0.0.1:0
connect = {host}:{port}
cert = {certificate}
key = {key}
"""


class StunnelTests(GoodTestCase):
    """Our service behind stunnel, which ends TLS for it."""

    async def test_passes(self) -> None:
        """Our service passes every check behind stunnel, half-close over TLS among them."""
        needs("stunnel")
        folder = Path(self.mktemp()).absolute()
        certificate, key = Authority(folder).issue("server")
        host, port = self.serve().address()
        config, log = folder / "stunnel.conf", folder / "log"
        config.write_text(STUNNEL.format(host=host, port=port, certificate=certificate, key=key))
        with log.open("wb") as file:
            programs.start(self, "stunnel", config, stdout=file, stderr=file)
        bound = re.compile(r"bound to 127\.0\.0\.1:(\d+)")
        self.assertTrue(waitUntil(lambda: bound.search(log.read_text()) is not None), log.read_text())
        found = bound.search(log.read_text())
        assert found is not None
        given = context(f"tls://localhost:{found[1]}", tls=ClientTLS(str(folder / "authority.pem")))
        self.good(await examined(given, *STREAM))


class ImpatientProxyTests(HAProxyTestCase):
    """A HAProxy with a short time-out."""

    patience = "1s"

    async def test_lateReader(self) -> None:
        """HAProxy resets a late reader."""
        self.start()
        # Longer than the kernels go on moving what they hold, a little at a time.
        self.patch(latereader, "QUICK_LATE", 8.0)
        done = await examined(context(f"127.0.0.1:{self.front[0][1]}"), "late-reader")
        self.assertEqual(done.causes.get("late-reader-cut"), Severity.FAIL, done)
        self.assertRegex(done.finding("late-reader-cut").match.seen, r"came back, then reset$")


class ListeningTestCase(ServiceTestCase):
    """With services on the reactor that the tests run on."""

    def listen(self, factory: Any) -> int:
        """Listens until the test's end; returns the port."""
        from twisted.internet import reactor

        port: Any = cast(IReactorTCP, reactor).listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)


class TextbookTests(ListeningTestCase):
    """The echo that every introduction has."""

    async def test_halfClose(self) -> None:
        """The textbook echo loses the answers of a half-closed peer, and takes all input of a late reader."""
        # However slow the machine is, the reader fills it, and tries as often as it means to.
        self.patch(latereader, "FILLING", PATIENCE)
        for module in (latereader, endrules):
            self.patch(module, "LIMIT", 48 << 20)
        self.patch(halfclose, "BUDGET", PATIENCE)
        port = self.listen(Factory.forProtocol(TextbookEcho))
        done = await examined(context(f"127.0.0.1:{port}"), *STREAM)
        failures = [cause for cause, severity in done.causes.items() if severity is Severity.FAIL]
        self.assertEqual(failures, ["half-close-broken"], done)
        self.assertEqual(done.causes.get("no-push-back"), Severity.WARN, done)
        self.assertGreaterEqual(done.data("half-close")["outcomes"]["immediate close"], 10)


class ProgramTests(ServiceTestCase):
    """Programs that are used as echo services."""

    # Their treatment of a late reader is another matter: some hang in a pipe of their own.
    CHECKS = ("identity", "half-close", "small-writes")

    # Without nodelay, small writes to it do wait for acknowledgements.
    LISTEN = "TCP-LISTEN:7007,bind=HOST,fork,backlog=64,nodelay"

    def _start(self, *command: str) -> str:
        """Runs a program on an address of loopback of its own: HOST in its arguments."""
        needs(command[0])
        host = ".".join(["127", *(str(random.randint(2, 254)) for _ in range(3))])
        programs.start(
            self,
            *(part.replace("HOST", host) for part in command),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.assertTrue(waitUntil(lambda: _accepts(host)))
        return f"{host}:7007"

    async def test_socatPipe(self) -> None:
        """``socat PIPE`` is a good echo."""
        target = self._start("socat", self.LISTEN, "PIPE")
        done = await examined(context(target), *self.CHECKS)
        self.assertFalse(done.verdict.isFailed, done)
        self.assertNotIn("nagle-delays", done.causes, done)

    async def test_socatCat(self) -> None:
        """``socat EXEC:cat`` is a good echo."""
        target = self._start("socat", self.LISTEN, "EXEC:cat")
        done = await examined(context(target), *self.CHECKS)
        self.assertFalse(done.verdict.isFailed, done)
        self.assertNotIn("nagle-delays", done.causes, done)

    async def test_ncatCat(self) -> None:
        """``ncat -e /bin/cat`` closes at a half-close, and loses the rest of its answer."""
        # A large echo hangs in its pipes now and then, so that nothing is asked of it but this.
        target = self._start("ncat", "-k", "-l", "HOST", "7007", "-e", "/bin/cat")
        done = await examined(context(target, Hurried()), "half-close")
        self.assertEqual(done.causes.get("half-close-broken"), Severity.FAIL, done)


class DelayTests(ServiceTestCase):
    """Nagle's algorithm at the far end."""

    async def test_smallWrites(self) -> None:
        """An answer in two writes, without TCP_NODELAY, waits 40 ms; one in a single write does not."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.settimeout(PATIENCE)

            def serve() -> None:
                for sizes in ((HEAD, BODY), (HEAD + BODY,)):
                    with listening.accept()[0] as sock, contextlib.suppress(OSError):
                        sock.settimeout(PATIENCE)
                        while head := sock.recv(sizes[0], socket.MSG_WAITALL):
                            if sizes[1:]:
                                # The body is under way: nothing but a timer acknowledges the head.
                                sock.recv(1, socket.MSG_PEEK)
                            sock.sendall(head)
                            for size in sizes[1:]:
                                sock.sendall(sock.recv(size, socket.MSG_WAITALL))

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            done = await examined(context(f"127.0.0.1:{listening.getsockname()[1]}"), "small-writes")
            thread.join(PATIENCE)
        self.assertEqual(done.causes.get("nagle-delays"), Severity.WARN, done)

    async def test_slowPath(self) -> None:
        """A path that takes as long as a delayed acknowledgement is none that waits for one."""
        relay = StreamRelay(self.serve().address("tcp"), StreamVices(delay=(0.041, 0.0))).start()
        self.addCleanup(relay.stop)
        done = await examined(context("{}:{}".format(*relay.address)), "small-writes")
        self.assertNotIn("nagle-delays", done.causes, done)
        self.assertGreaterEqual(min(done.data("small-writes")["split"]), 0.04)


class NoEchoTests(ListeningTestCase):
    """A service that is no echo is one clear line, in bounded time, and no more checks."""

    async def _only(self, port: int, name: str, cause: str, hurried: bool = False) -> Finding:
        """Returns the one finding; the check of this name ends the examination."""
        done = await examined(context(f"127.0.0.1:{port}", Hurried() if hurried else None), *STREAM)
        after = STREAM[STREAM.index(name) + 1 :]
        self.assertEqual(list(done.evidence.skipped), list(after), done)
        self.assertEqual(done.causes, {cause: Severity.FAIL}, done)
        return done.finding(cause)

    async def test_closedPort(self) -> None:
        """A port without a listener."""
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            found = await self._only(port, "resolve", "unreachable")
        self.assertEqual(found.match.seen, "3 of 3 refused")

    async def test_neverAccepts(self) -> None:
        """A listener whose queue is full: connections are never made."""
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen(0)
            address = listening.getsockname()
            for _ in range(8):
                filling = socket.socket()
                self.addCleanup(filling.close)
                filling.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    filling.connect(address)
            found = await self._only(address[1], "resolve", "unreachable", hurried=True)
        self.assertEqual(found.match.seen, "1 of 1 connect timed out after 10 s")

    async def test_neverAnswers(self) -> None:
        """A listener that takes everything and says nothing."""
        port = self.listen(Factory.forProtocol(Discard))
        found = await self._only(port, "identity", "no-echo", hurried=True)
        self.assertIn("nothing comes back on ", found.match.seen)

    async def test_webServer(self) -> None:
        """A web server, whose answer is shown."""

        class Quiet(BaseHTTPRequestHandler):
            def log_message(self, format: str, *arguments: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            found = await self._only(server.server_port, "identity", "other-service")
            server.shutdown()
            thread.join(PATIENCE)
        self.assertIn("HTTP came first", found.match.seen)

    async def test_chargen(self) -> None:
        """A character generator (RFC 864), which never ends."""
        port = self.listen(Factory.forProtocol(Chargen))
        done = await examined(context(f"127.0.0.1:{port}"), *STREAM)
        # On a busy machine the flood delays answers, and one byte may be the one that was sent.
        failures = [cause for cause, severity in done.causes.items() if severity is Severity.FAIL]
        self.assertEqual(failures, ["other-service"], done)
        self.assertIn("a character generator (RFC 864) came first", done.finding("other-service").match.seen)

    async def test_wrongCertificate(self) -> None:
        """A certificate that the system does not believe."""
        port = self.serve("--tls", "0").address("tls")[1]
        done = await examined(context(f"tls://localhost:{port}"), *STREAM)
        self.assertEqual(done.causes, {"certificate-untrusted": Severity.FAIL}, done)
        self.assertIn("self-signed certificate", done.finding("certificate-untrusted").match.seen)
        self.assertIn("identity", done.evidence.skipped)

    async def test_notTLS(self) -> None:
        """A plain echo, which sends a handshake back."""
        port = self.serve().address("tcp")[1]
        done = await examined(context(f"tls://localhost:{port}"), *STREAM)
        self.assertIn("our own handshake came back", done.finding("service-is-plain").match.seen)


class PingTests(ListeningTestCase):
    """Round trips over streams that do not last."""

    async def test_datagrams(self) -> None:
        """Datagrams are counted by their numbers: those that come back, again, altered, late or never."""
        from twisted.internet import reactor

        answers = [lambda data: [data], lambda data: [data, data], lambda data: [data[:-1]], lambda data: []]

        class Odd(DatagramProtocol):
            def datagramReceived(self, data: bytes, address: Any) -> None:
                assert self.transport is not None
                for each in answers[int.from_bytes(data[:8], "big") - 1](data):
                    self.transport.write(each, address)

        port: Any = cast(IReactorUDP, reactor).listenUDP(0, Odd(), "127.0.0.1", 8192)
        self.addCleanup(port.stopListening)
        target = parseTarget(f"udp://127.0.0.1:{port.getHost().port}")
        said: list[str] = []
        pings = Pings(4, interval=0.1, size=16, wait=5.0)
        statuses = await ping(Hurried(), [target], pings, Random(1), said.append)
        lines = [line.removeprefix(f"{target}: ") for line in said]
        self.assertEqual(statuses, [Severity.FAIL])
        self.assertIn("number 2 again", lines)
        self.assertIn("number 3: 15 of 16 bytes", lines)
        self.assertIn("number 4: lost", lines)
        self.assertIn("4 sent, 2 answered, 1 lost, 1 corrupt, 0 reordered, 1 duplicate", lines)

    async def test_lateDatagrams(self) -> None:
        """An answer after the time-out is late, and no duplicate."""
        from twisted.internet import reactor

        class Slow(DatagramProtocol):
            first = b""

            def datagramReceived(self, data: bytes, address: Any) -> None:
                assert self.transport is not None
                self.first = self.first or data
                for each in (self.first, data) if data != self.first else ():
                    self.transport.write(each, address)

        port: Any = cast(IReactorUDP, reactor).listenUDP(0, Slow(), "127.0.0.1", 8192)
        self.addCleanup(port.stopListening)
        target = parseTarget(f"udp://127.0.0.1:{port.getHost().port}")
        said: list[str] = []
        await ping(reactor, [target], Pings(2, interval=0.3, size=16, wait=0.2), Random(1), said.append)
        lines = [line.removeprefix(f"{target}: ") for line in said]
        self.assertEqual(lines[0], "number 1: lost")
        self.assertTrue(any(line.startswith("number 1: late, after ") for line in lines), lines)
        self.assertNotIn("duplicate", lines[-1])

    async def _ping(self, protocol: type[Protocol], count: int, pace: float = 10.0) -> list[str]:
        """Returns what is said of some pings; the time-out is a second, divided by `pace`."""
        said: list[str] = []
        target = parseTarget(f"127.0.0.1:{self.listen(Factory.forProtocol(protocol))}")
        pings = Pings(count, interval=0.1, size=16, wait=1.0)
        await ping(Hurried(pace), [target], pings, Random(1), said.append)
        return [line.removeprefix(f"{target}: ") for line in said]

    async def test_goesOn(self) -> None:
        """A stream that ends is opened again, and its lost pings are counted."""

        class Once(TextbookEcho):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data[:16])
                assert self.transport is not None
                self.transport.loseConnection()

        # Some must be answered in time, by a busy machine too.
        lines = await self._ping(Once, 10, pace=1.0)
        self.assertTrue(lines[0].startswith("16 bytes, number 1, "), lines)
        self.assertIn(lines[1], ("number 2: FIN", "number 2: reset"))
        answered = sum(line.startswith("16 bytes") for line in lines)
        self.assertGreater(answered, 1)
        ends = Counter(line.rpartition(": ")[2] for line in lines[:10] if not line.startswith("16 bytes"))
        missed = ", ".join(f"{count} {end}" for end, count in ends.items())
        counts = f"10 sent, {answered} answered, 0 timed out, {missed}, 0 corrupt, 0 reordered"
        self.assertEqual(ends.total(), 10 - answered)
        self.assertIn(counts, lines)

    async def test_corrupt(self) -> None:
        """An answer that is wrong is counted as such, with its first difference."""

        class Wrong(TextbookEcho):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(bytes([data[0] ^ 1]) + data[1:])

        lines = await self._ping(Wrong, 1)
        self.assertEqual(lines[0], "number 1: 1 byte flipped at offset 0")
        self.assertEqual(lines[2], "1 sent, 0 answered, 0 timed out, 1 corrupt, 0 reordered")

    async def test_surplus(self) -> None:
        """Bytes after the last answer are a wrong answer, too."""

        class Twice(TextbookEcho):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data + data)

        lines = await self._ping(Twice, 1, pace=1.0)
        self.assertEqual(lines[1], "16 bytes too many came after the last answer")
        self.assertEqual(lines[3], "1 sent, 1 answered, 0 timed out, 1 corrupt, 0 reordered")

    async def test_end(self) -> None:
        """After the last answer the probe ends its stream, and does not reset it."""
        ends: list[Failure] = []

        class Ended(TextbookEcho):
            def connectionLost(self, reason: Failure = connectionDone) -> None:
                ends.append(reason)

        await self._ping(Ended, 2)
        self.assertEqual([type(end.value) for end in ends], [ConnectionDone])

    async def test_silent(self) -> None:
        """An answer that does not come is timed out."""
        lines = await self._ping(Discard, 1)
        self.assertEqual(lines[0], "number 1: timed out after 1 s")
        self.assertEqual(lines[2], "1 sent, 0 answered, 1 timed out, 0 corrupt, 0 reordered")


def _accepts(host: str) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection((host, 7007), PATIENCE).close()
        return True
    return False
