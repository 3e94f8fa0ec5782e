"""Nothing is lost when a peer ends its stream: contract 2.2, and identity, 2.1."""

from __future__ import annotations

import os

from tests.functional.service import ServiceTestCase, receiveAll, sendAndEnd

LOOP = 200


class OneSegmentTests(ServiceTestCase):
    """Data and FIN in one segment: the case that does not pass by luck."""

    def _check(self, size: int) -> None:
        server = self.serve("--port", "0", "--listen", "unix:echo.sock")
        data = os.urandom(size)
        for transport in ("tcp", "unix"):
            lost = 0
            for _ in range(LOOP):
                peer = self.connect(server.address(transport))
                sendAndEnd(peer, data)
                lost += receiveAll(peer) != data
                peer.close()
            self.assertEqual(lost, 0, transport)

    def test_oneByte(self) -> None:
        """One byte comes back, 200 times of 200."""
        self._check(1)

    def test_oneKibibyte(self) -> None:
        """1 KiB comes back, 200 times of 200."""
        self._check(1024)

    def test_oneSegment(self) -> None:
        """60,000 bytes, the most that one segment takes on loopback, come back, 200 times of 200."""
        self._check(60_000)
