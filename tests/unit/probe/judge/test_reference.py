"""The document of the judge's rules is made of their table."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests import ROOT
from tests.unit.probe.judge.reference import reference


class ReferenceTests(SynchronousTestCase):
    def test_reference(self) -> None:
        """The document has each rule with its meaning and its errors, and no other one."""
        written = (ROOT / "docs/findings.rst").read_text()
        self.assertEqual(written, reference(), "run tests.unit.probe.judge.reference")
