"""The table of faults, and the page that says what is in it."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from echo_app.faults.kinds import KINDS
from echo_app.faults.spec import parseFault
from tests import ROOT

PAGE = ROOT / "docs" / "faults.rst"

ENTRY = re.compile(r"^``(\S+)`` \(([a-z ]+)\)\n((?:    .+\n)+)", re.MULTILINE)
KEY = re.compile(r"^``((\S+)=\S+)`` +(?!\()", re.MULTILINE)


class PageTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.page = PAGE.read_text()

    def test_faults(self) -> None:
        """The page has each fault with a spec that is one, where it applies, what it does, and its keys."""
        found = {
            parseFault(spec).name: (places, " ".join(text.split()))
            for spec, places, text in ENTRY.findall(self.page)
        }
        self.assertEqual(list(found), list(KINDS))
        for name, kind in KINDS.items():
            places = {"streams": kind.isForStreams, "datagrams": kind.isForDatagrams}
            text = f"{kind.does[0].upper()}{kind.does[1:]}. Keys: {', '.join(kind.keys)}."
            expected = " and ".join(place for place, applies in places.items() if applies), text
            self.assertEqual((found[name][0], found[name][1][: len(text)]), expected)

    def test_keys(self) -> None:
        """The page has each key, with a value that some fault takes."""
        specs = [f"{spec}," for spec, _, _ in ENTRY.findall(self.page)]
        keys = {key for kind in KINDS.values() for key in kind.keys}
        self.assertEqual({key for _, key in KEY.findall(self.page)}, keys)
        for part, key in KEY.findall(self.page):
            beside = ",for=1s" if key == "every" else ""
            takers = [spec for spec in specs if key in KINDS[parseFault(spec[:-1]).name].keys]
            parseFault(takers[0] + part + beside)
