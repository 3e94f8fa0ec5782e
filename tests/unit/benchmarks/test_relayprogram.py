"""The relays of the benchmark: their options, and the programs that are not ours."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.peers import CANDIDATES
from benchmarks.rows import FORWARD, RELAY
from benchmarks.servers.commandline import arguments
from benchmarks.servers.relay_program import command, isListening


class CandidateTests(SynchronousTestCase):
    def test_relays(self) -> None:
        """Relays take the place of their upstream, and are in no row of another transport."""
        relays = [each.options for each in CANDIDATES.values() if FORWARD in each.options]
        self.assertIn(CANDIDATES[RELAY].options, relays)
        for options in relays:
            self.assertEqual(list(options), [FORWARD])
            self.assertIn("{upstream}", options[FORWARD][-1])


class ProgramTests(SynchronousTestCase):
    def setUp(self) -> None:
        words = ["haproxy", "--port", "0", "--forward", "127.0.0.1:7", "--ready-file", "ready"]
        self.patch(sys, "argv", ["relay_program", *words])

    def test_arguments(self) -> None:
        """The upstream of a relay is an option."""
        self.assertEqual(arguments().upstream, ("127.0.0.1", 7))

    def test_haproxy(self) -> None:
        """HAProxy has one thread, and a configuration in the current folder."""
        self.assertEqual(command("/x/haproxy", 8, arguments())[1:], ["-db", "-f", "haproxy.cfg"])
        written = Path("haproxy.cfg").read_text()
        for part in ("nbthread 1\n", "bind 127.0.0.1:8\n", "server upstream 127.0.0.1:7\n"):
            self.assertIn(part, written)

    def test_socat(self) -> None:
        """socat has a process for each connection."""
        _, listening, upstream = command("/x/socat", 8, arguments())
        self.assertRegex(listening, r"\ATCP-LISTEN:8,.*,fork\Z")
        self.assertRegex(upstream, r"\ATCP:127.0.0.1:7,")

    def test_listening(self) -> None:
        """A port is seen when it listens, and not before."""
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
            self.assertFalse(isListening(port))
            sock.listen()
            self.assertTrue(isListening(port))
