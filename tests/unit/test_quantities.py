"""The grammar of times, sizes and rates that users type."""

from __future__ import annotations

import re
from time import process_time

from twisted.trial.unittest import SynchronousTestCase

from echo_app.quantities import BYTES, MESSAGES, RATE, SECONDS, SIZE, SPAN, TIME, WHOLE_SECONDS, Quantity
from tests import ROOT


class ParseTests(SynchronousTestCase):
    def test_times(self) -> None:
        """Times have the same units everywhere, and are in seconds without one where that is allowed."""
        for text, seconds in (
            *(("500us", 0.0005), ("50ms", 0.05), ("1.5s", 1.5), ("5m", 300), ("5min", 300), ("2h", 7200)),
            *((".5s", 0.5), ("5.s", 5), ("1e-3s", 0.001), ("1E3ms", 1), ("+1s", 1)),
        ):
            self.assertEqual((TIME.parse(text), SECONDS.parse(text)), (seconds, seconds), text)
        for text, seconds in (("90", 90), ("0", 0), ("1.5", 1.5), (".5", 0.5), ("1e10", 1e10)):
            self.assertEqual(SECONDS.parse(text), seconds)
            self.assertRaises(ValueError, TIME.parse, text)

    def test_sizes(self) -> None:
        """Sizes have decimal and binary units, and are whole numbers of bytes."""
        for text, size in (
            *(
                ("100B", 100),
                ("5k", 5000),
                ("5kB", 5000),
                ("64KiB", 65536),
                ("1MB", 10**6),
                ("1GiB", 1 << 30),
            ),
            *(("1.5KiB", 1536), ("2M", 2 * 10**6), ("1G", 10**9)),
        ):
            self.assertEqual((SIZE.parse(text), BYTES.parse(text)), (size, size), text)
        self.assertEqual(BYTES.parse("64"), 64)

    def test_rates(self) -> None:
        """Rates are bytes or bits a second, or messages a second."""
        for text, rate in (
            *(("10MB/s", 10**7), ("64KiB/s", 65536), ("5k/s", 5000), ("100B/s", 100)),
            *(("1Mbit/s", 125_000), ("800bit/s", 100), ("1Gbit/s", 125 * 10**6)),
        ):
            self.assertEqual(RATE.parse(text), rate, text)
        for text, messages in (("500", 500), ("0.5/s", 0.5), ("5k", 5000), ("2.5k/s", 2500)):
            self.assertEqual(MESSAGES.parse(text), messages, text)

    def test_wrong(self) -> None:
        """Everything else is an error with the allowed forms."""
        kinds: tuple[tuple[Quantity, tuple[str, ...]], ...] = (
            (SECONDS, ("", "-1", "nan", "inf", "x", "1e999", "1 s", "s", "1_0", "٣", "5d", "9" * 5000)),
            (WHOLE_SECONDS, ("1.5", "500ms")),
            (TIME, ("25h", "86401s")),
            (SPAN, ("0s", "999us")),
            (SIZE, ("1.5B", "2000GiB", "1KB")),
            (RATE, ("0B/s", "1MB", "1Mbps", "1%/s")),
        )
        for kind, texts in kinds:
            for text in texts:
                error = self.assertRaises(ValueError, kind.parse, text)
                self.assertIn(f"not {kind.description}", str(error))
        self.assertRaises(ValueError, SECONDS.parsePositive, "0")

    def test_likely(self) -> None:
        """An error suggests forms that are allowed: with a unit, in its letter case, without a space."""
        for kind, text, likely in (
            (TIME, "50", ["50s", "50ms", "50min"]),
            (TIME, "50mx", ["50m", "50ms"]),
            (TIME, "5 min", ["5min"]),
            (TIME, "100000", ["100000ms"]),
            (SECONDS, "5sec", ["5s"]),
            (SECONDS, "5hours", ["5h"]),
            (SECONDS, "5MS", ["5ms"]),
            (SIZE, "1KB", ["1kB"]),
            (SIZE, "64kib", ["64KiB"]),
            (RATE, "1M", ["1M/s"]),
            (RATE, "1Mbit", ["1Mbit/s"]),
            (RATE, "10mb/s", ["10MB/s"]),
            (SECONDS, "soon", []),
            (TIME, "9" * 30, []),
        ):
            self.assertEqual(sorted(kind.likely(text)), sorted(likely), text)
            self.assertTrue(all(kind.parse(each) for each in likely))

    def test_quick(self) -> None:
        """No text takes long, however it is made."""
        start = process_time()
        for text in ("9" * 1000, "1e999s", "1e-999", "1" + "s" * 1000, "1e999" * 100, "." * 1000):
            for kind in (TIME, RATE):
                self.assertRaises(ValueError, kind.parse, text)
        self.assertLess(process_time() - start, 1)

    def test_documented(self) -> None:
        """Each form in the table of the documents is one of its kind."""
        _, _, body, _ = re.split(r"^=+ =+ =+$", (ROOT / "docs/quantities.rst").read_text(), flags=re.M)
        kinds = {"time": SECONDS, "size": BYTES, "rate of bytes": RATE, "rate of messages": MESSAGES}
        kind = ""
        for line in body.strip().splitlines():
            kind = line[:20].strip() or kind
            for form in re.findall(r"``(.*?)``", line):
                self.assertTrue(kinds[kind].parse(form) if kind in kinds else kind == "probability", form)
