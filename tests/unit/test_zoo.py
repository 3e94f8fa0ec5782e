"""The zoo's own relays, links and reports, without the probe."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import partial
from io import StringIO
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests import ROOT
from tests.support.crooked import Address, Relay, dropped
from tests.zoo import commands
from tests.zoo.client import Line, pattern, whole
from tests.zoo.commands import main
from tests.zoo.datagram import DatagramRelay, Faulty, Flow
from tests.zoo.identity import Cut, Edited, Ending
from tests.zoo.life import Admitted
from tests.zoo.measuredatagrams import Source
from tests.zoo.packet import ACK, RST, SYN, Segment, checksum, resetAlong, resetFor
from tests.zoo.packetfaults import BlackHole, Forgetful, Narrow
from tests.zoo.path import NONE, Place
from tests.zoo.paths import PATHS
from tests.zoo.runner import causes, report, summary
from tests.zoo.services import at
from tests.zoo.stream import Connection, StreamRelay

RESET = struct.pack("ii", 1, 0)


class Echo(socketserver.BaseRequestHandler):
    """Echoes a connection, up to its end; resets one that begins with an exclamation mark."""

    def handle(self) -> None:
        try:
            while data := self.request.recv(1 << 16):
                if data[:1] == b"!":
                    self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    return
                self.request.sendall(data)
            self.request.shutdown(socket.SHUT_WR)
        except ConnectionError:
            # The relay has dropped it.
            return


class EchoDatagrams(socketserver.BaseRequestHandler):
    """Echoes a datagram."""

    def handle(self) -> None:
        data, sock = self.request
        sock.sendto(data, self.client_address)


class TCPServer(socketserver.ThreadingTCPServer):
    """Ends its threads: a connection that remains is a bug of the relay."""

    request_queue_size = 128

    def shutdown_request(self, request: Any) -> None:
        """Closes a connection, as its handler has left it."""
        request.close()


class RelayTestCase(SynchronousTestCase):
    """Relays before an echo on a thread."""

    def serve(self, server: socketserver.TCPServer) -> Address:
        """Starts a server for the time of the test; returns its address."""
        thread = threading.Thread(target=partial(server.serve_forever, 0.01))
        thread.start()
        # In reverse order: the relay has stopped before.
        self.addCleanup(server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        address: Address = server.socket.getsockname()
        return address

    def relay(self, make: Callable[..., Connection], **fields: object) -> Place:
        """Starts a relay of streams; returns the place before it."""
        address = self.serve(TCPServer(("127.0.0.1", 0), Echo))
        return self.started(StreamRelay(address, partial(make, **fields)))

    def relayDatagrams(self, make: Callable[..., Flow], **fields: object) -> Place:
        """Starts a relay of datagrams; returns the place before it."""
        address = self.serve(socketserver.UDPServer(("127.0.0.1", 0), EchoDatagrams))
        return self.started(DatagramRelay(address, partial(make, **fields)))

    def started(self, relay: Relay) -> Place:
        """Starts a relay for the time of the test."""
        relay.start()
        self.addCleanup(relay.stop)
        return Place(at(relay.address))


class StreamRelayTests(RelayTestCase):
    def test_exact(self) -> None:
        """A relay without a fault passes on all bytes, and the client's end, and then the service's."""
        place = self.relay(Connection)
        data = pattern(1 << 20)
        self.assertEqual(whole(place, data, 20.0), (data, "fin"))

    def test_twoAtOnce(self) -> None:
        """Connections do not wait for each other."""
        place = self.relay(Connection)
        with Line(place) as one, Line(place) as other:
            other.trip()
            one.trip()

    def test_serviceResets(self) -> None:
        """A reset by the service is a reset for the client."""
        with Line(self.relay(Connection)) as line:
            line.send(b"!")
            self.assertEqual((line.take(), line.ended), (b"", "reset"))

    def test_backPressure(self) -> None:
        """A relay without a fault takes only what the kernel's buffers hold, if the client does not read."""
        with Line(self.relay(Connection)) as line:
            line.sock.settimeout(0.5)
            with self.assertRaises(TimeoutError):
                line.sock.sendall(bytes(1 << 26))

    def test_editAcrossPieces(self) -> None:
        """An edit finds its bytes although they come one by one; later bytes come at once."""
        with Line(self.relay(Edited, edit=dropped(2, 3))) as line:
            came = b""
            for byte in b"abcdefg":
                line.send(bytes([byte]))
                came += line.take(1, 0.1)
        self.assertEqual(came, b"abfg")

    def test_editAtTheEnd(self) -> None:
        """Bytes that wait for the rest of an edit come with the end."""
        self.assertEqual(whole(self.relay(Edited, edit=dropped(2, 3)), b"abcd"), (b"abcd", "fin"))

    def test_oneOfTwo(self) -> None:
        """A fault of each second connection leaves the others alone."""
        place = self.relay(Edited, edit=dropped(0), each=2)
        self.assertEqual([whole(place, b"ab")[0] for _ in range(4)], [b"ab", b"b"] * 2)

    def test_cut(self) -> None:
        """A reset behind a number of bytes destroys none of them."""
        self.assertEqual(whole(self.relay(Cut, size=3, ending="reset"), b"abcdef"), (b"abc", "reset"))

    def test_endIgnored(self) -> None:
        """A relay that ignores the client's end passes on the bytes before it."""
        with Line(self.relay(Ending, ignores=True)) as line:
            line.send(b"abc")
            line.finish()
            self.assertEqual((line.take(4, 0.3), line.ended), (b"abc", ""))

    def test_capIsFreed(self) -> None:
        """A connection that has ended no longer counts for a cap."""
        place = self.relay(Admitted, cap=1, how="fin")
        with Line(place) as one:
            one.trip()
            self.assertEqual(whole(place, b"a"), (b"", "fin"))
            one.finish()
            one.take()
        # The relay forgets it a moment after the client has seen its end.
        self.assertIn((b"a", "fin"), (whole(place, b"a") for _ in range(100)))


