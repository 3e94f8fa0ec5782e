"""Records of connections, and the kernel's counts in them."""

from __future__ import annotations

import json
import socket

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks import record
from echo_app.probe.checks.record import ConnectionRecord, sampleOf
from echo_app.probe.net.errors import ErrorKind, Reason
from tests.support.evidence import FIN, FLIPPED, RESET, sampled


class SampleTests(SynchronousTestCase):
    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Returns both ends of a connection over loopback."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            client = socket.create_connection(listening.getsockname())
            server, _ = listening.accept()
        for each in (client, server):
            self.addCleanup(each.close)
            each.settimeout(10)
        return client, server

    def test_counts(self) -> None:
        """The kernel's counts are those of the bytes and segments that went."""
        client, server = self.pair()
        made = sampleOf(client)
        client.sendall(bytes(1000))
        server.recv(1000, socket.MSG_WAITALL)
        server.sendall(bytes(10))
        client.recv(10, socket.MSG_WAITALL)
        sample = sampleOf(client)
        assert made is not None
        assert sample is not None
        self.assertEqual((made.state, made.bytesReceived, made.allRetransmits), (1, 0, 0))
        # The SYN counts as a byte.
        self.assertEqual((sample.bytesAcked, sample.bytesReceived), (1001, 10))
        self.assertEqual((sample.unacked, sample.notSent, sample.retransmits), (0, 0, 0))
        self.assertEqual((sample.dataSegmentsOut, sample.dataSegmentsIn, sample.outOfOrder), (1, 1, 0))
        self.assertGreater(sample.sendMSS, 500)
        assert sample.minRTT is not None
        self.assertTrue(0 < sample.minRTT < 10, sample.minRTT)

    def test_peerEnded(self) -> None:
        """The state tells that the peer has ended, before its end is read."""
        client, server = self.pair()
        server.close()
        # The FIN is there when the end can be peeked at.
        self.assertEqual(client.recv(1, socket.MSG_PEEK), b"")
        sample = sampleOf(client)
        assert sample is not None
        self.assertIn(sample.state, record.ENDED_STATES)

    def test_none(self) -> None:
        """A UNIX socket and a closed one have no counts."""
        ours, theirs = socket.socketpair()
        for each in (ours, theirs):
            self.addCleanup(each.close)
        self.assertIsNone(sampleOf(ours))
        client, _ = self.pair()
        client.close()
        self.assertIsNone(sampleOf(client))


class RecordTests(SynchronousTestCase):
    def record(self, **values: object) -> ConnectionRecord:
        result = ConnectionRecord(0, "identity", 1.0, connected=0.001)
        for name, value in values.items():
            setattr(result, name, value)
        return result

    def test_made(self) -> None:
        """A connection is made when it is there without a failure."""
        self.assertTrue(self.record().isMade)
        self.assertFalse(self.record(connected=None).isMade)
        self.assertFalse(self.record(failure=RESET).isMade)

    def test_short(self) -> None:
        """Bytes are missing when an end or a silence came in their place; those under way are not."""
        for values, isShort in (
            ({}, False),
            ({"silence": 10.0}, True),
            ({"end": FIN}, True),
            ({"end": FIN, "came": 10}, False),
            ({"end": FIN, "connected": None}, False),
        ):
            self.assertEqual(self.record(**{"sent": 10, "came": 3} | values).isShort, isShort, values)

    def test_cut(self) -> None:
        """An end is a cut unless we had ended before; a reset always is."""
        self.assertTrue(self.record(end=FIN).isCut)
        self.assertFalse(self.record(end=FIN, isHalfClosed=True).isCut)
        self.assertTrue(self.record(end=RESET, isHalfClosed=True).isCut)
        self.assertFalse(self.record(silence=10.0).isCut)

    def test_age(self) -> None:
        """The age counts from the begin of the connection to its end."""
        self.assertEqual(self.record(ended=4.5).age, 3.5)
        self.assertIsNone(self.record().age)

    def test_data(self) -> None:
        """JSON has what is known, zeros of bytes and the number 0 too, and no peer's bytes as such."""
        data = json.loads(json.dumps(self.record(sent=7, local=("127.0.0.1", 4711)).data()))
        self.assertEqual(
            data,
            {
                "number": 0,
                "check": "identity",
                "began": 1.0,
                "connected": 0.001,
                "local": ["127.0.0.1", 4711],
                "sent": 7,
                "came": 0,
            },
        )
        more = self.record(
            end=Reason(ErrorKind.OTHER, "odd"),
            difference=FLIPPED,
            foreign=b"\x1b[2J" * 99,
            last=sampled(state=1),
        ).data()
        self.assertEqual((more["end"], more["difference"]), ("odd", "1 byte flipped at offset 5"))
        self.assertEqual((more["foreign"][:8], len(more["foreign"])), ("1b5b324a", 128))
        self.assertEqual(more["last"]["state"], 1)
        json.dumps(more)
