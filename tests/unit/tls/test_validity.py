"""What an operator is told about dates and chains."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from echo_app.tls import validity
from echo_app.tls.validity import Deadline, chainWarnings, deadlinesOf
from tests.support.certificates import Authority

NOW = datetime(2030, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


class DeadlineTests(SynchronousTestCase):
    def test_warning(self) -> None:
        """There is a warning from a day ahead, another one afterwards, and none before."""
        deadline = Deadline("it", NOW, "it is over")
        self.assertIsNone(deadline.warning(NOW - 25 * HOUR))
        for hours in (23, 1):
            self.assertEqual(
                deadline.warning(NOW - hours * HOUR), "it expires on 2030-01-01 00:00 UTC; then it is over"
            )
        for hours in (1, 1000):
            self.assertEqual(
                deadline.warning(NOW + hours * HOUR), "it has expired, on 2030-01-01 00:00 UTC: it is over"
            )

    def test_certificates(self) -> None:
        """Each certificate of a file has its own."""
        authority = Authority(Path(self.mktemp()))
        path, _ = authority.issue("leaf", until=NOW)
        chain = x509.load_pem_x509_certificates(Path(path).read_bytes() + authority.pem)
        leaf, root = deadlinesOf(chain, "file", "x")
        self.assertEqual((leaf.until, root.until < NOW), (NOW, True))
        self.assertEqual([leaf.subject, root.subject], ["file: certificate 1", "file: certificate 2"])


class ChainTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(self.mktemp())
        self.root = Authority(folder / "root", "root")
        self.between = Authority(folder / "between", "between", self.root)
        self.leaf = Path(self.between.issue("leaf")[0]).read_bytes()

    def warnings(self, *parts: bytes) -> list[str]:
        """Returns the warnings about a chain, without its file's name."""
        chain = x509.load_pem_x509_certificates(b"".join(parts))
        return [each.removeprefix("file: ") for each in chainWarnings(chain, "file", datetime.now(UTC))]

    def test_complete(self) -> None:
        """A chain with its intermediate, with or without its root, and a root alone, are well."""
        for chain in (
            [self.leaf, self.between.pem],
            [self.leaf, self.between.pem, self.root.pem],
            [self.root.pem],
        ):
            self.assertEqual(self.warnings(*chain), [])

    def test_missing(self) -> None:
        """A leaf without its intermediate is told, unless the machine trusts its issuer as a root."""
        (warning,) = self.warnings(self.leaf)
        self.assertIn("the issuer's certificate, CN=between, is not in the file", warning)
        self.patch(validity, "trustedRoots", lambda: [ssl.PEM_cert_to_DER_cert(self.between.pem.decode())])
        self.assertEqual(self.warnings(self.leaf), [])

    def test_order(self) -> None:
        """A wrong order is called that, once."""
        (warning,) = self.warnings(self.leaf, self.root.pem, self.between.pem)
        self.assertIn("the order is wrong", warning)
        self.assertIn("after CN=leaf must come its issuer, CN=between, and not CN=root", warning)

    def test_early(self) -> None:
        """A certificate that is not valid yet is told, with its date."""
        leaf, _ = self.between.issue("early", since=NOW, until=NOW + HOUR)
        (warning,) = self.warnings(Path(leaf).read_bytes(), self.between.pem)
        self.assertEqual(warning, "certificate 1 is not valid before 2030-01-01 00:00 UTC: clients refuse it")
