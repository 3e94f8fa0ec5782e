"""Names of protocols that are no echo."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.net.foreign import notTLS, protocolOf


class ForeignTests(SynchronousTestCase):
    def test_protocolOf(self) -> None:
        """The first bytes tell some protocols; others have no name."""
        for data, name in (
            (b"HTTP/1.1 400 Bad Request\r\n", "HTTP"),
            (b"<!DOCTYPE HTML>\n<html>", "HTTP"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
            (b"yz{|}~ !\"#$%&'()*+,-./0123456789", "a character generator (RFC 864)"),
            (b"abcdefgh hello, world", ""),
            (b"\x15\x03\x03\0\x02\x02\x28", "a TLS alert"),
            (b"PROXY TCP4 127.0.0.1", "a PROXY header"),
            (b"\x8f\x02", ""),
            (b"", ""),
        ):
            self.assertEqual(protocolOf(data), name, data)

    def test_notTLS(self) -> None:
        """A server's first bytes are a TLS record, or something else that is named."""
        for data, said in (
            (b"", ""),
            (b"\x16", ""),
            (b"\x16\x03\x03\0\x7a\x02\0\0", ""),
            (b"\x15\x03\x03\0\x02\x02\x28", ""),
            (b"\x16\x03\x01\x02\0\x01\0", "our own handshake came back"),
            (b"HTTP/1.1 400", "HTTP came"),
            (b"220 mail", "other bytes came"),
        ):
            self.assertEqual(notTLS(data), said, data)
