"""The address that a service reports of us."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.peer import FirstLine, addressOf, parsed

OWN = ("192.0.2.1", 4711)


def line(**said: object) -> bytes:
    """Returns what a service says."""
    return json.dumps({"peer": "192.0.2.1:4711", "proxy": None, "tls": None, **said}).encode() + b"\n"


def seen(line: bytes, isTLS: bool = False) -> FirstLine:
    """Returns what the check has seen of a line."""
    return FirstLine(parsed(line), OWN, isTLS)


class AddressTests(SynchronousTestCase):
    def test_read(self) -> None:
        """Addresses of both families are read, and nothing else is."""
        self.assertEqual(addressOf("192.0.2.1:7"), ("192.0.2.1", 7))
        self.assertEqual(addressOf("[2001:db8::0:1]:7"), ("2001:db8::1", 7))
        for text in ("\x1b[2J:7", "192.0.2.1", "192.0.2.1:x", "", None, 7, "/run/echo.sock"):
            self.assertIsNone(addressOf(text), text)


class FirstLineTests(SynchronousTestCase):
    def test_same(self) -> None:
        """The service may see us as we are."""
        self.assertEqual(str(seen(line())), "seen as 192.0.2.1:4711, as we are")

    def test_mapped(self) -> None:
        """A service on a dual-stack socket may see an IPv4 client as IPv6, which is no translation."""
        self.assertEqual(str(seen(line(peer="[::ffff:192.0.2.1]:4711"))), "seen as 192.0.2.1:4711, as we are")

    def test_translated(self) -> None:
        """Another address, or another port, is a translation."""
        for peer in ("203.0.113.9:4711", "192.0.2.1:60001", "[2001:db8::1]:4711"):
            said = str(seen(line(peer=peer)))
            self.assertIn(f"seen as {peer}, our", said)
            self.assertIn("a NAT or a proxy", said)

    def test_proxy(self) -> None:
        """A proxy that spoke for us is named."""
        self.assertIn("proxy at 10.0.0.2:55", str(seen(line(proxy="10.0.0.2:55"))))

    def test_tls(self) -> None:
        """TLS that is only on one side of the path is told."""
        self.assertIn("TLS ends before the service", str(seen(line(), True)))
        self.assertIn("TLS begins on the way", str(seen(line(tls={"version": "TLSv1.3"}))))
        self.assertNotIn("TLS", str(seen(line(tls={"version": "TLSv1.3"}), True)))

    def test_silent(self) -> None:
        """Another first line is no report of our address."""
        for said in (
            *(b"", b"220 ready\r\n", b"[]\n", b"{}\n", b"7\n", b'{"peer": 7}\n', b"\xff\n"),
            *(b"[" * 4095 + b"\n", line()[:-1], line(peer="\x1b[2J:80")),
        ):
            self.assertEqual(str(seen(said)), "the service does not say", said[:30])
            self.assertEqual(seen(said).data(), {})

    def test_data(self) -> None:
        """JSON has both addresses, and all that the service says."""
        data = seen(line(peer="203.0.113.9:80")).data()
        self.assertEqual((data["peer"], data["own"]), ("203.0.113.9:80", "192.0.2.1:4711"))
