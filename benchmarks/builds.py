"""Builds of the benchmark's C, Go and Rust programs, once, into a cache folder.

Nothing is downloaded: Tokio comes from the sources that Debian's packages install.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SERVERS = HERE / "servers"
DEBIAN_CRATES = Path("/usr/share/cargo/registry")


class Missing(Exception):
    """A program that can't be built here; the text has the reason, and a remedy."""


@dataclass(frozen=True, slots=True)
class Built:
    """A program that was built.

    :param version: the version of the compiler or of the crate.
    """

    path: Path
    version: str


def _firstLine(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout.partition("\n")[0].strip()


# The folders of services such as HAProxy, which are not in the search path of every user.
_SERVICES = "/usr/local/sbin:/usr/sbin"


def tool(names: tuple[str, ...], package: str) -> str:
    """Returns the path of the first of these programs that is installed.

    :param package: the Debian package that has the program.
    :raise Missing: when none is.
    """
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), _SERVICES])
    for name in names:
        if (found := shutil.which(name, path=path)) is not None:
            return found
    raise Missing(f"no {' or '.join(names)} found; on Debian: apt-get install {package}")


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "echo_app" / "benchmarks"


def _build(name: str, version: str, sources: list[Path], command: Callable[[Path], list[str]]) -> Built:
    """Builds a program, unless the cache has it from the same sources and tool.

    :param name: the program's path in the folder of the build.
    :param command: takes an empty folder; returns the command that builds the program in it, under its name.
    :raise Missing: when the program can't be built.
    """
    content = b"\0".join([version.encode(), *(source.read_bytes() for source in sources)])
    path = _cache() / f"{Path(name).name}-{hashlib.sha256(content).hexdigest()[:16]}"
    if path.exists():
        return Built(path, version)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        # Go would fetch a toolchain of another version.
        env = {**os.environ, "GOTOOLCHAIN": "local", "GO111MODULE": "off"}
        run = subprocess.run(command(Path(folder)), env=env, capture_output=True, text=True)
        if run.returncode != 0:
            last = (run.stderr.strip() or f"status {run.returncode}").splitlines()[-1]
            raise Missing(f"{Path(name).name} can't be built: {last.strip()}")
        (Path(folder) / name).rename(path)
    return Built(path, version)


def _compiler() -> str:
    return tool(("cc", "gcc", "clang"), "gcc libc6-dev")


def buildC(source: Path, *headers: Path, name: str = "", options: tuple[str, ...] = ()) -> Built:
    """Builds a program of one file in C.

    :param headers: the headers of this folder that it includes.
    :param name: the program's name; empty is the source's.
    :param options: options for the compiler, after the source.
    :raise Missing: without a compiler.
    """
    compiler = _compiler()
    name = name or source.stem

    def command(folder: Path) -> list[str]:
        return [compiler, "-O2", "-Wall", "-Wextra", "-o", str(folder / name), str(source), *options]

    return _build(name, _firstLine(compiler, "--version"), [source, *headers], command)


def requireHeader(name: str, package: str) -> None:
    """Checks that the header of a library is installed.

    :param name: the header's name.
    :param package: the Debian package that has the header.
    :raise Missing: without the header, or without a compiler.
    """
    command = [_compiler(), "-E", "-include", name, "-xc", os.devnull]
    if subprocess.run(command, capture_output=True).returncode != 0:
        raise Missing(f"no {name} found; on Debian: apt-get install {package}")


def buildGo(source: Path) -> Built:
    """Builds a program of one file in Go.

    :raise Missing: without Go's tools.
    """
    go = tool(("go",), "golang-go")
    name = f"{source.stem}_go"

    def command(folder: Path) -> list[str]:
        return [go, "build", "-o", str(folder / name), str(source)]

    return _build(name, _firstLine(go, "version"), [source], command)


def buildTokio() -> Built:
    """Builds the Tokio server, with the crates that Debian's packages install.

    :raise Missing: without cargo or the crates.
    """
    cargo = tool(("cargo",), "cargo librust-tokio-dev")
    crates = sorted(DEBIAN_CRATES.glob("tokio-[0-9]*"))
    if not crates:
        raise Missing(f"no tokio in {DEBIAN_CRATES}; on Debian: apt-get install librust-tokio-dev")
    crate = crates[-1].name.replace("-", " ")
    sources = [SERVERS / "tokio" / "Cargo.toml", SERVERS / "tokio" / "src" / "main.rs"]

    def command(folder: Path) -> list[str]:
        # cargo writes Cargo.lock beside the sources.
        shutil.copytree(SERVERS / "tokio", folder / "sources")
        return [
            cargo,
            "install",
            "--offline",
            f"--path={folder / 'sources'}",
            f"--root={folder}",
            '--config=source.crates-io.replace-with="debian"',
            f'--config=source.debian.directory="{DEBIAN_CRATES}"',
        ]

    return _build("bin/echo_tokio", f"{crate}, {_firstLine(cargo, '--version')}", sources, command)
