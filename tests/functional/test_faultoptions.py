"""Faults on the command line: options, the fault file, the preamble and the seed."""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import time
from pathlib import Path

from echo_app.testing import EchoProcess
from tests.support.kernel import waitUntil
from tests.support.service import PATIENCE, ServiceTestCase, exchanged, receiveAll, startSending, stopCounts
from tests.support.tls import TLSPeer

# Every byte comes back as another one.
WRONG = "corrupt=1"


class FaultTestCase(ServiceTestCase):
    def echo(self, server: EchoProcess, *pieces: bytes, transport: str = "tcp") -> bytes:
        """Sends pieces, each in a segment of its own, and the end; returns what comes back."""
        peer = self.connect(server.address(transport))
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces[:-1]:
            peer.send(piece)
        return exchanged(peer, pieces[-1])

    def datagrams(self, server: EchoProcess) -> socket.socket:
        """Returns a UDP socket that is connected to the service."""
        return self.connect(server.address("udp"), socket.SOCK_DGRAM, SO_RCVBUF=1 << 22)

    def hangUp(self, server: EchoProcess, expected: str) -> None:
        """Has the service read its files again, and waits for what it logs then, in one line."""
        lines = server.log().count("\n")
        server.signal(signal.SIGHUP)
        self.assertTrue(waitUntil(lambda: server.log().count("\n") > lines))
        self.assertIn(expected, server.log().splitlines()[lines])
        self.assertEqual(server.log().count("\n"), lines + 1)


class OptionTests(FaultTestCase):
    def test_latency(self) -> None:
        """An echo comes so much later, over TCP and UDP, and whole."""
        server = self.serve("--port", "0", "--udp", "0", "--fault", "latency=50ms")
        for peer in (self.connect(server.address()), self.datagrams(server)):
            start = time.monotonic()
            self.assertEchoes(peer, b"hello")
            self.assertGreaterEqual(time.monotonic() - start, 0.05)
        self.assertIn("faults: latency=50ms (seed ", server.log())

    def test_firstConnections(self) -> None:
        """Faults may be for the first connections only; the others are plain."""
        server = self.serve("--port", "0", "--fault", "reset,connections=1-2")
        for _ in range(2):
            with self.assertRaises(ConnectionResetError):
                peer = self.connect(server.address())
                peer.sendall(b"hello")
                receiveAll(peer)
        self.assertEqual(self.echo(server, b"hello"), b"hello")

    def test_sameSeed(self) -> None:
        """With the same seed a stream comes back the same to the byte, and with another one it does not."""
        data = random.Random(1).randbytes(1 << 18)
        echoes = []
        for seed in ("7", "7", "8"):
            options = ("--fault", "corrupt=0.1%", "--fault", "chop=1-9999", "--fault-seed", seed)
            server = self.serve("--port", "0", *options)
            for _ in range(2):
                peer = self.connect(server.address())
                startSending(peer, data)
                echoes.append(receiveAll(peer))
            self.assertIn(f"(seed {seed})", server.log())
        self.assertEqual(echoes[:2], echoes[2:4])
        self.assertEqual({len(echo) for echo in echoes}, {len(data)})
        # The same bytes, but not the same ones of them, in two connections and with two seeds.
        self.assertEqual(len(set(echoes)), 4)

    def test_sameSeedDatagrams(self) -> None:
        """With the same seed the same datagrams are lost, doubled, cut and corrupt."""
        runs = []
        for seed in ("7", "7", "8"):
            specs = ("loss=20%", "duplicate=10%", "corrupt=5%", "truncate=3B,probability=10%")
            options = [each for spec in specs for each in ("--fault", spec)]
            server = self.serve("--udp", "0", "--fault-seed", seed, *options)
            client = self.datagrams(server)
            for number in range(200):
                client.send(b"number %d" % number)
            # All of them are there when it has stopped: nothing in this is late.
            self.assertGreater(stopCounts(server)["dropped"], 0)
            answers = []
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    answers.append(client.recv(100))
            runs.append(answers)
        self.assertEqual(runs[0], runs[1])
        self.assertNotEqual(runs[0], runs[2])

    def test_lateAnswerAddress(self) -> None:
        """A late answer leaves from the address that was asked, also where the port is bound everywhere."""
        options = ("--udp", "0", "--interface", "0.0.0.0", "--fault", "latency=20ms")
        _, port = self.serve(*options).address("udp")
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(client.close)
        client.settimeout(PATIENCE)
        for host in ("127.0.0.2", "127.0.0.3"):
            client.sendto(host.encode(), (host, port))
        for _ in range(2):
            answer, source = client.recvfrom(100)
            self.assertEqual(answer.decode(), source[0])

    def test_refuse(self) -> None:
        """For a while connections are refused, and those that are open go on."""
        path = Path(self.mktemp()).absolute()
        path.write_text("")
        server = self.serve("--port", "0", "--fault-file", str(path))
        peer = self.connect(server.address())
        path.write_text("refuse")
        self.hangUp(server, "faults: refuse (seed ")
        self.assertRaises(ConnectionRefusedError, self.connect, server.address())
        self.assertEchoes(peer, b"hello")
        path.write_text("")
        self.hangUp(server, "faults: none")
        self.assertEqual(self.echo(server, b"hello"), b"hello")


