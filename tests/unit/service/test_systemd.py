"""Sockets that a service manager passes, without a process that has them."""

from __future__ import annotations

import contextlib
import os
import socket

from twisted.internet.endpoints import AdoptedStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase

from echo_app.service import systemd
from echo_app.service.systemd import isLocal, systemdEndpoint


def closeIfOpen(descriptor: int) -> None:
    """Closes a descriptor that a test may have closed."""
    with contextlib.suppress(OSError):
        os.close(descriptor)


class SystemdTests(SynchronousTestCase):
    """With a UNIX and an INET socket that listen, and one of datagrams."""

    def setUp(self) -> None:
        self.sockets = [socket.socket(socket.AF_UNIX), socket.create_server(("127.0.0.1", 0))]
        self.sockets[0].bind("")
        self.sockets[0].listen()
        self.sockets.append(socket.socket(type=socket.SOCK_DGRAM))
        for each in self.sockets:
            self.addCleanup(each.close)
        # Copies, which a test may close.
        copies = [os.dup(each.fileno()) for each in self.sockets]
        for copy in copies:
            self.addCleanup(closeIfOpen, copy)
        self.passed = list(zip(("local", "web", "udp"), copies, strict=True))
        self.patch(systemd, "passedSockets", lambda: self.passed)

    def found(self, description: str) -> tuple[int, int] | None:
        """Returns the index and the family of a description's socket; None leaves it to Twisted."""
        endpoint = systemdEndpoint(None, description)
        if endpoint is None:
            return None
        assert isinstance(endpoint, AdoptedStreamServerEndpoint)
        return [each for _, each in self.passed].index(endpoint.fileno), endpoint.addressFamily

    def test_short(self) -> None:
        """A name or an index is enough: the family is the socket's own."""
        for places, found in ((("local", "0"), (0, socket.AF_UNIX)), (("web", "1"), (1, socket.AF_INET))):
            for place in places:
                self.assertEqual(self.found(f"systemd:{place}"), found)

    def test_long(self) -> None:
        """Twisted's forms have their meaning; one that is wrong is left to Twisted."""
        for description in ("domain=INET:index=1", "INET:1", "INET:name=web", "name=web:domain=INET"):
            self.assertEqual(self.found(f"systemd:{description}"), (1, socket.AF_INET), description)
        for wrong in ("INET:index=7", "INET:name=x", "index=1", "", "X:1", "INET:1:web", "INET:1:y=2"):
            self.assertIsNone(self.found(f"systemd:{wrong}"), wrong)

    def test_wrong(self) -> None:
        """A name without a socket or with two, and a socket of datagrams or one that does not listen."""
        for place in ("3", "mail"):
            self.assertRaises(LookupError, self.found, f"systemd:{place}")
        self.assertIn("no stream socket", str(self.assertRaises(ValueError, self.found, "systemd:udp")))
        deaf = socket.socket()
        self.addCleanup(deaf.close)
        self.passed += [("web", deaf.fileno())]
        self.assertRaises(ValueError, self.found, "systemd:3")
        self.assertIn("2 sockets", str(self.assertRaises(ValueError, self.found, "systemd:web")))

    def test_taken(self) -> None:
        """A second endpoint of a socket fails, also if its descriptor is another file's by then."""
        first, second = (systemdEndpoint(MemoryReactor(), f"systemd:{place}") for place in ("web", "1"))
        assert first is not None
        assert second is not None
        self.successResultOf(first.listen(Factory()))
        self.failureResultOf(second.listen(Factory()), ValueError)
        os.dup2(self.sockets[0].fileno(), second.fileno)
        self.failureResultOf(second.listen(Factory()), ValueError)

    def test_local(self) -> None:
        """Only a UNIX socket is local."""
        for description in ("systemd:local", "systemd:0", "systemd:domain=UNIX:index=1", "systemd:UNIX:0"):
            self.assertTrue(isLocal(description), description)
        for description in ("systemd:web", "systemd:mail", "systemd:udp", "systemd:INET:0"):
            self.assertFalse(isLocal(description), description)
