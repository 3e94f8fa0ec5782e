"""Behind a real HAProxy, which runs on the configuration that the documentation gives."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import textwrap
from pathlib import Path

from echo_app.testing import EchoProcess
from tests import ROOT
from tests.support import programs
from tests.support.certificates import Authority
from tests.support.kernel import waitForCut, waitUntil
from tests.support.service import (
    PATIENCE,
    ServiceTestCase,
    exchanged,
    needs,
    receiveAll,
    receiveUpTo,
    sendAndEnd,
    startSending,
    stopCounts,
)

RECIPE = ROOT / "docs" / "haproxy.rst"
LOOP = 50

# A health check must end within ``inter``, which a busy machine has to keep; ``fall`` of them must fail, and
# follow one another by ``fastinter`` when one has (HAProxy's manual, 5.2).
CHECKS = "inter 3s fastinter 50ms fall 10"
CHECKED = "Health check for server echo/echo1 succeeded"

# The service's own address of loopback: HAProxy goes on with its checks when the service has stopped, and the
# port may belong to another test's service by then.
BACKEND = "127.0.0.89"


def recipe() -> str:
    """Returns the configuration in the documentation."""
    text = re.search(r"::\n\n((?:    .*\n|\n)+)", RECIPE.read_text())
    assert text is not None
    return textwrap.dedent(text[1])


def replaced(text: str, old: str, new: str) -> str:
    """Returns a text with the one place of another one replaced."""
    assert text.count(old) == 1, old
    return text.replace(old, new)


class HAProxyTestCase(ServiceTestCase):
    """A service, and HAProxy in front of it.

    A subclass puts other options into `listener`, and what HAProxy needs for it into `server`.

    :cvar patience: HAProxy's time-outs, as it reads them.
    :cvar bind: what follows the socket in a ``bind`` line of HAProxy.
    """

    listener: tuple[str, ...] = ("--port", "0", "--interface", BACKEND)
    server = ""
    version = "send-proxy-v2"
    patience = "300s"
    bind = ""

    def setUp(self) -> None:
        needs("haproxy")

    def start(self, *options: str) -> EchoProcess:
        """Starts both; HAProxy listens on 127.0.0.1 and ::1."""
        echo = self.serve(*self.listener, "--proxy-protocol", *options)
        _, host, port = echo.listeners[0]
        backend = f"{host}:{port}" if port else f"unix@{host}"
        listening = [
            socket.create_server(("127.0.0.1", 0)),
            socket.create_server(("::1", 0), family=socket.AF_INET6),
        ]
        self.front = [each.getsockname()[:2] for each in listening]
        binds = "\n".join(f"    bind fd@{each.fileno()} {self.bind}" for each in listening)
        config = replaced(recipe(), "    bind :7", binds)
        config = replaced(config, "127.0.0.1:8080 send-proxy-v2", f"{backend} {self.version} {self.server}")
        config = replaced(config, "inter 2s", CHECKS).replace("300s", self.patience)
        # Over TLS it would try again to connect where it is refused, three times, a second apart.
        config = replaced(config, "mode tcp", "mode tcp\n    option log-health-checks\n    retries 0")
        folder = programs.newFolder(self)
        path = folder / "haproxy.cfg"
        path.write_text(config)
        self._output = folder / "output"
        with self._output.open("wb") as output:
            programs.start(
                self,
                *("haproxy", "-db", "-f", path),
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[each.fileno() for each in listening],
            )
        for each in listening:
            each.close()
        return echo

    def output(self) -> str:
        """Returns what HAProxy has printed."""
        return self._output.read_text()

    def connectFrom(self, source: str) -> socket.socket:
        """Connects a client to HAProxy, from an address of loopback."""
        address = self.front[":" in source]
        return self.closedLater(socket.create_connection(address, PATIENCE, (source, 0)))


class StreamTests(HAProxyTestCase):
    """With version 2 of the header."""

    def test_halfClose(self) -> None:
        """Data and FIN in one segment come back whole, and then the end, every time."""
        echo = self.start()
        for size in (1, 1024, 50_000):
            data = os.urandom(size)
            lost = 0
            for _ in range(LOOP):
                peer = self.connectFrom("127.0.0.1")
                sendAndEnd(peer, data)
                lost += receiveAll(peer) != data
                peer.close()
            self.assertEqual(lost, 0, size)
        self.assertEqual(stopCounts(echo)["refused"], 0)

    def test_lateReader(self) -> None:
        """64 MiB to a client that begins to read late come back whole, and then the end of the stream."""
        self.start()
        data = os.urandom(64 << 20)
        peer = self.connectFrom("127.0.0.1")
        sender = startSending(peer, data, ends=False)
        sender.join(1.0)
        self.assertTrue(sender.is_alive())
        self._receiveThenEnd(peer, data)
        sender.join(PATIENCE)

    def _receiveThenEnd(self, peer: socket.socket, data: bytes) -> None:
        """Receives all of the data, ends the stream, and is answered with its end.

        HAProxy 2.6 may lose what comes just before an end that is sent while it can't send on.
        """
        self.assertTrue(receiveUpTo(peer, len(data)) == data)
        peer.shutdown(socket.SHUT_WR)
        self.assertEqual(receiveAll(peer), b"")

    def test_addresses(self) -> None:
        """Clients are told apart, by cap and in the log, and the next one is served when one leaves."""
        echo = self.start("--max-connections-per-peer", "1", "--log-connections")
        inside = {}
        for source in ("127.0.0.2", "127.0.0.3", "::1"):
            inside[source] = self.connectFrom(source)
            inside[source].sendall(b"?")
            self.assertEqual(inside[source].recv(1), b"?")
        for source, peer in inside.items():
            host = f"[{source}]" if ":" in source else source
            self.assertIn(f"connection from {host}:{peer.getsockname()[1]}", echo.log())
        for source in inside:
            self.assertFalse(self._isServed(source), source)
        inside["127.0.0.2"].shutdown(socket.SHUT_WR)
        self.assertEqual(receiveAll(inside["127.0.0.2"]), b"")
        # HAProxy passes the end on before the service has seen that the connection is gone.
        self.assertTrue(waitUntil(lambda: self._isServed("127.0.0.2")))
        self.closePeers()
        self.assertGreaterEqual(stopCounts(echo)["refused"], 3)

    def _isServed(self, source: str) -> bool:
        peer = self.connectFrom(source)
        peer.sendall(b"?")
        return not self._isEnded(peer)

    def _isEnded(self, peer: socket.socket) -> bool:
        """Says whether a peer's connection ends: HAProxy may pass a reset on as an end."""
        try:
            return peer.recv(1) == b""
        except ConnectionResetError:
            return True

    def test_checks(self) -> None:
        """Health checks succeed, and leave no line in the log."""
        echo = self.start()
        lines = echo.log().count("\n")
        peer = self.connectFrom("127.0.0.1")
        self.assertEqual(exchanged(peer, b"hello"), b"hello")
        # HAProxy's own word for it that its check has reached the service.
        self.assertTrue(waitUntil(lambda: CHECKED in self.output()), self.output())
        self.assertEqual(echo.log().count("\n"), lines, echo.log())
        self.assertNotIn("DOWN", self.output())
        counts = stopCounts(echo)
        # One is the client's.
        self.assertGreaterEqual(counts["connections"], 2)
        self.assertEqual((counts["refused"], counts["timed out"]), (0, 0))
        # And that it goes on.
        self.assertTrue(waitUntil(lambda: "DOWN" in self.output()), self.output())

    def test_drain(self) -> None:
        """Transfers of 16 MiB that are under way at SIGTERM are whole, and quiet clients get an end."""
        echo = self.start("--drain-timeout", "20")
        data = os.urandom(16 << 20)
        busy = [self.connectFrom(f"127.0.0.{n}") for n in (2, 3)]
        quiet = self.connectFrom("::1")
        self.assertEchoes(quiet, b"?")
        senders = [startSending(peer, data, ends=False) for peer in busy]
        for peer in busy:
            self.assertTrue(peer.recv(1, socket.MSG_PEEK))
        echo.signal(signal.SIGTERM)
        for peer, sender in zip(busy, senders, strict=True):
            self._receiveThenEnd(peer, data)
            sender.join(PATIENCE)
        self.assertEqual(receiveAll(quiet), b"")
        self.assertEqual(echo.wait(), -signal.SIGTERM)
        self.assertIn("0 aborted, ", echo.log())

    def test_reset(self) -> None:
        """A client that resets takes nothing from the others."""
        echo = self.start()
        other = self.connectFrom("127.0.0.2")
        for _ in range(10):
            peer = self.connectFrom("127.0.0.1")
            peer.sendall(b"?" * 1000)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.close()
        self.assertEchoes(other, b"?")
        self.assertIsNone(waitForCut(other, 0.1))
        self.assertNotIn("Traceback", echo.log())


