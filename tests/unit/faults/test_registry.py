"""The registry of faults, and the page that documents it."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from echo_app.faults.fault import MessageFault, ShapingFault
from echo_app.faults.registry import FAULTS
from echo_app.faults.spec import parseFault
from tests import ROOT

PAGE = ROOT / "docs" / "faults.rst"

ENTRY = re.compile(r"^``(\S+)`` \(([a-z ]+)\)\n((?:    .+\n)+)", re.MULTILINE)
KEY = re.compile(r"^``((\S+)=\S+)`` +(?!\()", re.MULTILINE)


class PageTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.page = PAGE.read_text()

    def test_faults(self) -> None:
        """The page has each fault with a correct spec, its listeners, its effect, and its keys."""
        found = {
            parseFault(spec).name: (places, " ".join(text.split()))
            for spec, places, text in ENTRY.findall(self.page)
        }
        self.assertEqual(list(found), list(FAULTS))
        for name, kind in FAULTS.items():
            does = str(kind.__doc__).partition("\n")[0]
            keys = ", ".join(kind.keyNames())
            isOfMessages = issubclass(kind, MessageFault)
            if issubclass(kind, ShapingFault) or not isOfMessages:
                places = "streams and datagrams" if isOfMessages else "streams"
            else:
                places = "messages"
            expected = places, f"{does} Keys: {keys}."
            self.assertEqual((found[name][0], found[name][1][: len(expected[1])]), expected)

    def test_keys(self) -> None:
        """The page has each key, with a value that some fault takes."""
        specs = [f"{spec}," for spec, _, _ in ENTRY.findall(self.page)]
        keys = {key for kind in FAULTS.values() for key in kind.keyNames()}
        self.assertEqual({key for _, key in KEY.findall(self.page)}, keys)
        for part, key in KEY.findall(self.page):
            beside = ",for=1s" if key == "every" else ""
            takers = [spec for spec in specs if key in parseFault(spec[:-1]).keyNames()]
            parseFault(takers[0] + part + beside)