class DatagramRelayTests(RelayTestCase):
    def test_exact(self) -> None:
        """A relay without a fault passes on datagrams of all sizes, each once."""
        with Source(self.relayDatagrams(Flow)) as source:
            for data in (b"", b"a", pattern(8000)):
                self.assertEqual(source.ask(data, 5.0), data)
            self.assertIsNone(source.take(0.05)[0])

    def test_largest(self) -> None:
        """A datagram above a limit is lost, the next one is not."""
        with Source(self.relayDatagrams(Faulty, largest=10)) as source:
            source.send(bytes(11))
            self.assertEqual(source.ask(bytes(10), 5.0), bytes(10))

    def test_twice(self) -> None:
        """With the probability of 1, each answer comes twice."""
        with Source(self.relayDatagrams(Faulty, twice=1.0)) as source:
            self.assertEqual([source.ask(b"a", 5.0), source.take(5.0)[0]], [b"a", b"a"])


def packet(flags: int, data: bytes = b"", isUp: bool = True, port: int = 40_000) -> bytes:
    """Returns an IPv4 packet with a TCP segment."""
    ends = (bytes([10, 88, 0, 1]), bytes([10, 88, 0, 2]))
    ports = (port, 7)
    (source, destination), (one, other) = (ends, ports) if isUp else (ends[::-1], ports[::-1])
    tcp = struct.pack("!HHIIBBHHH", one, other, 1000, 2000, 5 << 4, flags, 100, 0, 0)
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 40 + len(data), 0, 0, 64, 6, 0) + source + destination
    return ip + tcp + data


class PacketTests(SynchronousTestCase):
    def test_checksum(self) -> None:
        """The checksum is that of RFC 1071, whose example it gives, and of a right header is 0."""
        self.assertEqual(checksum(bytes.fromhex("0001f203f4f5f6f7")), ~0xDDF2 & 0xFFFF)

    def test_flow(self) -> None:
        """Both directions of a connection are one flow; another port is another."""
        one, back, other = (
            Segment.of(each) for each in (packet(ACK), packet(ACK, isUp=False), packet(ACK, port=40_001))
        )
        assert one is not None
        assert back is not None
        assert other is not None
        self.assertEqual(one.flow, back.flow)
        self.assertNotEqual(one.flow, other.flow)

    def test_resets(self) -> None:
        """A reset goes to the sender or the receiver, with numbers that it accepts, and right checksums."""
        data = packet(ACK, b"abc")
        for made, ends, sequence, acknowledged in (
            (resetFor(data), data[16:20] + data[12:16], 2000, 1003),
            (resetAlong(data), data[12:20], 1000, 2000),
        ):
            segment = Segment.of(made)
            assert segment
            self.assertEqual(made[12:20], ends)
            self.assertEqual((segment.sequence, segment.acknowledged), (sequence, acknowledged))
            self.assertTrue(segment.flags & RST)
            self.assertEqual(checksum(made[:20]), 0)
            self.assertEqual(checksum(made[12:20] + struct.pack("!BBH", 0, 6, 20) + made[20:]), 0)

    def test_blackHole(self) -> None:
        """Large packets of one direction are lost; small ones, and those of the other direction, are not."""
        link = BlackHole(largest=100, isUp=True)
        large = packet(ACK, bytes(100))
        self.assertEqual(link.passes(large, True, 0.0), [])
        self.assertEqual(link.passes(large, False, 0.0), [(0.0, (False, large))])
        self.assertEqual(len(link.passes(packet(ACK, bytes(60)), True, 0.0)), 1)

    def test_forgetful(self) -> None:
        """A flow lives with its packets, is forgotten after a time without any, and begins with a SYN."""
        link = Forgetful(after=5.0)
        moments = [(SYN, 0.0), (ACK, 4.0), (ACK, 8.0), (ACK, 14.0), (ACK, 15.0), (SYN, 16.0), (ACK, 17.0)]
        passed = [len(link.passes(packet(flags), True, now)) for flags, now in moments]
        self.assertEqual(passed, [1, 1, 1, 0, 0, 1, 1])

    def test_forgetfulResets(self) -> None:
        """A packet of a forgotten flow is answered by a reset."""
        (answer,) = Forgetful(after=5.0, resets=True).passes(packet(ACK), True, 0.0)
        self.assertEqual(answer, (0.0, (False, resetFor(packet(ACK)))))

    def test_narrow(self) -> None:
        """Packets pass one after the other at the rate, and are lost where the queue is full."""
        link = Narrow(rate=1000.0, queue=250)
        passed = [link.passes(packet(ACK, bytes(60)), True, 0.0) for _ in range(5)]
        self.assertEqual([round(each[0][0], 3) for each in passed[:3]], [0.1, 0.2, 0.3])
        self.assertEqual(passed[3:], [[], []])


