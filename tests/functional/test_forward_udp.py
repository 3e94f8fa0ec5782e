"""Datagrams that go on to an upstream, between real sockets: clients, the service's port, the upstream."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from echo_app.clock import monotonicClock
from echo_app.forward.datagrams import ForwardedDatagrams
from echo_app.forward.sessions import Sessions
from echo_app.targets import parseTarget
from echo_app.udp.port import DatagramEndpoint
from echo_app.udp.protocol import DatagramRules
from tests.support.floods import LARGEST
from tests.support.service import PATIENCE

Address = tuple[str, int]

# What an upstream sends for a datagram: each of these.
Answers = Callable[[bytes], list[bytes]]

CLIENTS = 2000


def echo(datagram: bytes) -> list[bytes]:
    """Answers as an echo does."""
    return [datagram]


class ForwardUDPTestCase(TestCase):
    timeout = 120

    def socketOf(self, host: str = "127.0.0.1") -> socket.socket:
        """Returns a socket for datagrams, bound to any port."""
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        sock.bind((host, 0))
        return sock

    def upstream(self, answers: Answers, host: str = "127.0.0.1") -> socket.socket:
        """Starts an upstream, which answers in a thread until the test's end."""
        sock = self.socketOf(host)
        isEnding = threading.Event()

        def run() -> None:
            while True:
                datagram, source = sock.recvfrom(1 << 17)
                if isEnding.is_set():
                    return
                for answer in answers(datagram):
                    sock.sendto(answer, source)

        def end() -> None:
            isEnding.set()
            with socket.socket(sock.family, socket.SOCK_DGRAM) as waking:
                waking.sendto(b"", sock.getsockname())
            thread.join(PATIENCE)

        sock.settimeout(None)
        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(end)
        return sock

    def serve(
        self, host: str, port: int, interface: str = "127.0.0.1", number: int = 0, **settings: Any
    ) -> Address:
        """Opens a port that forwards to an upstream; returns its address."""
        from twisted.internet import reactor

        running: Any = reactor
        clock = monotonicClock(running)
        target = parseTarget(f"udp://{f'[{host}]' if ':' in host else host}:{port}")
        self.sessions = Sessions(running, clock, target, **settings)
        self.rules = DatagramRules(None, clock.seconds)
        endpoint = DatagramEndpoint(running, number, interface)
        listening: Any = endpoint.listen(ForwardedDatagrams(self.sessions, self.rules))
        self.addCleanup(listening.stopListening)
        return interface, listening.getHost().port


def exchanged(client: socket.socket, where: Address, datagram: bytes, answers: int = 1) -> list[bytes]:
    """Sends a datagram; returns so many answers, which come from where it was sent to."""
    client.sendto(datagram, where)
    got = []
    for _ in range(answers):
        answer, source = client.recvfrom(1 << 17)
        assert source[:2] == where, source
        got.append(answer)
    return got


class ExchangeTests(ForwardUDPTestCase):
    async def test_clients(self) -> None:
        """Thousands of clients at one time each get their own answers, and nothing else."""
        where = self.serve("127.0.0.1", self.upstream(echo).getsockname()[1])
        await deferToThread(self._many, where)
        self.assertEqual((self.sessions.made, len(self.sessions)), (CLIENTS, CLIENTS))
        self.assertEqual((self.sessions.sent, self.sessions.received), (3 * CLIENTS, 3 * CLIENTS))

    def _many(self, where: Address) -> None:
        clients = [self.socketOf() for _ in range(CLIENTS)]
        for turn in range(3):
            # No more at once than the queue of a port holds with the kernel's smallest buffer.
            for first in range(0, CLIENTS, 100):
                group = clients[first : first + 100]
                for number, client in enumerate(group, first):
                    client.sendto(b"%d of %d" % (turn, number), where)
                for number, client in enumerate(group, first):
                    assert client.recv(100) == b"%d of %d" % (turn, number)
        poll = select.poll()
        for client in clients:
            poll.register(client, select.POLLIN)
        assert poll.poll(0) == []

    async def test_sizes(self) -> None:
        """Datagrams of every size, the empty and the largest, pass whole both ways."""
        for host in ("127.0.0.1", "::1"):
            where = self.serve(host, self.upstream(echo, host).getsockname()[1], host)
            client = self.socketOf(host)
            for size in (0, 1, 1452, 1453, 1472, 1473, 8192, 8193, LARGEST):
                data = os.urandom(size)
                got = await deferToThread(exchanged, client, where, data)
                self.assertEqual(got, [data], (host, size))
            self.assertEqual((self.sessions.made, self.rules.dropped.byReason), (1, {}))

    async def test_answers(self) -> None:
        """Answers may be more than the requests, and longer: all come, in their order."""
        where = self.serve("127.0.0.1", self.upstream(lambda data: [data, b"", data * 1000]).getsockname()[1])
        client = self.socketOf()
        got = await deferToThread(exchanged, client, where, b"hello", 3)
        self.assertEqual(got, [b"hello", b"", b"hello" * 1000])
        self.assertEqual(self.rules.answered, 3)

    async def test_late(self) -> None:
        """An answer that comes after other requests reaches the client that it is for."""
        requests: list[bytes] = []

        def answers(datagram: bytes) -> list[bytes]:
            # The answer to the request before, from the same client.
            requests.append(datagram)
            return requests[-2:-1]

        where = self.serve("127.0.0.1", self.upstream(answers).getsockname()[1])
        client = self.socketOf()
        client.sendto(b"a", where)
        for data, expected in ((b"b", b"a"), (b"c", b"b")):
            self.assertEqual(await deferToThread(exchanged, client, where, data), [expected])

    async def test_name(self) -> None:
        """A name is looked up; what comes meanwhile waits."""
        where = self.serve("localhost", self.upstream(echo).getsockname()[1])
        client = self.socketOf()
        for number in range(3):
            client.sendto(b"%d" % number, where)
        got = await deferToThread(exchanged, client, where, b"3", 4)
        self.assertEqual(got, [b"0", b"1", b"2", b"3"])

    async def test_everyInterface(self) -> None:
        """On a wildcard port, an answer leaves from the address that was asked, of either family."""
        _, number = self.serve("127.0.0.1", self.upstream(echo).getsockname()[1], "::")
        for host, others in (("127.0.0.1", ["127.0.0.2", "127.0.0.1"]), ("::1", ["::1"])):
            client = self.socketOf(host)
            for other in others:
                self.assertEqual(await deferToThread(exchanged, client, (other, number), b"x"), [b"x"])
        self.assertEqual(self.sessions.made, 3)


