"""Imports go one way: from a room of the house to those above it."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import echo_app
from tests import programs

# From the top; a module imports, at run time, only what stands before it.
HOUSE = (
    "interfaces",
    "layer",
    "recording.record",
    "addresses",
    "access.networks",
    "recording.accesslog",
    "limits",
    "counts",
    "snapshot",
    "faults.kinds",
    "faults.spec",
    "sockets",
    "recording.tcpinfo",
    "tls.facts",
    "recording.recorder",
    "recording.transports",
    "protocol",
    "gates",
    "proxy.header",
    "proxy.gate",
    "datagram",
    "datagramport",
    "responders.framing",
    "responders.answers",
    "responders.answering",
    "responders.builtin",
    "responders.named",
    "recording.datagrams",
    "poller",
    "acceptor",
    "direct",
    "timeouts",
    "drain",
    "pemfiles",
    "endpoints",
    "tls.records",
    "tls.certificates",
    "access.loginline",
    "access.checkers",
    "access.login",
    "tls.session",
    "faults.draws",
    "faults.valves",
    "faults.datagrams",
    "faults.flow",
    "faults.flowlayer",
    "faults.plan",
    "faults.preamble",
    "faults.layer",
    "faults.faulty",
    "faults.refusing",
    "tls.waiting",
    "tls.connection",
    "tls.endpoint",
    "tls.server",
    "listeners",
    "faults.misbehaviour",
    "readyfile",
    "shared",
    "service",
    "arguments",
    "tls.options",
    "access.options",
    "faults.options",
    "options",
    "process",
    "tap",
    "testing.control",
    "testing.process",
    "testing.records",
    "testing.server",
    "testing.mixin",
    "testing.plugin",
    "testing.spoken",
    "testing.child",
    "testing.memorysocket",
    "testing.turns",
    "testing.memory",
    "testing.__main__",
)
PACKAGE = Path(echo_app.__file__).parent
PROBE = PACKAGE / "probe"
ROOMS = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in PACKAGE.glob("**/*.py")
    if path.stem != "__init__" and PROBE not in path.parents
}


def _imported(tree: ast.AST) -> Iterator[str]:
    """Yields the names of the modules that are imported at run time."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from _imported(node)


class DirectionTests(SynchronousTestCase):
    def test_everyRoomHasItsPlace(self) -> None:
        """A module that is not in the list has to be placed first."""
        self.assertEqual(set(ROOMS), set(HOUSE))

    def test_direction(self) -> None:
        """No module imports one that stands below it, or itself."""
        wrong = []
        for name, path in ROOMS.items():
            for imported in _imported(ast.parse(path.read_text())):
                room = imported.removeprefix("echo_app.").rpartition(".")[0]
                if room in HOUSE and HOUSE.index(room) >= HOUSE.index(name):
                    wrong.append(f"{name} imports {room}")
        self.assertEqual(wrong, [])

    def test_testingStandsAlone(self) -> None:
        """What tests use to start a service has nothing of the service in it, and nothing of Twisted."""
        for room in ("control", "process", "records", "server", "mixin", "plugin", "child"):
            imported = _imported(ast.parse(ROOMS[f"testing.{room}"].read_text()))
            foreign = [
                name
                for name in imported
                if name.startswith(("echo_app", "twisted")) and not name.startswith("echo_app.testing")
            ]
            self.assertEqual(foreign, [], room)

    def test_memoryStandsAlone(self) -> None:
        """What connects protocols in memory has nothing of the service in it."""
        for room in ("memorysocket", "turns", "memory"):
            imported = _imported(ast.parse(ROOMS[f"testing.{room}"].read_text()))
            foreign = [name for name in imported if re.match(r"echo_app(?!\.testing\.)", name)]
            self.assertEqual(foreign, [], room)


class ProbeTests(SynchronousTestCase):
    """A judge shares no code with the judged."""

    def test_standsAlone(self) -> None:
        """The probe imports nothing of the service, its version apart."""
        allowed = ("echo_app.probe.", "echo_app.__version__")
        wrong = [
            f"{path.name} imports {name}"
            for path in PROBE.glob("**/*.py")
            for name in _imported(ast.parse(path.read_text()))
            if name.startswith("echo_app") and not name.startswith(allowed)
        ]
        self.assertEqual(wrong, [])


class ReactorTests(SynchronousTestCase):
    def test_onlyTheCommandLine(self) -> None:
        """The global reactor is imported by the commands, and nowhere else."""
        importing = [
            name
            for name, path in ROOMS.items()
            if "twisted.internet.reactor" in _imported(ast.parse(path.read_text()))
        ]
        self.assertEqual(importing, ["tap", "testing.spoken"])

    def test_notOnImport(self) -> None:
        """Importing any module of ours, the plugin included, installs no reactor."""
        modules = ", ".join(["echo_app", "twisted.plugins.echo_plugin"] + [f"echo_app.{r}" for r in HOUSE])
        code = f"import sys, {modules}; sys.exit('twisted.internet.reactor' in sys.modules)"
        self.assertEqual(programs.run(sys.executable, "-c", code).returncode, 0)
