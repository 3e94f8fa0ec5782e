"""Certificates and their renewal; other projects' scanners on the defaults."""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import unittest
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from echo_app.filewatch import INTERVAL
from echo_app.testing import EchoProcess, EchoProcessError
from tests.support import programs
from tests.support.certificates import Authority, Key, ellipticKey, rsaKey
from tests.support.kernel import waitUntil
from tests.support.service import PATIENCE, ServiceTestCase
from tests.support.tls import VERSIONS, TLSPeer, clientContext

# The Python of an environment that has sslyze; CI makes one.
SSLYZE = "ECHO_APP_TEST_SSLYZE"


class CertificateTests(ServiceTestCase):
    def setUp(self) -> None:
        self.authority = Authority(Path(self.mktemp()))

    def shown(self, server: EchoProcess) -> bytes:
        """Returns the certificate that a new connection is shown."""
        peer = TLSPeer(self.connect(server.address("tls"))).shake()
        shown = peer.tls.getpeercert(binary_form=True)
        assert shown is not None
        return shown

    def test_throwAway(self) -> None:
        """A service without files has a certificate for localhost, whose fingerprint is in the log."""
        server = self.serve("--tls", "0", "--interface", "127.0.0.1", "--interface", "::1")
        certificate = x509.load_der_x509_certificate(self.shown(server))
        fingerprint = certificate.fingerprint(hashes.SHA256()).hex(":").upper()
        self.assertIn(f"SHA-256 {fingerprint}", server.log())
        self.assertIn("(tls)", server.log())
        authority = Path(self.mktemp())
        authority.write_text(ssl.DER_cert_to_PEM_cert(self.shown(server)))
        context = ssl.create_default_context(cafile=str(authority))
        for index, name in ((0, "localhost"), (0, "127.0.0.1"), (1, "::1")):
            with context.wrap_socket(self.connect(server.address("tls", index)), server_hostname=name):
                pass

    def test_reload(self) -> None:
        """At SIGHUP new connections are shown the renewed files, and old connections go on."""
        certificate, key = self.authority.issue("server")
        server = self.serve("--tls", "0", "--certificate", certificate, "--key", key)
        old = TLSPeer(self.connect(server.address("tls"))).shake()
        before = self.shown(server)
        self.authority.issue("server")
        self.assertEqual(self.shown(server), before)
        server.signal(signal.SIGHUP)
        self.assertTrue(waitUntil(lambda: self.shown(server) != before))
        old.send(b"still here")
        self.assertEqual(old.receive(10), b"still here")

    def test_resumed(self) -> None:
        """A client resumes its session, but not after a reload."""
        certificate, key = self.authority.issue("server")
        server = self.serve("--tls", "0", "--certificate", certificate, "--key", key)
        contexts = [clientContext(version) for version in VERSIONS]
        sessions: dict[ssl.SSLContext, ssl.SSLSession | None] = dict.fromkeys(contexts)

        def resumed() -> list[bool]:
            """Connects once with each context; returns whether its last session was resumed."""
            found = []
            for context in contexts:
                peer = TLSPeer(self.connect(server.address("tls")), context, sessions[context]).shake()
                peer.send(b"?")
                self.assertEqual(peer.receive(1), b"?")
                sessions[context] = peer.tls.session
                found.append(bool(peer.tls.session_reused))
            return found

        self.assertEqual([resumed(), resumed()], [[False, False], [True, True]])
        server.signal(signal.SIGHUP)
        self.assertTrue(waitUntil(lambda: "certificate files read again" in server.log()))
        self.assertEqual([resumed(), resumed()], [[False, False], [True, True]])

    def test_renewed(self) -> None:
        """Files whose symbolic links are swapped, as Kubernetes does, are read again without a signal."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        for name in ("old", "new"):
            certificate, key = self.authority.issue("server")
            (folder / name).mkdir()
            shutil.move(certificate, folder / name / "tls.crt")
            shutil.move(key, folder / name / "tls.key")
        (folder / "..data").symlink_to("old")
        for name in ("tls.crt", "tls.key"):
            (folder / name).symlink_to(f"..data/{name}")
        server = self.serve(
            *("--tls", "0", "--certificate", str(folder / "tls.crt"), "--key", str(folder / "tls.key"))
        )
        before = self.shown(server)
        (folder / "..data_tmp").symlink_to("new")
        os.replace(folder / "..data_tmp", folder / "..data")
        # Two looks.
        self.assertTrue(waitUntil(lambda: "certificate files read again" in server.log(), 4 * INTERVAL))
        self.assertNotEqual(self.shown(server), before)

    def test_revoked(self) -> None:
        """A certificate that --client-crl revokes is refused; a reload reads a new list."""
        good, bad = self.authority.issue("good"), self.authority.issue("bad")
        crl = self.authority.revoke(bad[0])
        server = self.serve("--tls", "0", "--client-ca", self.authority.path, "--client-crl", crl)

        def admitted(issued: tuple[str, str]) -> list[bool]:
            """Returns whether a client is admitted, by version."""
            found = []
            for version in VERSIONS:
                context = clientContext(version)
                context.load_cert_chain(*issued)
                try:
                    # Over TLS 1.3 the client has done its part before it is refused.
                    peer = TLSPeer(self.connect(server.address("tls")), context).shake()
                    peer.send(b"?")
                    found.append(peer.receive(1) == b"?")
                except ssl.SSLError as error:
                    self.assertIn("REVOKED", str(error))
                    found.append(False)
            return found

        self.assertEqual([admitted(good), admitted(bad)], [[True, True], [False, False]])
        self.authority.revoke(good[0])
        server.signal(signal.SIGHUP)
        self.assertTrue(waitUntil(lambda: "certificate files read again" in server.log()))
        self.assertEqual([admitted(good), admitted(bad)], [[False, False], [True, True]])

    def test_reloadUnusable(self) -> None:
        """Files that can't be used change nothing, and one line says why."""
        certificate, key = self.authority.issue("server")
        server = self.serve("--tls", "0", "--certificate", certificate, "--key", key)
        before = self.shown(server)
        good = Path(key).read_bytes()
        _, other = self.authority.issue("other")
        for content, reason in (
            (Path(other).read_bytes(), f"not the key of {certificate}"),
            (b"junk", "no usable private key in PEM form"),
            (None, "No such file or directory"),
        ):
            if content is None:
                os.unlink(key)
            else:
                Path(key).write_bytes(content)
            lines = server.log().count("\n")
            server.signal(signal.SIGHUP)
            expected = f"certificate files not read again: {key}: {reason}\n"
            self.assertTrue(waitUntil(lambda expected=expected: expected in server.log()), server.log())  # type: ignore[misc]
            self.assertEqual(server.log().count("\n"), lines + 1)
            self.assertEqual(self.shown(server), before)
        Path(key).write_bytes(good)

    def test_clientCertificates(self) -> None:
        """--client-ca wants a certificate that leads to one of its own."""
        certificate, key = self.authority.issue("server", rsaKey())
        server = self.serve(
            *("--tls", "0", "--certificate", certificate, "--key", key, "--client-ca", self.authority.path)
        )
        other = Authority(Path(self.mktemp()))
        for version in VERSIONS:
            context = clientContext(version)
            context.load_cert_chain(*self.authority.issue("client"))
            peer = TLSPeer(self.connect(server.address("tls")), context).shake()
            peer.send(b"known")
            self.assertEqual(peer.receive(5), b"known")
            for issued in (None, other.issue("stranger")):
                context = clientContext(version)
                if issued is not None:
                    context.load_cert_chain(*issued)
                with self.assertRaises(ssl.SSLError):
                    # Over TLS 1.3 the client has done its part before it is refused.
                    TLSPeer(self.connect(server.address("tls")), context).shake().receive(1)

    def test_wrongFiles(self) -> None:
        """A wrong file is named with its option, in one line, before anything starts."""
        certificate, key = self.authority.issue("server")
        _, other = self.authority.issue("other")
        expired = self.authority.revoke(until=datetime.now(UTC) - timedelta(minutes=1))
        for options, line in (
            (("--certificate", "none.pem"), "--certificate 'none.pem': No such file or directory"),
            (("--certificate", key), f"--certificate {key!r}: no usable certificate in PEM form"),
            (("--certificate", certificate), f"--certificate {certificate!r}: no usable private key"),
            (
                ("--certificate", certificate, "--key", other),
                f"--key {other!r}: not the key of {certificate}",
            ),
            (("--client-ca", key), f"--client-ca {key!r}: no usable certificate in PEM form"),
            (
                ("--client-ca", self.authority.path, "--client-crl", expired),
                f"--client-crl {expired!r}: the CRL of CN=authority has expired, on 20",
            ),
        ):
            with self.assertRaises(EchoProcessError) as raised:
                self.serve("--tls", "0", *options)
            printed = str(raised.exception).splitlines()
            self.assertEqual(len(printed), 1, printed)
            self.assertIn(f"echo: {line}", printed[0])