class TableTests(SynchronousTestCase):
    def test_counts(self) -> None:
        """There are enough paths with a fault, and without one, and each name is of one path."""
        good = [path for path in PATHS.values() if path.isGood]
        self.assertGreaterEqual(len(good), 10)
        self.assertGreaterEqual(len(PATHS) - len(good), 40)
        self.assertTrue(all(path.name.startswith(("good-", "g-")) == path.isGood for path in PATHS.values()))

    def test_oneLine(self) -> None:
        """What is planted, and the cause, are told in a line and a word."""
        for path in PATHS.values():
            self.assertNotIn("\n", path.planted)
            self.assertRegex(path.cause, r"^[a-z0-9]+(-[a-z0-9]+)*$")


def examined(planted: str, *found: str) -> dict[str, Any]:
    """Returns the result of an examination with findings of these causes."""
    parts = {"severity": "fail", "seen": "seen", "confidence": "certain"}
    return {
        "name": "path",
        "cause": planted,
        "planted": "a fault",
        "exit": 1,
        "seconds": 2.0,
        "examination": {"findings": [{"cause": cause, **parts} for cause in found]},
    }


class ReportTests(SynchronousTestCase):
    def test_causes(self) -> None:
        """The causes that the probe names are found, wherever they are; without such a key there are none."""
        self.assertEqual(causes({"results": [{"cause": "a"}, {"x": {"causes": ["b", "a"]}}]}), ["a", "b"])
        self.assertEqual(causes({"causes": []}), [])
        self.assertIsNone(causes({"results": [{"seen": "a"}]}))

    def test_report(self) -> None:
        """A report has what is planted, and beside it the findings."""
        lines = report(examined("bytes-changed", "bytes-lost"))
        self.assertIn("bytes-changed: a fault", lines[0])
        self.assertIn("causes: bytes-lost", lines[1])
        self.assertIn("fail  bytes-lost", lines[2])
        self.assertEqual(len(report(examined(NONE))), 2)

    def test_summary(self) -> None:
        """A summary counts the faults that were found, the causes, and false alarms."""
        results = [
            examined("bytes-changed", "bytes-changed"),
            examined("bytes-changed"),
            examined(NONE, "jitter"),
        ]
        line = summary(results)[-1]
        for part in ("2 bad paths", "1 bad paths with a finding", "1 causes named as planted"):
            self.assertIn(part, line)
        self.assertIn("1 good paths with a finding", line)


class CommandTests(SynchronousTestCase):
    def test_list(self) -> None:
        """The list has a line for each path, and is in the documents."""
        output = StringIO()
        with redirect_stdout(output):
            self.assertEqual(main(["list"]), 0)
        lines = output.getvalue().splitlines()
        self.assertEqual(len(lines), len(PATHS))
        _, _, listed = (ROOT / "docs/dev/paths.rst").read_text().partition(" ::\n\n")
        self.assertEqual(listed, "".join(f"    {line.rstrip()}\n" for line in lines), "write it again")

    def test_unknown(self) -> None:
        """A name of no path is an error in one line."""
        self.assertIn("byte-fliped", self.wrong("verify", "byte-fliped"))

    def test_serveOne(self) -> None:
        """A pattern of several paths can't be served, which is an error in one line."""
        self.assertIn("one path", self.wrong("serve", "udp-*"))

    def test_notPositive(self) -> None:
        """A number of jobs or seconds that is not above 0 is an error that names it."""
        for option in ("--jobs", "--limit"):
            self.assertIn("'0': not a whole number above 0", self.wrong("run", option, "0").splitlines()[-1])

    def test_missingProgram(self) -> None:
        """A path whose program or right is missing is an error in one line."""

        def opening() -> Any:
            raise FileNotFoundError(2, "No such file or directory", "haproxy")

        path = PATHS["good-haproxy"]
        self.patch(commands, "PATHS", {path.name: replace(path, open=opening)})
        self.assertIn("haproxy", self.wrong("serve", path.name))

    def wrong(self, *arguments: str) -> str:
        """Runs a wrong command line; returns what it prints on standard error."""
        errors = StringIO()
        with redirect_stderr(errors):
            try:
                status: object = main(arguments)
            except SystemExit as ended:
                status = ended.code
        self.assertEqual(status, 2)
        self.assertNotIn("Traceback", errors.getvalue())
        return errors.getvalue()
