"""Client TLS: the context and the name that connections share, and the errors of files."""

from __future__ import annotations

import contextlib
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.targets import ClientTLS
from echo_app.tls.client import OutgoingTLS
from echo_app.tls.credentials import BadCredentials
from echo_app.tls.session import BrokenSession
from tests.support.certificates import Authority, ellipticKey, pem


class OutgoingTLSTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.authority = Authority(self.folder)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*self.authority.issue("server"))

    def shake(self, settings: ClientTLS, host: str = "localhost") -> tuple[ssl.SSLObject, ssl.SSLObject]:
        """Does a handshake with a server; returns the client's side and the server's."""
        session = OutgoingTLS(settings, host, Clock()).session(None)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = self.context.wrap_bio(incoming, outgoing, server_side=True)
        for _ in range(3):
            incoming.write(session.outgoing.read())
            with contextlib.suppress(ssl.SSLWantReadError):
                server.do_handshake()
            session.receive(outgoing.read())
        self.assertFalse(session.isShaking)
        assert session.tls is not None
        return session.tls, server

    def reason(self, settings: ClientTLS, host: str = "localhost") -> str:
        """Returns why the server's certificate is refused."""
        error = self.assertRaises(BrokenSession, self.shake, settings, host)
        assert isinstance(error.__cause__, ssl.SSLCertVerificationError), error
        return error.__cause__.verify_message

    def refused(self, settings: ClientTLS) -> tuple[str, str]:
        """Returns the setting and the text of the error of a file."""
        error = self.assertRaises(BadCredentials, OutgoingTLS, settings, "localhost", Clock())
        self.assertIn(error.path, str(error))
        return error.setting, error.reason

    def test_trusted(self) -> None:
        """A certificate of the authority is accepted for its names and addresses."""
        settings = ClientTLS(authority=self.authority.path)
        for host in ("localhost", "localhost.", "127.0.0.1", "::1", "::1%lo"):
            tls, _ = self.shake(settings, host)
            self.assertEqual(tls.version(), "TLSv1.3")

    def test_refused(self) -> None:
        """A certificate of another authority, or for another name or address, is refused."""
        settings = ClientTLS(authority=self.authority.path)
        self.assertIn("issuer", self.reason(ClientTLS()))
        self.assertIn("mismatch", self.reason(settings, "echo.example"))
        self.assertIn("mismatch", self.reason(settings, "127.0.0.2"))
        self.assertIn(
            "mismatch", self.reason(ClientTLS(authority=settings.authority, serverName="echo.example"))
        )

    def test_expired(self) -> None:
        """A certificate that is too old is refused."""
        day = timedelta(days=1)
        now = datetime.now(UTC)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*self.authority.issue("old", since=now - 2 * day, until=now - day))
        self.assertIn("expired", self.reason(ClientTLS(authority=self.authority.path)))

    def test_serverName(self) -> None:
        """The settings' name is asked for and checked, in place of the host."""
        asked: list[str | None] = []
        self.context.sni_callback = lambda _tls, name, _context: asked.append(name)
        self.shake(ClientTLS(authority=self.authority.path, serverName="localhost"), "192.0.2.1")
        self.shake(ClientTLS(authority=self.authority.path), "127.0.0.1")
        self.assertEqual(asked, ["localhost", None])

    def test_insecure(self) -> None:
        """Without a check every certificate is accepted, and no name is needed."""
        for host in ("echo.example", ""):
            self.shake(ClientTLS(isInsecure=True), host)

    def test_protocols(self) -> None:
        """Application protocols are offered."""
        self.context.set_alpn_protocols(["h2"])
        tls, _ = self.shake(ClientTLS(isInsecure=True, protocols=("http/1.1", "h2")))
        self.assertEqual(tls.selected_alpn_protocol(), "h2")

    def test_ourCertificate(self) -> None:
        """A server that asks for a certificate gets ours."""
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.context.load_verify_locations(self.authority.path)
        certificate, key = self.authority.issue("client")
        both = self.folder / "both.pem"
        both.write_bytes(Path(certificate).read_bytes() + Path(key).read_bytes())
        for settings in (
            ClientTLS(isInsecure=True, certificate=certificate, key=key),
            ClientTLS(isInsecure=True, certificate=str(both)),
        ):
            _, server = self.shake(settings)
            self.assertTrue(server.getpeercert(binary_form=True))

    def test_files(self) -> None:
        """A file that can't be used is named, with its setting."""
        junk = self.folder / "junk.pem"
        junk.write_text("junk")
        other = self.folder / "other.pem"
        other.write_bytes(pem(ellipticKey()))
        certificate, key = self.authority.issue("client")
        missing = str(self.folder / "missing.pem")
        for settings, setting, reason in (
            (ClientTLS(authority=missing), "authority", "No such file"),
            (ClientTLS(authority=str(junk)), "authority", "no usable certificate"),
            (ClientTLS(certificate=missing), "certificate", "No such file"),
            (ClientTLS(certificate=str(junk), key=key), "certificate", "no usable certificate"),
            (ClientTLS(certificate=certificate), "certificate", "no usable private key"),
            (ClientTLS(certificate=certificate, key=missing), "key", "No such file"),
            (ClientTLS(certificate=certificate, key=str(other)), "key", "not the key of"),
            (ClientTLS(key=key), "key", "there is no certificate"),
        ):
            found, text = self.refused(settings)
            self.assertEqual(found, setting)
            self.assertIn(reason, text)

    def test_weak(self) -> None:
        """A certificate that only OpenSSL refuses is named, too."""
        certificate, key = self.authority.issue("client")

        def refuse(context: ssl.SSLContext, *arguments: object, **more: object) -> None:
            error = ssl.SSLError(1, "weak")
            error.reason = "EE_KEY_TOO_SMALL"
            raise error

        self.patch(ssl.SSLContext, "load_cert_chain", refuse)
        self.assertEqual(
            self.refused(ClientTLS(certificate=certificate, key=key)), ("certificate", "ee key too small")
        )

    def test_names(self) -> None:
        """A name that no certificate could have is an error at once."""
        for host in ("", ".example", "a" * 64 + ".example", "x\0y"):
            error = self.assertRaises(ValueError, OutgoingTLS, ClientTLS(), host, Clock())
            self.assertTrue(str(error).isprintable(), error)

    def test_timeout(self) -> None:
        """A handshake takes more than no time."""
        self.assertRaises(ValueError, OutgoingTLS, ClientTLS(), "localhost", Clock(), 0)
