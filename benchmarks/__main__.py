"""The command line of ``bin/benchmark``."""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import shutil
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console

from benchmarks.builds import Missing
from benchmarks.cores import chooseCores
from benchmarks.estimates import FEWEST
from benchmarks.measuring import BenchmarkError, Laboratory, Plan
from benchmarks.peers import CANDIDATES
from benchmarks.picture import draw
from benchmarks.progress import showProgress
from benchmarks.pythons import findPythons
from benchmarks.report import page, printTables
from benchmarks.results import Results
from benchmarks.rows import ROUNDS, ROWS
from benchmarks.selection import findLoad, findPeers, possibleRows, wantedRows
from echo_app.probe.results.machine import describeMachine


class Parser(argparse.ArgumentParser):
    """Ends the process with one line for a wrong option."""

    def error(self, message: str) -> NoReturn:
        """Ends the process with the error."""
        self.exit(2, f"benchmark: {message}\n")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


def _writable(text: str) -> Path:
    path = Path(text)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not a file in an existing folder")
    return path


def _folder(text: str) -> Path:
    path = Path(text)
    there = next(each for each in (path, *path.absolute().parents) if each.exists())
    if not there.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} can't be a folder: {str(there)!r} is a file")
    return path


def _program(text: str) -> str:
    if (found := shutil.which(text)) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a program")
    # Servers run in folders of their own. A link stays one: an environment's Python is a link to another's.
    return os.path.abspath(found)


def _results(text: str) -> Results:
    try:
        return Results.fromJson(Path(text).read_text())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise argparse.ArgumentTypeError(f"{text!r}: {reason}") from None


def parser() -> Parser:
    """Returns the parser of the command line."""
    names = "\n".join(f"  {row.name:13}{row.title}{' (quick)' if row.quick else ''}" for row in ROWS)
    peers = "\n".join(f"  {peer:13}{title}" for peer, (title, *_) in CANDIDATES.items())
    made = Parser(
        prog="benchmark",
        usage="bin/benchmark [options]",
        description="Measures the cost of an echo for echo_app and its peers, each in a process of its own.",
        epilog=f"rows:\n{names}\n\npeers:\n{peers}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("--quick", action="store_true", help="only the headline rows, briefly: under three minutes")
    add(
        "--rounds",
        type=_count,
        metavar="N",
        help="rounds for each server [15; 5 in idle rows and with --quick]",
    )
    add("--seconds", type=_seconds, metavar="SECONDS", help="seconds of a round [0.5; 0.3 with --quick]")
    add(
        "--only",
        action="append",
        choices=[row.name for row in ROWS],
        metavar="ROW",
        help="this row; repeatable",
    )
    add("--peer", action="append", choices=list(CANDIDATES), metavar="PEER", help="this server; repeatable")
    add(
        "--python",
        action="append",
        type=_program,
        metavar="PATH",
        help="compare our own server under this Python, in the quick rows, with the first one; repeatable",
    )
    add("--json", type=_writable, metavar="FILE", help="write every sample to this file")
    add(
        "--output",
        type=_folder,
        metavar="FOLDER",
        help="write performance.rst, .png and .svg in this folder, made if needed",
    )
    add("--read", type=_results, metavar="FILE", help="measure nothing: report a file of --json")
    return made


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the options of a command line; ends the process for a wrong one.

    :param words: the command line; None is that of the process.
    """
    made = parser()
    options = made.parse_args(words)
    for name in ("peer", "output"):
        if options.python and getattr(options, name):
            made.error(f"argument --{name}: not with --python")
    if options.read and options.read.reference and options.output:
        made.error("argument --output: there is no page of a comparison of Pythons")
    return options


def _run(options: argparse.Namespace, console: Console) -> Results:
    """Measures the rows and peers of the options."""
    rounds = options.rounds or (FEWEST if options.quick else 0)
    seconds = options.seconds or (0.3 if options.quick else 0.5)
    missing: list[str] = []
    busy, _, _ = os.getloadavg()
    load = findLoad(missing)
    if options.python:
        peers = findPythons(options.python)
    else:
        peers = findPeers(options.peer or list(CANDIDATES), missing, console.print)
    wanted = wantedRows(options.only or [], options.quick or bool(options.python))
    cores = chooseCores()
    rows = possibleRows(wanted, peers, load, cores.distinct(), missing)
    plan = Plan(tuple(rows), tuple(peers), rounds, 0.3 * seconds, seconds)
    if not plan.measurements():
        raise BenchmarkError("; ".join(["nothing can be measured", *missing]))
    results = Results(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        rounds=rounds or ROUNDS,
        seconds=seconds,
        load=load.language,
        machine=describeMachine(),
        peers={peer.name: peer.title for peer in peers},
        versions={peer.name: peer.version for peer in peers},
        missing=missing,
        wanted=[row.name for row in wanted],
        fewer={row.name: row.connections for row in rows if row not in ROWS},
        cores=cores.distinct(),
        busy=busy,
        reference=peers[0].name if options.python else "",
        command=shlex.join(["bin/benchmark", *sys.argv[1:]]),
    )
    laboratory = Laboratory(load, cores)
    with showProgress(console, plan.measurements()) as progress:
        laboratory.run(plan, results, progress)
    return results


def _terminate(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Runs the command."""
    options = parse()
    console = Console(highlight=False)
    # SIGTERM ends the servers too, as Ctrl-C does.
    signal.signal(signal.SIGTERM, _terminate)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        if options.output:
            options.output.mkdir(parents=True, exist_ok=True)
        results = options.read or _run(options, console)
        if options.json:
            options.json.write_text(results.toJson())
        printTables(results, console)
        if options.output:
            (options.output / "performance.rst").write_text(page(results))
            draw(results, options.output, "performance")
    except (BenchmarkError, Missing, OSError) as error:
        sys.exit(f"benchmark: {error}")
    except KeyboardInterrupt:
        sys.exit("benchmark: interrupted")


if __name__ == "__main__":
    main()
