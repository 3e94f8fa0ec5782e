"""From files to credentials, with words for what is wrong with a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from echo_app.tls.certificates import GROUPS, contexts, fingerprint
from echo_app.tls.credentials import BadCredentials, readAuthorities, readIdentity
from tests.support.certificates import Authority, ellipticKey, pem, rsaKey

# A key on a curve that OpenSSL knows and the package cryptography does not, and its certificate: made by
# "openssl ecparam -name secp112r1 -genkey" and "openssl req -x509".
UNKNOWN_KEY = b"""-----BEGIN PRIVATE KEY-----
ME4CAQAwEAYHKoZIzj0CAQYFK4EEAAYENzA1AgEBBA7BSSwtDL9Q/QNgECIVD6Eg
Ax4ABDkITUdjrsa9hu/yTlvXEJkUTmnmftNShC9Y4xY=
-----END PRIVATE KEY-----
"""
UNKNOWN_CERTIFICATE = b"""-----BEGIN CERTIFICATE-----
MIIBJTCB8KADAgECAhRVcJXa8pUWf+SgkF+MATDaDzQNJzAKBggqhkjOPQQDAjAO
MQwwCgYDVQQDDANvZGQwHhcNMjYxMTI5MTQzODM0WhcNMzYxMTI2MTQzODM0WjAO
MQwwCgYDVQQDDANvZGQwMjAQBgcqhkjOPQIBBgUrgQQABgMeAAQ5CE1HY67GvYbv
8k5b1xCZFE5p5n7TUoQvWOMWo1MwUTAdBgNVHQ4EFgQUdErUyBr5EJjUbGxGQ+1E
M2ClLy8wHwYDVR0jBBgwFoAUdErUyBr5EJjUbGxGQ+1EM2ClLy8wDwYDVR0TAQH/
BAUwAwEB/zAKBggqhkjOPQQDAgMkADAhAg8AhUKvj55c0bPPu+NeygsCDi+Xpggi
AiK9o7/nO5Qo
-----END CERTIFICATE-----
"""


class ReadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.authority = Authority(self.folder)
        self.certificate, self.key = self.authority.issue("server")

    def write(self, content: bytes) -> str:
        """Writes a file; returns its path."""
        path = self.folder / os.urandom(4).hex()
        path.write_bytes(content)
        return str(path)

    def refused(self, *paths: str) -> tuple[str, str, str]:
        """Returns which setting is refused, whose file, and why."""
        return self._refused(readIdentity, *paths)

    def _refused(self, read: Callable[..., object], *paths: str) -> tuple[str, str, str]:
        error = self.assertRaises(BadCredentials, read, *paths)
        self.assertEqual(str(error), f"{error.path}: {error.reason}")
        return error.setting, error.path, error.reason

    def test_pair(self) -> None:
        """A certificate and its key load from two files or from one, in any order."""
        other = Path(self.authority.path).read_bytes()
        chain, key = Path(self.certificate).read_bytes(), Path(self.key).read_bytes()
        found = {
            fingerprint(readIdentity(self.certificate, self.key)),
            fingerprint(readIdentity(self.write(chain + key))),
            fingerprint(readIdentity(self.write(key + chain))),
            fingerprint(readIdentity(self.write(key + chain), self.key)),
            fingerprint(readIdentity(self.certificate, self.write(other + key))),
        }
        self.assertEqual(len(found), 1)
        for path in (self.write(chain + key), self.write(key + chain)):
            self.assertEqual(set(contexts(readIdentity(path))), set(GROUPS))

    def test_rsa(self) -> None:
        """RSA is as good."""
        contexts(readIdentity(*self.authority.issue("other", rsaKey())))

    def test_missing(self) -> None:
        """A file that is not there."""
        reason = "No such file or directory"
        self.assertEqual(self.refused("none"), ("certificate", "none", reason))
        self.assertEqual(self.refused(self.certificate, "none"), ("key", "none", reason))
        self.assertEqual(self._refused(readAuthorities, "none"), ("client-ca", "none", reason))

    def test_directory(self) -> None:
        """A directory in place of a file."""
        self.assertEqual(self.refused(str(self.folder))[2], "Is a directory")

    def test_junk(self) -> None:
        """A file without a certificate or a key is refused."""
        junk = self.write(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        certificate = "no usable certificate in PEM form"
        for path in (junk, self.key, self.write(b""), self.write(b"\xff\x00")):
            self.assertEqual(self.refused(path), ("certificate", path, certificate))
            self.assertEqual(self._refused(readAuthorities, path), ("client-ca", path, certificate))
        for path in (junk, self.certificate, self.write(b"")):
            self.assertEqual(
                self.refused(self.certificate, path), ("key", path, "no usable private key in PEM form")
            )
        self.assertEqual(
            self.refused(self.certificate),
            ("certificate", self.certificate, "no usable private key in PEM form"),
        )

    def test_encrypted(self) -> None:
        """A key with a passphrase is refused, without a question."""
        path = self.write(pem(ellipticKey(), b"secret"))
        self.assertEqual(self.refused(self.certificate, path), ("key", path, "the key is encrypted"))

    def test_unknownCurve(self) -> None:
        """A key, or a certificate's key, on a curve that the package cryptography does not know."""
        key, certificate = self.write(UNKNOWN_KEY), self.write(UNKNOWN_CERTIFICATE)
        self.assertEqual(
            self.refused(self.certificate, key), ("key", key, "no usable private key in PEM form")
        )
        self.assertEqual(
            self.refused(certificate, self.key), ("certificate", certificate, "no usable public key")
        )

    def test_order(self) -> None:
        """A file whose first certificate is not the key's, but another one is, has the wrong order."""
        chain = self.write(Path(self.authority.path).read_bytes() + Path(self.certificate).read_bytes())
        reason = "the order is wrong: the certificate of the key must be the first one"
        self.assertEqual(self.refused(chain, self.key), ("certificate", chain, reason))

    def test_revocation(self) -> None:
        """A revocation list beside the certificate would not be used."""
        path = self.write(Path(self.certificate).read_bytes() + Path(self.authority.revoke()).read_bytes())
        setting, _, reason = self.refused(path, self.key)
        self.assertEqual((setting, "--client-crl" in reason), ("certificate", True))

    def test_mismatch(self) -> None:
        """Another certificate's key is refused."""
        _, other = self.authority.issue("other")
        reason = f"not the key of {self.certificate}"
        self.assertEqual(self.refused(self.certificate, other), ("key", other, reason))

    def test_chain(self) -> None:
        """The certificates of the chain are sent too."""
        chain = self.write(Path(self.certificate).read_bytes() + Path(self.authority.path).read_bytes())
        identity = readIdentity(chain, self.key)
        self.assertEqual(len(x509.load_pem_x509_certificates(identity)), 2)
        contexts(identity)
