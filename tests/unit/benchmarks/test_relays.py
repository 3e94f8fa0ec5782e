"""The table of what relays do at half-close, reset and back-pressure."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import behaviours
from benchmarks.behaviours import BEHAVIOURS, Address, Entrance, Relay, arrival, noRelay
from benchmarks.loads import Usage
from tests.support.ci import RUNS_ALL

try:
    from benchmarks.relays import lines
except ModuleNotFoundError as error:
    if RUNS_ALL:
        raise
    skip = f"not installed: {error.name}, of the extra [benchmark], which CI has"


def _pass(source: socket.socket, sink: socket.socket) -> None:
    """Forwards one direction; its end ends both, and a reset becomes a FIN."""
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    for sock in (source, sink):
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


@contextmanager
def careless(upstream: Address) -> Iterator[Entrance]:
    """Starts a relay in threads of this process that knows no half-close, and resets nothing."""
    used = iter((Usage(0, 1024), Usage(0, 5 * 1024)))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads: list[Thread] = []

        def accept() -> None:
            client, _ = listener.accept()
            with client, socket.create_connection(upstream) as onward:
                for pair in ((client, onward), (onward, client)):
                    threads.append(Thread(target=_pass, args=pair))
                    threads[-1].start()
                for each in threads:
                    each.join()

        accepting = Thread(target=accept)
        accepting.start()
        yield Entrance(listener.getsockname(), lambda: next(used))
    accepting.join()


class BehaviourTests(SynchronousTestCase):
    def setUp(self) -> None:
        for name, value in (("LATE", 0.05), ("STOPPED", 0.05), ("SIZE", 300_000)):
            self.patch(behaviours, name, value)

    def assertCells(self, relay: Relay, *cells: str) -> None:
        """Checks each behaviour but that to an upstream that refuses, by a pattern."""
        titles = [title for title in BEHAVIOURS if "refuses" not in title]
        for title, cell in zip(titles, cells, strict=True):
            self.assertRegex(BEHAVIOURS[title](relay), rf"\A{cell}\Z", title)

    def test_kernel(self) -> None:
        """Without a relay nothing is lost, a reset is one, and there is no memory."""
        self.assertCells(noRelay, "all", "all", "all", "reset", "reset", "—", "—")
        self.assertEqual(behaviours.upstreamRefuses(noRelay), "refused")

    def test_careless(self) -> None:
        """What a relay loses is seen, and that a reset became something else."""
        lost = r"\d+ %, (FIN|reset)"
        echoed = rf"all|{lost}"
        self.assertCells(careless, echoed, lost, rf"all / {lost}", "FIN", "FIN", "4 KiB", "4 KiB")

    def test_endless(self) -> None:
        """A sender gives up after some time or bytes, and the relay's memory is told as far as it grew."""
        for bound in ("FILLING", "MOST_SENT"):
            with patch.object(behaviours, bound, 0):
                self.assertEqual(behaviours.growthToUpstream(careless), "4 KiB, and more")

    def test_arrival(self) -> None:
        """Bytes are compared, and the end is told unless it is that of a whole stream."""
        for arrived, isEnded, cell in (
            (b"abcd", True, "all"),
            (b"abcd", False, "all, nothing"),
            (b"ab", True, "50 %, FIN"),
            (b"abXd", True, "wrong bytes, FIN"),
            (b"abcde", True, "wrong bytes, FIN"),
        ):
            one, other = socket.socketpair()
            with one, other:
                one.sendall(arrived)
                if isEnded:
                    one.shutdown(socket.SHUT_WR)
                else:
                    other.settimeout(0.01)
                self.assertEqual(arrival(b"abcd", other), cell)


class TableTests(SynchronousTestCase):
    def test_lines(self) -> None:
        """Each behaviour is a line, each relay a column; a relay that fails does not end the others."""

        def failing(relay: Relay) -> str:
            if relay is careless:
                raise OSError("no\nanswer")
            return "well"

        with patch.dict(BEHAVIOURS, {"it works": failing}, clear=True):
            made = lines({"no relay": noRelay, "careless": careless})
        self.assertEqual(made, [["", "no relay", "careless"], ["it works", "well", "error: answer"]])
