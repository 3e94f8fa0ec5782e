"""Imports go one way: a package imports only packages above it, and there are no circles."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import echo_app
from tests import ROOT
from tests.support import programs

# From the top. A module imports, at run time, from its own package and from those before it.
PACKAGES = (
    "interfaces",
    "clock",
    "text",
    "hints",
    "quantities",
    "addresses",
    "targets",
    "tcpfields",
    "filewatch",
    "transport",
    "connections",
    "stream",
    "udp",
    "proxy",
    "tls",
    "access",
    "faults",
    "responders",
    "accesslog",
    "stack",
    "forward",
    "service",
    "cli",
    "testing",
    "__main__",
)

# The probe judges the service: it shares no code with it that moves bytes.
PROBE_PACKAGES = (
    "clock",
    "text",
    "hints",
    "quantities",
    "addresses",
    "targets",
    "tcpfields",
    "probe.net",
    "probe.results",
    "probe.checks",
    "probe.judge",
    "probe.load",
    "probe.report",
    "probe.cli",
    "probe.__main__",
)

ARCHITECTURE = ROOT / "docs" / "dev" / "architecture.rst"
FOLDER = Path(echo_app.__file__).parent
MODULES = {
    ".".join(path.relative_to(FOLDER).with_suffix("").parts): path
    for path in FOLDER.glob("**/*.py")
    if path.stem != "__init__"
}


def _imported(tree: ast.AST) -> Iterator[str]:
    """Yields the names that are imported at run time, ``module.name``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from _imported(node)


def _importedNames(module: str) -> list[str]:
    return list(_imported(ast.parse(MODULES[module].read_text())))


def _ours(module: str) -> set[str]:
    """Returns the modules of the package that a module imports."""
    names = [
        each.removeprefix("echo_app.") for each in _importedNames(module) if each.startswith("echo_app.")
    ]
    return {each if each in MODULES else each.rpartition(".")[0] for each in names} & MODULES.keys()


def _packageOf(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[: 2 if parts[0] == "probe" else 1])


class DirectionTests(SynchronousTestCase):
    def test_everyPackageHasItsPlace(self) -> None:
        """A package that is new is placed in the order first."""
        self.assertEqual({*map(_packageOf, MODULES)}, {*PACKAGES, *PROBE_PACKAGES})

    def test_documented(self) -> None:
        """The page on the architecture lists the service's packages in the same order."""
        _, table, _ = re.split(r"^=+ =+$", ARCHITECTURE.read_text(), flags=re.M)
        self.assertEqual(tuple(re.findall(r"^\w+", table, re.M)), PACKAGES)

    def test_direction(self) -> None:
        """No module imports from a package below its own, and the probe nothing from the service's."""
        wrong = []
        for module in MODULES:
            own = _packageOf(module)
            order = PROBE_PACKAGES if own.startswith("probe.") else PACKAGES
            allowed = order[: order.index(own) + 1]
            wrong += [f"{module} imports {each}" for each in _ours(module) if _packageOf(each) not in allowed]
        self.assertEqual(wrong, [])

    def test_noCircle(self) -> None:
        """No modules import each other in a circle."""
        try:
            TopologicalSorter({module: _ours(module) for module in MODULES}).prepare()
        except CycleError as error:
            self.fail(f"a circle: {error.args[1]}")

    def test_testingStandsAlone(self) -> None:
        """The modules by which tests start a service import neither the service nor Twisted.

        They import two modules of the service, which import only the standard library: the fields of the
        access log, which a record has, and those of a snapshot.
        """
        light = ("controlconnection", "process", "records", "server", "mixin", "plugin", "child")
        allowed = ("echo_app.testing", "echo_app.accesslog.fields.", "echo_app.service.snapshot.")
        for name in (*(f"testing.{each}" for each in light), "accesslog.fields", "service.snapshot"):
            names = _importedNames(name)
            foreign = [each for each in names if each.startswith(("echo_app", "twisted"))]
            self.assertEqual([each for each in foreign if not each.startswith(allowed)], [], name)

    def test_memoryStandsAlone(self) -> None:
        """The modules that connect protocols in memory import nothing of the service."""
        for name in ("memorysocket", "turns", "memory"):
            names = _importedNames(f"testing.{name}")
            foreign = [each for each in names if re.match(r"echo_app(?!\.testing\.)", each)]
            self.assertEqual(foreign, [], name)


class ReactorTests(SynchronousTestCase):
    def test_onlyTheCommandLine(self) -> None:
        """The commands import the global reactor, and no other module does."""
        importing = [each for each in MODULES if "twisted.internet.reactor" in _importedNames(each)]
        self.assertEqual(sorted(importing), ["cli.tap", "probe.cli.command", "testing.childservice"])

    def test_notOnImport(self) -> None:
        """Importing any module, the plugin included, installs no reactor."""
        ours = [f"echo_app.{each}" for each in MODULES if not each.endswith("__main__")]
        modules = ", ".join(["echo_app", "twisted.plugins.echo_plugin", *ours])
        code = f"import sys, {modules}; sys.exit('twisted.internet.reactor' in sys.modules)"
        self.assertEqual(programs.run(sys.executable, "-c", code).returncode, 0)
