"""Datagrams get one answer, from the address asked, and start no loop: docs/dev/contract.rst, 8."""

from __future__ import annotations

import os
import random
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread

from echo_app.testing import EchoProcess
from tests.support import programs
from tests.support.floods import DATAGRAMS, LARGEST
from tests.support.kernel import Namespace, isAtRest, processorShare, waitUntil
from tests.support.service import PATIENCE, ServiceTestCase, exchanged, reactorName, stopCounts

Address = tuple[str, int]

SMALL = 5


def rawSocket() -> socket.socket:
    """Returns a socket that sends packets with any source.

    :raise unittest.SkipTest: where that is not allowed, except in CI.
    """
    try:
        return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    except PermissionError:
        if os.environ.get("CI"):
            raise
        raise unittest.SkipTest("raw sockets are root's") from None


def packet(source: Address, destination: Address, data: bytes = b"") -> bytes:
    """Returns an IPv4 packet with a UDP datagram (RFC 791, RFC 768); the kernel adds what is left 0."""
    hosts = socket.inet_aton(source[0]), socket.inet_aton(destination[0])
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, socket.IPPROTO_UDP, 0, *hosts)
    return header + struct.pack("!HHHH", source[1], destination[1], 8 + len(data), 0) + data


def residentKibibytes(pid: int) -> int:
    """Returns a process's resident memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1])


def udpSockets(pid: int) -> int:
    """Returns how many UDP sockets a process has."""
    links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    tables = [Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:] for name in ("udp", "udp6")]
    inodes = {line.split()[9] for table in tables for line in table}
    return sum(f"socket:[{inode}]" in links for inode in inodes)


class DatagramTestCase(ServiceTestCase):
    def client(self, host: str = "127.0.0.1", port: int = 0) -> socket.socket:
        """Returns a UDP socket at an address of its own, with room for many answers."""
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        sock.bind((host, port))
        return sock

    def raw(self) -> socket.socket:
        """Returns a raw socket that is closed at the test's end."""
        sock = rawSocket()
        self.addCleanup(sock.close)
        return sock

    def ask(self, client: socket.socket, address: Address, data: bytes = b"hello") -> Address:
        """Asks; returns where the next datagram came from, which is the answer."""
        client.sendto(data, address)
        answer, source = client.recvfrom(1 << 17)
        self.assertEqual(answer, data)
        return (source[0], source[1])

    def assertIdle(self, server: EchoProcess) -> None:
        """Asserts that a service comes to rest, and answers over TCP."""
        self.assertTrue(waitUntil(lambda: processorShare(server.pid, 0.2) < 0.1))
        if any(listener.transport == "tcp" for listener in server.listeners):
            self.assertEqual(exchanged(self.connect(server.address("tcp")), b"hello"), b"hello")

    def start(self, function: Callable[[], None]) -> None:
        """Runs a function on a thread that the test's end joins."""
        thread = Thread(target=function)
        thread.start()
        self.addCleanup(thread.join, PATIENCE)


