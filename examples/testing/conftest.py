"""Orders the tests, because methods of Twisted's ``TestCase`` must run before functions."""

import unittest


def pytest_collection_modifyitems(items):
    """Puts the methods first: ``pytest-twisted`` leaves the reactor running after a function."""
    items.sort(key=lambda item: not issubclass(getattr(item, "cls", None) or object, unittest.TestCase))
