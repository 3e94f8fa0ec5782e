"""The servers that the benchmark compares, and their programs on this machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from benchmarks.builds import HERE, SERVERS, Built, Missing, buildC, buildGo, buildTokio, tool
from benchmarks.certificate import certificate
from benchmarks.rows import FORWARD, OURS, RELAY
from echo_app.testing import EchoProcess

# The options for a listener, by transport.
Options = Mapping[str, tuple[str, ...]]

STREAMS: Options = {"tcp": ("--port", "0")}
BOTH: Options = {**STREAMS, "udp": ("--udp", "0")}
TLS: Options = {**STREAMS, "tls": ("--tls", "0")}
ALL: Options = {**BOTH, **TLS}

# Of relays, with the place of the upstream's address; of our own, Twisted's client endpoint makes the second
# connection Twisted's.
RELAYED: Options = {FORWARD: ("--port", "0", "--forward", "{upstream}")}
RELAYED_BY_TWISTED: Options = {FORWARD: ("--port", "0", "--forward", "tcp:{upstream}")}

OUR_PACKAGES = ("echo_app", "Twisted")

# The peer that is the upstream of all relays.
UPSTREAM = "c"


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that can be run.

    :param name: the name in options and results.
    :param title: the name in tables.
    :param command: the command, which takes options, and ``--ready-file FILE`` after them.
    :param version: the versions of its parts.
    :param options: the options by transport, without those that the server lacks; for TLS, a certificate
        follows.
    """

    name: str
    title: str
    command: tuple[str, ...]
    version: str
    options: Options

    def process(self, transport: str, *more: str, upstream: tuple[str, int] = ("", 0)) -> EchoProcess:
        """Returns the server, not yet started.

        :param more: more options.
        :param upstream: host and port of the upstream of a relay.
        :raise KeyError: when the server lacks this transport.
        """
        path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
        address = f"{upstream[0]}:{upstream[1]}"
        options = (*(each.replace("{upstream}", address) for each in self.options[transport]), *more)
        if transport == "tls":
            options += ("--certificate", str(certificate()))
        return EchoProcess(*options, command=self.command, env={"PYTHONPATH": path})


class Program(NamedTuple):
    """A command, and the versions of its parts."""

    command: tuple[str, ...]
    version: str


def _twistd() -> Program:
    twistd = str(Path(sys.executable).with_name("twistd"))
    return Program((twistd, "-n", "--pidfile=", "echo"), versions(*OUR_PACKAGES))


def _python(module: str, *arguments: str, packages: tuple[str, ...] = ()) -> Program:
    command = (sys.executable, "-m", f"benchmarks.servers.{module}", *arguments)
    return Program(command, versions(*packages))


def _relayProgram(name: str, versionOption: str, line: int) -> Program:
    """Returns a relay that is a program of Debian's.

    :param versionOption: prints the version.
    :param line: the number of the line that has the version, from 0 on.
    """
    path = tool((name,), name)
    printed = subprocess.run([path, versionOption], capture_output=True, text=True).stdout.splitlines()
    return Program(_python("relay_program", path).command, printed[line].strip())


def _built(build: Callable[[], Built]) -> Program:
    built = build()
    return Program((str(built.path),), built.version)


def versions(*packages: str) -> str:
    """Returns the versions of packages and of Python.

    :raise Missing: when a package is not installed.
    """
    try:
        found = [f"{package} {version(package)}" for package in packages]
    except PackageNotFoundError as error:
        raise Missing(f"no {error.name} installed; bin/benchmark installs it") from None
    return ", ".join([*found, f"{platform.python_implementation()} {platform.python_version()}"])


def _service(*more: str) -> Options:
    return {
        "tcp": ("--port", "0", *more),
        "tls": ("--tls", "0", *more),
        "udp": ("--udp", "0", "--udp-rate", "0", *more),
    }


class Candidate(NamedTuple):
    """A peer that may need to be built, and may be impossible on this machine.

    :param make: raises :class:`Missing` when the peer can't be run here.
    """

    title: str
    make: Callable[[], Program]
    options: Options


# In the order of the tables.
CANDIDATES: Mapping[str, Candidate] = {
    OURS: Candidate("echo_app", _twistd, _service()),
    "no-direct": Candidate("echo_app --no-direct", _twistd, _service("--no-direct")),
    "textbook": Candidate(
        "Twisted, textbook", partial(_python, "textbook", packages=("Twisted", "pyOpenSSL")), ALL
    ),
    "asyncio": Candidate("asyncio", partial(_python, "asyncio_protocol", "asyncio"), ALL),
    "uvloop": Candidate("uvloop", partial(_python, "asyncio_protocol", "uvloop", packages=("uvloop",)), ALL),
    "go": Candidate("Go", partial(_built, partial(buildGo, SERVERS / "echo.go")), TLS),
    "tokio": Candidate("Tokio", partial(_built, buildTokio), STREAMS),
    UPSTREAM: Candidate("C, epoll", partial(_built, partial(buildC, SERVERS / "echo.c")), BOTH),
    RELAY: Candidate("echo_app, forwarding", _twistd, RELAYED),
    "twisted-leg": Candidate("echo_app, Twisted's endpoint", _twistd, RELAYED_BY_TWISTED),
    "portforward": Candidate(
        "Twisted, portforward", partial(_python, "portforward", packages=("Twisted",)), RELAYED
    ),
    "uvloop-relay": Candidate(
        "uvloop, relay", partial(_python, "uvloop_relay", packages=("uvloop",)), RELAYED
    ),
    "haproxy": Candidate("HAProxy", partial(_relayProgram, "haproxy", "-v", 0), RELAYED),
    "socat": Candidate("socat", partial(_relayProgram, "socat", "-V", 1), RELAYED),
}


def makePeer(name: str) -> Peer:
    """Returns a peer, and builds it if needed.

    :raise Missing: when the peer can't be run here.
    """
    candidate = CANDIDATES[name]
    return Peer(name, candidate.title, *candidate.make(), candidate.options)
