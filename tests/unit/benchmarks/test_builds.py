"""The benchmark's builds, and its cores."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import builds, cores
from benchmarks.builds import Missing, buildC, buildGo, buildTokio
from benchmarks.compiledload import compiledLoad
from benchmarks.probeload import ProbeLoad
from benchmarks.rows import rowNamed
from tests.support.ci import RUNS_ALL

try:
    from benchmarks.selection import findLoad
except ModuleNotFoundError as error:
    if RUNS_ALL:
        raise
    skip = f"not installed: {error.name}, of the extra [benchmark], which CI has"


class ToolTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        ours = {"PATH": str(self.folder), "XDG_CACHE_HOME": str(self.folder / "cache")}
        self.patch(os, "environ", {**os.environ, **ours})

    def tool(self, name: str, script: str) -> None:
        """Puts a program where programs are looked for."""
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def test_missing(self) -> None:
        """A missing tool is named, with the package to install."""
        for build, package in (
            (lambda: buildC(builds.HERE / "load.c"), "gcc libc6-dev"),
            (lambda: buildGo(builds.SERVERS / "echo.go"), "golang-go"),
            (buildTokio, "cargo librust-tokio-dev"),
        ):
            self.assertRegex(
                str(self.assertRaises(Missing, build)), rf"found; on Debian: apt-get install {package}\Z"
            )

    def test_noCompiler(self) -> None:
        """Without a compiler the load is the one in Python, and the reason is told."""
        said: list[str] = []
        self.assertIsInstance(findLoad(said), ProbeLoad)
        self.assertRegex("\n".join(said), r"\Athe load in C: .*apt-get install gcc libc6-dev\Z")

    def test_noHeaders(self) -> None:
        """Without OpenSSL's headers the load in C does no TLS, and names the package to install."""
        self.tool("cc", '[ $1 = --version ] || { [ $1 != -E ] && echo >"$5"; }')
        load = compiledLoad()
        self.assertEqual(load.tlsCommand, "")
        self.assertRegex(load.missing, r"\Ano openssl/ssl.h found; on Debian: apt-get install libssl-dev\Z")

    def test_headers(self) -> None:
        """With them there are two programs of one source, one of which does TLS."""
        self.tool("cc", '[ $1 = --version ] || [ $1 = -E ] || echo "$@" >"$5"')
        load = compiledLoad()
        self.assertEqual(load.missing, "")
        over = load.commandFor(rowNamed("tls-1k-10"))
        self.assertIn("-DTLS -lssl -lcrypto", Path(over).read_text())
        self.assertNotIn("-DTLS", Path(load.commandFor(rowNamed("1k-10"))).read_text())

    def test_noCrates(self) -> None:
        """Without Tokio's sources there is no Tokio, and nothing is fetched."""
        self.tool("cargo", "exit 1")
        self.patch(builds, "DEBIAN_CRATES", Path("nowhere"))
        self.assertRegex(str(self.assertRaises(Missing, buildTokio)), "apt-get install librust-tokio-dev")

    def test_fails(self) -> None:
        """A build that fails is told by the last line of the tool's errors."""
        self.tool("cc", "echo one >&2; echo 'the reason' >&2; exit 1")
        error = self.assertRaises(Missing, buildC, builds.HERE / "load.c")
        self.assertEqual(str(error), "load can't be built: the reason")

    def test_cached(self) -> None:
        """A build is used again, until its source or its tool changes."""
        source, log, version = (self.folder / name for name in ("x.c", "log", "version"))
        source.write_text("1")
        version.write_text("v1")
        self.tool("cc", f'[ $1 = --version ] && /bin/cat {version} || {{ echo built >>{log}; echo >"$5"; }}')
        first = buildC(source)
        self.assertEqual(buildC(source), first)
        self.assertEqual((log.read_text(), first.version), ("built\n", "v1"))
        source.write_text("2")
        self.assertNotEqual(buildC(source).path, first.path)
        version.write_text("v2")
        self.assertEqual(buildC(source).version, "v2")
        header = self.folder / "x.h"
        for content in ("1", "1", "2"):
            header.write_text(content)
            buildC(source, header)
        self.assertEqual(log.read_text(), "built\n" * 5)


class CoreTests(SynchronousTestCase):
    def choose(self, allowed: set[int], siblings: set[int]) -> tuple[int, int]:
        """Returns the chosen cores, where the last core has these siblings."""
        self.patch(os, "sched_getaffinity", lambda pid: allowed)
        self.patch(cores, "_siblings", lambda core: siblings)
        return cores.chooseCores()

    def test_two(self) -> None:
        """The server and the load each have one."""
        self.assertEqual(self.choose({0, 1}, {1}), (1, 0))

    def test_siblings(self) -> None:
        """Two halves of one core are not two cores, as long as there is another."""
        self.assertEqual(self.choose({0, 1, 2, 3}, {0, 3}), (3, 1))
        self.assertEqual(self.choose({0, 1}, {0, 1}), (1, 0))

    def test_one(self) -> None:
        """With one core they share it, and it is counted as one."""
        chosen = self.choose({5}, {5})
        self.assertEqual(chosen, (5, 5))
        self.assertEqual(cores.Cores(*chosen).distinct(), 1)

    def test_pinned(self) -> None:
        """A program started inside runs on the core; afterwards everything is as before."""
        before = os.sched_getaffinity(0)
        with cores.pinned(min(before)):
            self.assertEqual(os.sched_getaffinity(0), {min(before)})
        self.assertEqual(os.sched_getaffinity(0), before)