class MessageTests(FaultTestCase):
    def lines(self, server: EchoProcess, size: int) -> list[bytes]:
        """Sends a thousand lines in pieces of a size; returns those that come back."""
        data = b"".join(b"%06d\n" % number for number in range(1000))
        pieces = [data[start : start + size] for start in range(0, len(data), size)]
        echo = self.echo(server, *pieces)
        return [echo[start : start + 7] for start in range(0, len(echo), 7)]

    def test_sameSeed(self) -> None:
        """With the same seed the same answers are wrong, however the requests arrive, and no others."""
        runs = []
        for seed, size in (("7", 7000), ("7", 50), ("8", 7000)):
            options = ("--responder", "lines", "--fault", "corrupt=1,share=1%", "--fault-seed", seed)
            runs.append(self.lines(self.serve("--port", "0", *options), size))
        wrong = [sum(line != b"%06d\n" % number for number, line in enumerate(run)) for run in runs]
        self.assertTrue(1 <= wrong[0] <= 25, wrong)
        self.assertEqual(runs[0], runs[1])
        self.assertNotEqual(runs[0], runs[2])

    def test_datagrams(self) -> None:
        """Every third datagram is lost."""
        client = self.datagrams(self.serve("--udp", "0", "--fault", "loss=1,each=3"))
        for number in range(1, 10):
            client.send(b"%d" % number)
        self.assertEqual([client.recv(9) for _ in range(6)], [b"1", b"2", b"4", b"5", b"7", b"8"])

    def test_cutAndClosed(self) -> None:
        """A client reads the answers before the end, and a part of the last one, and then the end."""
        server = self.serve("--port", "0", "--responder", "lines", "--fault-preamble")
        data = b"one\ntwo\nthree\n"
        cut = b"!fault truncate=1B,messages=2 close,messages=2\n"
        self.assertEqual(self.echo(server, cut + data), b"one\nt")
        peer = self.connect(server.address())
        peer.sendall(b"!fault reset,messages=2\n" + data)
        received = b""
        with self.assertRaises(ConnectionResetError):
            while True:
                received += peer.recv(100) or self.fail("no reset")
        self.assertEqual(received, b"one\ntwo\n")

    def test_preambleWithout(self) -> None:
        """A preamble can't choose messages where there are none."""
        server = self.serve("--port", "0", "--udp", "0", "--fault-preamble")
        self.assertEqual(
            self.echo(server, b"!fault corrupt=1,share=1%\nhello"),
            b"!fault error: spec 1: share needs messages: --responder with a framing\n",
        )

    def test_silence(self) -> None:
        """A connection that was silent for long enough is forgotten, over TCP and TLS."""
        server = self.serve("--port", "0", "--tls", "0", "--fault", "reset,after-idle=200ms")
        plain, encrypted = self.connect(server.address()), self.connect(server.address("tls"))
        self.assertEchoes(plain, b"hello")
        peer = TLSPeer(encrypted).shake()
        peer.send(b"hello")
        self.assertEqual(peer.receive(5), b"hello")
        for sock in (plain, encrypted):
            self.assertRaises(ConnectionResetError, receiveAll, sock)


