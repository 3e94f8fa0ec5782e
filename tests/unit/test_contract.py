"""The page of promises names tests that exist, and tests cite clauses that exist."""

from __future__ import annotations

import ast
import re
from functools import cache

from twisted.trial.unittest import SynchronousTestCase

from tests import ROOT

PAGE = ROOT / "docs" / "dev" / "contract.rst"

# Promises that no test checks. A test for one of them takes it off, and a new promise has a test.
UNTESTED = 2


@cache
def _tests(path: str) -> set[str]:
    """Returns the tests that a file defines, as ``TestClass.test_name``."""
    found: set[str] = set()
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.ClassDef):
            functions = (
                each for each in node.body if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef))
            )
            found.update(f"{node.name}.{each.name}" for each in functions)
    return found


class ContractTests(SynchronousTestCase):
    def setUp(self) -> None:
        parts = re.split(r"^(\d+)\. .*\n-+$", PAGE.read_text(), flags=re.M)[1:]
        self.clauses = dict(zip(map(int, parts[::2]), parts[1::2], strict=True))

    def test_numbers(self) -> None:
        """The clauses are numbered from 1 on."""
        self.assertEqual([*self.clauses], [*range(1, 12)])

    def test_named(self) -> None:
        """Every test that is named exists."""
        named = re.findall(r"``(tests/\S+\.py) (\w+\.\w+)``", PAGE.read_text())
        self.assertEqual([each for each in named if each[1] not in _tests(each[0])], [])
        self.assertGreater(len(named), 100)

    def test_promises(self) -> None:
        """Every promise has a test, except those that say that they have none."""
        promises = [each for text in self.clauses.values() for each in text.split("\n- ")[1:]]
        self.assertEqual(
            [each for each in promises if "``tests/" not in each and "**No test**" not in each], []
        )
        self.assertEqual(sum("**No test**" in each for each in promises), UNTESTED)

    def test_cited(self) -> None:
        """Every clause that a test cites exists."""
        cited: set[int] = set()
        for path in (ROOT / "tests").rglob("test_*.py"):
            for numbers in re.findall(r"contract\.rst, ([\d, ]+\d)", path.read_text()):
                cited.update(map(int, numbers.split(", ")))
        self.assertEqual(cited - self.clauses.keys(), set())
        self.assertTrue(cited)
