"""Caps, descriptors that run out, and refused peers: docs/dev/contract.rst, 5."""

from __future__ import annotations

import select
import socket
import sys
import threading
import time

from echo_app.testing import EchoProcess
from tests.support.kernel import Namespace, processorShare
from tests.support.service import AT_ONCE, PATIENCE, ServiceTestCase, needs, reactorName, together

CROWD = 200

Address = tuple[str, int]


def connectFrom(address: Address, source: str = "") -> socket.socket:
    """Connects over TCP, from a source address if one is given."""
    return socket.create_connection(address, PATIENCE, (source, 0) if source else None)


def isServed(sock: socket.socket) -> bool:
    """Says whether a connection echoes; an end without an error counts as an echo that went wrong.

    :raise AssertionError: on anything but an echo or a reset.
    """
    try:
        sock.send(b"?")
        answer = sock.recv(2)
    except (ConnectionResetError, BrokenPipeError):
        return False
    if answer != b"?":
        raise AssertionError(f"neither an echo nor a reset: {answer!r}")
    return True


def leave(sock: socket.socket) -> None:
    """Closes a connection; when this returns, the service has closed its side and counted the end."""
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(1 << 16):
        pass
    sock.close()


class CapTestCase(ServiceTestCase):
    """Peers from chosen addresses, served or refused."""

    def enter(self, address: Address, source: str = "") -> socket.socket:
        """Connects a peer that is served."""
        sock = self.closedLater(connectFrom(address, source))
        self.assertTrue(isServed(sock), f"{source} is refused at {address}")
        return sock

    def assertRefused(self, address: Address, source: str = "") -> None:
        """Connects a peer that sends nothing, and is reset."""
        start = time.monotonic()
        with self.assertRaises(ConnectionResetError), connectFrom(address, source) as sock:
            self.assertEqual(sock.recv(1), None, "an end instead of a reset")
        self.assertLess(time.monotonic() - start, AT_ONCE)

    def assertCounts(self, server: EchoProcess, *, accepted: int, refused: int) -> None:
        """Stops the service, and checks what it counted."""
        self.closePeers()
        server.stop()
        self.assertIn(f" {accepted} connections ({refused} refused, 0 timed out, ", server.log())


class MaxConnectionsTests(CapTestCase):
    def test_refusedByReset(self) -> None:
        """Over the cap a peer is reset at once and counted; when one leaves, the next is served."""
        server = self.serve("--port", "0", "--max-connections", "3")
        address = server.address()
        inside = [self.enter(address) for _ in range(3)]
        for _ in range(2):
            self.assertRefused(address)
        leave(inside.pop())
        inside.append(self.enter(address))
        self.assertRefused(address)
        for peer in inside:
            self.assertTrue(isServed(peer))
            leave(peer)
        self.assertCounts(server, accepted=4, refused=3)

    def test_allListenersTogether(self) -> None:
        """One cap holds for all listeners of a service, of every kind."""
        server = self.serve("--port", "0", "--listen", "unix:echo.sock", "--max-connections", "2")
        self.enter(server.address())
        path, _ = server.address("unix")
        peers = []
        for _ in range(2):
            peer = self.connect((path, 0))
            peers.append(isServed(peer))
        self.assertEqual(peers, [True, False])
        self.assertRefused(server.address())
        self.assertCounts(server, accepted=2, refused=2)

    def test_fewLogLines(self) -> None:
        """A thousand refusals leave a line or two in the log, not a thousand."""
        server = self.serve("--port", "0", "--max-connections", "1")
        self.enter(server.address())
        before = server.log().count("\n")
        for _ in range(1000):
            self.assertRefused(server.address())
        self.assertLessEqual(server.log().count("\n") - before, 3)
        self.assertCounts(server, accepted=1, refused=1000)