class ScannerTests(ServiceTestCase):
    """sslyze, which runs in an environment of its own."""

    def setUp(self) -> None:
        python = os.environ.get(SSLYZE, "")
        if not shutil.which(python):
            reason = f"{SSLYZE} does not name the Python of an environment that has sslyze"
            if os.environ.get("CI"):
                raise AssertionError(reason)
            raise unittest.SkipTest(reason)
        self.python = python

    def _check(self, key: Key) -> None:
        authority = Authority(Path(self.mktemp()))
        certificate, keyPath = authority.issue("server", key)
        server = self.serve("--tls", "0", "--certificate", certificate, "--key", keyPath)
        report = Path(self.mktemp()).absolute()
        done = programs.run(
            *(self.python, "-W", "ignore", "-m", "sslyze", "--mozilla_config=intermediate"),
            *("--certinfo_ca_file", authority.path, "--json_out", str(report)),
            "localhost:{}".format(server.address("tls")[1]),
            text=True,
            timeout=4 * PATIENCE,
        )
        self.assertIn("OK - Compliant", done.stdout, done.stdout + done.stderr)
        result = json.loads(report.read_text())["server_scan_results"][0]["scan_result"]
        curves = result["elliptic_curves"]["result"]["supported_curves"]
        self.assertEqual({curve["name"] for curve in curves}, {"X25519", "secp256r1", "secp384r1"})

    def test_elliptic(self) -> None:
        """With a key on P-256 the defaults are compliant with Mozilla's intermediate profile."""
        self._check(ellipticKey())

    def test_rsa(self) -> None:
        """With an RSA key too."""
        self._check(rsaKey())
