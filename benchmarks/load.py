"""The load of ``load.c``, in Python, for where there is no compiler.

It checks as much, and is slower than many servers: they wait for it, and a server that sleeps and wakes for
each message spends more on it than one that is never idle. It has no fixed rate.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from typing import NoReturn

# As in load.c, where the reasons are.
PERIOD = 65521
PATIENCE = 5.0
SURPLUS = 0.02
SOURCES = 64


def fail(message: str) -> NoReturn:
    """Ends the load with one line."""
    print(message, file=sys.stderr)
    raise SystemExit(1)


class Connection:
    """One stream, or one source of datagrams; the fields are positions in its pattern."""

    def __init__(self, sock: socket.socket, start: int) -> None:
        self.sock = sock
        self.start = start
        self.due = self.sent = self.received = 0


class Load:
    """Connections to a server, and the loops that use them.

    :param mode: ``stream``, ``datagram``, ``accept`` or ``idle``.
    """

    def __init__(self, mode: str, address: tuple[str, int], size: int) -> None:
        self._mode = mode
        self._address = address
        self._size = size
        self._datagrams = mode == "datagram"
        self._opened = 0
        self._poller = select.epoll()
        self.connections: dict[int, Connection] = {}
        state, pattern = 1, bytearray()
        for _ in range(PERIOD):
            state = (state * 1664525 + 1013904223) % 2**32  # Numerical Recipes' generator
            pattern.append(state >> 24)
        self._pattern = memoryview(bytes(pattern) * (2 + size // PERIOD))

    def open(self) -> Connection:
        """Returns a new connection."""
        sock = socket.socket(type=socket.SOCK_DGRAM if self._datagrams else socket.SOCK_STREAM)
        self._opened += 1
        try:
            if self._mode == "accept":
                sock.bind((f"127.0.1.{1 + self._opened % SOURCES}", 0))
            sock.connect(self._address)
        except OSError as error:
            fail(f"connect: {error.strerror}")
        if not self._datagrams:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        connection = Connection(sock, self._opened * 7919 % PERIOD)
        self.connections[sock.fileno()] = connection
        self._poller.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
        return connection

    def openAll(self, count: int) -> None:
        """Opens connections, each with one echo."""
        for _ in range(count):
            connection = self.open()
            self.ask(connection)
            while connection.received < connection.due:
                self._await()
                self._pull(connection)
                self._push(connection)

    def ask(self, connection: Connection) -> None:
        """Sends one message."""
        connection.due += self._size
        self._push(connection)

    def closedLoop(self, duration: float) -> int:
        """Has all connections send message after message; returns how many came back."""
        echoes, busy, end = 0, len(self.connections), time.monotonic() + duration
        for connection in self.connections.values():
            self.ask(connection)
        while busy:
            for connection in self._await():
                pulled = self._pull(connection)
                if pulled == 0:
                    fail(f"the end came after byte {connection.received}")
                if pulled < 0 or connection.received < connection.due:
                    self._push(connection)
                    continue
                echoes += 1
                if time.monotonic() < end:
                    self.ask(connection)
                else:
                    busy -= 1
        return echoes

    def acceptLoop(self, count: int, duration: float) -> int:
        """Opens connection after connection, `count` at a time; returns how many were echoed and ended."""
        echoes, end = 0, time.monotonic() + duration
        for _ in range(count):
            self.ask(self.open())
        while self.connections:
            for connection in self._await():
                pulled = self._pull(connection)
                if pulled > 0:
                    connection.sock.shutdown(socket.SHUT_WR)
                if pulled != 0:
                    continue
                self._close(connection)
                echoes += 1
                if time.monotonic() < end:
                    self.ask(self.open())
        return echoes

    def finish(self) -> None:
        """Ends all connections; nothing may come but the ends of the streams."""
        for connection in list(self.connections.values()):
            if not self._datagrams:
                connection.sock.shutdown(socket.SHUT_WR)
            watched = select.poll()
            watched.register(connection.sock, select.POLLIN)
            if watched.poll(1000 * (SURPLUS if self._datagrams else PATIENCE)):
                self._pull(connection)
            elif not self._datagrams:
                fail(f"the end of a stream is lost: nothing came for {PATIENCE:.0f} s")
            self._close(connection)

    def _close(self, connection: Connection) -> None:
        del self.connections[connection.sock.fileno()]
        connection.sock.close()

    def _await(self) -> list[Connection]:
        ready = self._poller.poll(PATIENCE)
        if not ready:
            fail(f"an answer is lost: nothing came for {PATIENCE:.0f} s")
        return [self.connections[descriptor] for descriptor, _ in ready]

    def _expected(self, connection: Connection, position: int, size: int) -> memoryview:
        start = (connection.start + position) % PERIOD
        return self._pattern[start : start + size]

    def _push(self, connection: Connection) -> None:
        """Sends what is due, as far as the kernel takes it."""
        try:
            while rest := connection.due - connection.sent:
                data = self._expected(connection, connection.sent, min(rest, self._size))
                connection.sent += connection.sock.send(data)
        except BlockingIOError:
            pass
        except OSError as error:
            fail(f"after byte {connection.sent}: {error.strerror}")

    def _pull(self, connection: Connection) -> int:
        """Receives and checks what is there; returns its size, 0 for the end, -1 for nothing yet."""
        total = 0
        while True:
            try:
                data = connection.sock.recv(self._size + 1)
            except BlockingIOError:
                return total or -1
            except OSError as error:
                fail(f"after byte {connection.received}: {error.strerror}")
            if not data and connection.received < connection.sent and not self._datagrams:
                fail(f"the end came after byte {connection.received} of {connection.sent}")
            if not data and not self._datagrams:
                return 0
            self._check(connection, data)
            connection.received += len(data)
            total += len(data)
            if connection.received == connection.sent:
                return total

    def _check(self, connection: Connection, data: bytes) -> None:
        surplus = len(data) - (connection.sent - connection.received)
        if surplus > 0:
            fail(f"{surplus} bytes too many came after byte {connection.sent}")
        if self._datagrams and len(data) != self._size:
            fail(f"a datagram of {len(data)} bytes came for one of {self._size}")
        expected = self._expected(connection, connection.received, len(data))
        if data != expected:
            index = next(i for i, (got, right) in enumerate(zip(data, expected, strict=True)) if got != right)
            where = connection.received + index
            fail(f"byte {where} is {data[index]} and should be {expected[index]}")


def _say(*words: object) -> None:
    """Tells where the load is, and awaits the line that lets it go on."""
    print(*words, flush=True)
    if not sys.stdin.readline():
        raise SystemExit(1)


def main() -> None:
    """Runs the phases that load.c describes."""
    mode, host, port, size, count, warmup, seconds, _ = sys.argv[1:]
    load = Load(mode, (host, int(port)), int(size))
    connections = int(count)

    def run(duration: float) -> int:
        return load.acceptLoop(connections, duration) if mode == "accept" else load.closedLoop(duration)

    if mode != "accept":
        load.openAll(connections // 10 if mode == "idle" else connections)
    if mode != "idle":
        run(float(warmup))
    _say("ready")
    start = time.monotonic()
    if mode == "idle":
        load.openAll(connections)
        echoes = connections
    else:
        echoes = run(float(seconds))
    _say("done", echoes, time.monotonic() - start, 0, 0)
    load.finish()
    print("checked")


if __name__ == "__main__":
    main()
