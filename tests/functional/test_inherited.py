"""docs/dev/contract.rst over Twisted's own path: the direct path changes the cost, not the behaviour.

Each class of these modules runs again here, with ``--no-direct``.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from tests.support.ci import onlyInCI
from tests.support.service import ServiceTestCase

skip = onlyInCI("each of these tests runs over the direct path, too")

MODULES = ("backpressure", "clients", "halfclose", "isolation", "latency", "limits", "stop")


def _again(module: ModuleType) -> dict[str, type[ServiceTestCase]]:
    """Returns the module's test classes, as classes of this module's that do not take the direct path."""
    mine = {"always": ("--no-direct",), "__module__": __name__}
    return {
        f"Inherited{name}": type(f"Inherited{name}", (each,), mine)
        for name, each in vars(module).items()
        if isinstance(each, type) and issubclass(each, ServiceTestCase) and each.__module__ == module.__name__
    }


for _name in MODULES:
    globals().update(_again(import_module(f"tests.functional.test_{_name}")))