class AnswerTests(DatagramTestCase):
    """One datagram has one answer."""

    def _checkSizes(self, host: str, *sizes: int) -> None:
        server = self.serve("--udp", "0", "--interface", host)
        client = self.client(host)
        for size in sizes:
            data = os.urandom(size)
            self.assertEqual(self.ask(client, server.address("udp"), data), server.address("udp"), size)
        self.ask(client, server.address("udp"), b"the end")
        client.setblocking(False)
        self.assertRaises(BlockingIOError, client.recv, 1)
        counts = stopCounts(server)
        self.assertEqual((counts["datagrams"], counts["dropped"]), (len(sizes) + 1, 0))

    def test_ipv4(self) -> None:
        """Datagrams of every size, the empty and the largest, come back equal, and once."""
        self._checkSizes("127.0.0.1", 0, 1, 1472, 1473, 8192, 8193, LARGEST)

    def test_ipv6(self) -> None:
        """Datagrams are echoed over IPv6, where the largest is larger."""
        self._checkSizes("::1", 0, 1, 1452, 1453, 8193, LARGEST, 65_527)

    def test_offUnlessAskedFor(self) -> None:
        """Without --udp there is no UDP socket; with it, one for each port and interface."""
        self.assertEqual(udpSockets(self.serve("--port", "0").pid), 0)
        both = ("--interface", "127.0.0.1", "--interface", "::1")
        self.assertEqual(udpSockets(self.serve("--udp", "0", "--udp", "0", *both).pid), 4)

    def test_burst(self) -> None:
        """A burst of 500 datagrams at once, while the service is elsewhere, is answered completely."""
        server = self.serve("--udp", "0")
        most = int(Path("/proc/sys/net/core/rmem_max").read_text())
        # The kernel charges a small datagram 768 to 1280 bytes, and grants twice what it says.
        burst = min(500, most // 640)
        client = self.client()
        server.signal(signal.SIGSTOP)
        for number in range(burst):
            client.sendto(b"%d" % number, server.address("udp"))
        server.signal(signal.SIGCONT)
        answers = [int(client.recv(10)) for _ in range(burst)]
        self.assertEqual(answers, list(range(burst)))


class SourceAddressTests(DatagramTestCase):
    """The answer comes from the very address that was asked."""

    def test_everyIPv4Interface(self) -> None:
        """Bound to 0.0.0.0, each of two addresses answers for itself."""
        server = self.serve("--udp", "0", "--interface", "0.0.0.0")
        self._check(server.address("udp")[1], "127.0.0.1", "127.0.0.2", "127.0.0.1")

    def test_everyInterface(self) -> None:
        """Bound to ::, IPv4 and IPv6 addresses answer for themselves."""
        server = self.serve("--udp", "0", "--interface", "::")
        self._check(server.address("udp")[1], "127.0.0.2", "::1", "127.0.0.1")

    def _check(self, port: int, *hosts: str) -> None:
        clients = {False: self.client(), True: self.client("::1")}
        for host in hosts:
            for data in (b"hello", b"", bytes(LARGEST)):
                self.assertEqual(self.ask(clients[":" in host], (host, port), data), (host, port))

    def test_broadcast(self) -> None:
        """A question to a broadcast address has no answer; the next one to a host's has."""
        for interface in ("0.0.0.0", "::"):
            server = self.serve("--udp", "0", "--interface", interface)
            port = server.address("udp")[1]
            client = self.client()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            client.sendto(b"everybody?", ("127.255.255.255", port))
            self.ask(client, ("127.0.0.1", port))
            counts = stopCounts(server)
            self.assertEqual((counts["datagrams"], counts["dropped"]), (1, 1))


class ForgeryTests(DatagramTestCase):
    """Sources that no client has are not answered, and do no harm."""

    # Only these tests use it, and no other run of them, so that its ports are free to watch.
    VICTIM = f"127.3.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"

    def _check(self, server: EchoProcess, *sources: Address) -> None:
        """Asserts that datagrams from these sources are dropped, one by one, and cost nothing."""
        raw, client = self.raw(), self.client()
        where = server.address("udp")
        lines = server.log().count("\n")
        for source in sources:
            for size in (0, SMALL, LARGEST) * 7:
                raw.sendto(packet(source, where, bytes(size)), (where[0], 0))
            # It was read after them.
            self.ask(client, where)
        self.assertIdle(server)
        self.assertLessEqual(server.log().count("\n") - lines, 1)
        counts = stopCounts(server)
        self.assertEqual(counts["datagrams"], len(sources))
        self.assertEqual(counts["dropped"], 21 * len(sources))

    def test_serverPorts(self) -> None:
        """A server's port is not answered: not 0, echo, chargen, DNS, NTP, nor NFS."""
        ports = (7, 19, 53, 123, 2049)
        self.raw()
        victims = [self.client(self.VICTIM, port) for port in ports]
        self._check(self.serve("--port", "0", "--udp", "0"), *((self.VICTIM, n) for n in (0, *ports)))
        self.assertEqual(select.select(victims, [], [], 0)[0], [])

    def test_itself(self) -> None:
        """The service's own address and port are not answered, nor its port at another address."""
        server = self.serve("--port", "0", "--udp", "0")
        where = server.address("udp")
        self._check(server, where, (self.VICTIM, where[1]))

    def test_otherOwnPort(self) -> None:
        """Two ports of one service do not answer each other."""
        server = self.serve("--port", "0", "--udp", "0", "--udp", "0")
        self._check(server, server.address("udp", 1))

    def test_noHostsAddress(self) -> None:
        """Addresses that no host has are not answered."""
        hosts = ("0.0.0.1", "255.255.255.255", "224.0.0.1")
        self._check(self.serve("--port", "0", "--udp", "0"), *((host, 40_000) for host in hosts))

    def test_manySources(self) -> None:
        """Many thousands of forged sources cost no more memory than a few thousand."""
        server = self.serve("--udp", "0")
        raw, client = self.raw(), self.client()
        where = server.address("udp")

        def forge(sources: int) -> int:
            for number in range(sources):
                host = f"127.{random.randrange(1, 255)}.{number >> 8 & 255}.{number & 255}"
                raw.sendto(packet((host, 40_000), where), (where[0], 0))
                if number % 200 == 0:
                    self.ask(client, where)
            self.ask(client, where)
            return residentKibibytes(server.pid)

        first = forge(6_000)
        self.assertLess(forge(12_000) - first, 1024)
        counts = stopCounts(server)
        self.assertEqual(counts["dropped"], 0)


class LoopTests(DatagramTestCase):
    """Two services that were told of each other fall silent."""

    def _counts(self, *servers: EchoProcess, datagrams: int = 1) -> list[int]:
        """Waits until that many datagrams were dropped, which are all; returns how many were answered."""
        # Together: of two that ask each other, one sleeps while the other waits for a processor.
        self.assertTrue(waitUntil(lambda: isAtRest(*(server.pid for server in servers))))
        counts = [stopCounts(server) for server in servers]
        self.assertEqual(sum(count["dropped"] for count in counts), datagrams)
        return [count["datagrams"] for count in counts]

    def _introduce(self, raw: socket.socket, one: EchoProcess, other: EchoProcess) -> None:
        where = one.address("udp")
        raw.sendto(packet(other.address("udp"), where, b"hello"), (where[0], 0))

    def test_loopback(self) -> None:
        """On loopback a loop spends the burst, and ends."""
        raw = self.raw()
        one, other = self.serve("--udp", "0"), self.serve("--udp", "0")
        start = time.monotonic()
        self._introduce(raw, one, other)
        answered = self._counts(one, other)
        self.assertGreaterEqual(max(answered), 1000)
        self.assertLess(max(answered), 1000 + 1000 * (time.monotonic() - start))

    def test_underTheRate(self) -> None:
        """A loop that no rate ends is ended by chance, soon after ten thousand."""
        raw = self.raw()
        one, other = (self.serve("--udp", "0", "--udp-rate", "1000000") for _ in range(2))
        self._introduce(raw, one, other)
        answered = self._counts(one, other)
        self.assertGreaterEqual(min(answered), 9_999)
        self.assertLess(max(answered), 25_000)

    def test_network(self) -> None:
        """Between two networks it is as on loopback."""
        here, there = Namespace(), Namespace()
        self.addCleanup(here.remove)
        self.addCleanup(there.remove)
        here.ip("link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", there.name)
        servers = []
        for network, host in ((here, "10.9.0.1"), (there, "10.9.0.2")):
            network.ip("addr", "add", f"{host}/24", "dev", "wire")
            network.ip("link", "set", "wire", "up")
            command = (sys.executable, "-m", "echo_app.testing", "--reactor", reactorName())
            service = network.command(*command, "-n", "--pidfile=", "echo")
            servers.append(self.serve("--udp", "0", "--interface", host, command=service))
        raw = there.call(rawSocket)
        self.addCleanup(raw.close)
        start = time.monotonic()
        self._introduce(raw, *servers)
        answered = self._counts(*servers)
        self.assertGreaterEqual(max(answered), 1000)
        self.assertLess(max(answered), 1000 + 1000 * (time.monotonic() - start))

    def _relay(self, one: EchoProcess, other: EchoProcess, delay: float) -> tuple[socket.socket, Event]:
        """Carries datagrams between two services, `delay` seconds late; each sees it as its only peer.

        :return: the socket that sends to `one`, and what stops the relay.
        """
        sides = [self.client(), self.client()]
        targets = [one.address("udp"), other.address("udp")]
        stopped = Event()
        self.addCleanup(stopped.set)

        self.carried = 0

        def carry(side: int) -> None:
            late: SimpleQueue[tuple[float, bytes]] = SimpleQueue()

            def deliver() -> None:
                while (item := late.get())[0]:
                    Event().wait(max(0.0, item[0] - time.monotonic()))
                    sides[1 - side].sendto(item[1], targets[1 - side])

            self.start(deliver)
            while not stopped.is_set():
                if select.select([sides[side]], [], [], 0.05)[0]:
                    late.put((time.monotonic() + delay, sides[side].recv(1 << 17)))
                    self.carried += 1
            late.put((0.0, b""))

        for side in (0, 1):
            self.start(lambda side=side: carry(side))  # type: ignore[misc]
        return sides[0], stopped

    def _untilQuiet(self) -> None:
        """Waits until the relay carries nothing, by looks: a pause of the machine takes only one of them."""
        quiet, before = 0, -1
        for _ in range(3000):
            quiet, before = quiet + 1 if self.carried == before else 0, self.carried
            if quiet == 20:
                return
            Event().wait(0.02)
        self.fail("it goes round for ever")

    def test_delayed(self) -> None:
        """Ten datagrams that go round with 5 ms each way stay within the rate, and end."""
        one, other = (self.serve("--udp", "0", "--udp-rate", "50") for _ in range(2))
        entrance, stopped = self._relay(one, other, 0.005)
        start = time.monotonic()
        for _ in range(10):
            entrance.sendto(b"hello", one.address("udp"))
        self._untilQuiet()
        answered = self._counts(one, other, datagrams=10)
        self.assertLess(max(answered), 52 + 50 * (time.monotonic() - start))
        stopped.set()


class RateTests(DatagramTestCase):
    """The rate of answers to one source."""

    def test_rate(self) -> None:
        """--udp-rate 200 answers 200 at once and 200 a second to one source, from any ports."""
        server = self.serve("--udp", "0", "--udp-rate", "200")
        clients = [self.client() for _ in range(2)]
        received = 0
        start = time.monotonic()
        # As long as it takes: a busy machine may send for a while less than what would be answered.
        while received < 400 and (elapsed := time.monotonic() - start) < PATIENCE:
            for client in clients:
                client.sendto(b"hello", server.address("udp"))
            while ready := select.select(clients, [], [], 0.001)[0]:
                for client in ready:
                    client.recv(10)
                    received += 1
        self.assertGreaterEqual(received, 400)
        self.assertLess(received, 200 + 200 * elapsed + 20)
        self.assertGreater(stopCounts(server)["dropped"], 0)

    def test_otherSource(self) -> None:
        """Another source is answered while one is not."""
        server = self.serve("--udp", "0", "--udp-rate", "1")
        client = self.client()
        self.ask(client, server.address("udp"))
        for _ in range(100):
            client.sendto(b"hello", server.address("udp"))
        self.ask(self.client("127.0.0.2"), server.address("udp"))

    def test_noRate(self) -> None:
        """--udp-rate 0 answers all, more than ten thousand without a pause."""
        server = self.serve("--udp", "0", "--udp-rate", "0")
        client = self.client()
        for _ in range(300):
            for _ in range(50):
                client.sendto(b"hello", server.address("udp"))
            for _ in range(50):
                client.recv(10)
        counts = stopCounts(server)
        self.assertEqual((counts["datagrams"], counts["dropped"]), (15_000, 0))


class FloodTests(DatagramTestCase):
    """A flood of datagrams costs no memory, and ends no stream; ``test_fairness`` measures delays."""

    def _check(self, size: int, *options: str) -> None:
        server = self.serve("--port", "0", "--udp", "0", *options)
        peer = self.connect(server.address("tcp"))
        before = residentKibibytes(server.pid)
        arguments = (*map(str, server.address("udp")), str(size))
        flood = programs.start(self, sys.executable, "-c", DATAGRAMS, *arguments, stdout=subprocess.PIPE)
        assert flood.stdout is not None
        flood.stdout.readline()
        for number in range(60):
            data = number.to_bytes(8, "big")
            peer.send(data)
            self.assertEqual(peer.recv(8, socket.MSG_WAITALL), data)
        after = residentKibibytes(server.pid)
        flood.kill()
        self.assertLess(after - before, 8 * 1024)
        self.assertIdle(server)

    def test_kinds(self) -> None:
        """Empty and the largest datagrams, dropped beyond the rate, or all of them answered."""
        for size in (0, LARGEST):
            for options in ((), ("--udp-rate", "0")):
                self._check(size, *options)