class LineTests(StreamTests):
    """HAProxy with version 1 of the header."""

    version = "send-proxy"


class VectorTests(HAProxyTestCase):
    """With everything that HAProxy can add to version 2 of the header."""

    version = "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority,ssl,cert-cn,ssl-cipher"

    def test_vectors(self) -> None:
        """HAProxy's own checksum is right, and its other vectors change no byte."""
        echo = self.start("--log-connections")
        for source in ("127.0.0.2", "::1"):
            peer = self.connectFrom(source)
            self.assertEchoes(peer, b"?")
            self.assertIn(f"{source}:{peer.getsockname()[1]}", echo.log().replace("[::1]", "::1"))
            self.assertEqual(exchanged(peer, b"hello"), b"hello")
        self.assertEqual(stopCounts(echo)["refused"], 0)

    def test_facts(self) -> None:
        """The responder and the access log have what HAProxy says of a TLS client with a certificate."""
        folder = self.makeFolder()
        authority = Authority(folder)
        pem = folder / "front"
        pem.write_bytes(b"".join(Path(each).read_bytes() for each in authority.issue("localhost")))
        self.bind = f"ssl crt {pem} ca-file {authority.path} verify optional alpn echo/1"
        self.bind += "\n    unique-id-format id-%ci"
        echo = self.start("--responder", "peer", "--access-log", str(folder / "access"))
        context = ssl.create_default_context(cafile=authority.path)
        context.load_cert_chain(*authority.issue("alice"))
        context.set_alpn_protocols(["echo/1"])
        with context.wrap_socket(self.connectFrom("127.0.0.2"), server_hostname="localhost") as peer:
            told = peer.makefile("rb").readline()
            self.assertEchoes(peer, b"?")
            cipher, version = peer.cipher(), peer.version()
        assert cipher is not None
        flags = ["tls", "cert-connection", "cert-session"]
        tls = {"flags": flags, "verify": 0, "version": version, "cipher": cipher[0], "client": "alice"}
        expected = {
            "authority": "localhost",
            "alpn": "echo/1",
            "unique_id": "id-127.0.0.2",
            "tls": tls,
            "netns": None,
            "vpc_endpoint": None,
        }
        self.assertEqual(json.loads(told)["header"], expected)
        echo.stop()
        lines = map(json.loads, (folder / "access").read_text().splitlines())
        # Health checks name no client.
        [entry] = [each for each in lines if "proxy" in each]
        found = {name: value for name, value in entry.items() if name.startswith("proxy_")}
        self.assertEqual(
            found,
            {
                "proxy_authority": "localhost",
                "proxy_alpn": "echo/1",
                "proxy_unique_id": "id-127.0.0.2",
                "proxy_tls_flags": flags,
                "proxy_tls_verify": 0,
                "proxy_tls_version": version,
                "proxy_tls_cipher": cipher[0],
                "proxy_tls_cn": "alice",
            },
        )


