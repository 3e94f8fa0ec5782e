"""The direct path on a reactor that trial and pytest do not offer."""

from __future__ import annotations

import os
import sys
import unittest
from importlib.util import find_spec

from tests import SUPPORT
from tests.support.service import PATIENCE, ServiceTestCase, reactorName, receiveAll, startSending

if reactorName() != "epoll":
    skip = "the service has a reactor of its own: the tests' does not matter"


class UvloopTests(ServiceTestCase):
    def test_echo(self) -> None:
        """On the asyncio reactor over uvloop's event loop everything comes back, and it stops."""
        if find_spec("uvloop") is None and not os.environ.get("CI"):
            raise unittest.SkipTest("not installed: uvloop")
        script = SUPPORT / "uvloop_service.py"
        server = self.serve(command=(sys.executable, str(script)))
        data = os.urandom(8 << 20)
        peers = [self.connect(server.address()) for _ in range(4)]
        senders = [startSending(peer, data) for peer in peers]
        for peer, sender in zip(peers, senders, strict=True):
            self.assertTrue(receiveAll(peer) == data)
            sender.join(PATIENCE)
        self.assertEqual(server.stop(), 0)
