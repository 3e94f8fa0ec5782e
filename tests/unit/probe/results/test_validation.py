"""Validation of values from a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.report.page import page
from echo_app.probe.results.results import Results
from echo_app.probe.results.validation import validationError
from tests.support.loads import makeResults, makeRun, steady


class ValidationTests(SynchronousTestCase):
    def test_kinds(self) -> None:
        """Numbers, texts and their containers are told apart, and the first error is named."""
        valid: tuple[tuple[object, Any], ...] = (
            (1, float),
            (1.5, float | None),
            (None, float | None),
            (((1, 2.0), (3, 4.0)), tuple[tuple[int, float], ...]),
            ({"a": [1]}, dict[str, list[int]]),
        )
        for value, kind in valid:
            self.assertEqual(validationError(value, kind, "x"), "")
        invalid: tuple[tuple[object, Any, str], ...] = (
            ("1", float, "x is '1'"),
            (True, int, "x is True"),
            (-1, float, "x is -1"),
            (float("nan"), float, "x is nan"),
            (float("inf"), float, "x is inf"),
            (1.5, int, "x is 1.5"),
            ("1", float | None, "x is '1'"),
            (((1,),), tuple[tuple[int, float], ...], "x[0] is (1,)"),
            ({"a": [1, "b"]}, dict[str, list[int]], "x['a'][1] is 'b'"),
            ({1: 2}, dict[str, int], "a key of x is 1"),
        )
        for value, kind, said in invalid:
            self.assertEqual(validationError(value, kind, "x"), said)


# Replacements of a part of a file.
VALUES: tuple[Any, ...] = ("x", {}, [], 0, -1, float("nan"), None)


def _paths(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields where everything in some JSON is."""
    keys = data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    for key in keys:
        yield (*path, key)
        yield from _paths(data[key], (*path, key))


class DamagedTests(SynchronousTestCase):
    def test_results(self) -> None:
        """A file with any part replaced is damaged, or a page tells of it."""
        whole = makeResults(makeRun(Random(1), steady(), seconds=1, rate=40, kinds={"reset": 0.1})).toJson()
        refused = 0
        for path in _paths(json.loads(whole)):
            for value in VALUES:
                data = at = json.loads(whole)
                for key in path[:-1]:
                    at = at[key]
                at[path[-1]] = value
                try:
                    results = Results.fromJson(json.dumps(data))
                except ValueError:
                    refused += 1
                else:
                    page([results])
        self.assertGreater(refused, 200)
