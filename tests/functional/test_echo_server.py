"""A service for one test: its faults change while it runs, and its records list its connections."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import ssl
import sys
import tempfile
import threading
import time
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from echo_app.testing import EchoProcessError, EchoServer, EchoServerMixin, faultyPath, mixin
from echo_app.testing import server as echoserver
from tests.functional.test_testing import hasEnded
from tests.support import programs
from tests.support.kernel import waitUntil
from tests.support.service import PATIENCE, WarmEchoProcess, exchanged, reactorName, receiveAll, startSending


def shout(line: bytes) -> bytes:
    """A responder of the test's own."""
    return line.upper()


# Forks where no other thread holds a lock, as pytest's workers and reactors have them: it starts a service,
# has it ended by forked processes, which end themselves as any program does, and asks it after each.
FORKS = f"""
import os, socket, sys
from echo_app.testing import EchoServer

with EchoServer() as server:
    for end in (server.end, server.stop, server.kill):
        pid = os.fork()
        if not pid:
            end()
            sys.exit()
        assert os.waitpid(pid, 0)[1] == 0
        with socket.create_connection(server.address(), {PATIENCE}) as peer:
            peer.sendall(b"hello")
            print(peer.recv(5).decode(), flush=True)
"""


class WarmEchoServer(WarmEchoProcess, EchoServer):
    """An echo server that is started warm."""


class EchoServerTestCase(EchoServerMixin, TestCase):
    timeout = 120

    if reactorName() != "epoll":
        skip = "its services have the default reactor: the tests' own does not matter"

    def setUp(self) -> None:
        # A forked service would have the same, and sooner.
        self.patch(mixin, "EchoServer", WarmEchoServer)

    def ask(self, server: EchoServer, data: bytes = b"hello", transport: str = "tcp") -> bytes:
        """Sends data and the end of the stream, and returns what comes back."""
        with socket.create_connection(server.address(transport), PATIENCE) as peer:
            return exchanged(peer, data)


class OptionsTests(EchoServerTestCase):
    def test_default(self) -> None:
        """Without options, and with any that are no listener, it has one free TCP port, on 127.0.0.1."""
        for options in ((), ("--idle-timeout", "60"), ("--port", 0)):
            server = self.startEchoServer(*options)
            (listener,) = server.listeners
            self.assertEqual(listener, ("tcp", server.host, server.port))
            self.assertEqual((server.host, server.address()), ("127.0.0.1", server.address("tcp")))
            self.assertNotEqual(server.port, 8080)
            self.assertEqual(self.ask(server), b"hello")

    def test_responders(self) -> None:
        """A responder is a name, or a function that the test can import."""
        for responder in ("tests.functional.test_echo_server:shout", shout):
            self.assertEqual(self.ask(self.startEchoServer(responder=responder), b"hello\n"), b"HELLO\n")
        self.assertEqual(self.ask(self.startEchoServer(responder="discard")), b"")

    def test_importPath(self) -> None:
        """The service imports from the test's path, in the same order."""
        folder = programs.newFolder(self)
        (folder / "tests.py").write_text("def whisper(line): return line.lower()")
        sys.path.insert(0, str(folder))
        self.addCleanup(sys.path.remove, str(folder))
        server = self.startEchoServer(responder="tests:whisper")
        self.assertEqual(self.ask(server, b"HELLO\n"), b"hello\n")

    def test_noResponder(self) -> None:
        """A responder that no service could import is a ValueError at once."""
        self.assertRaises(ValueError, EchoServer, responder=lambda line: line)

    def test_ownAccessLog(self) -> None:
        """A second access log is a ValueError."""
        self.assertRaises(ValueError, EchoServer, "--access-log", "mine")

    def test_tls(self) -> None:
        """Over TLS its name and its address are verified by the certificate of the authority."""
        server = self.startEchoServer("--port", "0", tls=True)
        context = ssl.create_default_context(cafile=server.ca)
        # As strict as Python 3.13 is by itself.
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        for name in ("localhost", "127.0.0.1"):
            plain = socket.create_connection(server.address("tls"), PATIENCE)
            with context.wrap_socket(plain, server_hostname=name) as peer:
                peer.sendall(b"hello")
                self.assertEqual(peer.recv(5), b"hello")
        with (
            socket.create_connection(server.address("tls"), PATIENCE) as plain,
            self.assertRaises(ssl.SSLCertVerificationError),
        ):
            context.wrap_socket(plain, server_hostname="elsewhere")
        self.assertEqual(self.ask(server), b"hello")

    def test_noCertificate(self) -> None:
        """Without TLS there is no certificate, which is said."""
        with self.assertRaises(EchoProcessError):
            _ = self.startEchoServer().ca

    def test_wrongOption(self) -> None:
        """The error is the line that the command prints, and nothing else."""
        error = self.assertRaises(EchoProcessError, self.startEchoServer, "--port", "70000")
        line = "echo: --port '70000': a port is a number from 0 to 65535, or a range such as 9000-9010"
        self.assertEqual(str(error), line)

    def test_withoutTLS(self) -> None:
        """A service without TLS and without other people's code has not loaded OpenSSL."""
        for options, hasOpenSSL in (
            ((), False),
            (("--responder", "tests.support.own_responders:together"), True),
        ):
            with EchoServer(*options) as server:
                maps = Path(f"/proc/{server.pid}/maps").read_text()
            self.assertEqual("/cryptography/" in maps, hasOpenSSL, options)