class FaultFileTests(FaultTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()

    def test_reload(self) -> None:
        """At SIGHUP the file is read again: for connections to come, and for datagrams."""
        self.path.write_text(f"# for now\n{WRONG}\n")
        server = self.serve("--port", "0", "--udp", "0", "--fault-file", str(self.path))
        old, client = self.connect(server.address()), self.datagrams(server)
        old.send(b"old")
        self.assertNotEqual(old.recv(100), b"old")
        client.send(b"hello")
        self.assertNotEqual(client.recv(100), b"hello")
        self.path.write_text("")
        self.hangUp(server, "faults: none (seed ")
        self.assertEqual(self.echo(server, b"hello"), b"hello")
        self.assertEchoes(client, b"hello")
        old.send(b"old")
        self.assertNotEqual(old.recv(100), b"old")

    def test_reloadUnusable(self) -> None:
        """A wrong file is one line that says where, and changes nothing."""
        self.path.write_text(WRONG)
        server = self.serve("--port", "0", "--fault-file", str(self.path))
        for text, reason in ((f"{WRONG}\nlatncy=5ms\n", "line 2: at 1, 'latncy'"), (None, "No such file")):
            if text is None:
                self.path.unlink()
            else:
                self.path.write_text(text)
            self.hangUp(server, f"fault file not read again: {reason}")
            self.assertNotEqual(self.echo(server, b"hello"), b"hello")


class PreambleTests(FaultTestCase):
    def test_chosen(self) -> None:
        """A first line chooses, in one piece or byte by byte, and is no part of the echo."""
        server = self.serve("--port", "0", "--fault-preamble", "--fault-seed", "1")
        data = b"!fault %s\nhello" % WRONG.encode()
        whole, bytewise = self.echo(server, data), self.echo(server, *(bytes([byte]) for byte in data))
        for echo in (whole, bytewise):
            self.assertEqual(len(echo), 5)
            self.assertFalse(any(a == b for a, b in zip(echo, b"hello", strict=True)))
        self.assertEqual(self.echo(server, b"hello"), b"hello")

    def test_instead(self) -> None:
        """A preamble replaces the service's faults; a connection without a preamble has those."""
        server = self.serve("--port", "0", "--fault-preamble", "--fault", WRONG)
        self.assertEqual(self.echo(server, b"!fault\nhello"), b"hello")
        self.assertEqual(self.echo(server, b"!fault latency=20ms\r\nhello"), b"hello")
        self.assertNotEqual(self.echo(server, b"hello"), b"hello")

    def test_noPreamble(self) -> None:
        """A beginning of a preamble is data, at any end of the stream."""
        server = self.serve("--port", "0", "--fault-preamble")
        for pieces in ([b"!"], [b"!fault"], [b"!f", b"ault", b"y\n"], [b"\0!fault x\n"]):
            self.assertEqual(self.echo(server, *pieces), b"".join(pieces))

    def test_wrong(self) -> None:
        """A wrong preamble is one printable line to the peer, and one in the log; no byte is lost."""
        server = self.serve("--port", "0", "--fault-preamble")
        peer = self.connect(server.address())
        thread = startSending(peer, b"!fault latency=5\x1b[2J\n" + bytes(1 << 20))
        line = receiveAll(peer).decode()
        self.assertRegex(line, r"\A!fault error: spec 1: at 9, '5\\x1b\[2J' is not a time .*\n\Z")
        peer.close()
        thread.join(PATIENCE)
        self.assertTrue(waitUntil(lambda: "1 bad-preamble" in server.log()))
        self.assertNotIn("\x1b", server.log())
        self.assertEqual(self.echo(server, b"hello"), b"hello")

    def test_behindOthers(self) -> None:
        """A preamble comes after a PROXY header, and inside TLS."""
        server = self.serve(*("--port", "0", "--tls", "0", "--proxy-protocol", "--fault-preamble"))
        header = b"PROXY TCP4 192.0.2.1 192.0.2.2 4000 80\r\n"
        line = b"!fault %s\n" % WRONG.encode()
        self.assertNotEqual(self.echo(server, header + line + b"hello"), b"hello")
        self.assertEqual(self.echo(server, header, b"hello"), b"hello")
        sock = self.connect(server.address("tls"))
        sock.sendall(header)
        peer = TLSPeer(sock).shake()
        peer.send(line + b"hello")
        self.assertNotEqual(peer.receive(5), b"hello")

    def test_behindLogin(self) -> None:
        """A preamble comes after a login, which no fault touches, also when all bytes come at once."""
        server = self.serve(
            "--port", "0", "--auth", "memory:alice:secret", "--fault-preamble", "--fault", WRONG
        )
        login = b"login alice secret\n"
        for preamble, isWrong in ((b"", True), (b"!fault\n", False)):
            for pieces in ([login + preamble + b"hello"], [login, preamble + b"hello"]):
                answer, echo = self.echo(server, *pieces).split(b"\n", 1)
                self.assertEqual((answer, len(echo), echo != b"hello"), (b"ok", 5, isWrong))
