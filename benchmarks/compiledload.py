"""Load in C, which is faster than the servers: builds and runs it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.builds import HERE, Missing, buildC, requireHeader
from benchmarks.loads import Load, LoadError, Outcome, Phase, Usage
from benchmarks.rows import Row


@dataclass(frozen=True)
class CompiledLoad(Load):
    """The load of ``load.c``."""

    command: str
    tlsCommand: str = ""
    missing: str = ""
    language = "C"

    def commandFor(self, row: Row) -> str:
        """Returns the path of the program for a row."""
        return self.tlsCommand if row.transport == "tls" else self.command

    def run(self, row: Row, address: tuple[str, int], phase: Phase, usage: Callable[[], Usage]) -> Outcome:
        """Loads a server with a row."""
        words = (row.mode, *address, row.size, row.connections, row.each)
        times = (phase.warmup, phase.seconds, phase.rate)
        process = subprocess.Popen(
            [self.commandFor(row), *map(str, words + times)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                _await(process, "ready")
                before = usage()
                _goOn(process)
                echoes, *figures = _await(process, "done")
                share = phase.rest.share(usage) if phase.rest else None
                after = usage()
                _goOn(process)
                _await(process, "checked")
            finally:
                process.kill()
        return Outcome.between(before, after, int(echoes), *map(float, figures))._replace(share=share)


def compiledLoad() -> CompiledLoad:
    """Returns the load in C, with TLS if OpenSSL's headers are installed.

    :raise Missing: when the load can't be built.
    """
    source = HERE / "load.c"
    connection = HERE / "load_connection.h"
    plain = buildC(source, connection, HERE / "load_plain.h")
    options = ("-DTLS", "-lssl", "-lcrypto")
    try:
        requireHeader("openssl/ssl.h", "libssl-dev")
        tls = buildC(source, connection, HERE / "load_tls.h", name="load_tls", options=options)
    except Missing as error:
        return CompiledLoad(str(plain.path), missing=str(error))
    return CompiledLoad(str(plain.path), str(tls.path))


def _await(process: subprocess.Popen[str], word: str) -> list[str]:
    """Waits for the load's line with a word, and returns the words after it.

    :raise LoadError: when another line comes.
    """
    assert process.stdout is not None
    assert process.stderr is not None
    said = process.stdout.readline().split()
    if said[:1] != [word]:
        lines = process.stderr.read().strip().splitlines()
        raise LoadError(lines[-1] if lines else f"the load ended before it was {word}")
    return said[1:]


def _goOn(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