class FaultsTests(EchoServerTestCase):
    def _isReset(self, server: EchoServer) -> bool:
        try:
            return self.ask(server) != b"hello"
        except ConnectionError:
            return True

    def test_atStart(self) -> None:
        """Faults are there from the beginning, and numbers count from it."""
        server = self.startEchoServer(faults=["reset,connections=1-2"])
        self.assertEqual([self._isReset(server) for _ in range(3)], [True, True, False])

    def test_changed(self) -> None:
        """A change is in effect when the call returns, each time; numbers count from there."""
        server = self.startEchoServer("--fault", "reset")
        for _ in range(20):
            self.assertTrue(self._isReset(server))
            server.clearFaults()
            self.assertEqual(self.ask(server), b"hello")
            server.setFaults("latency=1ms", "reset,connections=2")
            self.assertEqual([self._isReset(server) for _ in range(3)], [False, True, False])
            server.setFaults("reset")

    def test_connected(self) -> None:
        """A connection keeps the faults of the moment in which connect returned."""
        server = self.startEchoServer()
        for _ in range(20):
            server.clearFaults()
            with socket.create_connection(server.address(), PATIENCE) as peer:
                server.setFaults("reset")
                self.assertEqual(exchanged(peer, b"hello"), b"hello")

    def test_live(self) -> None:
        """Open connections have new faults at once, if asked for, over TCP and TLS: all, or one of them."""
        server = self.startEchoServer("--port", "0", tls=True)
        address, secure = server.address("tcp"), server.address("tls")
        context = ssl.create_default_context(cafile=server.ca)
        with (
            socket.create_connection(address, PATIENCE) as first,
            socket.create_connection(address, PATIENCE) as second,
            socket.create_connection(secure, PATIENCE) as third,
            context.wrap_socket(third, server_hostname="localhost") as tls,
        ):
            peers = [first, second, tls]
            self.assertEqual(self.echoes(*peers), [True, True, True])
            server.setFaults("corrupt=1", live=True)
            self.assertEqual(self.echoes(*peers), [False, False, False])
            server.setFaults(live=True)
            self.assertEqual(self.echoes(*peers), [True, True, True])
            server.setFaults("corrupt=1", live=True, peer="{}:{}".format(*second.getsockname()))
            self.assertEqual(self.echoes(*peers), [True, False, True])
            server.setFaults("corrupt=1", live=True, listener="{}:{}".format(*secure))
            self.assertEqual(self.echoes(*peers), [True, False, False])
            server.setFaults("corrupt=1", live=True, number=1)
            self.assertEqual(self.echoes(*peers), [False, False, False])
            self.assertRaises(ValueError, server.setFaults, "corrupt=1", live=True, number=9)
            server.setFaults("reset", live=True, number=1)
            self.assertRaises(ConnectionResetError, first.recv, 1)
            server.setFaults("stall", live=True)
            second.sendall(b"held")
            server.setFaults(live=True)
            self.assertEqual(second.recv(4, socket.MSG_WAITALL), b"held")

    def echoes(self, *peers: socket.socket) -> list[bool]:
        """Returns for each connection whether it echoes."""
        for each in peers:
            each.sendall(b"hello")
        return [each.recv(5) == b"hello" for each in peers]

    def test_liveUnderLoad(self) -> None:
        """No byte of a large transfer is lost, doubled or overtaken by many changes."""
        server = self.startEchoServer()
        data = random.Random(5).randbytes(16 << 20)
        specs = (
            "latency=5ms,jitter=5ms",
            "bandwidth=20MB/s",
            "chop=1000-9000",
            "stall",
            "stall,direction=in",
            "corrupt=0",
        )
        draw = random.Random(7)
        with socket.create_connection(server.address(), PATIENCE) as peer:
            startSending(peer, data)
            received: list[bytes] = []
            reader = threading.Thread(target=lambda: received.append(receiveAll(peer)))
            reader.start()
            for _ in range(100):
                server.setFaults(*draw.sample(specs, draw.randrange(3)), live=True)
            server.setFaults(live=True)
            reader.join()
        self.assertTrue(received[0] == data, "other bytes")

    def test_datagrams(self) -> None:
        """Datagrams have the new ones at once."""
        server = self.startEchoServer("--udp", "0")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(PATIENCE)
            asker.connect(server.address("udp"))
            server.setFaults("truncate=2B")
            asker.send(b"hello")
            self.assertEqual(asker.recv(100), b"he")
            server.clearFaults()
            asker.send(b"hello")
            self.assertEqual(asker.recv(100), b"hello")

    def test_messages(self) -> None:
        """Faults choose among answers and datagrams, whose numbers count from the change."""
        server = self.startEchoServer("--port", "0", "--udp", "0", "--responder", "lines")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(PATIENCE)
            asker.connect(server.address("udp"))
            for _ in range(2):
                server.setFaults("loss=1,messages=2")
                with socket.create_connection(server.address(), PATIENCE) as peer:
                    self.assertEqual(exchanged(peer, b"a\nb\nc\n"), b"a\nc\n")
                for datagram in (b"a", b"b", b"c"):
                    asker.send(datagram)
                self.assertEqual([asker.recv(100), asker.recv(100)], [b"a", b"c"])

    def test_refuse(self) -> None:
        """Listeners have the new faults at once."""
        server = self.startEchoServer()
        server.setFaults("refuse")
        self.assertRaises(ConnectionRefusedError, self.ask, server)
        server.clearFaults()
        self.assertEqual(self.ask(server), b"hello")

    def test_wrong(self) -> None:
        """A wrong fault, one for nothing, or too many, is a ValueError that says why; nothing has changed."""
        server = self.startEchoServer(faults=["reset"])
        for specs, reason in (
            (["latency=50mx"], "fault 'latency=50mx': at 9, '50mx' is not a time"),
            (
                ["latency=1ms", "loss=1%"],
                "fault 'loss=1%': loss needs messages: --responder with a framing, or --udp",
            ),
            (["latency=1ms"] * 33, "33 faults, where 32 is the most"),
        ):
            error = self.assertRaises(ValueError, server.setFaults, *specs)
            self.assertIn(reason, str(error))
            self.assertTrue(self._isReset(server))

    def test_threads(self) -> None:
        """Threads may change them at the same time: each call is answered."""
        server = self.startEchoServer()
        threads = [threading.Thread(target=server.setFaults, args=("latency=1ms",)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        self.assertEqual(server.log().count("faults: latency=1ms"), 20)

    def test_ended(self) -> None:
        """Of a service that has ended, or ends by itself, they can't be changed."""
        server = self.startEchoServer()
        os.kill(server.pid, 9)
        self.assertRaises(EchoProcessError, server.setFaults, "reset")
        server.end()
        self.assertRaises(EchoProcessError, server.clearFaults)
        self.assertRaises(EchoProcessError, EchoServer().clearFaults)


class ForwardTests(EchoServerTestCase):
    """A service whose streams go on to another one."""

    def setUp(self) -> None:
        super().setUp()
        self.upstream = self.startEchoServer(responder=shout)

    def test_forward(self) -> None:
        """A target, as text or as host and port, answers in place of the service."""
        host, port = self.upstream.address()
        for target in (f"{host}:{port}", (host, port)):
            path = self.startEchoServer(forward=target)
            self.assertEqual(self.ask(path, b"hello\n"), b"HELLO\n")
            (record,) = path.waitForRecords(1)
            self.assertEqual((record.bytes_in, record.bytes_out, record.ended), (6, 6, "fin"))
        self.assertEqual(len(self.upstream.waitForRecords(2)), 2)

    def test_ipv6(self) -> None:
        """The target may be an IPv6 literal."""
        upstream = self.startEchoServer("--port", "0", "--interface", "::1")
        self.assertEqual(self.ask(self.startFaultyPath(*upstream.address())), b"hello")

    def test_path(self) -> None:
        """The faults of a path change, its open connections are shown and reset, and it has records."""
        path = self.startFaultyPath(*self.upstream.address(), "--idle-timeout", "60", faults=["reset"])
        self.assertRaises(ConnectionError, self.ask, path)
        path.setFaults("reset,after=3B,connections=2")
        with socket.create_connection(path.address(), PATIENCE) as peer:
            peer.sendall(b"a\n")
            self.assertEqual(peer.recv(10), b"A\n")
            (connection,) = path.connections()
            assert connection.number is not None
            path.reset(connection.number)
            self.assertRaises(ConnectionResetError, peer.recv, 1)
        with socket.create_connection((path.host, path.port), PATIENCE) as peer:
            peer.sendall(b"hello\n")
            self.assertEqual(peer.recv(3), b"HEL")
            self.assertRaises(ConnectionResetError, peer.recv, 1)
        self.assertEqual([each.ended for each in path.waitForRecords(3)], ["fault", "control", "fault"])

    def test_unreached(self) -> None:
        """Without a service behind the path a client is reset, and the record has the reason."""
        address = self.upstream.address()
        self.upstream.end()
        path = self.startFaultyPath(*address)
        self.assertRaises(ConnectionResetError, self.ask, path)
        (record,) = path.waitForRecords(1)
        self.assertEqual((record.ended, record.detail), ("upstream", "refused"))
        self.assertEqual(path.snapshot().unreached, {"refused": 1})

    def test_wrong(self) -> None:
        """A path has no responder, and a text that is no target is refused, each with one line."""
        for more, line in (
            ({"responder": "lines"}, "echo: --responder 'lines': with --forward the upstream answers"),
            ({"forward": "nowhere"}, "echo: --forward 'nowhere': neither HOST:PORT, .*"),
        ):
            error = self.assertRaises(
                EchoProcessError, self.startEchoServer, **{"forward": self.upstream.address(), **more}
            )
            self.assertRegex(str(error), rf"\A{line}\Z")

    def test_block(self) -> None:
        """Without a fixture or a mixin, a path is there for a block, and has not loaded OpenSSL."""
        with faultyPath(*self.upstream.address(), faults=["latency=1ms"]) as path:
            self.assertEqual(self.ask(path, b"hello\n"), b"HELLO\n")
            self.assertNotIn("/cryptography/", Path(f"/proc/{path.pid}/maps").read_text())
        self.assertRaises(EchoProcessError, path.setFaults)


class ControlTests(EchoServerTestCase):
    """A test's view of a running service, and changes of its connections."""

    def test_connections(self) -> None:
        """Open connections are shown with their counts; a reset ends one alone."""
        server = self.startEchoServer("--port", "0", "--port", "0")
        peers = [socket.create_connection(server.address(index=n), PATIENCE) for n in (0, 1)]
        for size, peer in enumerate(peers, 1):
            self.addCleanup(peer.close)
            peer.sendall(bytes(size))
            peer.recv(10)
        waitUntil(lambda: [each.sent for each in server.connections()] == [1, 2])
        shown = server.connections()
        ends = [(peer.getsockname()[1], peer.getpeername()[1]) for peer in peers]
        addresses = [(f"127.0.0.1:{near}", f"127.0.0.1:{far}") for near, far in ends]
        self.assertEqual([(each.peer, each.listener) for each in shown], addresses)
        self.assertEqual([(each.received, each.owed, each.held) for each in shown], [(1, 0, 0), (2, 0, 0)])
        number = shown[0].number
        assert number is not None
        server.reset(number)
        self.assertRaises(ConnectionResetError, peers[0].recv, 1)
        self.assertEqual([each.number for each in server.connections()], [shown[1].number])
        self.assertRaises(ValueError, server.reset, number)
        self.assertEqual((server.snapshot().open, server.snapshot().accepted), (1, 2))
        self.assertEqual(server.waitForRecords(1)[0].ended, "control")

    def test_notRunning(self) -> None:
        """A service that was not started can't be asked."""
        server = EchoServer()
        self.assertRaises(EchoProcessError, server.snapshot)
        self.assertRaises(EchoProcessError, server.connections)


class RecordsTests(EchoServerTestCase):
    def test_records(self) -> None:
        """Each connection that has ended has a record, with the fields of the access log."""
        server = self.startEchoServer()
        self.assertEqual(server.records(), [])
        self.ask(server)
        (record,) = server.waitForRecords(1)
        self.assertEqual((record.number, record.transport, record.ended), (1, "tcp", "fin"))
        self.assertEqual((record.bytes_in, record.bytes_out, record.tls_version), (5, 5, None))
        server.setFaults("reset")
        self.assertRaises(ConnectionError, self.ask, server)
        self.assertEqual([each.ended for each in server.waitForRecords(2)], ["fin", "fault"])
        self.assertEqual(len(server.records()), 2)
        self.assertIn("ended='fin'", repr(record))
        self.assertNotIn("None", repr(record))

    def test_late(self) -> None:
        """A wait for too many records fails after its time with the number of records."""
        server = self.startEchoServer()
        self.ask(server)
        server.waitForRecords(1)
        error = self.assertRaises(TimeoutError, server.waitForRecords, 2, 0.1)
        self.assertEqual(str(error), "1 of 2 connections have ended within 0.1 s")

    def test_afterwards(self) -> None:
        """Records stay after the service's end, with those of its last connections; more will not come."""
        server = self.startEchoServer("--drain-timeout", "0")
        with socket.create_connection(server.address(), PATIENCE) as peer:
            peer.sendall(b"hello")
            peer.recv(5)
            server.stop()
        self.assertEqual([each.ended for each in server.records()], ["drain"])
        error = self.assertRaises(TimeoutError, server.waitForRecords, 2)
        self.assertEqual(str(error), "1 of 2 connections have ended until the service did")

    async def test_inTwisted(self) -> None:
        """A client in the test's own event loop lets go on while it waits, by deferToThread."""
        from twisted.internet import reactor
        from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
        from twisted.internet.protocol import Protocol

        server = self.startEchoServer()
        client = await connectProtocol(TCP4ClientEndpoint(reactor, *server.address()), Protocol())
        client.transport.loseConnection()
        (record,) = await deferToThread(server.waitForRecords, 1)
        self.assertEqual(record.ended, "fin")

    def test_inAsyncio(self) -> None:
        """A client in asyncio's event loop goes on during a wait in a thread."""
        server = self.startEchoServer()

        async def ask() -> bytes:
            reader, writer = await asyncio.open_connection(*server.address())
            writer.write(b"hello")
            writer.write_eof()
            answer = await reader.read()
            writer.close()
            await asyncio.to_thread(server.waitForRecords, 1)
            return answer

        self.assertEqual(asyncio.run(ask()), b"hello")


class FrozenClockTests(EchoServerTestCase):
    def test_waits(self) -> None:
        """A test that has frozen its clock starts a service, waits no longer than it says, and ends it."""
        for name in ("time", "monotonic", "perf_counter"):
            self.patch(time, name, lambda: 7.0)
        server = self.startEchoServer()
        self.assertEqual(self.ask(server), b"hello")
        self.assertEqual(len(server.waitForRecords(1)), 1)
        self.assertRaises(TimeoutError, server.waitForRecords, 2, timeout=0.1)
        self.assertEqual(server.stop(), -signal.SIGTERM)


class EndTests(EchoServerTestCase):
    def test_end(self) -> None:
        """An end resets connections that a stop would wait for, takes no time, and removes the folder."""
        options = ("--port", "0", "--drain-timeout", "3600", "--listen", "unix:a.sock")
        # Held bytes keep the connection busy: a quiet one may be closed between the two signals of an end.
        server = self.startEchoServer(*options, faults=["stall,after=5B,direction=out"])
        pid, folder = server.pid, server.folder
        with socket.create_connection(server.address(), PATIENCE) as peer:
            peer.sendall(b"hello, hello")
            peer.recv(5)
            server.end()
            self.assertRaises(ConnectionResetError, peer.recv, 1)
        self.assertTrue(hasEnded(pid))
        self.assertFalse(folder.exists())
        self.assertIn("1 aborted", server.log())
        self.assertEqual([each.ended for each in server.records()], ["drain"])
        server.end()

    def test_lostSignal(self) -> None:
        """An end asks again where one of its two signals had no effect."""
        self.patch(echoserver, "END_INTERVAL", 0.05)
        echo = self.startEchoServer("--drain-timeout", "3600", faults=["stall,after=5B,direction=out"])
        send, lost = os.kill, [signal.SIGINT]
        self.patch(
            os, "kill", lambda pid, number: lost.remove(number) if number in lost else send(pid, number)
        )
        with socket.create_connection(echo.address(), PATIENCE) as peer:
            peer.sendall(b"hello, hello")
            peer.recv(5)
            echo.end()
        self.assertEqual(([each.ended for each in echo.records()], lost), (["drain"], []))

    def test_stuck(self) -> None:
        """A service that does not end is killed, and that is an error, since records may be missing."""
        self.patch(echoserver, "END_INTERVAL", 0.05)
        self.patch(echoserver, "END_TIMEOUT", 0.2)
        echo = self.startEchoServer()
        pid, folder = echo.pid, echo.folder
        echo.signal(signal.SIGSTOP)
        error = self.assertRaises(EchoProcessError, echo.end)
        self.assertRegex(str(error), r"(?s)\Astill running after 0.2 s:\n.*listening on ")
        self.assertTrue(hasEnded(pid))
        self.assertFalse(folder.exists())

    def test_background(self) -> None:
        """The service takes SIGINT also where the test's process ignores it, as in a shell's background."""
        self.addCleanup(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, signal.SIG_IGN))
        # Started cold: what is forked has its own handler anyway.
        echo = EchoServer().start()
        self.addCleanup(echo.end)
        status = Path(f"/proc/{echo.pid}/status").read_text()
        ignored = int(status.partition("SigIgn:")[2].split()[0], 16)
        self.assertFalse(ignored >> signal.SIGINT - 1 & 1)

    def test_outside(self) -> None:
        """An end removes a socket file outside the service's folder too."""
        # A path that fits into an address.
        folder = Path(tempfile.mkdtemp(prefix="echo-"))
        self.addCleanup(folder.rmdir)
        server = self.startEchoServer("--listen", "unix:../outside.sock", within=folder)
        self.assertIn("outside.sock", os.listdir(folder))
        server.end()
        self.assertEqual(os.listdir(folder), [])

    def test_fork(self) -> None:
        """A process that the test has forked neither ends the service nor keeps it."""
        done = programs.run(sys.executable, "-c", FORKS, text=True)
        self.assertEqual((done.stdout, done.stderr, done.returncode), ("hello\n" * 3, "", 0))

    def test_manyTimes(self) -> None:
        """Starts and stops leave no process, no folder and no descriptor."""
        folder = programs.newFolder(self)
        # The one that forks has its own.
        self.startEchoServer()
        before = os.listdir("/proc/self/fd")
        pids = []
        for _ in range(5):
            with WarmEchoServer(within=folder) as server:
                pids.append(server.pid)
                port = server.port
        self.assertEqual(os.listdir("/proc/self/fd"), before)
        self.assertEqual(os.listdir(folder), [])
        self.assertTrue(all(map(hasEnded, pids)))
        with socket.socket() as free:
            # Another process's connection from this very port is no listener.
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", port))