class MaxConnectionsPerPeerTests(CapTestCase):
    def test_ipv4(self) -> None:
        """Each IPv4 address has a cap of its own."""
        server = self.serve("--port", "0", "--max-connections-per-peer", "2")
        address = server.address()
        inside = [self.enter(address, "127.0.0.1") for _ in range(2)]
        self.assertRefused(address, "127.0.0.1")
        for _ in range(2):
            self.enter(address, "127.0.0.2")
        self.assertRefused(address, "127.0.0.2")
        leave(inside.pop())
        self.assertRefused(address, "127.0.0.2")
        self.enter(address, "127.0.0.1")
        self.assertCounts(server, accepted=5, refused=3)

    def test_ipv6(self) -> None:
        """An IPv6 peer has its cap."""
        server = self.serve("--port", "0", "--interface", "::1", "--max-connections-per-peer", "2")
        for _ in range(2):
            self.enter(server.address(), "::1")
        self.assertRefused(server.address(), "::1")
        self.assertCounts(server, accepted=2, refused=1)

    def test_ipv6Network(self) -> None:
        """IPv6 peers of one /64 share a cap; those of the next /64 have their own."""
        inside = Namespace()
        self.addCleanup(inside.remove)
        for host in ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"):
            inside.ip("addr", "add", f"{host}/128", "dev", "lo", "nodad")
        server = self.serve(
            *("--port", "0", "--interface", "2001:db8:0:1::1", "--max-connections-per-peer", "2"),
            command=inside.command(*serviceCommand()),
        )
        address = server.address()

        def served(source: str) -> bool:
            try:
                sock = inside.call(lambda: connectFrom(address, source))
            except ConnectionResetError:
                return False
            return isServed(self.closedLater(sock))

        sources = ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2") * 2 + ("2001:db8:0:2::1",) * 3
        self.assertEqual(
            [served(source) for source in sources],
            [True, True, False, False, True, True, False],
        )
        self.assertCounts(server, accepted=4, refused=3)

    def test_dualStack(self) -> None:
        """On a dual-stack listener IPv4 peers are counted by their IPv4 address, not as one network."""
        server = self.serve("--port", "0", "--interface", "::", "--max-connections-per-peer", "1")
        _, port = server.address()
        self.enter(("127.0.0.1", port), "127.0.0.1")
        self.assertRefused(("127.0.0.1", port), "127.0.0.1")
        self.enter(("127.0.0.1", port), "127.0.0.2")
        self.assertRefused(("127.0.0.1", port), "127.0.0.2")
        self.enter(("::1", port), "::1")
        self.assertRefused(("::1", port), "::1")
        self.assertCounts(server, accepted=3, refused=3)

    def test_unix(self) -> None:
        """UNIX peers have no address, so that no cap by peer holds for them."""
        server = self.serve("--listen", "unix:echo.sock", "--max-connections-per-peer", "1")
        for _ in range(5):
            self.assertTrue(isServed(self.connect(server.address("unix"))))
        self.assertCounts(server, accepted=5, refused=0)


def serviceCommand() -> tuple[str, ...]:
    """Returns the command that `EchoProcess` runs by default, on the reactor that the tests run on."""
    reactor = ("--reactor", reactorName())
    return (sys.executable, "-m", "echo_app.testing", *reactor, "-n", "--pidfile=", "echo")


class DescriptorTests(CapTestCase):
    """A service that may open 64 descriptors, and 200 clients that come and stay."""

    def _crowd(self, address: Address) -> tuple[list[socket.socket], int]:
        """Connects the clients; returns those that are served, and how many were told that they are not.

        A client in neither of them hangs.
        """
        poll = select.poll()
        asking: dict[int, socket.socket] = {}
        served, told = [], 0
        for _ in range(CROWD):
            try:
                sock = connectFrom(address)
                self.addCleanup(sock.close)
                sock.send(b"?")
            except (ConnectionResetError, BrokenPipeError):
                told += 1
                continue
            asking[sock.fileno()] = sock
            poll.register(sock, select.POLLIN)
        deadline = time.monotonic() + PATIENCE
        while asking and (ready := poll.poll(max(0, deadline - time.monotonic()) * 1000)):
            for fileno, _ in ready:
                poll.unregister(fileno)
                sock = asking.pop(fileno)
                try:
                    answer = sock.recv(2)
                except ConnectionResetError:
                    answer = b""
                if answer == b"?":
                    served.append(sock)
                else:
                    told += 1
                    sock.close()
        return served, told

    def _retry(self, address: Address, full: threading.Event, refused: list[bool]) -> None:
        """Tries once a second to get in, until the event, or for a bounded time."""
        for _ in range(60):
            try:
                with connectFrom(address) as sock:
                    refused.append(not isServed(sock))
            except ConnectionResetError:
                refused.append(True)
            if full.wait(1):
                return

    def _assertCheap(self, server: EchoProcess) -> None:
        """Checks that a full service costs next to nothing, and refuses, whether peers come back or not."""
        self.assertLess(processorShare(server.pid, 1.5), 0.05, "quiet and full")
        full = threading.Event()
        refused: list[bool] = []
        retries = [
            threading.Thread(target=self._retry, args=(server.address(), full, refused)) for _ in range(3)
        ]
        for thread in retries:
            thread.start()
        try:
            share = processorShare(server.pid, 2.5)
        finally:
            full.set()
            for thread in retries:
                thread.join()
        self.assertLess(share, 0.05, "full, with peers that come back")
        self.assertGreater(len(refused), len(retries), "nobody came back")
        self.assertTrue(all(refused))

    def _check(self, *options: str) -> None:
        needs("prlimit")
        server = self.serve(
            *("--port", "0", *options),
            command=("prlimit", "--nofile=64:64", *serviceCommand()),
        )
        address = server.address()
        for isFirst in (True, False):
            inside, told = self._crowd(address)
            self.assertEqual(len(inside) + told, CROWD, "these hang")
            self.assertGreater(len(inside), 20)
            self.assertLess(len(inside), 64)
            if isFirst:
                self._assertCheap(server)
            for sock in inside:
                self.assertTrue(isServed(sock), "who is inside stays served")
            for sock in inside:
                leave(sock)
            for _ in range(20):
                leave(self.enter(address))
        server.stop()
        self.assertLess(server.log().count("\n"), 40, server.log())
        self.assertNotIn("Traceback", server.log())

    def test_descriptorLimit(self) -> None:
        """Above the limit, peers are reset at no cost, served ones stay, and the service recovers, twice.

        The same holds where the user has asked for no cap.
        """
        together(self._check, lambda: self._check("--max-connections", "0"))