class TLSStreamTests(StreamTests):
    """With TLS between HAProxy and the service, which begins behind the header."""

    listener = ("--tls", "0", "--interface", BACKEND)
    server = "ssl verify none"


class TLSLineTests(TLSStreamTests):
    """HAProxy over TLS, with version 1 of the header."""

    version = "send-proxy"


class UNIXTests(HAProxyTestCase):
    """HAProxy in front of a UNIX socket."""

    option = "--listen"

    def start(self, *options: str) -> EchoProcess:
        """Starts both."""
        self.listener = (self.option, f"unix:{self.makeFolder()}/echo")
        return super().start(*options)

    def test_halfClose(self) -> None:
        """Data and the end at once come back whole, for each client, and the caps count clients."""
        echo = self.start("--max-connections-per-peer", "1", "--log-connections")
        data = os.urandom(50_000)
        for source in ("127.0.0.2", "::1"):
            peer = self.connectFrom(source)
            name = f"{source}:{peer.getsockname()[1]}"
            sendAndEnd(peer, data)
            self.assertTrue(receiveAll(peer) == data)
            self.assertIn(name, echo.log().replace("[::1]", "::1"))
        self.assertEqual(stopCounts(echo)["refused"], 0)


class TLSUNIXTests(UNIXTests):
    """With TLS between HAProxy and the UNIX socket."""

    option = "--tls"
    server = "ssl verify none"