class EndTests(ForwardUDPTestCase):
    async def test_unresolved(self) -> None:
        """A name that no host has ends the session, and is counted."""
        where = self.serve("no-such-host.invalid", 1)
        client = self.socketOf()
        client.sendto(b"hello", where)
        await self._until(lambda: self.sessions.ended["unresolved"] == 1)
        self.assertEqual(self.rules.dropped.byReason, {"upstream": 1})

    async def test_refused(self) -> None:
        """An upstream that does not listen is counted, and found when it is back, in the same session."""
        gone = self.socketOf()
        name = gone.getsockname()
        gone.close()
        where = self.serve(*name)
        client = self.socketOf()
        client.sendto(b"hello", where)
        await self._until(lambda: self.sessions.unreachable.byReason["refused"] == 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
            back.bind(name)
            back.settimeout(PATIENCE)
            client.sendto(b"again", where)
            data, session = await deferToThread(back.recvfrom, 100)
            back.sendto(data, session)
            self.assertEqual(await deferToThread(client.recv, 100), b"again")
        self.assertEqual((self.sessions.made, len(self.sessions)), (1, 1))

    async def test_timeout(self) -> None:
        """A silent session ends, its socket is closed, and the client's next datagram begins another."""
        where = self.serve("127.0.0.1", self.upstream(echo).getsockname()[1], timeout=0.2)
        client = self.socketOf()
        # The reactor's threads take descriptors of their own, once.
        await deferToThread(exchanged, client, where, b"x")
        await self._until(lambda: not len(self.sessions))
        descriptors = os.listdir("/proc/self/fd")
        self.assertEqual(await deferToThread(exchanged, client, where, b"x"), [b"x"])
        self.assertEqual(self.sessions.made, 2)
        await self._until(lambda: not len(self.sessions))
        self.assertEqual(os.listdir("/proc/self/fd"), descriptors)
        self.assertEqual(self.sessions.ended, {"timeout": 2})

    async def test_most(self) -> None:
        """Beyond the most sessions each new client takes the place of the one that was silent longest."""
        where = self.serve("127.0.0.1", self.upstream(echo).getsockname()[1], most=10)
        clients = [self.socketOf() for _ in range(30)]
        for client in clients:
            self.assertEqual(await deferToThread(exchanged, client, where, b"x"), [b"x"])
        self.assertEqual((len(self.sessions), self.sessions.ended), (10, {"evicted": 20}))

    async def test_itself(self) -> None:
        """A port whose upstream is the port itself starts no chain of sessions."""
        with self.socketOf() as free:
            number = free.getsockname()[1]
        where = self.serve("127.0.0.1", number, number=number)
        self.socketOf().sendto(b"hello", where)
        await self._until(lambda: self.rules.dropped.byReason["own-port"] == 1)
        self.assertEqual(self.sessions.made, 1)

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Waits until something has come true; the test's time-out ends the wait."""
        while not condition():
            await deferToThread(select.select, [], [], [], 0.01)
