"""Connections whose largest segment is capped, on real sockets."""

from __future__ import annotations

import socket
from typing import Any

from echo_app.probe.checks.evidence import CheckSettings
from echo_app.probe.net.errors import ErrorKind, NetworkError
from echo_app.probe.net.segments import connectWithSegments
from tests.support.probing import context, examined
from tests.support.service import ServiceTestCase

# Payload bytes of a segment, and of a transfer.
SEGMENT, SIZE = 600, 1 << 15


class SegmentsTests(ServiceTestCase):
    async def test_capped(self) -> None:
        """Both ends send segments of that size at the most, and every byte comes back."""
        _, port = self.serve("--port", "0").address("tcp")
        async with await context(f"127.0.0.1:{port}").connect(segment=SEGMENT) as link:
            link.send(SIZE)
            self.assertTrue(await link.receiveRest())
        record = link.record
        assert record.made is not None
        assert record.last is not None
        self.assertLessEqual(record.made.sendMSS, SEGMENT)
        self.assertGreaterEqual(record.last.dataSegmentsIn, SIZE // SEGMENT)
        self.assertGreaterEqual(record.last.dataSegmentsOut, SIZE // SEGMENT)

    async def test_refused(self) -> None:
        """A connection that is refused is said to be, and leaves nothing with the reactor."""
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            reactor: Any = context("127.0.0.1:7").reactor
            with self.assertRaises(NetworkError) as raised:
                await connectWithSegments(reactor, "127.0.0.1", port, SEGMENT)
        self.assertIs(raised.exception.reason.kind, ErrorKind.REFUSED)
        self.assertEqual([each for each in reactor.getWriters() if each.fileno() < 0], [])

    async def test_loopback(self) -> None:
        """On loopback, whose segments are larger than those of Ethernet, no size is tried."""
        _, port = self.serve("--port", "0").address("tcp")
        done = await examined(context(f"127.0.0.1:{port}", settings=CheckSettings()), "segments")
        self.assertIn("no path of Ethernet", done.seen("segments"))
        self.assertEqual(done.causes, {})
