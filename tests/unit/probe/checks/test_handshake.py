"""Conclusions about TLS."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from echo_app.probe.checks.check import Result, Status
from echo_app.probe.checks.handshake import ENDS, SOON, Agreement, judge
from echo_app.probe.net.errors import ErrorKind, Reason
from tests.support.certificates import Authority
from tests.support.probing import ResultTestCase

CLOSE_NOTIFY, TRUNCATED, RESET = map(Reason, (ErrorKind.CLOSE_NOTIFY, ErrorKind.TRUNCATED, ErrorKind.RESET))

GOOD = (CLOSE_NOTIFY,) * ENDS
DAY = timedelta(days=1)


class JudgeTests(ResultTestCase):
    def setUp(self) -> None:
        path, _ = Authority(Path(self.mktemp())).issue("server")
        certificate = ssl.PEM_cert_to_DER_cert(Path(path).read_text())
        self.agreement = Agreement("TLSv1.3", "TLS_AES_256_GCM_SHA384", None, certificate)
        # The certificate is of yesterday, and ends in 80 days.
        self.now = datetime.now(UTC)

    def judge(
        self, name: str = "localhost", ends: tuple[Reason | None, ...] = GOOD, later: int = 0
    ) -> Result:
        """Judges it, some days later."""
        return judge(self.agreement, name, ends, self.now + later * DAY)

    def test_good(self) -> None:
        """The negotiated values are reported, with the certificate's end."""
        for name in ("localhost", "127.0.0.1", "::1"):
            result = self.judge(name)
            self.check(result, Status.PASS)
            until = self.now + 80 * DAY
            self.assertIn(f"TLSv1.3, TLS_AES_256_GCM_SHA384, certificate until {until:%Y-%m-%d}", result.seen)
            self.assertEqual(result.details["names"], ["localhost", "127.0.0.1", "::1"])

    def test_dates(self) -> None:
        """A certificate that has ended, has not begun, or ends soon, is a warning."""
        for later, words in ((90, "expired"), (-3, "not valid before"), (80 - SOON.days + 1, "in 12 days")):
            result = self.judge(later=later)
            self.check(result, Status.WARN, words)
        self.assertIs(self.judge(later=80 - SOON.days - 2).status, Status.PASS)

    def test_names(self) -> None:
        """A certificate for another name is reported."""
        for name in ("echo.example", "192.0.2.1"):
            result = self.judge(name)
            self.check(result, Status.WARN)
            self.assertIn("names 'localhost', '127.0.0.1', '::1', not " + name, result.seen)

    def test_truncation(self) -> None:
        """One end without close_notify is a warning; a reset, or no end, only if no other end was seen."""
        for ends, words in (
            ((CLOSE_NOTIFY, TRUNCATED, CLOSE_NOTIFY), "FIN without close_notify"),
            ((RESET,) * ENDS, "no close_notify, but reset"),
            ((None,) * ENDS, "no close_notify, but no end"),
        ):
            result = self.judge(ends=ends)
            self.check(result, Status.WARN, words)
        self.assertIs(self.judge(ends=(RESET, None, CLOSE_NOTIFY)).status, Status.PASS)

    def test_unreadable(self) -> None:
        """A certificate that can't be read is a warning, and no traceback."""
        for certificate in (b"", b"junk"):
            result = judge(Agreement("TLSv1.3", "cipher", None, certificate), "localhost", GOOD, self.now)
            self.check(result, Status.WARN)

    def test_protocol(self) -> None:
        """The protocol of ALPN is reported, and a peer's bytes are escaped."""
        agreement = Agreement("TLSv1.3", "cipher", "h2\x1b", self.agreement.certificate)
        self.assertIn("'h2\\x1b'", judge(agreement, "localhost", GOOD, self.now).seen)
